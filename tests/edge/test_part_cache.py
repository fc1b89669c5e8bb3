"""What a relay keeps of snapshots on its disk: whatever happens to it, it gives bytes of the part or none."""

import errno
import os
import time
from pathlib import Path

import pytest
from anabranch import part_cache
from anabranch.part_cache import PART_UNUSED_S_MAX, Counts, PartCache, parts_folder
from anabranch_sync.snapshot import Part, name_of


def part_of(body: bytes) -> Part:
    return Part(name_of(body), len(body))


ONE, TWO, THREE = b"1" * 1_000, b"2" * 1_000, b"3" * 1_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return parts_folder(tmp_path / "replica.db")


@pytest.fixture
def cache(folder: Path) -> PartCache:
    return PartCache(folder)


def is_kept(cache: PartCache, body: bytes) -> bool:
    return cache.piece(name_of(body), 0, len(body)) == body


def test_a_part_that_comes_in_pieces_is_given_as_far_as_it_came_and_goes_on_after_a_restart(
    folder: Path,
) -> None:
    # given
    PartCache(folder).add(part_of(ONE), 0, ONE[:400])
    again = PartCache(folder)

    # when, then
    assert again.piece(name_of(ONE), 100, 10_000) == ONE[100:400]
    assert again.piece(name_of(ONE), 400, 10_000) == b""
    assert (again.holding().parts, again.holding().incomplete) == (0, 1)
    again.add(part_of(ONE), 400, ONE[400:])
    assert is_kept(again, ONE)
    assert (again.holding().parts, again.holding().incomplete) == (1, 0)
    assert folder.stat().st_mode & 0o077 == 0
    assert all(each.stat().st_mode & 0o077 == 0 for each in folder.iterdir())


def test_pieces_that_leave_a_gap_or_come_twice_change_nothing(cache: PartCache) -> None:
    cache.add(part_of(ONE), 400, ONE[400:])
    assert cache.holding().incomplete == 0
    cache.add(part_of(ONE), 0, ONE[:400])
    cache.add(part_of(ONE), 0, ONE[:400])
    cache.add(part_of(ONE), 500, ONE[500:])
    assert cache.piece(name_of(ONE), 0, 10_000) == ONE[:400]


def test_a_file_of_somebody_else_is_none_of_the_caches(cache: PartCache, folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    cache.add(part_of(ONE), 0, ONE)

    assert cache.clear().parts == 1
    assert [each.name for each in folder.iterdir()] == ["notes.txt"]


def test_bytes_that_are_not_of_their_name_are_not_kept(cache: PartCache, folder: Path) -> None:
    # when the last piece shows it
    cache.add(part_of(ONE), 0, TWO)
    # then
    assert cache.holding().size_bytes == 0

    # when the disk has changed them since
    cache.add(part_of(ONE), 0, ONE)
    (folder / name_of(ONE).hex()).write_bytes(TWO)
    # then
    assert cache.piece(name_of(ONE), 0, 10) == b""
    assert cache.holding().parts == 0


def test_what_was_used_least_recently_makes_room(
    cache: PartCache, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(part_cache, "PARTS_BYTES_MAX", 2_500)
    for body, ago_s in ((ONE, 300), (TWO, 200)):
        cache.add(part_of(body), 0, body)
        used_s = time.time() - ago_s
        os.utime(folder / name_of(body).hex(), (used_s, used_s))
    assert is_kept(cache, ONE)

    # when
    cache.add(part_of(THREE), 0, THREE)

    # then
    assert [is_kept(cache, body) for body in (ONE, TWO, THREE)] == [True, False, True]


def test_what_nobody_used_for_long_goes_with_the_next_that_comes(cache: PartCache, folder: Path) -> None:
    cache.add(part_of(ONE), 0, ONE)
    old_s = time.time() - PART_UNUSED_S_MAX - 60
    os.utime(folder / name_of(ONE).hex(), (old_s, old_s))

    cache.add(part_of(TWO), 0, TWO)

    assert [each.name for each in folder.iterdir() if each.name != "counts"] == [name_of(TWO).hex()]


def test_a_disk_that_becomes_full_keeps_what_it_has_and_nothing_of_the_rest(
    cache: PartCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    cache.add(part_of(ONE), 0, ONE)
    cache.add(part_of(TWO), 0, TWO[:400])

    def full(head: Path, offset: int, piece: bytes) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(head))

    # when
    monkeypatch.setattr(part_cache, "_append", full)
    cache.add(part_of(TWO), 400, TWO[400:])

    # then
    assert is_kept(cache, ONE)
    assert (cache.holding().parts, cache.holding().incomplete) == (1, 0)


def test_what_is_counted_outlives_a_restart_and_ends_with_what_is_kept(
    cache: PartCache, folder: Path
) -> None:
    cache.add(part_of(ONE), 0, ONE)
    assert all(is_kept(PartCache(folder), ONE) for _ in range(3))

    held = PartCache(folder).clear()

    assert held.counts == Counts(fetched_bytes=1_000, served_bytes=4_000)
    assert held.counts.saved_bytes == 3_000
    assert cache.holding().counts == Counts()
    assert [*folder.iterdir()] == []
    cache.add(part_of(ONE), 0, ONE)
    assert is_kept(cache, ONE)


@pytest.mark.parametrize("told", [b"", b"no json", b"[]", b'{"fetched_bytes": 1}', b'{"fetched_bytes": "x"}'])
def test_damaged_counts_begin_again(cache: PartCache, folder: Path, told: bytes) -> None:
    folder.mkdir()
    (folder / "counts").write_bytes(told)

    cache.add(part_of(ONE), 0, ONE)

    assert cache.holding().counts == Counts(1_000, 1_000)


def test_a_damaged_part_goes_when_somebody_goes_on_with_the_rest_of_it(
    cache: PartCache, folder: Path
) -> None:
    # given
    cache.add(part_of(ONE), 0, ONE)
    (folder / name_of(ONE).hex()).write_bytes(b"0" + ONE[1:])

    # when
    given = [cache.piece(name_of(ONE), offset, 400) for offset in (400, 800)]

    # then what may be sound is given, and the end is not
    assert given == [ONE[400:800], b""]
    assert cache.holding().parts == 0
