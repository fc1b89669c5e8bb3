"""The page of limits says what the code says."""

from tests.house.limits import DOCUMENT, document


def test_the_page_of_limits_is_that_of_the_constants() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), "write it anew: python -m tests.house.limits"
