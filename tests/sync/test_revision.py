"""Texts travel as what became of those before them, and are never taken for others than were written."""

import pytest
from anabranch_hub.simulation.memory import MemoryHub, scope_digest
from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.columns import ENTRIES_BYTES_MAX, decode_entries, encode_entries, wanted_by_push
from anabranch_sync.document import Document, rebuild
from anabranch_sync.errors import CorruptFrame, FrameTooLarge, TextsDiffer
from anabranch_sync.ids import Cursor, Dot, document_id
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import decode_pull, encode_pull, wanted_by_pull
from anabranch_sync.register import Register, Slot, Stamp
from anabranch_sync.revision import Revised, Texts, revised, unpacked_revision
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
    with pytest.raises(TextsDiffer):
        Revised(15, 10, "x").of(before)


@given(st.lists(texts, min_size=1, max_size=6), texts | st.none())
def test_a_push_reads_the_same_whatever_it_is_relative_to(written: list[str], before: str | None) -> None:
    entries = _written(*written)
    known: Texts = {} if before is None else {(ROUTER, PROMPT): before}

    body = encode_entries(entries, 7, known)
    wanted = wanted_by_push(body)

    assert decode_entries(body, {place: known[place] for place in wanted.places}) == entries
    assert all(place == (ROUTER, PROMPT) for place in wanted.places)
    assert wanted.after == (7 if wanted.places else wanted.after)


def test_a_push_relative_to_another_text_is_not_read_as_something_nobody_wrote() -> None:
    body = encode_entries(_written(TEXT.replace("brief", "short")), 7, {(ROUTER, PROMPT): TEXT})

    with pytest.raises(TextsDiffer):
        decode_entries(body, {(ROUTER, PROMPT): TEXT.replace("kind", "firm")})
    with pytest.raises(TextsDiffer):
        decode_entries(body)


def test_few_bytes_that_stand_for_long_texts_are_refused_before_they_are_many() -> None:
    long = "x" * (ENTRIES_BYTES_MAX // 4)
    entries = _written(*(f"{number:08}{long}" for number in range(5)))

    body = encode_entries(entries, 7, {(ROUTER, PROMPT): long})

    assert len(body) < 1_000
    with pytest.raises(FrameTooLarge):
        decode_entries(body, {(ROUTER, PROMPT): long})


def test_a_pull_says_what_it_is_relative_to() -> None:
    register = Register(TEXT.replace("brief", "short"), (Stamp(5, 1, 9),))
    pull = Pull(
        Cursor(1, 8), Cursor(1, 9), scope_digest({}, SCOPE), {ROUTER: Document({PROMPT: register}, 2)}
    )
    before = {(ROUTER, PROMPT): TEXT}

    body = encode_pull(pull, before)

    assert wanted_by_pull(body) == ((ROUTER, PROMPT),)
    assert decode_pull(body, before) == pull
    assert len(body) < len(encode_pull(pull)) - 50
    with pytest.raises(TextsDiffer):
        decode_pull(body, {(ROUTER, PROMPT): TEXT[1:]})
    with pytest.raises(CorruptFrame):
        decode_pull(body)


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


def test_a_hub_that_has_lost_what_was_asks_for_the_texts_in_full() -> None:
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
