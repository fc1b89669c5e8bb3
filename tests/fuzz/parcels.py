"""Courier files under fuzzing, by those who hold a key and by those who do not."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import msgpack
from anabranch_sync.change import CHAIN_START, Entry
from anabranch_sync.courier import letters_from_edge, letters_from_hub, messages_of, pushes
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import START, Cursor
from anabranch_sync.messages import Hello, Welcome
from anabranch_sync.packing import seal
from anabranch_sync.parcel import (
    EXPORT_BYTES,
    MAGIC,
    PARCEL_BYTES_MIN,
    Letter,
    encode_letter,
    opened,
    signed_bytes,
    wrapped,
)
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.fuzz.mutations import mutated

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_KEY = ec.derive_private_key(7, ec.SECP256R1())


def _root() -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anabranch")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(_KEY.public_key())
        .serial_number(7)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(_KEY, SHA256(), ecdsa_deterministic=True)
    )


ROOT = _root()
_ROOT_DER = ROOT.public_bytes(Encoding.DER)


def samples(entries: list[Entry], pull: bytes) -> tuple[bytes, ...]:
    """Signed files of both directions."""
    hello = Hello(1, 1, 3, Cursor(1, 40), 0, CHAIN_START, ScopeDigest(2, 77), 1_750_000_000_000)
    welcome = Welcome(1, 1, 40, 3, 12, CHAIN_START, 0)
    up = letters_from_edge(hello, pushes(entries, CHAIN_START, PARCEL_BYTES_MIN), PARCEL_BYTES_MIN)
    down = letters_from_hub(welcome, seal(pull), 0, PARCEL_BYTES_MIN)
    letter = Letter(
        False, "acme", "shop", b"e" * EXPORT_BYTES, b"", 1_750_000_000_000, 1, 1, START, START, ()
    )
    back = replace(letter, from_hub=True, answers=letter.export, upto=Cursor(1, 40))
    letters = [replace(letter, frames=frames) for frames in up]
    letters += [replace(back, frames=frames) for frames in down]
    return tuple(_signed(encode_letter(each)) for each in letters)


def take(raw: bytes) -> None:
    messages_of(opened(raw, ROOT, int(NOW.timestamp() * 1000)).letter)


def mutated_parcel(raw: bytes, rng: random.Random) -> bytes:
    """The file changed on its way, or its letter before it was signed."""
    if rng.random() < 0.5:
        return mutated(raw, rng)
    body, _, _ = msgpack.unpackb(raw[len(MAGIC) :])
    return _signed(mutated(body, rng))


def _signed(body: bytes) -> bytes:
    signature = _KEY.sign(signed_bytes(body), ec.ECDSA(SHA256(), deterministic_signing=True))
    return wrapped(body, (_ROOT_DER,), signature)
