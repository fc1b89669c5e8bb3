"""Frames, messages, packing and transfer: what is sent is what arrives, and nothing else is believed."""

import dataclasses
import zlib
from concurrent.futures import ThreadPoolExecutor

import msgpack
import pytest
import zstandard
from anabranch_sync import frame, packing
from anabranch_sync.backoff import CAP_MS, delay_ms, next_attempt
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.errors import CorruptFrame, FrameTooLarge, ProtocolViolation, WireError
from anabranch_sync.frame import BODY_BYTES_MAX, Frame
from anabranch_sync.ids import START, Cursor
from anabranch_sync.messages import (
    BATCH_BYTES_MAX,
    CHUNK_BYTES_FIRST,
    CHUNK_BYTES_MAX,
    Again,
    Batch,
    Chunk,
    Control,
    Hello,
    Logged,
    Merged,
    Message,
    Parts,
    SlowDown,
    SnapshotOffer,
    Stored,
    Visible,
    Welcome,
    Whole,
    decode_message,
    encode_message,
)
from anabranch_sync.pacing import NOTHING_LEARNED
from anabranch_sync.standing import Partial
from anabranch_sync.stream import Stream
from anabranch_sync.transfer import Receiving, Sending
from hypothesis import given
from hypothesis import strategies as st

naturals = st.integers(0, 2**63 - 1)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
blobs = st.binary(max_size=40)
cursors = st.builds(Cursor, naturals, naturals)
digests = st.builds(ScopeDigest, naturals, st.integers(0, 2**128 - 1))
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(
        Hello,
        naturals,
        naturals,
        naturals,
        cursors,
        naturals,
        blobs,
        digests,
        naturals,
        partial=blobs,
        partial_bytes=naturals,
        link_class=names,
        checkpoint=blobs,
        capabilities=st.lists(names, max_size=2).map(tuple),
        unknown=st.just(()),
    ),
    st.builds(
        Welcome,
        naturals,
        naturals,
        naturals,
        naturals,
        naturals,
        blobs,
        st.integers(-(2**63), 2**63 - 1),
        upload=blobs,
        checkpoint=blobs,
        log_key=blobs,
        scope=st.lists(names, max_size=2).map(tuple),
        unknown=st.just(()),
    ),
    st.builds(Batch, blobs, naturals, naturals, blobs, naturals, blobs, naturals, naturals, st.just(())),
    st.builds(Chunk, naturals, blobs, st.just(())),
    st.builds(Stored, naturals, st.just(())),
    st.builds(Merged, naturals, blobs, blobs, st.just(())),
    st.builds(Whole, blobs, st.just(())),
    st.builds(Again, st.just(())),
    st.builds(Visible, cursors, st.just(())),
    st.builds(SlowDown, naturals, naturals, st.just(())),
    st.builds(Control, names, names, st.just(())),
    st.builds(Logged, blobs, blobs, blobs, st.just(())),
    st.builds(SnapshotOffer, cursors, digests, blobs, st.lists(naturals, max_size=3).map(tuple), st.just(())),
    st.builds(Parts, st.lists(naturals, max_size=3).map(tuple), naturals, st.just(())),
)
frames = st.builds(Frame, st.integers(0, 255), naturals, st.binary(max_size=600))


@given(messages)
def test_a_message_arrives_as_it_was_sent(message: Message) -> None:
    assert decode_message(*encode_message(message)) == message


def test_a_clock_that_another_cannot_be_held_against_is_refused() -> None:
    hello = Hello(1, 1, 1, START, 0, b"", ScopeDigest(), -(2**63))
    with pytest.raises(CorruptFrame):
        decode_message(*encode_message(hello))


@given(messages, st.lists(naturals, min_size=1, max_size=3))
def test_fields_of_a_newer_peer_are_skipped_and_kept(message: Message, newer: list[int]) -> None:
    kind, body = encode_message(message)
    known = [field for field in dataclasses.fields(message) if field.name != "unknown"]
    row = msgpack.unpackb(body)
    defaults = [_wire(getattr(message, field.name)) for field in known[len(row) :]]

    decoded = decode_message(kind, msgpack.packb([*row, *defaults, *newer]))

    assert decoded is not None
    assert decoded.unknown == tuple(newer)
    assert dataclasses.replace(decoded, unknown=()) == message


def _wire(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_a_message_of_an_unknown_type_is_skipped() -> None:
    assert decode_message(200, b"\x90") is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x90",
        msgpack.packb(["x"]),
        msgpack.packb([-1]),
        msgpack.packb([2**64 - 1]),
        b"\x91\xc1",
    ],
)
def test_a_malformed_message_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptFrame):
        decode_message(5, body)


