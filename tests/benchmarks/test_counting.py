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


def test_an_unfinished_record_is_no_payload_yet() -> None:
    # given all of a record but its last byte
    counted = Records(handshake_records=0)
    stream = record(APPLICATION, 117)

    # when it comes
    counted.add(stream[:-1])

    # then it counts only once it is whole
    assert counted.payload_bytes == 0
    counted.add(stream[-1:])
    assert counted.payload_bytes == 100
