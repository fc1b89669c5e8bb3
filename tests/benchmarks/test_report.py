"""The page of benchmarks is written from what was recorded, and the plot shows every release."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from benchmarks import history, report
from benchmarks.plot import Panel, drawn
from benchmarks.targets import as_bytes

SVG = "{http://www.w3.org/2000/svg}"


def test_a_recorded_run_is_a_line_of_its_own(tmp_path: Path) -> None:
    # given
    file = tmp_path / "history.jsonl"

    # when two runs are recorded
    for bytes_down in (500_000, 400_000):
        history.record({"cold_start_bytes_down": bytes_down, "bytes_counted": "a sentence"}, file)

    # then both are read, numbers alone
    first, second = history.releases(file)
    assert first.figures == {"cold_start_bytes_down": 500_000}
    assert second.figures == {"cold_start_bytes_down": 400_000}
    assert first.machine


def test_the_page_holds_the_newest_figures_against_their_targets() -> None:
    # given
    releases = [history.Release("0.1", "abc", "2026-11-29", "2 x chip", {"read_p50_us": 6.0})]
    one = {"figures": {"cold_start_bytes_down": 800_000.0}, "missing": {}}
    peers = {"when": "a day", "ours": {"cold_start_bytes_down": 200_000}, "peers": {"one": one}}
    few = {"exchange_bytes": 4_890, "exchange_seconds": 1.0}
    growth = {"when": "a day", "documents": {"1000": few}, "edges": {"10000": "not here: too few files"}}

    # when
    page = report.page(releases, peers, growth)

    # then
    assert "| local read by the SDK, warm, p50 | <= 5.00 us | 6.00 us | 1.20 x |" in page
    assert "| cold start, bytes down | 800 kB | <= 400 kB | **200 kB** | 0.50 x | 0.25 x |" in page
    assert "| 1,000 | 4.89 kB | 1.00 s |" in page
    assert "| 10,000 | not here: too few files |" in page


def test_the_readme_shows_what_was_recorded() -> None:
    peers = json.loads(report.PEERS.read_text())
    readme = report.README.read_text()

    assert report.with_table(readme, peers) == readme
    assert report.with_table(readme, {**peers, "ours": {}}) != readme


def test_the_plot_has_a_point_for_each_release_that_measured() -> None:
    # given a figure that the first release did not have
    panel = Panel("bytes < all", [None, 300.0, 100.0], 200.0, as_bytes)

    # when
    root = ElementTree.fromstring(drawn([panel], ["a", "b", "c"]))

    # then
    circles = list(root.iter(f"{SVG}circle"))
    assert len(circles) == 2
    heights = [float(circle.attrib["cy"]) for circle in circles]
    assert heights[0] < heights[1], "less is lower"
    assert "bytes < all" in {text.text for text in root.iter(f"{SVG}text")}
