"""What operators are told over gRPC is what stands in the ledger, whatever that is."""

from anabranch_hub.api.ledger_messages import (
    packed_matching,
    packed_restoration,
    packed_row,
    packed_stats,
    unpacked_matching,
    unpacked_restoration,
    unpacked_row,
    unpacked_stats,
)
from anabranch_hub.operations.ledger import Restoration
from anabranch_hub.store import (
    LedgerRow,
    LedgerStats,
    Matching,
    Pair,
    RecordedCandidate,
    Review,
    Reviewed,
    Stored,
    Write,
    Written,
)
from anabranch_protos.operator.v1 import operator_pb2 as pb
from anabranch_sync.clock import TIMESTAMP_MAX, WALL_MS_MAX
from anabranch_sync.ids import Cursor, DocumentId, Dot
from anabranch_sync.register import DELETED
from anabranch_sync.value import INT_MAX, ordered
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.strategies import json_values

# JSON has its keys in order on the wire.
VALUES = json_values.map(ordered)
NATURALS = st.integers(0, INT_MAX)
MOMENTS = st.integers(0, WALL_MS_MAX)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
PATHS = st.lists(TEXTS, max_size=3).map(tuple)
DOCUMENT = DocumentId("acme/prod/router", "config")

writes = st.builds(
    Write,
    NATURALS,
    st.integers(0, TIMESTAMP_MAX),
    st.builds(Dot, NATURALS, NATURALS),
    st.builds(Cursor, NATURALS, NATURALS),
    TEXTS,
    TEXTS,
    MOMENTS,
    MOMENTS,
)
candidates = st.builds(
    RecordedCandidate,
    PATHS,
    st.none() | st.binary(max_size=8),
    st.just(DELETED) | VALUES,
    st.lists(writes, max_size=2).map(tuple),
)
reviews = st.builds(
    Review, st.sampled_from(Reviewed), st.none() | st.integers(0, 9), TEXTS, TEXTS, MOMENTS, NATURALS
)
rows = st.builds(
    LedgerRow,
    NATURALS,
    NATURALS,
    MOMENTS,
    st.just(DOCUMENT),
    PATHS,
    st.none() | st.binary(max_size=8),
    TEXTS,
    TEXTS,
    TEXTS,
    st.lists(candidates, max_size=3).map(tuple),
    st.booleans(),
    st.sampled_from(["", *Reviewed]).map(str),
    TEXTS,
    MOMENTS,
    NATURALS,
    st.lists(reviews, max_size=2).map(tuple),
    st.booleans(),
)
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
matchings = st.builds(
    Matching,
    *[st.none() | NAMES] * 5,
    st.none() | PATHS,
    *[st.none() | MOMENTS] * 2,
    st.none() | st.booleans(),
    st.booleans(),
)
documents = st.builds(
    Stored,
    st.just(DOCUMENT),
    st.none() | st.dictionaries(TEXTS, VALUES, max_size=3).map(ordered),
    NATURALS,
    NATURALS,
    st.integers(0, 2**128 - 1),
)
written = st.builds(Written, NATURALS, st.tuples(NATURALS), st.sampled_from([(), (DOCUMENT,)]))
restorations = st.builds(
    Restoration,
    NATURALS,
    st.integers(0, 9),
    st.builds(Pair, st.just(DOCUMENT), st.none() | documents, st.none() | documents),
    st.none() | written,
)
counts = st.lists(st.tuples(TEXTS, NATURALS), max_size=3)
statistics = st.builds(
    LedgerStats,
    NATURALS,
    NATURALS,
    NATURALS,
    st.none() | st.tuples(st.integers(1, INT_MAX), MOMENTS),
    st.dictionaries(TEXTS, counts, max_size=3),
)


@settings(max_examples=50)
@given(rows)
def test_a_row_survives_the_wire(row: LedgerRow) -> None:
    assert repr(unpacked_row(pb.Row.FromString(packed_row(row).SerializeToString()))) == repr(row)


@given(matchings)
def test_a_filter_survives_the_wire_and_what_is_absent_stays_absent(matching: Matching) -> None:
    raw = packed_matching(matching).SerializeToString()
    assert unpacked_matching(pb.Matching.FromString(raw)) == matching


@settings(max_examples=50)
@given(restorations)
def test_a_restoration_survives_the_wire(restoration: Restoration) -> None:
    raw = packed_restoration(restoration).SerializeToString()
    told = unpacked_restoration(pb.RestoreReply.FromString(raw), restoration.merge, restoration.candidate)
    assert repr(told) == repr(restoration)


@given(statistics)
def test_counts_survive_the_wire(stats: LedgerStats) -> None:
    assert unpacked_stats(pb.StatsReply.FromString(packed_stats(stats).SerializeToString())) == stats
