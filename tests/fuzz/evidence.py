"""Evidence of a log under fuzzing: notes, keys, proofs, exports, and what a hub presents to an edge."""

import json
import random

from anabranch_sync.audit_file import verify_export
from anabranch_sync.checkpoint import parse_checkpoint, parse_signed
from anabranch_sync.packing import read_varint, varint
from anabranch_sync.signed_note import check_signed, parse_note, parse_verifier_key
from anabranch_sync.tlog_proof import parse_tlog_proof, verify_tlog_proof
from anabranch_sync.witness import Presented, Witnessed, mark_of, presented, unpack_presented, witnessed

from tests.fuzz.mutations import ODD, mutated
from tests.sync.logs import log_with

LOG = log_with(11)
KEY = LOG.key.verifier
SEEN = Witnessed(KEY, LOG.signed(5))

# JSON can write a lone surrogate, which no UTF-8 holds.
_JSON_ODD = [
    "\ud800",
    *(each for each in ODD if isinstance(each, bool | int | float | str | list | dict | None)),
]
_ORIGIN = KEY.name


def notes() -> tuple[bytes, ...]:
    """Signed checkpoints as text."""
    return tuple(LOG.signed(size).note.encode() for size in (0, 1, 11))


def take_note(raw: bytes) -> None:
    note = parse_note(raw.decode("utf-8", "replace"))
    parse_checkpoint(note)
    check_signed(note, KEY)
    parse_signed(raw.decode("utf-8", "replace"))


def take_key(raw: bytes) -> None:
    key = parse_verifier_key(raw.decode("utf-8", "replace"))
    assert parse_verifier_key(str(key)) == key


def proofs() -> tuple[bytes, ...]:
    """Proofs of leaves at different places."""
    return tuple(str(LOG.proof(index)).encode() for index in (0, 6, 10))


def take_proof(raw: bytes) -> None:
    verify_tlog_proof(parse_tlog_proof(raw.decode("utf-8", "replace")), KEY)


def exports() -> tuple[bytes, ...]:
    """Whole exports, with and without earlier checkpoints."""
    return (b"".join(LOG.lines()), b"".join(LOG.lines(checkpoints=[0, 4, 8])))


def take_export(raw: bytes) -> None:
    verify_export(raw.splitlines(keepends=True), KEY, SEEN.tree)


def mutated_export(raw: bytes, rng: random.Random) -> bytes:
    """Damage to lines, their order, and the JSON inside them."""
    lines = raw.splitlines(keepends=True)
    place = rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            lines[place] = mutated(lines[place], rng)
        case 1:
            del lines[place]
        case 2:
            lines.insert(place, rng.choice(lines))
        case 3:
            return raw
        case _:
            lines[place] = _restructured(lines[place], rng)
    return b"".join(lines)


def presentations() -> tuple[bytes, ...]:
    """What a Welcome carries of the log, its three fields one after the other, each behind its length."""
    newcomer = presented(b"", LOG.signed(11), KEY, LOG.store)
    return tuple(
        _packed(each) for each in (newcomer, presented(mark_of(SEEN.tree), LOG.signed(11), KEY, LOG.store))
    )


def take_presented(raw: bytes) -> None:
    fields, start = [], 0
    for _ in range(3):
        length, start = read_varint(raw, start)
        fields.append(raw[start : start + length])
        start += length
    before = None if fields[2] else SEEN
    witnessed(_ORIGIN, before, unpack_presented(_ORIGIN, *fields))


def _packed(shown: Presented) -> bytes:
    fields = (shown.checkpoint.packed, b"".join(shown.consistency), shown.public_key)
    return b"".join(varint(len(field)) + field for field in fields)


def _restructured(line: bytes, rng: random.Random) -> bytes:
    """One field of the line, or of the leaf inside it, becomes something else, or is gone."""
    whole = json.loads(line)
    target = whole
    if "leaf" in whole and rng.random() < 0.5:
        target = json.loads(whole["leaf"])
    elif whole.get("openings") and rng.random() < 0.5:
        target = whole["openings"][0]
    name = rng.choice(list(target))
    if rng.random() < 0.3:
        del target[name]
    else:
        target[name] = rng.choice(_JSON_ODD)
    if "leaf" in whole and "id" in target:
        whole["leaf"] = json.dumps(target)
    return json.dumps(whole).encode() + b"\n"
