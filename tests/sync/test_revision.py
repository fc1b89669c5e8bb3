"""Changes are said by what documents were before them, and are never taken for others than were written."""

from unittest.mock import patch

import msgpack
import pytest
from anabranch_hub.simulation.memory import MemoryHub, scope_digest
from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.document import Document, Object, rebuild
from anabranch_sync.errors import ContentsDiffer, CorruptFrame, FrameTooLarge
from anabranch_sync.ids import Cursor, Dot, document_id
from anabranch_sync.packing import seal, unpack
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import decode_pull, encode_pull, wanted_by_pull
from anabranch_sync.push_body import ENTRIES_BYTES_MAX, decode_entries, encode_entries, wanted_by_push
from anabranch_sync.register import DELETED, Register, Slot, Stamp
from anabranch_sync.revision import WRITES_MIN, Contents, Revised, revised, unpacked_revision
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.pair import NOW_MS, SCOPE, Pair, new_hub, new_replica

ROUTER = document_id("acme/prod/router")
PROMPT = Slot(("prompt",))
TEXT = "You are a shop assistant. Be brief, be kind, and never promise a date of delivery."

texts = st.text(max_size=40) | st.builds(
    lambda at, word: TEXT[:at] + word + TEXT[at + 5 :], st.integers(0, 80), st.text(max_size=6)
)


@given(texts, texts)
def test_what_became_of_a_text_leads_to_it_and_is_never_longer(before: str, after: str) -> None:
    revision = revised(before, after)

    if revision is not None:
        assert unpacked_revision(revision.packed) == revision
        assert revision.of(before) == after
        assert len(revision.packed) < len(after)


def test_a_word_of_a_prompt_takes_few_bytes() -> None:
    revision = revised(TEXT, TEXT.replace("brief", "short"))

    assert revision is not None
    assert len(revision.packed) < 10


@pytest.mark.parametrize("before", [None, "", TEXT[:20]])
def test_what_does_not_fit_the_text_before_is_refused(before: str | None) -> None:
    with pytest.raises(CorruptFrame):
        Revised(15, 10, "x").of(before)


@given(st.lists(texts, min_size=1, max_size=6), texts | st.none())
def test_a_push_reads_the_same_whatever_it_is_relative_to(written: list[str], before: str | None) -> None:
    entries = _written(*written)
    known: Contents = {} if before is None else {ROUTER: {"prompt": before}}

    body = encode_entries(entries, 7, known)
    wanted = wanted_by_push(body)

    assert decode_entries(body, known) == entries
    assert wanted.documents == tuple(known)
    assert wanted.after == (7 if known else 0)


def test_a_push_relative_to_another_document_is_not_read_as_something_nobody_wrote() -> None:
    body = encode_entries(_written(TEXT.replace("brief", "short")), 7, {ROUTER: {"prompt": TEXT}})

    with pytest.raises(ContentsDiffer):
        decode_entries(body, {ROUTER: {"prompt": TEXT.replace("kind", "firm")}})
    with pytest.raises(ContentsDiffer):
        decode_entries(body)


def test_fields_that_were_there_are_named_by_their_numbers_and_new_ones_by_their_paths() -> None:
    content: Object = {"limits": {f"of_calls_a_minute_{number}": number for number in range(40)}, "list": [1]}
    ops = [Op(ROUTER, Slot(("limits", f"of_calls_a_minute_{number}")), number + 1) for number in range(40)]
    ops += [
        Op(ROUTER, Slot(("limits", "new")), True),
        Op(ROUTER, Slot(("limits", "of_calls_a_minute_1")), DELETED),
        Op(ROUTER, Slot(("list",), b"\x01"), 1),
        Op(document_id("acme/prod", "another"), Slot(("list",)), []),
    ]
    entries = [entry(Dot(3, 1), Change(1 << 20, Cursor(1, 7), "ada", "", tuple(ops)))]

    known, unknown = (encode_entries(entries, 7, before) for before in ({ROUTER: content}, {}))

    assert decode_entries(known, {ROUTER: content}) == decode_entries(unknown) == entries
    assert b"of_calls" not in known
    assert len(unknown) > len(known) + 40 * len("of_calls_a_minute")


