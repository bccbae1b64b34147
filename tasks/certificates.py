"""Certificates for TLS: whether one can be used, and a self-signed one for a start. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DAYS = 825
"""Days that a self-signed certificate is good for: what every browser takes."""
_RENEWED = timedelta(days=30)
"""How long before its end it is made anew."""


def fault(certificate: bytes, key: bytes) -> str | None:
    """Say what is wrong with a certificate, its chain behind it, and its key, if anything."""
    try:
        chain = x509.load_pem_x509_certificates(certificate)
    except ValueError:
        return "proxy_certificate is no certificate in PEM: give the file with it and its chain"
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except TypeError:
        return "proxy_certificate_key wants a password: give a key without one"
    except ValueError:
        return "proxy_certificate_key is no private key in PEM: give the certificate's"
    if private.public_key() != chain[0].public_key():
        return (
            "proxy_certificate_key does not fit proxy_certificate, whose own certificate has to "
            "come first in its file"
        )
    if chain[0].not_valid_after_utc < _now():
        return (
            f"proxy_certificate has been out of date since {chain[0].not_valid_after_utc:%Y-%m-%d}:"
            " give a new one"
        )
    return None


def self_signed(names: Iterable[str]) -> str:
    """Make a key and a certificate for ``names`` and addresses: PEM, the key first."""
    names = list(names)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    # A clock that is a little behind takes it too.
    start = _now() - timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(map(_general_name, names)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return (private + certificate.public_bytes(serialization.Encoding.PEM)).decode()


def parts(pem: str) -> tuple[str, str]:
    """Take what ``self_signed`` has made apart: certificate and key."""
    key, begin, certificate = pem.partition("-----BEGIN CERTIFICATE-----")
    return begin + certificate, key


def lasts(pem: str, names: Iterable[str]) -> bool:
    """Tell whether what ``self_signed`` has made is still good for ``names``."""
    if not pem:
        return False
    certificate = x509.load_pem_x509_certificate(parts(pem)[0].encode())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return certificate.not_valid_after_utc > _now() + _RENEWED and set(extension.value) >= set(
        map(_general_name, names)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _now() -> datetime:
    return datetime.now(timezone.utc)
