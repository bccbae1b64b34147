"""Certificates of our own servers."""

import datetime
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from pyinfra.api import Host

from tasks import Settings
from tasks.settings import certificates
from tasks.settings.urls import parts
from tests.support import made_up


def test_a_certificate_is_of_its_authority_and_kept(tmp_path: Path) -> None:
    pair = certificates.issued(tmp_path, "db", ["192.0.2.1", "db.example.com"])
    verified = subprocess.run(
        ["openssl", "verify", "-CAfile", tmp_path / "ca.crt", "-verify_ip", "192.0.2.1",
         "-purpose", "sslserver", pair.certificate],
        capture_output=True, text=True,
    )  # fmt: skip
    assert verified.returncode == 0, verified.stderr
    before = pair.certificate.read_text()
    certificates.issued(tmp_path, "db", ["192.0.2.1", "db.example.com"])
    assert pair.certificate.read_text() == before
    certificates.issued(tmp_path, "db", ["192.0.2.2"])
    assert pair.certificate.read_text() != before
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("*.*t")} == {0o600}
    assert {file.stat().st_mode & 0o777 for file in tmp_path.glob("*.key")} == {0o600}


def test_one_that_ends_soon_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = certificates.issued(tmp_path, "db", ["db"])
    before = pair.certificate.read_text()
    later = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=350)
    monkeypatch.setattr(certificates, "_now", lambda: later)
    assert certificates.issued(tmp_path, "db", ["db"]).certificate.read_text() != before
    end = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).not_valid_after_utc
    assert end > later + datetime.timedelta(days=300)


def test_python_believes_the_authority(tmp_path: Path) -> None:
    ca = certificates.authority(tmp_path)
    context = ssl.create_default_context(cafile=str(ca.certificate))
    assert [entry["subject"] for entry in context.get_ca_certs()] == [
        ((("commonName", "pyinfra-airflow"),),)
    ]


def test_hosts_share_the_authority_and_only_the_server_has_a_key(tmp_path: Path) -> None:
    groups = {"postgresql": ["db"], "rabbitmq": ["web"], "api_server": ["web"]}
    groups |= {"scheduler": ["web"], "dag_processor": ["web"], "worker": ["web"]}
    data = {"airflow_secrets_file": tmp_path / "s.json", "postgresql_tls": True}
    web, database = (certificates_of(made_up.host(groups, name, **data)) for name in ("web", "db"))
    assert web["ca"] == database["ca"] == tmp_path / "s-tls/ca.crt"
    assert (web["certificate_key"], database["certificate_key"]) == (
        None,
        tmp_path / "s-tls/db.key",
    )


def certificates_of(host: Host) -> dict[str, Path | None]:
    settings = Settings.of(host)
    return {
        name: getattr(settings, f"postgresql_{name}")
        for name in ("ca", "certificate", "certificate_key")
    }


@pytest.mark.parametrize(
    ("server", "url", "expected"),
    [
        (
            "postgresql",
            "postgresql://a:b%40c@db.example:5433/air?sslmode=require",
            {
                "postgresql_host": "db.example",
                "postgresql_password": "b@c",
                "postgresql_port": 5433,
                "postgresql_user": "a",
                "postgresql_database": "air",
                "postgresql_sslmode": "require",
            },
        ),
        (
            "rabbitmq",
            "amqps://u:p@mq/%2F",
            {
                "rabbitmq_host": "mq",
                "rabbitmq_password": "p",
                "rabbitmq_user": "u",
                "rabbitmq_vhost": "/",
                "rabbitmq_tls": True,
            },
        ),
        (
            "redis",
            "rediss://:p@[2001:db8::1]:6380/3",
            {
                "redis_host": "2001:db8::1",
                "redis_password": "p",
                "redis_port": 6380,
                "redis_database": 3,
                "redis_tls": True,
            },
        ),
    ],
)
def test_a_url_is_taken_apart(server: str, url: str, expected: dict[str, object]) -> None:
    assert parts(server, url) == expected


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://a:b@c/d", "begins with postgresql:// or postgres://"),
        ("postgresql:///d", "names no host"),
        ("postgresql://a@c/d", "has no password"),
        (
            "postgresql://a:b@c/d?colour=red",
            "an unsupported option: leave all but sslmode out",
        ),
    ],
)
def test_a_wrong_url_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parts("postgresql", url)


def test_a_certificate_that_can_not_be_used_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = certificates.issued(tmp_path / "a", "a", ["a"])
    other = certificates.issued(tmp_path / "b", "b", ["b"])
    private = load_pem_private_key(pair.key.read_bytes(), None)
    locked = tmp_path / "locked"
    locked.write_bytes(
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"geheim"))
    )
    assert certificates.unfit(*pair) is None
    assert "can't be read as PEM" in str(certificates.unfit(pair.key, pair.key))
    assert "without a passphrase" in str(certificates.unfit(pair.certificate, locked))
    assert "is not the key of" in str(certificates.unfit(pair.certificate, other.key))
    end = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).not_valid_after_utc
    monkeypatch.setattr(certificates, "_now", lambda: end + datetime.timedelta(days=1))
    assert f"has ended on {end:%Y-%m-%d}" in str(certificates.unfit(*pair))


def test_the_authorities_of_two_inventories_can_be_trusted_at_once(tmp_path: Path) -> None:
    own = [certificates.issued(tmp_path / name, "host", ["127.0.0.1"]) for name in ("a", "b")]
    trusted = ssl.create_default_context()
    for name in ("a", "b"):
        trusted.load_verify_locations(tmp_path / name / "ca.crt")
    for pair in own:
        served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        served.load_cert_chain(*pair)
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = served.wrap_bio(there, back, server_side=True)
        client = trusted.wrap_bio(back, there, server_hostname="127.0.0.1")
        for side in (client, server, client):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
        assert client.getpeercert()
