"""The counting link's arithmetic on TLS records."""

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.counting import Records

HANDSHAKE, APPLICATION = 22, 23


def record(kind: int, length: int) -> bytes:
    return bytes([kind, 3, 3]) + length.to_bytes(2, "big") + bytes(length)


@given(st.lists(st.integers(1, 40), max_size=20), st.lists(st.integers(0, 300), max_size=5))
def test_records_count_the_same_however_they_are_cut(cuts: list[int], payloads: list[int]) -> None:
    # given a hello, a sealed certificate, and payloads, each with its type byte and its tag
    stream = record(HANDSHAKE, 120) + record(APPLICATION, 600)
    stream += b"".join(record(APPLICATION, payload + 17) for payload in payloads)
    counted = Records(handshake_records=1)

    # when they come in pieces
    rest = stream
    for cut in cuts:
        counted.add(rest[:cut])
        rest = rest[cut:]
    counted.add(rest)

    # then the payload is without TLS, the total with everything
    assert counted.payload_bytes == sum(payloads)
    assert counted.total_bytes == len(stream)


def test_a_record_that_a_break_left_unfinished_counts_as_far_as_it_came() -> None:
    # given a record whose last half never comes
    counted = Records(handshake_records=0)
    stream = record(APPLICATION, 117)

    # when its first half has come, without and then with what follows
    counted.add(stream[:55])

    # then what has come is counted, and the tag never is
    assert counted.payload_bytes == 50
    counted.add(stream[55:])
    assert counted.payload_bytes == 100
