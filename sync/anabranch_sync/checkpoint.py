"""Checkpoints: the head of a log, signed. Text as in C2SP tlog-checkpoint, and 100 bytes for the wire.

A checkpoint says "the log ORIGIN has SIZE leaves with this ROOT". Whoever holds two that do not fit
has caught the log lying, whatever its operator says; so a signed checkpoint is never taken back.
"""

from dataclasses import dataclass

from anabranch_sync.errors import CorruptFrame, InvalidName, MalformedEvidence, UntrustedSignature
from anabranch_sync.ids import check_tenant
from anabranch_sync.merkle import HASH_BYTES, SIZE_MAX, TreeHead
from anabranch_sync.packing import read_varint, varint
from anabranch_sync.signed_note import (
    KEY_ID_BYTES,
    SIGNATURE_BYTES,
    Note,
    Signature,
    VerifierKey,
    check_signature,
    check_signed,
    decode_base64,
    encode_base64,
    parse_note,
)

# Longer digits are beyond it, and not worth converting.
_SIZE_DIGITS_MAX = len(str(SIZE_MAX))


_ORIGIN_PREFIX = "anabranch/tenant/"


def origin_of(tenant: str) -> str:
    """What a tenant's log calls itself; the name of its key, too."""
    return _ORIGIN_PREFIX + tenant


def tenant_of(origin: str) -> str:
    """The tenant whose log calls itself so. Raises MalformedEvidence."""
    try:
        if origin.startswith(_ORIGIN_PREFIX):
            return check_tenant(origin.removeprefix(_ORIGIN_PREFIX))
    except InvalidName:
        pass
    raise MalformedEvidence("checkpoint", f"its origin is no {_ORIGIN_PREFIX}NAME")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed. `to_sign` are the exact bytes."""

    origin: str
    tree: TreeHead

    @property
    def to_sign(self) -> bytes:
        """The note's text: three lines, the last one ended too."""
        return f"{self.origin}\n{self.tree.size}\n{encode_base64(self.tree.root)}\n".encode()


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with the signature of one key, which has its origin for a name. Not verified yet."""

    checkpoint: Checkpoint
    key_id: bytes
    signature: bytes

    @property
    def tree(self) -> TreeHead:
        """The tree it speaks of."""
        return self.checkpoint.tree

    @property
    def note(self) -> str:
        """The signed note, as people and other tools read it."""
        checkpoint = self.checkpoint
        line = Signature(checkpoint.origin, self.key_id, self.signature)
        return str(Note(checkpoint.to_sign.decode(), (line,)))

    @property
    def packed(self) -> bytes:
        """The bytes for the wire: size, root, key id, signature. The reader knows the origin."""
        return varint(self.tree.size) + self.tree.root + self.key_id + self.signature

    def check(self, key: VerifierKey) -> None:
        """Raise UntrustedSignature unless `key` signed it."""
        if (self.checkpoint.origin, self.key_id) != (key.name, key.key_id):
            shown = f"{self.checkpoint.origin}+{self.key_id.hex()}"
            raise UntrustedSignature(str(key), f"it is signed by {shown}")
        check_signature(self.checkpoint.to_sign, self.signature, key)


def signed(checkpoint: Checkpoint, key: VerifierKey, signature: bytes) -> SignedCheckpoint:
    """`checkpoint` under the signature that `key` gave for `to_sign`. Raises UntrustedSignature."""
    result = SignedCheckpoint(checkpoint, key.key_id, signature)
    result.check(key)
    return result


def unpack_checkpoint(origin: str, packed: bytes) -> SignedCheckpoint:
    """The checkpoint of `SignedCheckpoint.packed`, nothing verified. Raises MalformedEvidence."""
    try:
        size, start = read_varint(packed, 0)
    except CorruptFrame as error:
        raise MalformedEvidence("packed checkpoint", error.reason) from error
    if size > SIZE_MAX or len(packed) - start != HASH_BYTES + KEY_ID_BYTES + SIGNATURE_BYTES:
        raise MalformedEvidence("packed checkpoint", f"{len(packed)} bytes with a size of {size}")
    root, rest = packed[start : start + HASH_BYTES], packed[start + HASH_BYTES :]
    return SignedCheckpoint(
        Checkpoint(origin, TreeHead(size, root)), rest[:KEY_ID_BYTES], rest[KEY_ID_BYTES:]
    )


def parse_checkpoint(note: Note) -> Checkpoint:
    """What the note's text says, signatures aside; extension lines are passed over.

    Raises MalformedEvidence.
    """
    origin, *rest = note.text.removesuffix("\n").split("\n")
    if not origin or len(rest) < 2 or not all(rest):
        raise MalformedEvidence("checkpoint", "expected the lines ORIGIN, SIZE and ROOT")
    root = decode_base64("the checkpoint's root", rest[1])
    if len(root) != HASH_BYTES:
        raise MalformedEvidence("checkpoint", f"its root has {len(root)} bytes, not {HASH_BYTES}")
    return Checkpoint(origin, TreeHead(parse_natural("the checkpoint's size", rest[0]), root))


def parse_signed(text: str) -> SignedCheckpoint:
    """A signed note's checkpoint under the signature of its own log, nothing verified.

    Raises MalformedEvidence.
    """
    note = parse_note(text)
    checkpoint = parse_checkpoint(note)
    for line in note.signatures:
        if line.name == checkpoint.origin and len(line.signature) == SIGNATURE_BYTES:
            return SignedCheckpoint(checkpoint, line.key_id, line.signature)
    raise MalformedEvidence("checkpoint", f"{checkpoint.origin} itself has not signed it")


def verified_checkpoint(text: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint of a signed note that `key` signed for its own log.

    Raises MalformedEvidence, UntrustedSignature.
    """
    note = parse_note(text)
    check_signed(note, key)
    checkpoint = parse_checkpoint(note)
    if checkpoint.origin != key.name:
        raise UntrustedSignature(str(key), f"it signed for another log, {checkpoint.origin}")
    return checkpoint


def parse_natural(what: str, digits: str) -> int:
    """A number in the only way it is written. Raises MalformedEvidence naming `what`."""
    is_plain = digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0")
    if not is_plain or len(digits) > _SIZE_DIGITS_MAX or int(digits) > SIZE_MAX:
        raise MalformedEvidence(what, "not a plain number of 63 bits")
    return int(digits)
