"""Relays in lives: what they keep of snapshots, modelled and real."""

import random
from pathlib import Path

from anabranch_hub.simulation.running import live
from anabranch_sync.snapshot import Part, name_of

from tests.simulation.real_disks import MirroredParts

# Of the first lives these draw one.
WITH_RELAY = (0, 3, 4, 6, 10, 16, 17)


def test_the_model_of_a_cache_gives_what_the_real_one_gives_whatever_harms_both(tmp_path: Path) -> None:
    # given
    chance = random.Random(7)
    bodies = [chance.randbytes(size) for size in (1, 500, 1_500)]
    parts = MirroredParts(tmp_path / "replica.db.parts")
    harms, given = set[str](), 0
    for _ in range(300):
        body = chance.choice(bodies)
        part, offset = Part(name_of(body), len(body)), chance.choice((0, 0, 500, 1_000))
        # when
        match chance.choice(("add", "add", "add", "piece", "piece", "piece", "harm")):
            case "add":
                parts.add(part, offset, body[offset : offset + 500])
            case "piece":
                given += bool(parts.piece(part.name, offset, 500))  # then they are the same, or it raises
            case _:
                harms.add(parts.harm(chance))
    # then
    assert harms >= {"lost", "cut short", "damaged"}
    assert given > 20


def test_lives_behind_a_relay_keep_every_promise() -> None:
    # given
    near = shared = harmed = 0
    for seed in WITH_RELAY:
        # when
        told = live(seed, {"subscriptions": 0})
        near, shared = near + told.reached.near, shared + told.reached.shared
        harmed += any("relay's part" in each for each in told.faults)
        # then
        assert told.broken == "", told.reason
    assert near > shared > 0
    assert harmed > 0
