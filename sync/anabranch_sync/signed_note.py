"""Signed notes: a text and who signed it, readable by people and by every tool of the field.

::

    anabranch/tenant/acme                      the text, which ends in a newline
    1234
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=
                                               an empty line
    — anabranch/tenant/acme Az3grlgtzPIC...    signatures: base64 of key id (4 bytes) and signature

The format is C2SP signed-note. A signature of an unknown key says nothing and is passed over; one of
the known key has to verify. Keys are Ed25519 (RFC 8032) and verified here only; who signs, and with
what, is not this module's business.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass

from anabranch_sync.errors import MalformedEvidence, UntrustedSignature

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
KEY_ID_BYTES = 4
# The specification asks for 16 signatures at least, and post-quantum ones have 5 kB each.
NOTE_BYTES_MAX = 256 * 1024
SIGNATURES_MAX = 100
NAME_CHARS_MAX = 256

# The signature type of signed-note that stands for Ed25519 over the text.
_ED25519 = b"\x01"
_SIGNATURE_PREFIX = "\N{EM DASH} "


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key under its name."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four bytes by which a signature line names the key. They prove nothing."""
        return self._digest()[:KEY_ID_BYTES]

    @property
    def fingerprint(self) -> str:
        """What two people read to each other to know that they hold the same key."""
        digits = self._digest().hex()[:32]
        return ":".join(digits[start : start + 4] for start in range(0, len(digits), 4))

    def _digest(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()

    def __str__(self) -> str:
        """The key as text: ``name+key id+base64``."""
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(_ED25519 + self.public)}"


@dataclass(frozen=True, slots=True)
class Signature:
    """One line under a note."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A text and its signatures, of which none has been verified."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        lines = (
            f"{_SIGNATURE_PREFIX}{each.name} {encode_base64(each.key_id + each.signature)}\n"
            for each in self.signatures
        )
        return f"{self.text}\n{''.join(lines)}"


def parse_verifier_key(text: str) -> VerifierKey:
    """The key of ``name+key id+base64``. Raises MalformedEvidence."""
    name, *rest = text.strip().split("+", 2)
    if len(rest) != 2 or not _is_name(name) or not name.isprintable():
        raise MalformedEvidence("verifier key", "expected NAME+KEYID+BASE64")
    body = decode_base64("verifier key", rest[1])
    if body[:1] != _ED25519 or len(body) != 1 + PUBLIC_KEY_BYTES:
        raise MalformedEvidence("verifier key", "not an Ed25519 key (type 1 and 32 bytes)")
    key = VerifierKey(name, body[1:])
    if rest[0] != key.key_id.hex():
        raise MalformedEvidence("verifier key", f"its key id is {key.key_id.hex()}, the text says otherwise")
    return key


def parse_note(text: str) -> Note:
    """The note of its text, nothing verified. Raises MalformedEvidence."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise MalformedEvidence("note", f"not UTF-8 at character {error.start}") from error
    if size > NOTE_BYTES_MAX:
        raise MalformedEvidence("note", f"{size} bytes, limit {NOTE_BYTES_MAX}")
    if any(character < " " and character != "\n" for character in text):
        raise MalformedEvidence("note", "it has a control character")
    body, blank, signed = text.rpartition("\n\n")
    if not blank or not signed.endswith("\n"):
        raise MalformedEvidence("note", "no signatures after an empty line, or the end is missing")
    lines = signed[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise MalformedEvidence("note", f"{len(lines)} signatures, limit {SIGNATURES_MAX}")
    return Note(f"{body}\n", tuple(_parsed_signature(line) for line in lines))


def check_signed(note: Note, key: VerifierKey) -> None:
    """Raise UntrustedSignature unless `key` signed the note's text."""
    own = [each for each in note.signatures if (each.name, each.key_id) == (key.name, key.key_id)]
    if not own:
        others = ", ".join(f"{each.name}+{each.key_id.hex()}" for each in note.signatures[:3])
        raise UntrustedSignature(str(key), f"the note carries signatures of {others} only")
    for each in own:
        check_signature(note.text.encode(), each.signature, key)


def check_signature(body: bytes, signature: bytes, key: VerifierKey) -> None:
    """Raise UntrustedSignature unless `signature` is that of `key` over `body`."""
    # Every command of an edge comes by this module and few verify anything; this takes 12 ms to import.
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, body)
    except (InvalidSignature, ValueError) as error:
        raise UntrustedSignature(str(key), "the signature does not verify") from error


def encode_base64(raw: bytes) -> str:
    """Standard base64 (RFC 4648 section 4)."""
    return base64.b64encode(raw).decode("ascii")


def decode_base64(what: str, text: str) -> bytes:
    """The bytes of the one base64 text that stands for them. Raises MalformedEvidence naming `what`."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MalformedEvidence(what, f"not base64: {error}") from error
    if encode_base64(raw) != text:
        raise MalformedEvidence(what, "not the shortest base64 of its bytes")
    return raw


def _parsed_signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_SIGNATURE_PREFIX).partition(" ")
    if not line.startswith(_SIGNATURE_PREFIX) or not space or not _is_name(name):
        raise MalformedEvidence("note", "a signature line is not '\N{EM DASH} NAME BASE64'")
    raw = decode_base64("signature", encoded)
    if len(raw) <= KEY_ID_BYTES:
        raise MalformedEvidence("signature", "nothing after the key id")
    return Signature(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARS_MAX and not any(each.isspace() or each == "+" for each in name)
