"""Fleets that somebody describes, and the runs that are written down."""

import json
import re
from pathlib import Path

import pytest
from anabranch_hub.simulation.incident import Incident
from anabranch_hub.simulation.life import HOUR_MS
from anabranch_hub.simulation.running import Tally, live, lived
from anabranch_hub.simulation.topology import TopologyRefused, parse_topology

from tests.simulation.soak import FIRST_SEED, next_seed, row_of, with_row

ROOT = Path(__file__).parents[2]
ONE = '[[edge]]\nname = "store-7"\n'


def test_what_is_planned_happens_when_it_is_planned() -> None:
    planned = 'offline = [["2h", "3h"]]\npower_cuts = ["4h"]\ncloned = ["5h"]\nrestored = [["1h", "6h"]]\n'
    topology = parse_topology(
        "fleet.toml", f'lasts = "1d"\nhub = {{crashes = ["7h"], restored = [["7h", "8h"]]}}\n{ONE}{planned}'
    )

    incident = Incident(topology, 3)
    incident.run()

    told = [
        line for line in incident.timeline if re.search("offline|power|cloned|restored|dies|epoch 2", line)
    ]
    hours = [int(line.split()[0]) // HOUR_MS for line in told]
    assert hours == [2, 4, 5, 6, 7, 8]


def test_json_says_the_same_as_toml() -> None:
    as_toml = parse_topology("fleet.toml", f'lasts = "2h"\nlink = {{drop = 0.5}}\n{ONE}')
    as_json = json.dumps({"lasts": "2h", "link": {"drop": 0.5}, "edge": [{"name": "store-7"}]})

    assert parse_topology("fleet.json", as_json) == as_toml


def test_the_example_of_the_guide_keeps_every_promise() -> None:
    guide = (ROOT / "docs" / "operator-guide.md").read_text()
    example = re.search(r"```toml\n(lasts.*?)```", guide, re.S)
    assert example is not None

    life = lived(Incident(parse_topology("fleet.toml", example[1]), 7))

    assert life.reason == ""
    assert life.faults["edge restored"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "edge: 0 edges: name 1 to 64"),
        ("lasts = ", "is not TOML"),
        ("[[edge]]", "edge 1.name: every edge has one"),
        (ONE + ONE, "edge: two edges have the same name"),
        (ONE + "[link]\ndrop = 2", "link.drop: 2 is no share from 0 to 1"),
        (ONE + "[link]\ndrop = true", "link.drop: True is no share from 0 to 1"),
        (ONE + "[link]\ndelay_ms_max = 0", "link.delay_ms_max: 0 is no number of milliseconds"),
        (ONE + "[link]\ndorp = 0.1", "link.dorp: there is no such setting"),
        (ONE + "ofline = []", "edge 1.ofline: there is no such setting"),
        (ONE + 'offline = ["2h"]', "edge 1.offline: '2h' is no pair of moments"),
        (ONE + 'offline = [["20m", "10m"]]', "edge 1.offline: 10m is not after 20m"),
        (ONE + 'offline = [["0s", "2h"]]', "edge 1.offline: 2h is more than 3600s"),
        (ONE + 'power_cuts = ["soon"]', "edge 1.power_cuts: 'soon' is no time"),
        ('lasts = "9d"\n' + ONE + 'silent = [["1d", "8d"]]', "edge 1.silent: longer than 48h"),
        ('lasts = "0s"\n' + ONE, "lasts: a fleet lives for 1s at least"),
        ("writes_at_hub = -1\n" + ONE, "writes_at_hub: -1 is no number from 0 to 2000"),
    ],
)
def test_what_is_no_fleet_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(TopologyRefused) as refused:
        parse_topology("fleet.toml", text)

    assert str(refused.value).startswith(f"fleet.toml: {said}")


def test_a_run_is_written_down_and_the_next_one_lives_other_seeds() -> None:
    page = "Totals: 0 seeds.\n\n| date |\n|---|\n"
    tally = Tally()
    tally.add(live(3))
    tally.add(live(4))

    page = with_row(page, row_of(tally, next_seed(page), "2026-11-29", "abc1234"))

    assert page.startswith("Totals: 2 seeds, ")
    assert page.endswith(f"| {tally.rounds} | none |\n")
    assert next_seed(page) == FIRST_SEED + 2
