"""The page of limits says what the code says."""

from tests.house.checkout import CHECKOUT
from tests.house.limits import DOCUMENT, PACKAGES, document, limits


def test_the_page_of_limits_is_that_of_the_constants() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "write it anew: python -m tests.house.limits"


def test_each_limit_says_why_it_is_what_it_is() -> None:
    every = [each for package in PACKAGES for each in limits(CHECKOUT / package)]

    assert len(every) > 100
    assert [f"{each.module}.{each.name}" for each in every if not each.reason] == []
