"""The export of a log: one file, from which anyone can verify it with no hub and no database.

JSON Lines, in the order of the log::

    {"format":"anabranch-audit/1","tenant":T,"origin":O,"key":KEY,"checkpoint":NOTE}
    {"leaf":TEXT,"hash":HEX,"openings":[{"commitment":HEX,"salt":HEX,"value":JSON}, ...]}
    {"checkpoint":NOTE}
    {"leaf":TEXT, ...

The head's checkpoint covers the whole file. TEXT is the leaf as it was hashed; an opening that was
erased is absent. `hash` and the checkpoints in between prove nothing that the head does not. They are
there for the day when the roots differ, to say where: `hash` is what the log has stored for the leaf,
so a leaf that was edited is named exactly; and where somebody computed all hashes anew, an earlier
signed checkpoint, which stands behind the last leaf it covers, still says which leaves were sound
then. An edge's own checkpoint serves as one more.
"""

import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from anabranch_sync.audit_event import SALT_BYTES, Leaf, ValueOpening, check_openings, read_leaf
from anabranch_sync.checkpoint import Checkpoint, origin_of, verified_checkpoint
from anabranch_sync.errors import AnabranchError, BadLeaf, InvalidValue, MalformedEvidence, UntrustedSignature
from anabranch_sync.ids import check_tenant
from anabranch_sync.merkle import Frontier, TreeHead, leaf_hash
from anabranch_sync.signed_note import VerifierKey, parse_verifier_key
from anabranch_sync.value import check, render_json

FORMAT = "anabranch-audit/1"
# A leaf with the openings of the largest change (1 MiB of values) and of all it replaced, with room.
LINE_BYTES_MAX = 16 * 1024 * 1024

# How many leaves are hashed into the tree at once: few enough to hold, enough to make up for a call.
_LEAVES_AT_ONCE = 1024
# What goes wrong when JSON is not of the form that was expected.
_MALFORMED = (ValueError, TypeError, KeyError, AttributeError, RecursionError, InvalidValue)


