"""What people are shown of two contents."""

import re

from anabranch_sync.comparison import CONTEXT_LINES, Mark, compared
from anabranch_sync.document import Object, flatten
from anabranch_sync.policy import LATEST
from anabranch_sync.register import json_of
from anabranch_sync.value import canonical, parse_json
from anabranch_sync.version import diff
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.strategies import contents

maybe_contents = st.none() | contents


def said(before: Object | None, after: Object | None) -> list[str]:
    return ["".join(span.text for span in line) for line in compared(before, after)]


@given(maybe_contents, maybe_contents)
def test_a_comparison_is_empty_exactly_where_the_patch_is(
    before: Object | None, after: Object | None
) -> None:
    assert (compared(before, after) == []) == (diff(before, after) == [])


@given(contents)
def test_what_comes_is_said_whole_and_marked_as_new(content: Object) -> None:
    lines = compared(None, content)

    assert {span.mark for line in lines for span in line} <= {Mark.NEW, Mark.PLACE, Mark.PLAIN}
    leaves = flatten(content, lambda _: LATEST)
    assert [canonical(parse_json(line[-1].text)) for line in lines] == [
        canonical(json_of(leaves[slot])) for slot in sorted(leaves)
    ]


def test_values_are_shown_with_their_paths_old_and_new() -> None:
    before: Object = {"limits": {"requests": 600}, "old": None, "a/b": 1, "same": [1]}
    after: Object = {"limits": {"requests": 800}, "model": "gpt-4o", "a/b": 1.0, "same": [1]}

    assert said(before, after) == [
        "~ /a~1b  1 -> 1.0",
        "~ /limits/requests  600 -> 800",
        '+ /model  "gpt-4o"',
        "- /old  null",
    ]


def test_a_document_that_goes_is_shown_leaf_by_leaf() -> None:
    assert said({"a": {"b": 1, "c": []}}, None) == ["- /a/b  1", "- /a/c  []"]
    assert said(None, {}) == ["+ (the document)  {}"]


def test_of_a_list_the_elements_are_shown_that_come_and_go() -> None:
    assert said({"l": ["red", "green", 1]}, {"l": ["green", 1, 2]}) == [
        "~ /l",
        '    - "red"',
        "    + 2",
    ]


def test_an_edited_line_is_compared_word_by_word() -> None:
    before: Object = {"prompt": "You are a shop assistant.\nAlways be brief to customers."}
    after: Object = {"prompt": "You are a shop assistant.\nAlways be kind to customers."}

    assert said(before, after) == [
        "~ /prompt",
        "      You are a shop assistant.",
        "      Always be [-brief-]{+kind+} to customers.",
    ]
    marks = [span.mark for span in compared(before, after)[-1]]
    assert marks == [Mark.PLAIN, Mark.PLAIN, Mark.GONE, Mark.NEW, Mark.PLAIN]


def test_of_a_long_text_only_what_changed_is_shown_with_some_lines_around() -> None:
    lines = [f"line {number}" for number in range(100)]
    edited = [*lines[:50], "completely different", *lines[51:]]

    shown = said({"t": "\n".join(lines)}, {"t": "\n".join(edited)})

    assert shown == [
        "~ /t",
        "      ...",
        *(f"      line {number}" for number in range(50 - CONTEXT_LINES, 50)),
        "    - line 50",
        "    + completely different",
        *(f"      line {number}" for number in range(51, 51 + CONTEXT_LINES)),
        "      ...",
    ]


@given(st.text(max_size=200), st.text(max_size=200))
def test_the_words_of_both_texts_can_be_read_from_an_edited_line(old: str, new: str) -> None:
    prefix = "the same words are in front of both of these texts, and so they are edits of one line: "
    one, other = prefix + old.replace("\n", " "), prefix + new.replace("\n", " ")

    lines = compared({"t": one}, {"t": other})

    if len(lines) == 2 and re.match(r" {6}", lines[1][0].text):
        spans = lines[1][1:]
        assert "".join(_bare(s.text, s.mark) for s in spans if s.mark is not Mark.NEW) == one
        assert "".join(_bare(s.text, s.mark) for s in spans if s.mark is not Mark.GONE) == other


def _bare(text: str, mark: Mark) -> str:
    return text if mark is Mark.PLAIN else text[2:-2]
