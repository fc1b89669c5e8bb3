"""Peers are asked by one protocol, and their answers stand in one table beside ours."""

from pathlib import Path

from benchmarks.peers.table import Column, table
from tests.benchmarks.running import printed

PATIENCE_S = 200


def test_the_table_says_how_far_a_figure_is_from_its_target_and_from_the_best_peer() -> None:
    # given
    columns = [
        Column("one", {"cold_start_bytes_down": 800_000.0}),
        Column("other", {"cold_start_bytes_down": 400_000.0}, {"ten_edges": "not in 300 s"}),
    ]

    # when
    lines = table(columns, {"cold_start_bytes_down": 200_000}).splitlines()

    # then
    (row,) = [line for line in lines if line.startswith("| cold start, bytes down")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == [
        "cold start, bytes down",
        "800 kB",
        "400 kB",
        "<= 400 kB",
        "**200 kB**",
        "0.50 x",
        "0.50 x",
    ]
    assert "- other: ten edges: not in 300 s" in lines


def test_a_target_may_be_what_a_peer_takes_in_the_same_run() -> None:
    # when
    with_it = table(
        [Column("NATS KV leaf", {"cold_start_link_seconds": 2.0})], {"cold_start_link_seconds": 3.0}
    )
    without = table([], {"cold_start_link_seconds": 3.0})

    # then
    assert "| <= 2.00 s | **3.00 s** | 1.50 x |" in with_it
    assert "| <= NATS KV leaf | **3.00 s** |  |" in without


def test_a_tiny_run_asks_a_peer_everything_over_counted_links(tmp_path: Path) -> None:
    # when
    words = ("--tiny", "--json", "--only", "pycrdt", "--peers-folder", str(tmp_path))
    figures = printed("benchmarks.peers", *words, patience_s=PATIENCE_S)

    # then
    (peer,) = figures["peers"].values()
    assert peer["missing"] == {}
    for name in ("cold_start_bytes_down", "live_edit_bytes", "offline_edits_bytes_writer", "ten_edges_bytes"):
        assert peer["figures"][name] > 0, name
