"""Texts and files under fuzzing: JSON, pointers, addresses, references, tokens, an edge's identity."""

import json
import tempfile
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from anabranch.identity import read_identity
from anabranch_protos.invitation import FINGERPRINT_BYTES, SECRET_BYTES, InvitationToken, parse_token
from anabranch_sync.ids import parse_address
from anabranch_sync.path import parse_pointer, render_pointer
from anabranch_sync.reference import parse_reference
from anabranch_sync.value import canonical, parse_json
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def texts() -> tuple[bytes, ...]:
    """JSON of every kind."""
    return (
        b'{"a": [1, -0.5, 1e300, true, null, "\\u00e9\\ud83d\\ude00"], "": {"b": {}}}',
        b"[9223372036854775807, -9223372036854775808, 1.0]",
        '"é😀\\n\\/"'.encode(),
    )


def take_json(raw: bytes) -> None:
    value = parse_json(raw)
    assert parse_json(canonical_text(value)) == value
    canonical(value)


def canonical_text(value: object) -> bytes:
    """The value as JSON text again."""
    return json.dumps(value, ensure_ascii=False).encode()


def pointers() -> tuple[bytes, ...]:
    """JSON Pointers."""
    return (b"", b"/a/b~1c/~0", b"/limits/requests", "/é/0/-".encode())


def take_pointer(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    assert render_pointer(parse_pointer(text)) == text


def addresses() -> tuple[bytes, ...]:
    """Of documents."""
    return (b"acme/prod/router/config", b"system/schemas/router")


def take_address(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    assert str(parse_address(text)) == text


def references() -> tuple[bytes, ...]:
    """Versions, positions, times, ages."""
    return (b"17", b"@204", b"2h", b"2026-01-01T00:00:00Z", b"2026-01-01")


def take_reference(raw: bytes) -> None:
    str(parse_reference(raw.decode("utf-8", "replace"), NOW_MS))


def tokens() -> tuple[bytes, ...]:
    """Invitations."""
    made = [InvitationToken(bytes(SECRET_BYTES), bytes(FINGERPRINT_BYTES), port) for port in (0, 7_444)]
    return tuple(each.render().encode() for each in made)


def take_token(raw: bytes) -> None:
    text = raw.decode("utf-8", "replace")
    assert parse_token(text).render() == text.strip()


def identities() -> tuple[bytes, ...]:
    """The file that says whose edge this is."""
    return (b'{"address": "hub:7443", "tenant": "acme", "edge": "shop", "renew_at_ms": 1750000000000}',)


def take_identity(raw: bytes) -> None:
    """A folder with good certificates and these bytes."""
    with tempfile.TemporaryDirectory() as name:
        key, certificate = _signer()
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        for file in ("cert.pem", "ca.pem"):
            (Path(name) / file).write_bytes(certificate.public_bytes(Encoding.PEM))
        (Path(name) / "key.pem").write_bytes(secret)
        (Path(name) / "hub").write_bytes(raw)
        read_identity(Path(name))


@cache
def _signer() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A key and the root it signs for itself; the same on every call and in every run."""
    key = ec.derive_private_key(7, ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=1))
    return key, builder.sign(key, SHA256(), ecdsa_deterministic=True)