@given(frames)
def test_a_frame_arrives_as_it_was_sent(sent: Frame) -> None:
    assert frame.decode(frame.encode(sent)) == sent


@given(frames, st.data())
def test_every_flipped_bit_of_a_frame_is_noticed(sent: Frame, data: st.DataObject) -> None:
    raw = bytearray(frame.encode(sent))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8

    with pytest.raises(WireError):
        frame.decode(bytes(raw))


@given(frames, st.data())
def test_a_frame_cut_anywhere_is_noticed(sent: Frame, data: st.DataObject) -> None:
    raw = frame.encode(sent)

    with pytest.raises(WireError):
        frame.decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_a_repeated_frame_is_dropped_and_a_gap_ends_the_stream() -> None:
    sender, receiver = Stream(), Stream(NOTHING_LEARNED)
    first, second, third = (sender.frame(Stored(number)) for number in range(3))

    assert receiver.message(first) == Stored(0)
    assert receiver.message(first) is None
    assert receiver.message(second) == Stored(1)
    sender.frame(Stored(9))
    receiver.message(third)
    with pytest.raises(ProtocolViolation, match="lost"):
        receiver.message(Stream_at(9).frame(Stored(3)))


def Stream_at(sent: int) -> Stream:  # noqa: N802 - reads as what it makes
    stream = Stream()
    stream._sent = sent
    return stream


@given(st.binary(max_size=5_000))
def test_sealed_bytes_open_to_the_same(body: bytes) -> None:
    sealed = packing.seal(body)

    assert packing.unseal(sealed) == body
    assert len(sealed) <= len(body) + 1


def test_a_bomb_is_refused_before_it_is_expanded() -> None:
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(300_000_000))
    magicless = bomb[4:]
    honest = b"\x01" + packing.varint(300_000_000) + magicless
    lying = b"\x01" + packing.varint(10) + magicless

    with pytest.raises(FrameTooLarge):
        packing.unseal(honest)
    with pytest.raises(CorruptFrame):
        packing.unseal(lying)


def test_a_bare_block_of_ill_will_is_refused() -> None:
    honest = packing.seal_behind(b"like the one before" * 9, b"like the one before")
    large = b"\x03" + zlib.compress(bytes(packing.DEFLATED_BYTES_MAX + 1), wbits=-15)

    with pytest.raises(FrameTooLarge):
        packing.unseal(large)
    for damaged in (honest[:-1], honest + b"\x00", honest[:1], b"\x03\xff\xff"):
        with pytest.raises(CorruptFrame):
            packing.unseal(damaged, prefix=b"like the one before")


def test_what_was_damaged_behind_a_dictionary_harms_nothing_that_is_read_after_it() -> None:
    dictionary = packing.Dictionary(bytes(range(256)) * 8)
    bodies = [bytes(range(start, 256)) * 3 for start in range(0, 64)]
    sealed = [packing.seal(body, packing.LEVEL_STORED, dictionary) for body in bodies]
    assert all(map(packing.is_prefixed, sealed))

    def read(number: int) -> bytes:
        with pytest.raises(CorruptFrame):
            packing.unseal(sealed[number][:-4] + b"\xff" * 4, prefix=dictionary)
        return packing.unseal(sealed[number], prefix=dictionary)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(64))) == bodies


def test_a_body_over_its_limit_is_refused_whatever_the_codec() -> None:
    with pytest.raises(FrameTooLarge):
        packing.unseal(b"\x00" + bytes(BODY_BYTES_MAX + 1), BODY_BYTES_MAX)


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x82\xa1a\x01\xa1a\x02",
        b"\x81\x01\x02",
        b"\xd6\xff\xff\xff\xff\xff",
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\x01\x02",
    ],
    ids=["length", "depth", "repeated key", "integer key", "timestamp", "large timestamp", "trailing"],
)
def test_msgpack_of_ill_will_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptFrame):
        packing.unpack(body)


@given(st.integers(0, 2**64 - 1))
def test_numbers_of_any_length_arrive(number: int) -> None:
    assert packing.read_varint(packing.varint(number), 0) == (number, len(packing.varint(number)))


def test_a_number_without_end_is_refused() -> None:
    with pytest.raises(CorruptFrame):
        packing.read_varint(b"\x80" * 11, 0)


