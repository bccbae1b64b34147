"""Certificate files of the servers that use TLS."""

from __future__ import annotations

from ..host.files import File
from ..settings import Settings


def certificate_files(settings: Settings, server: str, folder: str, group: str) -> dict[str, File]:
    """Return certificate and key of our own server with TLS, for the ``group`` it runs as."""
    given = settings.servers[server]
    certificate, key = given.certificate, given.certificate_key
    if not (given.tls and certificate and key):
        return {}
    return {
        f"{folder}/airflow.crt": File(certificate.read_text(), unmarked=True),
        f"{folder}/airflow.key": File(
            key.read_text(), group=group, mode="640", secret=True, unmarked=True
        ),
    }
