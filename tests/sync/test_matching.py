"""What two sequences have in common is found in bounded time."""

from anabranch_sync.matching import matched


class Word:
    """A word that counts how often any of them was looked up."""

    looked_up = 0

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Word) and self.text == other.text

    def __hash__(self) -> int:
        Word.looked_up += 1
        return hash(self.text)


def test_texts_that_have_only_their_spaces_in_common_are_not_compared_over_and_over() -> None:
    # given two texts of 500 words of which none is in the other
    before = [Word(text) for number in range(500) for text in (" ", f"old{number}")]
    after = [Word(text) for number in range(500) for text in (" ", f"new{number}")]

    # when they are compared
    Word.looked_up = 0
    steps = matched(before, after)

    # then each word was looked up some times, not once for each space
    assert Word.looked_up < 30 * len(before)
    assert steps[-1][2] == len(before)
    assert steps[-1][4] == len(after)


def test_what_is_compared_within_bounds_is_told_as_difflib_tells_it() -> None:
    assert matched("a quick fox", "a slow fox") == [
        ("equal", 0, 2, 0, 2),
        ("replace", 2, 7, 2, 6),
        ("equal", 7, 11, 6, 10),
    ]
