"""Which writes are gone after many edges wrote the same fields, and which can be found."""

from pathlib import Path

from benchmarks import edits
from benchmarks.edits import Edit
from benchmarks.losers import Losers, losers


def test_a_write_that_no_one_reads_any_more_is_lost_unless_it_is_found_beside(tmp_path: Path) -> None:
    # given two edges: both wrote `a`, one wrote `b` twice, the other wrote `c`
    first = [Edit("t", "k", ("a",), 1), Edit("t", "k", ("b",), 2), Edit("t", "k", ("b",), 3)]
    second = [Edit("t", "k", ("a",), 4), Edit("t", "k", ("c",), 5)]
    files = [edits.write(tmp_path / "0", first), edits.write(tmp_path / "1", second)]

    # when the second's `a` won, and `c` is what it was before
    ends = [4, 3, 3, 4, 0]

    # then the first's `a` and the second's `c`, to which nobody else wrote, are lost
    assert losers(files, ends, [[], [], [], [], []]) == Losers(lost=2, found=0, innocent=1)
    # and not when they stand beside what is read; an overwrite of one's own is no loss
    assert losers(files, ends, [[1], [], [], [], [5]]) == Losers(lost=0, found=2, innocent=1)