@dataclass(frozen=True, slots=True)
class LoggedLeaf:
    """A leaf's bytes as hashed, what the log stored as its hash, and the values that may be shown."""

    raw: bytes
    stored_hash: bytes = b""
    openings: tuple[ValueOpening, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportHead:
    """The first line of an export."""

    tenant: str
    key: VerifierKey
    note: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What an export has proved: the log of `tenant` is these leaves, all of them, in this order.

    `key` signed it. `openings` values were shown and are the ones that were logged. `witnessed`: the
    log begins with the tree that the verifier had seen before.
    """

    tenant: str
    key: VerifierKey
    checkpoint: Checkpoint
    openings: int
    checkpoints: int
    witnessed: bool


def exported(
    head: ExportHead, leaves: Iterable[LoggedLeaf], checkpoints: Iterable[tuple[int, str]] = ()
) -> Iterator[bytes]:
    """The lines of an export: all `leaves` of the log, and earlier checkpoints (size, note) by size."""
    yield head_line(head)
    # A checkpoint stands behind the last of the leaves it covers.
    in_order = heapq.merge(
        ((count, 0, leaf_line(leaf)) for count, leaf in enumerate(leaves, 1)),
        ((size, 1, checkpoint_line(note)) for size, note in checkpoints),
    )
    for _, _, line in in_order:
        yield line


def head_line(head: ExportHead) -> bytes:
    """The first line of an export."""
    return _line(
        {
            "format": FORMAT,
            "tenant": head.tenant,
            "origin": origin_of(head.tenant),
            "key": str(head.key),
            "checkpoint": head.note,
        }
    )


def leaf_line(leaf: LoggedLeaf) -> bytes:
    """The line of one leaf."""
    return _line(leaf_object(leaf))


def checkpoint_line(note: str) -> bytes:
    """The line of a signed checkpoint, to stand behind the last leaf it covers."""
    return _line({"checkpoint": note})


def leaf_object(leaf: LoggedLeaf) -> dict[str, Any]:
    """A leaf as the JSON object of its line."""
    result: dict[str, Any] = {"leaf": leaf.raw.decode()}
    if leaf.stored_hash:
        result["hash"] = leaf.stored_hash.hex()
    if leaf.openings:
        result["openings"] = [
            {"commitment": each.commitment, "salt": each.salt.hex(), "value": each.value}
            for each in leaf.openings
        ]
    return result


def verify_export(
    lines: Iterable[bytes], key: VerifierKey | None = None, seen: TreeHead | None = None
) -> Verified:
    """Verify a whole export, one line after the other.

    `key` is the one to be believed; without it, the file's own key shows only that the file is what
    the owner of that key signed. `seen` is a tree that the verifier knows of. Raises BadLeaf naming
    the first leaf in question, UntrustedSignature, MalformedEvidence.
    """
    numbered = enumerate(lines, 1)
    head = parse_head(next(numbered, (1, b""))[1])
    if key is not None and key != head.key:
        raise UntrustedSignature(str(key), f"the file names the key {head.key}")
    checkpoint = verified_checkpoint(head.note, head.key)
    tree = _Growing(head, checkpoint, seen)
    for number, line in numbered:
        tree.take(number, line)
    return tree.ended()


@dataclass(frozen=True, slots=True)
class CheckedLeaf:
    """A leaf that is whole in itself: still to be shown is that its hash leads to a signed root."""

    leaf: Leaf
    hash: bytes
    openings: tuple[ValueOpening, ...]


def checked_leaf(index: int, parsed: Any, tenant: str) -> CheckedLeaf:
    """The leaf of a line's object. Raises BadLeaf."""
    try:
        raw = parsed["leaf"].encode()
        stored = bytes.fromhex(parsed.get("hash", ""))
    except _MALFORMED as error:
        raise BadLeaf(index, f"it cannot be read ({type(error).__name__})") from error
    current = leaf_hash(raw)
    if stored and stored != current:
        reason = f"its bytes hash to {current.hex()}, the log stored {stored.hex()}: one was changed"
        raise BadLeaf(index, reason)
    leaf = read_leaf(raw, tenant, index)
    openings = _parsed_openings(index, parsed)
    check_openings(leaf, openings)
    return CheckedLeaf(leaf, current, openings)


class _Growing:
    """The tree as the lines make it, and up to where a signature vouches for it."""

    def __init__(self, head: ExportHead, checkpoint: Checkpoint, seen: TreeHead | None) -> None:
        self._head = head
        self._checkpoint = checkpoint
        self._seen = seen
        self._frontier = Frontier()
        self._hashes: list[bytes] = []
        self._index = 0
        self._sound = 0
        self._openings = 0
        self._checkpoints = 1
        self._witnessed = False
        self._parted = False
        self._compare_with_seen()

    def take(self, number: int, line: bytes) -> None:
        """The next line."""
        try:
            if len(line) > LINE_BYTES_MAX:
                raise BadLeaf(self._index, f"its line is over {LINE_BYTES_MAX} bytes")
            parsed = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadLeaf(self._index, f"line {number} is not JSON") from error
        if type(parsed) is dict and type(parsed.get("checkpoint")) is str:
            self._pass(number, parsed["checkpoint"])
            return
        if self._index >= self._checkpoint.tree.size:
            raise BadLeaf(self._index, f"the checkpoint covers {self._checkpoint.tree.size} leaves only")
        checked = checked_leaf(self._index, parsed, self._head.tenant)
        self._hashes.append(checked.hash)
        self._openings += len(checked.openings)
        self._index += 1
        if len(self._hashes) >= _LEAVES_AT_ONCE:
            self._grow()
        self._compare_with_seen()

    def ended(self) -> Verified:
        """No more lines."""
        tree = self._checkpoint.tree
        if self._index < tree.size:
            reason = f"it is missing: the file ends after {self._index} of {tree.size} leaves"
            raise BadLeaf(self._index, reason)
        self._compare(tree, "the signed checkpoint")
        if self._parted:
            assert self._seen is not None, "parted from what was seen"
            size = self._seen.size
            reason = f"the log was rewritten: the tree of {size} leaves that was seen before is another one"
            raise BadLeaf(0, reason, size - 1)
        return Verified(
            self._head.tenant,
            self._head.key,
            self._checkpoint,
            self._openings,
            self._checkpoints,
            self._witnessed,
        )

    def _pass(self, number: int, note: str) -> None:
        """A checkpoint in between."""
        tree = verified_checkpoint(note, self._head.key).tree
        if tree.size != self._index:
            place = f"line {number}"
            raise MalformedEvidence(place, f"a checkpoint of {tree.size} leaves after {self._index}")
        self._compare(tree, f"the checkpoint signed at {tree.size} leaves")
        self._checkpoints += 1

    def _compare_with_seen(self) -> None:
        if self._seen is not None and self._seen.size == self._index:
            self._grow()
            if self._frontier.root == self._seen.root:
                self._witnessed = True
                self._sound = self._index
            else:
                self._parted = True

    def _compare(self, tree: TreeHead, what: str) -> None:
        self._grow()
        if self._frontier.root != tree.root:
            reason = f"the leaves lead to root {self._frontier.root.hex()}, {what} has {tree.root.hex()}"
            last = self._index - 1
            if self._parted and self._seen is not None:
                # What was seen is one of the log's own trees, so the leaves were bent before its end.
                last = min(last, self._seen.size - 1)
            raise BadLeaf(self._sound, reason, max(self._sound, last))
        self._sound = self._index

    def _grow(self) -> None:
        self._frontier, _ = self._frontier.appended(self._hashes)
        self._hashes.clear()


def _parsed_openings(index: int, parsed: Any) -> tuple[ValueOpening, ...]:
    """The openings of a leaf's object, each of which is what it says. Raises BadLeaf."""
    result = []
    try:
        for each in parsed.get("openings", ()):
            opening = ValueOpening(bytes.fromhex(each["salt"]), check(each["value"]))
            if len(opening.salt) != SALT_BYTES or opening.commitment != each["commitment"]:
                raise BadLeaf(index, "a value that is shown for it does not lead to its commitment")
            result.append(opening)
    except _MALFORMED as error:
        raise BadLeaf(index, "what is shown of its values cannot be read") from error
    return tuple(result)


def parse_head(line: bytes) -> ExportHead:
    """What the first line of an export says, nothing verified. Raises MalformedEvidence."""
    try:
        if len(line) > LINE_BYTES_MAX:
            raise MalformedEvidence("export", f"its first line is over {LINE_BYTES_MAX} bytes")
        parsed = json.loads(line)
        if parsed["format"] != FORMAT:
            raise MalformedEvidence("export", f"its format is not {FORMAT}")
        tenant, note = check_tenant(parsed["tenant"]), parsed["checkpoint"]
        key = parse_verifier_key(parsed["key"])
        if not (parsed["origin"] == key.name == origin_of(tenant)) or type(note) is not str:
            raise MalformedEvidence("export", "tenant, origin and key are not of one log")
    except MalformedEvidence:
        raise
    except (*_MALFORMED, AnabranchError) as error:
        raise MalformedEvidence("export", f"its first line is not the head of a {FORMAT} file") from error
    return ExportHead(tenant, key, note)


def _line(parsed: dict[str, Any]) -> bytes:
    return render_json(parsed).encode() + b"\n"
