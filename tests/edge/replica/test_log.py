"""What a SQLite replica keeps of the hub's log beyond the contract: times, evidence, and that bits rot."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from anabranch.errors import ReplicaCorrupt
from anabranch.replica import Replica
from anabranch.replica.log import REFUSALS_MAX
from anabranch_sync.witness import Witnessed

from tests.contracts.replica import NOW_MS
from tests.edge.replica.sqlite_store import create
from tests.sync.logs import log_with

LOG = log_with(9)


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    """A replica that has seen the log at 4 leaves, and then at 9."""
    with create(tmp_path / "replica.db") as replica:
        for size in (4, 9):
            replica.witness(Witnessed(LOG.key.verifier, LOG.signed(size)), size, NOW_MS + size)
        yield replica


def test_the_key_was_pinned_by_the_first_checkpoint_and_the_newest_is_the_one_that_counts(
    replica: Replica,
) -> None:
    seen = replica.log_state().seen

    assert seen is not None
    assert (seen.pinned_ms, seen.seen_ms, seen.hub_seq) == (NOW_MS + 4, NOW_MS + 9, 9)
    assert seen.witnessed.checkpoint.note == LOG.signed(9).note


def test_a_refusal_is_kept_with_its_evidence_and_the_same_again_only_counts(replica: Replica) -> None:
    shown = log_with(9, what="again").signed(9).packed
    for at_ms in (1, 2, 3):
        replica.distrust("the log was rewritten", shown, NOW_MS + at_ms)
    replica.distrust("malformed", b"\x00", NOW_MS)

    first, second = replica.log_state().refusals

    assert (first.reason, first.checkpoint, first.times) == ("the log was rewritten", shown, 3)
    assert (first.first_ms, first.last_ms) == (NOW_MS + 1, NOW_MS + 3)
    assert (second.checkpoint, second.times) == (b"\x00", 1)


def test_a_hub_of_ill_will_cannot_fill_the_disk_with_refusals(replica: Replica) -> None:
    for number in range(REFUSALS_MAX + 5):
        replica.distrust(f"reason {number}", b"", NOW_MS)
    replica.distrust("reason 0", b"", NOW_MS)

    refusals = replica.log_state().refusals

    assert len(refusals) == REFUSALS_MAX
    assert refusals[0].times == 2


def test_a_log_that_was_forgotten_is_pinned_anew(replica: Replica) -> None:
    replica.distrust("the log was rewritten", b"", NOW_MS)

    replica.forget_log()

    assert replica.standing().witnessed is None
    assert replica.log_state().refusals == ()
    other = log_with(2, what="again")
    replica.witness(Witnessed(other.key.verifier, other.signed(2)), 2, NOW_MS)
    assert replica.standing().witnessed == Witnessed(other.key.verifier, other.signed(2))


@pytest.mark.parametrize("column", ["public_key", "checkpoint"])
@pytest.mark.parametrize("position", [0, 3, 20, 31])
def test_a_flipped_bit_is_a_damaged_disk_and_not_a_lying_hub(
    replica: Replica, column: str, position: int
) -> None:
    connection = sqlite3.connect(replica.path)
    (value,) = connection.execute(f"SELECT {column} FROM log").fetchone()
    damaged = bytearray(value)
    damaged[position] ^= 0x10
    connection.execute(f"UPDATE log SET {column} = ?", (bytes(damaged),))
    connection.commit()
    connection.close()

    with pytest.raises(ReplicaCorrupt, match="the log's checkpoint"):
        replica.standing()
    assert [str(error) for error in replica.verify()] != []
