"""What is left of a replica that was wiped: nothing, also where the power was cut in between."""

import asyncio
import os
from pathlib import Path

import anabranch.agent
import anabranch.wiping
import pytest
from anabranch.agent import run_agent
from anabranch.errors import EdgeWiped, ReplicaMissing
from anabranch.part_cache import PartCache, parts_folder
from anabranch.replica import Edit, Replica
from anabranch.wiping import finish_wipe, wipe
from anabranch_sync.ids import document_id
from anabranch_sync.snapshot import Part, name_of

CANARY = "canary-in-a-coal-mine"


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    """One with an unsent change, and with all that may stand beside it."""
    path = tmp_path / "edge.db"
    made = Replica.create(path, tenant="acme", edge="shop", prefixes=("acme",), incarnation=1, author="ada")
    content = [Edit(document_id("acme/prod"), {"a": CANARY})]
    made.commit(content, author="ada", message="", now_ms=0)
    for folder in ("identity", "parts"):
        beside = Path(f"{path}.{folder}")
        beside.mkdir()
        (beside / "file").write_text(CANARY)
    (tmp_path / "edge.db.notes").write_text("somebody else's")
    return made


def left(replica: Replica) -> list[str]:
    return sorted(each.name for each in replica.path.parent.iterdir())


def test_nothing_is_left_but_what_is_somebody_else_s(replica: Replica) -> None:
    # when
    with replica:
        assert wipe(replica, at_once=True)

    # then
    assert left(replica) == ["edge.db.notes"]
    with pytest.raises(ReplicaMissing):
        Replica.open(replica.path)


def test_bytes_are_overwritten_before_their_names_go(replica: Replica) -> None:
    # given whoever still has the files open
    names = [replica.path, Path(f"{replica.path}-wal"), Path(f"{replica.path}.identity/file")]
    held = [os.open(each, os.O_RDONLY) for each in names]
    sizes = [os.fstat(each).st_size for each in held]

    # when
    wipe(replica, at_once=True)

    # then
    assert any(sizes)
    for descriptor, size in zip(held, sizes, strict=True):
        assert os.pread(descriptor, size, 0) == bytes(size)
        os.close(descriptor)


def test_what_is_unsent_keeps_everything_where_it_is(replica: Replica) -> None:
    # given
    before = left(replica)

    # when
    with replica:
        done = wipe(replica, at_once=False)

        # then
        assert not done
        assert left(replica) == before
        assert replica.read(document_id("acme/prod")) is not None


def test_a_program_that_has_it_open_writes_nothing_any_more(replica: Replica) -> None:
    # given
    with replica, Replica.open(replica.path) as other:
        # when
        wipe(replica, at_once=True)

        # then
        with pytest.raises(ReplicaMissing):
            other.commit([Edit(document_id("acme/prod"), {"a": 1})], author="ada", message="", now_ms=0)


def test_a_program_that_has_it_open_is_told_that_it_is_gone_and_not_of_damage(replica: Replica) -> None:
    # given
    document = document_id("acme/prod")
    with replica, Replica.open(replica.path) as reads, Replica.open(replica.path) as writes:
        assert reads.read(document) is not None
        writes.commit([Edit(document, {"a": 1})], author="ada", message="", now_ms=0)

        # when
        wipe(replica, at_once=True)

        # then
        with pytest.raises(ReplicaMissing):
            reads.documents()
        with pytest.raises(ReplicaMissing):
            writes.commit([Edit(document, {"a": 2})], author="ada", message="", now_ms=0)


@pytest.mark.parametrize("steps", range(6))
def test_a_wipe_that_was_broken_off_is_finished_by_whoever_comes_next(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    # given power that fails after so many files
    overwrite = anabranch.wiping._overwrite
    done: list[Path] = []

    def failing(path: Path) -> None:
        if len(done) == steps:
            raise KeyboardInterrupt
        done.append(path)
        overwrite(path)

    monkeypatch.setattr("anabranch.wiping._overwrite", failing)
    with replica:
        try:
            wipe(replica, at_once=True)
        except KeyboardInterrupt:
            assert len(left(replica)) > 1
    monkeypatch.undo()

    # when
    if len(left(replica)) > 1:
        with pytest.raises(EdgeWiped):
            asyncio.run(run_agent(replica.path, once=True))

    # then
    assert left(replica) == ["edge.db.notes"]
    assert not finish_wipe(replica.path)


def test_what_children_fetch_while_their_relay_is_wiped_goes_as_well(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a child that goes on fetching until the relay serves no more
    cache = PartCache(parts_folder(replica.path))
    overwrite = anabranch.wiping._overwrite

    def fetching(path: Path) -> None:
        body = os.urandom(100)
        cache.add(Part(name_of(body), len(body)), 0, body)
        overwrite(path)

    monkeypatch.setattr("anabranch.wiping._overwrite", fetching)

    # when
    with replica:
        assert wipe(replica, at_once=True)
    monkeypatch.undo()
    assert "edge.db.parts" in left(replica)
    with pytest.raises(EdgeWiped), anabranch.agent._without_late_parts(replica.path):
        raise EdgeWiped(str(replica.path))

    # then
    assert left(replica) == ["edge.db.notes"]
