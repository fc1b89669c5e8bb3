"""One leaf, proved in one small file: C2SP tlog-proof, so that other tools verify it too.

::

    c2sp.org/tlog-proof@v1
    extra BASE64                  the leaf's line of an export, and the log's key, as JSON
    index 1233
    BASE64 ...                    the siblings from the leaf up, a line each
                                  an empty line
    NOTE                          the signed checkpoint

Nothing signs `extra`: its leaf is believed because its hash leads to the signed root, its openings
because the leaf commits to them, and its key only as far as the reader knows it from elsewhere.
"""

import json
from dataclasses import dataclass
from typing import Any

from anabranch_sync.audit_event import Leaf, ValueOpening
from anabranch_sync.audit_file import LINE_BYTES_MAX, LoggedLeaf, checked_leaf, leaf_object
from anabranch_sync.checkpoint import Checkpoint, parse_natural, tenant_of, verified_checkpoint
from anabranch_sync.errors import BadLeaf, InvalidValue, MalformedEvidence, UntrustedSignature
from anabranch_sync.merkle import HASH_BYTES, verify_inclusion
from anabranch_sync.signed_note import (
    NOTE_BYTES_MAX,
    VerifierKey,
    decode_base64,
    encode_base64,
    parse_verifier_key,
)
from anabranch_sync.value import check, render_json

FIRST_LINE = "c2sp.org/tlog-proof@v1"
# A tree of 2**63 leaves.
PROOF_HASHES_MAX = 63
# `extra` in base64, the hashes and the note.
PROOF_BYTES_MAX = LINE_BYTES_MAX // 3 * 4 + NOTE_BYTES_MAX + 64 * 1024

_EXTRA, _INDEX = "extra ", "index "


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as it is written, nothing verified."""

    index: int
    hashes: tuple[bytes, ...]
    note: str
    extra: bytes = b""

    def __str__(self) -> str:
        lines = [FIRST_LINE]
        if self.extra:
            lines.append(_EXTRA + encode_base64(self.extra))
        lines.append(f"{_INDEX}{self.index}")
        lines += map(encode_base64, self.hashes)
        return "\n".join([*lines, "", self.note])


@dataclass(frozen=True, slots=True)
class ProvedLeaf:
    """What a proof has proved: this leaf is in the log of `tenant`, whose head `key` signed."""

    tenant: str
    key: VerifierKey
    checkpoint: Checkpoint
    leaf: Leaf
    openings: tuple[ValueOpening, ...]


def proof_of(
    index: int, leaf: LoggedLeaf, hashes: tuple[bytes, ...], note: str, key: VerifierKey
) -> TlogProof:
    """The proof that carries its leaf and its key with it."""
    extra = leaf_object(leaf) | {"key": str(key)}
    return TlogProof(index, hashes, note, render_json(extra).encode())


def parse_tlog_proof(text: str) -> TlogProof:
    """The proof of its text. Raises MalformedEvidence."""
    if len(text) > PROOF_BYTES_MAX:
        raise MalformedEvidence("proof", f"{len(text)} characters, limit {PROOF_BYTES_MAX}")
    upper, blank, note = text.partition("\n\n")
    first, *lines = upper.split("\n")
    if first != FIRST_LINE or not blank:
        raise MalformedEvidence("proof", f"it does not begin with {FIRST_LINE}, or has no checkpoint")
    extra = b""
    if lines and lines[0].startswith(_EXTRA):
        extra = decode_base64("the proof's extra line", lines.pop(0).removeprefix(_EXTRA))
    if not lines or not lines[0].startswith(_INDEX):
        raise MalformedEvidence("proof", "it has no index line")
    index = parse_natural("the proof's index", lines.pop(0).removeprefix(_INDEX))
    if len(lines) > PROOF_HASHES_MAX:
        raise MalformedEvidence("proof", f"{len(lines)} hashes, limit {PROOF_HASHES_MAX}")
    hashes = tuple(decode_base64("a hash of the proof", line) for line in lines)
    if any(len(each) != HASH_BYTES for each in hashes):
        raise MalformedEvidence("proof", f"a hash has other than {HASH_BYTES} bytes")
    return TlogProof(index, hashes, note, extra)


def verify_tlog_proof(proof: TlogProof, key: VerifierKey | None = None) -> ProvedLeaf:
    """Verify a proof that carries its leaf.

    `key` is the one to be believed; without it, the proof's own key shows only that the leaf is in a
    log of that key's owner. Raises UntrustedSignature, InvalidProof, BadLeaf, MalformedEvidence.
    """
    try:
        extra: Any = json.loads(proof.extra)
        named = parse_verifier_key(extra["key"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedEvidence("proof", "its extra line does not carry a leaf of anabranch") from error
    if key is not None and key != named:
        raise UntrustedSignature(str(key), f"the proof names the key {named}")
    checkpoint = verified_checkpoint(proof.note, named)
    tenant = tenant_of(checkpoint.origin)
    checked = checked_leaf(proof.index, extra, tenant)
    try:
        check(dict(checked.leaf.data))  # it is going to be shown
    except InvalidValue as error:
        raise BadLeaf(proof.index, f"its bytes are no event ({error})") from error
    verify_inclusion(checked.hash, proof.index, checkpoint.tree, proof.hashes)
    return ProvedLeaf(tenant, named, checkpoint, checked.leaf, checked.openings)
