"""How a person names a state of the past."""

import pytest
from anabranch_sync.errors import InvalidReference
from anabranch_sync.reference import AtPosition, AtTime, AtVersion, Reference, parse_moment, parse_reference
from anabranch_sync.value import INT_MAX

NOW_MS = 1_764_430_200_000  # 2025-11-29T15:30:00Z


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("17", AtVersion(17)),
        (str(INT_MAX), AtVersion(INT_MAX)),
        ("@0", AtPosition(0)),
        ("@204", AtPosition(204)),
        ("2025-11-29T15:30:00Z", AtTime(NOW_MS)),
        ("2025-11-29T15:30", AtTime(NOW_MS)),
        ("2025-11-29 16:30:00+01:00", AtTime(NOW_MS)),
        ("2025-11-29T15:30:00.250Z", AtTime(NOW_MS + 250)),
        ("2025-11-29", AtTime(NOW_MS - 55_800_000)),
        ("90s", AtTime(NOW_MS - 90_000)),
        ("5min", AtTime(NOW_MS - 300_000)),
        ("2h", AtTime(NOW_MS - 7_200_000)),
        ("7d", AtTime(NOW_MS - 604_800_000)),
        ("1w", AtTime(NOW_MS - 604_800_000)),
    ],
)
def test_versions_positions_times_and_ages_are_told_apart(text: str, meant: Reference) -> None:
    assert parse_reference(text, NOW_MS) == meant


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "-1", "@", "@-1", "@x", "1.5", "yesterday", "2h ago", "2y", "h", "²", "@²", "999999d"),
        *("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"),
        *("2025-13-01", "1969-12-31T23:59:59Z", str(INT_MAX + 1), f"@{INT_MAX + 1}", "9" * 5_000, "\x1b[2J"),
    ],
)
def test_anything_else_is_refused_and_shown_safely(text: str) -> None:
    with pytest.raises(InvalidReference) as refused:
        parse_reference(text, NOW_MS)

    assert str(refused.value).isprintable()


def test_a_version_names_no_state_of_many_documents() -> None:
    assert parse_moment("@3", NOW_MS) == AtPosition(3)
    with pytest.raises(InvalidReference, match="versions count one document"):
        parse_moment("3", NOW_MS)


def test_a_reference_says_what_it_names() -> None:
    assert [str(parse_reference(text, NOW_MS)) for text in ("17", "@204", "2025-11-29T15:30:00.250Z")] == [
        "version 17",
        "position 204",
        "2025-11-29T15:30:00Z",
    ]
