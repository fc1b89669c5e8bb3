"""The catalogue of faults names tests that are there, and says of every row without one why."""

import re

from tests.house.checkout import CHECKOUT

ROW = re.compile(r"^\| ([A-F]\d+) \|.*\| (.*?) \| (.*?) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
TEXT = (CHECKOUT / "docs/faults.md").read_text("utf-8")


def test_every_test_that_the_catalogue_names_is_there() -> None:
    missing = [
        f"{path}::{name}"
        for path, name in NAMED.findall(TEXT)
        if f"def {name}(" not in (CHECKOUT / "tests" / path).read_text("utf-8")
    ]

    assert missing == []


def test_a_row_of_the_catalogue_has_a_test_or_says_why_not() -> None:
    rows = ROW.findall(TEXT)

    assert len(rows) == len({name for name, _, _ in rows}) == 118
    assert [name for name, tests, remark in rows if not NAMED.search(tests) and not remark] == []