def test_few_bytes_that_stand_for_long_texts_are_refused_before_they_are_many() -> None:
    long = "x" * (ENTRIES_BYTES_MAX // 4)
    entries = _written(*(f"{number:08}{long}" for number in range(5)))

    body = encode_entries(entries, 7, {ROUTER: {"prompt": long}})

    assert len(body) < 1_000
    with pytest.raises(FrameTooLarge):
        decode_entries(body, {ROUTER: {"prompt": long}})


def test_few_bytes_that_name_a_large_document_many_times_are_refused_before_it_is_looked_for() -> None:
    row = unpack(encode_entries(_written(TEXT.replace("brief", "short")), 7, {ROUTER: {"prompt": TEXT}}))
    row[5][2] *= 50_000  # the keys; of one namespace each, and known
    body = msgpack.packb(row)

    with pytest.raises(CorruptFrame, match="twice"):
        wanted_by_push(body)
    assert len(seal(body)) < 200


def test_a_pull_says_what_it_is_relative_to() -> None:
    register = Register(TEXT.replace("brief", "short"), (Stamp(5, 1, 9),))
    pull = Pull(
        Cursor(1, 8), Cursor(1, 9), scope_digest({}, SCOPE), {ROUTER: Document({PROMPT: register}, 2)}
    )
    before: Contents = {ROUTER: {"prompt": TEXT}}

    body = encode_pull(pull, before)

    assert wanted_by_pull(body) == (ROUTER,)
    assert decode_pull(body, before) == pull
    assert len(body) < len(encode_pull(pull)) - 50
    with pytest.raises(ContentsDiffer):
        decode_pull(body, {ROUTER: {"prompt": TEXT[1:]}})
    with pytest.raises(ContentsDiffer):
        decode_pull(body)


def test_many_edits_are_said_by_what_documents_were_and_a_few_numbers_are_not() -> None:
    hub, writer, _ = _fleet()
    content: Object = {f"limit_{number}": number for number in range(WRITES_MIN)}
    hub.write(ROUTER, content)
    writer.notified()

    for changed in (WRITES_MIN - 1, WRITES_MIN):
        content = {**content, **{f"limit_{number}": 100 * changed + number for number in range(changed)}}
        writer.replica.commit(ROUTER, content, now_ms=NOW_MS)
        with patch.object(hub, "contents", wraps=hub.contents) as asked:
            writer.offered()

        assert any(call.args[1].documents for call in asked.call_args_list) == (changed == WRITES_MIN)
        assert rebuild(hub.documents[ROUTER].registers) == content


def test_an_edited_prompt_travels_in_few_bytes_both_ways() -> None:
    hub, writer, reader = _fleet()
    before = [{**pair.sent_bytes} for pair in (writer, reader)]

    writer.replica.commit(ROUTER, {"prompt": TEXT.replace("brief", "short")}, now_ms=NOW_MS)
    writer.offered()
    reader.notified()

    assert rebuild(reader.replica.visible(ROUTER).registers) == {"prompt": TEXT.replace("brief", "short")}
    assert writer.sent_bytes["up"] - before[0]["up"] < 130
    assert reader.sent_bytes["down"] - before[1]["down"] < 150
    assert hub.hub_seq == 2


def test_a_prompt_that_was_changed_elsewhere_meanwhile_is_read_by_what_it_was() -> None:
    hub, writer, reader = _fleet()
    hub.write(ROUTER, {"prompt": TEXT.replace("kind", "firm")})

    writer.replica.commit(ROUTER, {"prompt": TEXT.replace("brief", "short")}, now_ms=NOW_MS)
    writer.offered()
    reader.notified()

    assert writer.edge.settled
    assert [each.change.ops[0].value for _, each, _ in hub.log][-1] == TEXT.replace("brief", "short")
    assert writer.replica.visible(ROUTER) == reader.replica.visible(ROUTER)


def test_a_hub_that_has_lost_what_was_asks_for_the_push_in_full() -> None:
    hub, writer, _ = _fleet()
    hub.write(ROUTER, {"prompt": TEXT.replace("kind", "firm")})
    hub.former.clear()

    writer.replica.commit(ROUTER, {"prompt": TEXT.replace("brief", "short")}, now_ms=NOW_MS)
    frames = writer.frames["up"]
    writer.offered()

    assert writer.edge.settled
    assert writer.frames["up"] == frames + 2
    assert [each.change.ops[0].value for _, each, _ in hub.log][-1] == TEXT.replace("brief", "short")


def test_a_replica_that_cannot_read_a_pull_gets_everything_anew() -> None:
    hub, writer, reader = _fleet()
    reader.replica.alter(
        ROUTER, Document({PROMPT: Register("Something else altogether.", (Stamp(5, 0, 1),))})
    )

    writer.replica.commit(ROUTER, {"prompt": TEXT.replace("brief", "short")}, now_ms=NOW_MS)
    writer.offered()
    reader.notified()

    assert reader.closed is not None
    again = Pair(reader.replica, hub).run()
    assert again.edge.settled
    assert rebuild(reader.replica.visible(ROUTER).registers) == {"prompt": TEXT.replace("brief", "short")}


def _written(*values: str) -> list[Entry]:
    return [
        entry(Dot(3, number), Change(number << 20, Cursor(1, 7), "ada", "", (Op(ROUTER, PROMPT, value),)))
        for number, value in enumerate(values, 1)
    ]


def _fleet() -> tuple[MemoryHub, Pair, Pair]:
    hub = new_hub()
    hub.write(ROUTER, {"prompt": TEXT})
    writer, reader = (Pair(new_replica(hub), hub).run() for _ in range(2))
    return hub, writer, reader
