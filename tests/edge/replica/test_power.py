"""Power cuts: what was acknowledged is there, the rest is absent whole, and the rig finds who cheats."""

import random

import pytest
from anabranch.errors import ReplicaError
from anabranch.replica import Replica
from anabranch.replica.schema import SCHEMA_VERSION

from tests.edge.replica.disk import Loss, lying_image, put
from tests.edge.replica.power import Tally, cut_everywhere, recorded, recorded_migration, run, scratch
from tests.edge.replica.rigged_sqlite import Recorder, rigged_sqlite
from tests.edge.replica.sqlite_store import create, write
from tests.edge.replica.workload import DOCUMENTS, OTHERS, view

# Disks take their time: not in an environment where only imports are in question.
pytestmark = pytest.mark.slow

# As many cuts as fit; `python -m tests.edge.replica.power` makes more.
CUTS = 20_000
SECONDS_MAX = 30.0
# A small change fills five pages of the WAL; what is written back into the file is shared by many.
WEAR_BYTES_MAX = 32 * 1024


def test_a_power_cut_at_any_operation_of_the_disk_loses_nothing_acknowledged() -> None:
    tally = run(CUTS, seconds_max=SECONDS_MAX)

    assert tally.bad == []
    assert min(tally.cuts[kind] for kind in ("lost", "torn", "unordered", "double")) > 0


@pytest.mark.parametrize("synchronous", ["NORMAL", "OFF"])
def test_the_rig_finds_a_replica_that_acknowledges_before_its_bytes_are_safe(synchronous: str) -> None:
    # given: the planted bug
    recording = recorded(1, checkpoint_pages=1_000, synchronous=synchronous)
    # when
    tally = Tally()
    cut_everywhere(recording, 1, tally, losses=(Loss.LOST,), enough=lambda: len(tally.bad) > 3)
    # then
    assert tally.bad != []


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION))
def test_a_migration_that_is_cut_off_anywhere_goes_on_at_the_next_start(version: int) -> None:
    recording = recorded_migration(version, seed=version)
    tally = Tally()

    cut_everywhere(recording, version, tally)

    assert tally.total > 0
    assert tally.bad == []


def test_a_drive_that_only_says_it_has_synced_never_makes_a_replica_serve_what_nobody_wrote() -> None:
    # given: everything that was ever true of each document, and every field that it ever had
    recording = recorded(7, checkpoint_pages=8)
    ever = [{repr(shown.heads[at]) for shown in recording.shown} for at in range(len(DOCUMENTS) + 1)]
    fields = [
        {(name, repr(value)) for shown in recording.shown for name, value in (shown.heads[at] or {}).items()}
        for at in range(len(DOCUMENTS) + 1)
    ]
    chance = random.Random(7)
    opened = refused = 0
    with scratch() as folder:
        for _ in range(400):
            done = chance.randrange(1, len(recording.recorder.steps))
            since = chance.randrange(done)
            put(lying_image(recording.recorder.steps, recording.files, done, since, chance), folder)
            # when
            try:
                with Replica.open(folder / "replica.db") as replica:
                    for at, document in enumerate([*DOCUMENTS, OTHERS]):
                        head = replica.head(document)
                        content = None if head is None else head.content
                        had = {(name, repr(value)) for name, value in (content or {}).items()}
                        # then: where changes were set aside, and told, states are left that never were
                        assert had <= fields[at]
                        assert replica.facts().incidents or repr(content) in ever[at]
                opened += 1
            except ReplicaError:
                refused += 1
    assert opened
    assert refused


def test_a_small_write_wears_the_flash_no_more_than_it_must() -> None:
    with scratch() as folder:
        path = folder / "replica.db"
        create(path).close()
        recorder = Recorder()
        with rigged_sqlite(recorder), Replica.open(path) as replica:
            for number in range(300):
                write(replica, DOCUMENTS[number % 6], {"limit": number})
        assert recorder.bytes_written / 300 <= WEAR_BYTES_MAX


def test_what_the_rig_shows_is_what_plain_sqlite_shows() -> None:
    with scratch() as folder:
        path = folder / "replica.db"
        create(path).close()
        with rigged_sqlite(), Replica.open(path) as replica:
            write(replica, DOCUMENTS[0], {"limit": 1})
            shown = view(replica)
        with Replica.open(path) as replica:
            assert view(replica) == shown
