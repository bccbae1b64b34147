"""Check whether a server already has a password, from what it stores of it. Pure."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os


def scram_verifier(password: str, salt: bytes | None = None, iterations: int = 4096) -> str:
    """Return what PostgreSQL stores of a password (RFC 5802): the password itself is never sent."""
    salt = salt or os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
    client, server = (
        hmac.new(salted, role, "sha256").digest() for role in (b"Client Key", b"Server Key")
    )
    stored = hashlib.sha256(client).digest()
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${iterations}:{text[0]}${text[1]}:{text[2]}"


def scram_matches(parameters: str | None, digest: str | None, password: str) -> bool:
    """Compare a password with ``ITERATIONS:SALT`` and the SHA-256 of the whole verifier."""
    try:
        iterations, salt = (parameters or "").split(":")
        verifier = scram_verifier(password, base64.b64decode(salt), int(iterations))
    except ValueError:
        return False
    return hmac.compare_digest(hashlib.sha256(verifier.encode()).hexdigest(), digest or "")


def rabbitmq_hash(password: str, salt: bytes | None = None) -> str:
    """Return what RabbitMQ stores of a password: four bytes of salt, then SHA-256 of both."""
    salt = salt or os.urandom(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode()


def rabbitmq_matches(stored: str, password: str) -> bool:
    """Compare a password with RabbitMQ's hash."""
    salt = base64.b64decode(stored)[:4]
    return hmac.compare_digest(stored, rabbitmq_hash(password, salt))
