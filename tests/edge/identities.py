"""Identities of edges that no hub knows."""

from datetime import UTC, datetime, timedelta

from anabranch.identity import Identity, new_key
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key


def certificate_for(key_pem: bytes) -> bytes:
    key = load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def an_identity(tenant: str, edge: str) -> Identity:
    """One that is never due for renewal while a test runs."""
    key_pem, root_pem = new_key(), certificate_for(new_key())
    renew_at_ms = int((datetime.now(UTC) + timedelta(hours=12)).timestamp() * 1000)
    return Identity("127.0.0.1:9", tenant, edge, key_pem, certificate_for(key_pem), root_pem, renew_at_ms)
