"""The benchmark of merging runs to its end, on real servers, and answers what it was asked."""

from tests.benchmarks.running import printed

PATIENCE_S = 280

FIGURES = [
    "decided_per_second",
    "us_per_decided_write",
    "us_per_decided_write_with_conflict",
    "bytes_per_version",
    "proof_bytes",
    "proof_verify_us",
    "log_leaves",
    "log_verify_seconds",
]


def test_a_tiny_run_prints_one_object_with_every_figure() -> None:
    # when
    figures = printed("benchmarks.merge", "--json", "--tiny", patience_s=PATIENCE_S)

    # then
    assert [name for name in FIGURES if not figures.get(name)] == []
    # a conflict leaves its ledger row and its leaf behind
    assert figures["bytes_per_version_with_conflict"] > figures["bytes_per_version"] > 0
