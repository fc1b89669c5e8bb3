"""What is fuzzed: each decoder with valid encodings of its own, and what is done with what it accepts."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from unittest.mock import patch

import google_crc32c
import msgpack
from anabranch.errors import IdentityUnusable
from anabranch_sync import change, columns, frame, leaf_ancestry, push_body, tables
from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, unpacked_value
from anabranch_sync.check_in import read_answer, read_question
from anabranch_sync.context import Context
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, rebuild, written
from anabranch_sync.epochs import unpacked_ended
from anabranch_sync.errors import (
    CorruptFrame,
    EvidenceError,
    InvalidInput,
    ParcelError,
    ProtocolViolation,
    WireError,
)
from anabranch_sync.frame import Frame
from anabranch_sync.ids import START, Cursor, DocumentId, Dot
from anabranch_sync.leaf_ancestry import EDITS_MAX, decode_ancestry
from anabranch_sync.leaf_decoder import Id, Insertion, Span, Update, encode_update, joined
from anabranch_sync.leaf_edits import CLIENT_BYTES, check_edit, compose, edited, update_of
from anabranch_sync.live import Quarantined
from anabranch_sync.merge import decide
from anabranch_sync.messages import (
    Again,
    Batch,
    CheckedIn,
    CheckIn,
    Chunk,
    Control,
    Hello,
    Logged,
    Merged,
    Message,
    Parts,
    Range,
    SlowDown,
    SnapshotOffer,
    Stored,
    Visible,
    Welcome,
    Whole,
    decode_message,
    encode_message,
)
from anabranch_sync.offering import overheard
from anabranch_sync.packing import seal, unpack, unseal
from anabranch_sync.path import Path
from anabranch_sync.policy import NO_POLICIES, Policy, Rule, policies_from
from anabranch_sync.pull import Notice, Outcome, Pull, Result, Run, fold
from anabranch_sync.pull_body import brief, decode_pull, encode_pull, wanted_by_pull
from anabranch_sync.register import DELETED, MEMBER, Ancestry, Edit, Register, Slot, Stamp
from anabranch_sync.repairing import check_asked, unpacked_hashes
from anabranch_sync.snapshot import Slice, open_slice, seal_slice
from anabranch_sync.value import Json, Object
from anabranch_sync.violation import Violation

from tests.fuzz import evidence, parcels, words
from tests.fuzz.mutations import mutated
from tests.sync.fleet import Fleet
from tests.sync.steps import DOCUMENTS, drawn

_CRC_BYTES = 4
# What a stream has carried before what is fuzzed.
CARRIED = b"acme/prod/router/config limits requests_per_minute edge-0" * 9
NAME_BYTES = len(MEMBER) + CLIENT_BYTES
# A document, and what changes a word of its text.
TEXT = "You are a shop assistant. Be brief, be kind, and never promise a date of delivery."
BEFORE: Object = {"limits": {"calls": 5}, "prompt": TEXT}
AFTER = TEXT.replace("brief", "short")
REVISED = DOCUMENTS[0], Slot(("prompt",))
REVISING = change.entry(
    Dot(3, 9), change.Change(9 << 16, Cursor(1, 7), "ada", "", (change.Op(*REVISED, AFTER),))
)
REVISING_PULL = Pull(
    Cursor(1, 7),
    Cursor(1, 8),
    ScopeDigest(1, 5),
    {REVISED[0]: Document({REVISED[1]: Register(AFTER, (Stamp(9 << 16, 3, 8),))}, 2)},
)


@dataclass(frozen=True, slots=True)
class Target:
    """A decoder. `take` decodes and uses what it gets; only `refusals` may come out of it."""

    name: str
    samples: tuple[bytes, ...]
    take: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...] = (WireError,)
    mutate: Callable[[bytes, random.Random], bytes] = mutated


def targets() -> tuple[Target, ...]:
    """Every decoder of bytes from outside. The same on every call."""
    entries, documents = _history()
    starts = range(0, len(entries) - 4, 4)
    pushes = tuple(push_body.encode_entries(entries[start : start + 4]) for start in starts)
    pushes += tuple(push_body.encode_entries(entries[start : start + 4], 0, {}) for start in starts)
    pushes += (push_body.encode_entries([REVISING], 7, {REVISED[0]: BEFORE}),)
    pushes += (push_body.encode_entries([replace(entries[5], absorbed=3, chain=bytes(8)), *entries[6:8]]),)
    stored = tuple(columns.encode_document(document) for document in documents)
    pulls = tuple(encode_pull(pull) for pull in _pulls(documents))
    pulls += tuple(encode_pull(pull, {}) for pull in _pulls(documents))
    pulls += (encode_pull(REVISING_PULL, {REVISED[0]: BEFORE}),)
    pulls += tuple(map(brief, pulls))
    messages = tuple(bytes([kind]) + body for kind, body in map(encode_message, _messages()))
    numbered = enumerate(map(encode_message, _messages()), 1)
    frames = tuple(frame.encode(Frame(kind, seq, body)) for seq, (kind, body) in numbered)
    table: bytes = msgpack.packb(columns.pack_documents(dict(zip(DOCUMENTS, documents, strict=False))))
    return (
        Target("frame", frames, frame.decode, mutate=_mutated_frame),
        Target("overheard", tuple(filter(overheard, frames)), _take_overheard, mutate=_mutated_frame),
        Target("message", messages, _take_message),
        Target("change", tuple(each.body for each in entries), change.decode),
        Target("push", pushes, _take_push),
        Target("document", stored, _take_document),
        Target("pull", pulls, _take_pull),
        Target("table", (table,), _take_table, (*tables.MALFORMED, CorruptFrame)),
        Target("note", evidence.notes(), evidence.take_note, (EvidenceError,)),
        Target("verifier key", (str(evidence.KEY).encode(),), evidence.take_key, (EvidenceError,)),
        Target("proof", evidence.proofs(), evidence.take_proof, (EvidenceError,)),
        Target("export", evidence.exports(), evidence.take_export, (EvidenceError,), evidence.mutated_export),
        Target(
            "presented",
            evidence.presentations(),
            evidence.take_presented,
            (EvidenceError, WireError),
        ),
        Target("ancestry", _ancestries(), _take_ancestry, (*tables.MALFORMED, CorruptFrame)),
        Target("edit", _edits(), _take_edit, (*tables.MALFORMED, CorruptFrame)),
        Target(
            "parcel",
            parcels.samples(entries, pulls[0]),
            parcels.take,
            (ParcelError,),
            parcels.mutated_parcel,
        ),
        Target("check-in", frames[-5:-3], _take_check_in),
        Target("part", (seal_slice(Slice(dict(zip(DOCUMENTS, documents, strict=False)))),), open_slice),
        Target("JSON", words.texts(), words.take_json, (InvalidInput,)),
        Target("pointer", words.pointers(), words.take_pointer, (InvalidInput,)),
        Target("address", words.addresses(), words.take_address, (InvalidInput,)),
        Target("reference", words.references(), words.take_reference, (InvalidInput,)),
        Target("token", words.tokens(), words.take_token, (InvalidInput,)),
        Target("identity", words.identities(), words.take_identity, (IdentityUnusable,)),
        Target("sealed", tuple(seal(body) for body in pushes + pulls), unseal),
        Target("sealed in a stream", _sealed_in_a_stream(pushes + pulls), _take_sealed_in_a_stream),
    )


_TEXT = "a text é😀 of some forty characters, about so long"
_LIST: list[Json] = [{"n": number} for number in range(40)]


def _edits() -> tuple[bytes, ...]:
    """Edits of a text and of a list, each behind the name it stands under."""
    rng = random.Random(5)
    found = []
    for seed in (_TEXT, _LIST) * 8:
        leaf = edited(seed, {})
        assert leaf is not None, "a text or list has edits"
        units = list(seed)
        for _ in range(rng.randint(1, 3)):
            start = rng.randrange(len(units))
            new = ["x", "é", "😀"] if isinstance(seed, str) else [1, 2.5, {"a": [None]}]
            units[start : start + rng.randint(0, 4)] = new[: rng.randint(0, 3)]  # type: ignore[assignment]
        value: Json = "".join(map(str, units)) if isinstance(seed, str) else list(units)
        made = compose(("t",), leaf, value)
        if made is not None:
            found.append((made[0].element or b"") + made[1].update)
    return tuple(found)


def _take_edit(raw: bytes) -> None:
    """What passes for an edit goes to pycrdt in this very process."""
    slot = Slot(("t",), raw[:NAME_BYTES])
    update = update_of(slot, check_edit(slot, Edit(raw[NAME_BYTES:])))
    assert update is not None, "an edit that was checked says something"
    seed: Json = _LIST if any(isinstance(each.content, tuple) for each in update.insertions) else _TEXT
    leaf = edited(seed, {})
    assert leaf is not None, "a text or list has edits"
    # Once as it is, once with its neighbours moved onto units that are there, so that most are applied.
    moved = Update(
        update.client,
        tuple(
            replace(each, left=_moved(each.left, leaf.client), right=_moved(each.right, leaf.client))
            for each in update.insertions
        ),
        joined([Span(leaf.client, span.clock % 30, span.length % 9 + 1) for span in update.deletions]),
    )
    for each in (update, moved):
        edit = Register(Edit(encode_update(each)), (Stamp(2, 2, 2),))
        rebuild({Slot(("t",)): Register(seed, (Stamp(1, 1, 1),)), slot: edit})


def _ancestries() -> tuple[bytes, ...]:
    """What folding a text three times leaves behind."""
    document, found = EMPTY, []
    texts = ["words of a text"]
    with patch.object(leaf_ancestry, "EDITS_MAX", 3):
        for number in range(1, 16):
            ops = tuple(
                Op(DOCUMENTS[0], *each) for each in written(document.registers, {"t": texts[-1]}, _text)
            )
            made = Change(number, Cursor(1, number - 1), "", "", ops)
            document = decide({DOCUMENTS[0]: document}, made, 1, number, number, _TYPED).documents[
                DOCUMENTS[0]
            ]
            found += [
                each.value.runs for each in document.registers.values() if isinstance(each.value, Ancestry)
            ]
            texts.append(f"{number} {texts[-1][:-1]}é")
    return tuple(found)


def _take_ancestry(raw: bytes) -> None:
    """A late edit is carried over through what passes for an ancestry, and merged where it fits."""
    seed = Register(_TEXT, (Stamp(1, 1, 1),))
    ancestry = Register(unpacked_value(Slot(("t",), MEMBER), b"\x04" + raw), (Stamp(1, 1, 1),))
    held = Document({Slot(("t",)): seed, Slot(("t",), MEMBER): ancestry})
    clients = [run.client for run in decode_ancestry(raw)] or [1]
    update = Update(7, (Insertion(Id(clients[0], 1), Id(clients[-1], 0), "x"),), (Span(clients[-1], 0, 2),))
    op = Op(DOCUMENTS[0], Slot(("t",), b"\xc1\0\0\0\7"), Edit(encode_update(update)))
    for limit in (EDITS_MAX, 0):
        with patch.object(leaf_ancestry, "EDITS_MAX", limit):
            made = Change(2, Cursor(1, 1), "", "", (op,))
            for state in decide({DOCUMENTS[0]: held}, made, 2, 2, 2, _TYPED).documents.values():
                columns.decode_document(columns.encode_document(state))


def _text(_: Path) -> Policy:
    return Policy(Rule.TEXT)


_TYPED = policies_from(
    [
        (
            DocumentId("system/schemas", "s"),
            1,
            {"namespaces": ["acme/*"], "schema": {"x-anabranch-merge": "text"}},
        )
    ]
)


def _moved(neighbour: Id | None, client: int) -> Id | None:
    return None if neighbour is None else Id(client, neighbour.clock % 40)


def _take_overheard(raw: bytes) -> None:
    if not overheard(raw):
        raise CorruptFrame("no offer")


def _take_message(raw: bytes) -> None:
    message = decode_message(raw[0], raw[1:]) if raw else None
    if isinstance(message, Welcome):
        unpacked_ended(message.ended)
    if isinstance(message, Range):
        check_asked(message.asked or ("",))
        unpacked_hashes(message.hashes)


def _take_check_in(raw: bytes) -> None:
    """One of the two reads it, and the other says that it is none."""
    for read, other in ((read_question, read_answer), (read_answer, read_question)):
        try:
            read(raw)
        except ProtocolViolation:
            other(raw)


def _take_push(raw: bytes) -> None:
    """A push is decided: whatever was accepted must be decidable."""
    standing: dict[DocumentId, Document] = {}
    before = dict.fromkeys(push_body.wanted_by_push(raw).documents, BEFORE)
    for hub_seq, each in enumerate(push_body.decode_entries(raw, before), 1):
        facts = (1, hub_seq, each.change.timestamp, NO_POLICIES, each.stands_for)
        standing.update(decide(standing, each.change, *facts).documents)
    for document in standing.values():
        columns.encode_document(document)


def _take_document(raw: bytes) -> None:
    rebuild(columns.decode_document(raw).registers)


def _take_pull(raw: bytes) -> None:
    before = dict.fromkeys(wanted_by_pull(raw), BEFORE)
    for document in fold({}, 1, [], decode_pull(raw, before)).values():
        rebuild(document.registers)


def _take_table(raw: bytes) -> None:
    columns.unpack_documents(unpack(raw))


def _mutated_frame(raw: bytes, rng: random.Random) -> bytes:
    """Damage behind a checksum that matches, most of the time: a link's damage ends at the checksum."""
    if rng.random() < 0.2:
        return mutated(raw, rng)
    if rng.random() < 0.5:
        intact = frame.decode(raw)
        return frame.encode(Frame(rng.randrange(256), intact.stream_seq, mutated(intact.body, rng)))
    head = mutated(raw[:-_CRC_BYTES], rng)
    checksum: int = google_crc32c.value(head)
    return head + checksum.to_bytes(_CRC_BYTES, "little")