def _received(sending: Sending, partial: Partial | None = None) -> bytes:
    """Carry a whole batch, acknowledging each piece."""
    first, *waiting = sending.pieces(NOTHING_LEARNED)
    assert isinstance(first, Batch)
    receiving = Receiving(first, partial)
    receiving.add(first.offset, first.piece)
    while not receiving.complete:
        waiting += sending.stored(receiving.offset, NOTHING_LEARNED)
        piece = waiting.pop(0)
        receiving.add(piece.offset, piece.piece)
    return receiving.sealed()


def _sending(sealed: bytes, offset: int = 0) -> Sending:
    return Sending(sealed, offset=offset)


@given(st.integers(1, 400_000), st.randoms(use_true_random=False))
def test_a_batch_of_any_length_arrives_from_any_offset(length: int, chance: object) -> None:
    sealed = bytes(range(256)) * (length // 256 + 1)
    sealed = sealed[:length]
    offset = length // 3

    whole = _received(_sending(sealed))
    rest = _received(_sending(sealed, offset), Partial(_sending(sealed).batch, length, sealed[:offset]))

    assert whole == rest == sealed


def test_a_batch_of_one_piece_travels_without_its_name_and_length() -> None:
    sending = _sending(b"all of it")

    (only,) = sending.pieces(NOTHING_LEARNED)
    assert isinstance(only, Batch)
    receiving = Receiving(only, None)
    receiving.add(only.offset, only.piece)

    assert only == Batch(b"", 0, 0, b"all of it")
    assert (receiving.batch, receiving.total) == (sending.batch, sending.total)
    assert receiving.sealed() == b"all of it"


def test_no_more_than_the_window_is_ever_on_its_way() -> None:
    sending = _sending(bytes(1_000_000))
    pacing = NOTHING_LEARNED

    sent = sum(len(piece.piece) for piece in sending.pieces(pacing))
    assert sending.pieces(pacing) == []

    stored = 0
    for _ in range(4):
        assert pacing.window_bytes <= sent - stored < pacing.window_bytes + pacing.chunk_bytes
        stored, pacing = sent, pacing.passed(sent - stored)
        sent += sum(len(piece.piece) for piece in sending.stored(stored, pacing))
    assert sent > stored


def test_chunks_start_small_and_grow_while_the_link_carries_them() -> None:
    sending = _sending(bytes(12_000_000))
    sizes = [len(piece.piece) for piece in sending.pieces(NOTHING_LEARNED)]
    for _ in range(100):
        passed = NOTHING_LEARNED.passed(sum(sizes))
        sizes += [len(piece.piece) for piece in sending.stored(sum(sizes), passed)]

    assert sizes[0] == CHUNK_BYTES_FIRST
    assert sizes[:-1] == sorted(sizes[:-1])  # the last is what is left
    assert sizes[-2] == CHUNK_BYTES_MAX


def test_small_pieces_are_acknowledged_together_and_large_ones_each() -> None:
    receiving = Receiving(Batch(bytes(8), 100_000, 0, bytes(3_000)), None)
    receiving.add(0, bytes(3_000))
    acknowledged = [receiving.acknowledgement()]
    for offset in range(3_000, 12_000, 3_000):
        receiving.add(offset, bytes(3_000))
        acknowledged.append(receiving.acknowledgement())
    receiving.add(12_000, bytes(CHUNK_BYTES_FIRST))

    assert acknowledged == [[], [], [Stored(9_000)], []]
    assert receiving.acknowledgement() == [Stored(12_000 + CHUNK_BYTES_FIRST)]


def test_a_piece_out_of_place_or_beyond_the_end_is_refused() -> None:
    receiving = Receiving(Batch(bytes(8), 10, 0, b"12345"), None)
    receiving.add(0, b"12345")

    with pytest.raises(ProtocolViolation):
        receiving.add(3, b"x")
    with pytest.raises(FrameTooLarge):
        receiving.add(5, b"123456")
    with pytest.raises(FrameTooLarge):
        Receiving(Batch(bytes(8), BATCH_BYTES_MAX + 1, 0, b"x"), None)


def test_a_batch_that_is_not_what_its_name_says_is_refused() -> None:
    receiving = Receiving(Batch(bytes(8), 3, 0, b"abc"), None)
    receiving.add(0, b"abc")

    with pytest.raises(CorruptFrame, match="hash"):
        receiving.sealed()


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_never_longer_than_the_cap(attempt: int, chance: float) -> None:
    assert 0 <= delay_ms(attempt, chance) <= CAP_MS


def test_the_wait_starts_again_only_after_a_connection_that_outlived_the_cap() -> None:
    assert next_attempt(7, CAP_MS) == 8
    assert next_attempt(7, CAP_MS + 1) == 0
