"""nginx in front of the web UI."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from . import certificates
from .part import Part
from .types import ExistingPath, HostName, Port


class Proxy(Part):
    """nginx in front of the web UI."""

    proxy_server_name: HostName | None = None
    """Host name of the web UI in links and in our own certificate; default: the address."""
    proxy_port: Port = 443
    """Port of the proxy."""
    proxy_http_port: Annotated[int, Field(ge=0, le=65535, strict=True)] = 80
    """Port that redirects to `proxy_port`; 0 for none."""
    proxy_certificate: ExistingPath | None = None
    """PEM file on the controller: the certificate and its chain; default: issued by our own CA."""
    proxy_certificate_key: ExistingPath | None = None
    """PEM file on the controller with the certificate's key."""
    proxy_hsts_days: Annotated[int, Field(ge=0, le=3650)] = 365
    """Days that browsers insist on TLS (HSTS), with your own certificate; 0 for none."""

    @property
    def proxy_ports(self) -> tuple[int, ...]:
        """The ports that a proxy listens on."""
        return (self.proxy_port, *((self.proxy_http_port,) if self.proxy_http_port else ()))


def _unfit_certificate(proxy: Proxy) -> str | None:
    return certificates.refusal("proxy", proxy.proxy_certificate, proxy.proxy_certificate_key)


CHECKS = (_unfit_certificate,)