def _history() -> tuple[list[Entry], list[Document]]:
    """Changes and documents of a small fleet's life."""
    fleet = Fleet(3)
    fleet.run(drawn(random.Random(7), replicas=3, length=90))
    entries = max((replica.written for replica in fleet.replicas), key=len)
    return entries, [*fleet.hub.documents.values(), EMPTY]


def _pulls(documents: list[Document]) -> list[Pull]:
    held = dict(zip(DOCUMENTS, documents, strict=False))
    digest = ScopeDigest(2, 2**127 + 5)
    hands = (Hand("ada", "e1", 7 << 16), Hand("bob", "", 9 << 16, 61_000))
    claims = (Claim(("a", "b"), None, 1, hands), Claim(("a",), b"\xa1x", DELETED, hands[:1]))
    looks = (Look("olga", 8, "why", (1,)), Look("pete", 9, "", ()), Look("quinn", 9, ""))
    notice = Notice(3, 9, True, Case(DOCUMENTS[0], "value", "max", "s@1", claims, True, looks))
    results = (Result(4, Outcome.REFUSED, "over a limit"), Result(5, Outcome.DUPLICATE, ""))
    runs = (Run(1, 31, 5), Run(9, 38, 1, 3))
    violation = Violation("/min", "min below max", "/min is 8", "/min at most 5")
    quarantined = {
        DOCUMENTS[0]: Quarantined({"min": 1, "list": [1, {"a": None}]}, 3, (violation,)),
        DOCUMENTS[1]: Quarantined(None, 0, (violation, violation)),
    }
    return [
        Pull(START, Cursor(1, 40), digest, held, whole=True),
        Pull(
            Cursor(1, 30),
            Cursor(1, 40),
            digest,
            held,
            runs,
            results,
            (notice,),
            (7, 8),
        ),
        Pull(Cursor(1, 40), Cursor(1, 40), ScopeDigest(), {}, quarantined=quarantined),
    ]


