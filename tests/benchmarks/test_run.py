"""The benchmarks run to their end, on real processes, and answer what they were asked."""

from pathlib import Path

from tests.benchmarks.running import printed

PATIENCE_S = 280

# What the README and the milestones name; the others may come and go.
FIGURES = [
    "bytes_counted",
    "documents",
    "cold_start_bytes_up",
    "cold_start_bytes_down",
    "cold_start_seconds",
    "cold_start_bytes_up_tls",
    "cold_start_bytes_down_tls",
    "offline_edits_bytes_up",
    "offline_edits_bytes_down",
    "offline_edits_seconds",
    "offline_edits_bytes_up_tls",
    "offline_edits_bytes_down_tls",
    "one_field_bytes_up",
    "one_field_bytes_down",
    "live_edit_ms",
    "live_edit_bytes_up",
    "live_edit_bytes_down",
    "live_edit_bytes_up_tls",
    "live_edit_bytes_down_tls",
    "read_p50_us",
    "read_p99_us",
    "edge_commits_per_second",
    "disk_commits_per_second",
    "edge_commit_ratio",
    "edge_commit_cpu_ms",
    "disk_commit_cpu_ms",
    "ten_edges_bytes_up",
    "ten_edges_bytes_down",
    "idle_minute_bytes_up",
    "idle_minute_bytes_down",
    "hub_decided_per_second",
    "hub_write_p99_ms",
    "edge_peak_resident_bytes",
    "replica_bytes",
    "start_version_ms",
    "reconnect_bytes_up",
    "reconnect_bytes_down",
]


def test_a_tiny_run_prints_one_object_with_every_figure(tmp_path: Path) -> None:
    # when
    figures = printed("benchmarks", "--tiny", "--folder", str(tmp_path), patience_s=PATIENCE_S)

    # then
    assert [name for name in FIGURES if name not in figures] == []
    # without TLS it is less than with it, and nothing is free
    for name in FIGURES:
        if name.endswith("_tls"):
            assert 0 < figures[name.removesuffix("_tls")] < figures[name], name
    # and it leaves nothing behind
    assert list(tmp_path.iterdir()) == []
