"""What a newer peer adds is carried past an older one: fields are kept, messages skipped."""

from dataclasses import replace

from anabranch_sync import frame
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.frame import Frame
from anabranch_sync.hub_session import HubSession
from anabranch_sync.messages import Message, decode_message, encode_message
from hypothesis import given
from hypothesis import strategies as some

from tests.compatibility.recordings import RELEASES, recordings
from tests.sync.pair import NOW_MS, new_hub, new_replica

KINDS_MAX = 255
MESSAGES = [
    each.message for release in RELEASES for stream in recordings(release).values() for each in stream.frames
]
NEWER = some.lists(
    some.integers(0, 2**63 - 1) | some.sampled_from(["", "é", b"", b"new"]), min_size=1, max_size=9
)


def test_the_types_of_messages_that_are_free_are_skipped_by_both_sides() -> None:
    # given the numbers that no message of this release has
    free = [kind for kind in range(KINDS_MAX + 1) if _is_free(kind)]
    assert len(free) > KINDS_MAX // 2

    # when a newer peer says something under each
    edge, hub = EdgeSession(new_replica(new_hub()).standing()), HubSession()
    edge.start(NOW_MS)
    hub.start(NOW_MS)

    # then neither side minds
    for seq, kind in enumerate(free, 1):
        raw = frame.encode(Frame(kind, seq, b"\x91\x01"))
        assert edge.received(raw, NOW_MS) == []
        assert hub.received(raw, NOW_MS) == []


@given(some.sampled_from(MESSAGES), NEWER)
def test_fields_that_are_not_known_survive_a_round_trip(message: Message, newer: list[object]) -> None:
    # given a message of an earlier release with fields of a later one behind those of today
    kind, packed = encode_message(replace(message, unknown=tuple(newer)))

    # when it is read and sent on
    again = decode_message(kind, packed)

    # then they are as they were, and so is all else
    assert again is not None
    assert again.unknown == tuple(newer)
    assert encode_message(again) == (kind, packed)
    assert replace(again, unknown=()) == message


def _is_free(kind: int) -> bool:
    try:
        return decode_message(kind, b"\x90") is None
    except CorruptFrame:
        return False