def _sealed_in_a_stream(bodies: Sequence[bytes]) -> tuple[bytes, ...]:
    """Each as the next of a stream that carried CARRIED."""
    return tuple(_carrying().seal(body) for body in bodies)


def _take_sealed_in_a_stream(raw: bytes) -> None:
    _carrying().unseal(raw)


def _carrying() -> Context:
    context = Context()
    context.seal(CARRIED)
    return context


def _messages() -> list[Message]:
    cursor = Cursor(1, 40)
    return [
        Hello(1, 1, 3, cursor, 12, CHAIN_START, ScopeDigest(2, 77), 1_750_000_000_000, b"scope678"),
        Hello(
            1, 1, 0, START, 0, CHAIN_START, ScopeDigest(), 0, b"", b"batch678", 9, 8, 7, "metered", 6,
            ("zstd",), ("router@1",), (1, 2), b"checkpoint", 40_000, 3, 1_750_000_000_000,
            ("acme/*/router",), 2, ("acme/prod/router/config",), (5, "newer"),
        ),
        Welcome(1, 1, 40, 3, 12, CHAIN_START, -250),
        Welcome(
            1, 1, 40, 3, 12, CHAIN_START, 0, b"upload78", 14, 900, 8192, 16384,
            ("acme/prod",), "delta", 5, 1, 60,
        ),
        Batch(b"batch678", 20_000, 0, b"piece" * 300, 14, CHAIN_START, urgent=(0, 3)),
        Chunk(1_500, b"piece" * 300),
        Stored(3_000),
        Again(),
        Merged(14, CHAIN_START),
        Merged(14, CHAIN_START[:4], b"piece" * 9),
        Whole(b"piece" * 20),
        Visible(cursor),
        SlowDown(30_000, 2),
        Control("fence", "another history"),
        Logged(b"checkpoint", b"hashes" * 9, b"key"),
        CheckIn(3, cursor, 12, ScopeDigest(2, 77)),
        CheckedIn(40, 1),
        Range(cursor, 1, ("0", "a7"), b"answers" * 4, ("acme/a/config",), b"hash567812"),
        SnapshotOffer(cursor, ScopeDigest(2, 77), bytes(64), (1_000, 2_000)),
        Parts((1, 2), 512),
    ]  # fmt: skip
