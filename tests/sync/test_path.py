"""Paths: RFC 6901 pointers, both ways."""

import pytest
from anabranch_sync.errors import InvalidPath
from anabranch_sync.path import ROOT, Path, parse_pointer, render_pointer
from anabranch_sync.value import DEPTH_MAX
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.strategies import texts

# RFC 6901, section 5, and what people type.
POINTERS: list[tuple[str, Path]] = [
    ("", ROOT), ("/foo", ("foo",)), ("/foo/0", ("foo", "0")), ("/", ("",)), ("//", ("", "")),
    ("/a~1b", ("a/b",)), ("/c%d", ("c%d",)), ("/e^f", ("e^f",)), ("/g|h", ("g|h",)), ("/i\\j", ("i\\j",)),
    ('/k"l', ('k"l',)), ("/ ", (" ",)), ("/m~0n", ("m~n",)), ("/~01", ("~1",)), ("/~10", ("/0",)),
    ("/..", ("..",)), ("/é/😀", ("é", "😀")), ("/a/", ("a", "")), ("/-", ("-",)),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "path"), POINTERS)
def test_a_pointer_is_read_and_written_as_the_rfc_says(pointer: str, path: Path) -> None:
    assert parse_pointer(pointer) == path
    assert render_pointer(path) == pointer


@given(st.lists(texts, max_size=DEPTH_MAX).map(tuple))
def test_every_path_survives_its_pointer(path: Path) -> None:
    assert parse_pointer(render_pointer(path)) == path


@given(st.text())
def test_any_text_is_a_pointer_or_refused(pointer: str) -> None:
    try:
        path = parse_pointer(pointer)
    except InvalidPath:
        return
    assert render_pointer(path) == pointer


@pytest.mark.parametrize("pointer", ["a", "a/b", "#/a", " /a", "~", "/~", "/~2", "/a~", "/a~b", "/~~0"])
def test_a_malformed_pointer_is_refused_with_the_way_out(pointer: str) -> None:
    with pytest.raises(InvalidPath, match="must") as refused:
        parse_pointer(pointer)

    assert refused.value.pointer == pointer


def test_a_path_may_be_as_deep_as_a_value_and_no_deeper() -> None:
    assert len(parse_pointer("/a" * DEPTH_MAX)) == DEPTH_MAX
    with pytest.raises(InvalidPath, match="depth 65, limit 64"):
        parse_pointer("/a" * 65)


@pytest.mark.parametrize("pointer", ["/\ud800", "/a/b\udc80c"])
def test_a_lone_surrogate_is_refused_as_in_values(pointer: str) -> None:
    with pytest.raises(InvalidPath, match="lone surrogate") as refused:
        parse_pointer(pointer)

    str(refused.value).encode()  # can be printed


def test_a_long_or_unprintable_pointer_is_shown_in_one_short_line() -> None:
    with pytest.raises(InvalidPath) as refused:
        parse_pointer("x\n" * 10_000)

    assert len(str(refused.value)) < 250
    assert "\n" not in str(refused.value)
