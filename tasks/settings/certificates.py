"""Certificates of our own servers, from an authority that is made once and kept on the controller.

They stand beside the secrets, and as private: ``ca.crt`` is what others need in order to trust the
servers, and the only one of them that is no secret.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from .secrets import locked, write_private

_AUTHORITY_DAYS = 3650
_DAYS = 397
"""What browsers still believe."""
_RENEWED_BEFORE = 60
"""Days before its end at which a run replaces a certificate."""
_NOT_SINCE = datetime.timedelta(hours=1)
"""Clocks of hosts may be behind."""


class Pair(NamedTuple):
    """A certificate and its key, as PEM files on the controller."""

    certificate: Path
    key: Path


def folder(secrets_file: Path) -> Path:
    """Return the folder of the certificates that belongs to a file of secrets."""
    return secrets_file.with_name(f"{secrets_file.stem}-tls")


def authority(folder: Path) -> Pair:
    """Return the authority that ``folder`` keeps, made when there is none."""
    pair = Pair(folder / "ca.crt", folder / "ca.key")
    with locked(folder):
        if not pair.key.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            name = _name("pyinfra-airflow")
            certificate = (
                _begun(name, name, key, _AUTHORITY_DAYS)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(signs=True), critical=True)
                # Whose it is, where those of two inventories are trusted: their names are alike.
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                .sign(key, hashes.SHA256())
            )
            _keep(pair, certificate, key)
    return pair


def issued(folder: Path, name: str, addresses: Iterable[str]) -> Pair:
    """Return a certificate for ``addresses`` by the authority of ``folder``.

    The one that is kept serves until its addresses change or its end is near.
    """
    ca = authority(folder)
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    wanted = _alternatives(addresses)
    with locked(folder):
        if not _serves(pair, ca, wanted):
            key = ec.generate_private_key(ec.SECP256R1())
            issuer = _certificate(ca.certificate)
            certificate = (
                _begun(_name(name[:64]), issuer.subject, key, _DAYS)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_usage(signs=False), critical=True)
                .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
                .add_extension(wanted, critical=False)
                .add_extension(_issued_by(issuer), critical=False)
                .sign(_key(ca.key), hashes.SHA256())
            )
            _keep(pair, certificate, key)
    return pair


def refusal(server: str, certificate: Path | None, key: Path | None) -> str | None:
    """Return why a server can't have the certificate and the key that its settings give it."""
    name = f"{server}_certificate"
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        return f"{name} and {name}_key go together: give both or neither"
    why = unfit(certificate, key)
    return why and f"{name} can't be used: {why}"


def unfit(certificate: Path, key: Path) -> str | None:
    """Return why a certificate can't be used with a key, if it can't."""
    try:
        read = _certificate(certificate)
        own = _key(key)
    except (OSError, ValueError, TypeError) as error:
        return f"{certificate} and {key} can't be read as PEM without a passphrase: {error}"
    if own.public_key() != read.public_key():
        return f"{key} is not the key of {certificate}"
    if read.not_valid_after_utc <= _now():
        return f"{certificate} has ended on {read.not_valid_after_utc:%Y-%m-%d}"
    return None


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _NOT_SINCE)
        .not_valid_after(_now() + datetime.timedelta(days=days))
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _issued_by(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    key = issuer.public_key()
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]


def _alternatives(addresses: Iterable[str]) -> x509.SubjectAlternativeName:
    """Name each address once; an IP address also as a name, as libpq before 15 wants it."""
    names: list[x509.GeneralName] = []
    for address in dict.fromkeys(addresses):
        with suppress(ValueError):
            names.append(x509.IPAddress(ipaddress.ip_address(address)))
        names.append(x509.DNSName(address))
    return x509.SubjectAlternativeName(names)


def _serves(pair: Pair, ca: Pair, wanted: x509.SubjectAlternativeName) -> bool:
    if not (pair.certificate.exists() and pair.key.exists()):
        return False
    have = _certificate(pair.certificate)
    named = have.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    left = have.not_valid_after_utc - _now()
    try:
        have.verify_directly_issued_by(_certificate(ca.certificate))
    except ValueError:
        return False
    return named == wanted and left.days > _RENEWED_BEFORE


def _certificate(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(file.read_bytes())


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    return key  # type: ignore[return-value]  # a given one may be of another kind


def _keep(pair: Pair, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    pem = serialization.Encoding.PEM
    form, open_ = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    write_private(pair.key, key.private_bytes(pem, form, open_).decode())
    write_private(pair.certificate, certificate.public_bytes(pem).decode())
