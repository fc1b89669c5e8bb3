"""Names: one grammar each, checked once."""

import pytest
from anabranch_sync.change import Change, Op, decode, entry
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import (
    AUTHOR_CHARS_MAX,
    MESSAGE_CHARS_MAX,
    OPERATOR_LAYERS,
    SEGMENT_CHARS_MAX,
    START,
    Cursor,
    DocumentId,
    Dot,
    check_author,
    check_edge,
    check_message,
    check_tenant,
    check_told,
    document_id,
)
from anabranch_sync.push_body import decode_entries, encode_entries
from anabranch_sync.register import Slot
from hypothesis import given
from hypothesis import strategies as st

# Names that have broken file systems, URLs, SQL, shells and logs.
REFUSED = [
    "", ".", "..", "...", ".hidden", "trailing.", "-option", "a b", " a", "a ", "a\n", "a\x00", "\x00",
    "\x1b[31m", "a\tb", "a\r", "a\\b", "%2e%2e", "%2e", "a%00", "a:b", "a;b", "a'b", 'a"b', "a`b", "$(x)",
    "a|b", "a*b", "a?b", "<a>", "~", "~root", "\u00e9", "\u0430", "a\u200b", "\u202ea", "\uff21", "\uff11",
    "\ud800", "a" * (SEGMENT_CHARS_MAX + 1), "a" * 10_240,
]  # fmt: skip
# Windows devices are ordinary names here: no name becomes a file of its own.
ACCEPTED = [
    "a", "A", "0", "_", "a.b", "a..b", "a-b", "a_", "a-", "_x", "CON", "nul", "a" * SEGMENT_CHARS_MAX, "v1.2",
]  # fmt: skip


def _shown(name: object) -> str:
    return ascii(name)[:40]


@pytest.mark.parametrize("name", ACCEPTED, ids=_shown)
def test_an_ordinary_name_is_kept_as_it_is(name: str) -> None:
    assert document_id(f"acme/{name}", name) == DocumentId(f"acme/{name}", name)
    assert check_edge(name) == name


@pytest.mark.parametrize("name", REFUSED, ids=_shown)
def test_a_dangerous_name_is_refused_wherever_it_stands(name: str) -> None:
    for namespace, key in [
        (name, "config"),
        (f"acme/{name}", "config"),
        (f"{name}/acme", "a"),
        ("acme", name),
    ]:
        with pytest.raises(InvalidName) as refused:
            document_id(namespace, key)
        assert len(str(refused.value)) < 350
        assert str(refused.value).isprintable()
    with pytest.raises(InvalidName):
        check_edge(name)


@pytest.mark.parametrize(
    "namespace", ["/", "/a", "a/", "a//b", "a/../b", "../a", "a/..", "a/./b", "a/b/c/d/e/f/g/h/i"]
)
def test_a_namespace_is_1_to_8_segments(namespace: str) -> None:
    with pytest.raises(InvalidName):
        document_id(namespace)


def test_a_key_is_one_segment_and_config_by_default() -> None:
    assert document_id("acme/prod").key == "config"
    with pytest.raises(InvalidName, match="key"):
        document_id("acme", "a/b")


def test_the_deepest_namespace_is_accepted() -> None:
    assert str(document_id("a/b/c/d/e/f/g/h", "k")) == "a/b/c/d/e/f/g/h/k"


@given(st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_a_name_or_refused_and_a_name_survives_its_text(namespace: str, key: str) -> None:
    try:
        document = document_id(namespace, key)
    except InvalidName:
        return
    namespace_again, _, key_again = str(document).rpartition("/")
    assert document_id(namespace_again, key_again) == document


@pytest.mark.parametrize("name", ["a", "acme", "a-1", "a" * 40])
def test_a_tenant_may_be_named_like_a_host(name: str) -> None:
    assert check_tenant(name) == name


@pytest.mark.parametrize("name", [*OPERATOR_LAYERS, "", "A", "1a", "-a", "a-", "a_b", "a.b", "a" * 41, "a\n"])
def test_a_tenant_is_not_named_like_a_layer_nor_in_other_letters(name: str) -> None:
    with pytest.raises(InvalidName, match="tenant"):
        check_tenant(name)


@pytest.mark.parametrize("text", ["", "Ada Lovelace <ada@example.org>", "Zoë 😀", "a/b'c\"d"])
def test_authors_and_messages_are_free_text(text: str) -> None:
    assert check_author(text) == text
    assert check_message(text) == text


@pytest.mark.parametrize(
    "text", ["a\nb", "a\rb", "\x1b[31m", "a\x00", "\u2028", "\ud800", "\u202eabc", "a\tb"]
)
def test_authors_and_messages_fit_one_line_of_a_log(text: str) -> None:
    for checked in (check_author, check_message):
        with pytest.raises(InvalidName, match="line of a log"):
            checked(text)


# The first has no meaning in any release of Unicode yet, the second one that Python 3.11 does not know.
@pytest.mark.parametrize("text", ["\u0378", "Zoë \U0001fae8"])
def test_what_a_newer_python_takes_for_printable_is_no_damage_to_an_older_one(text: str) -> None:
    change = Change(1 << 20, Cursor(1, 7), text, text, (Op(document_id("acme"), Slot(("a",)), 1),))
    recorded = entry(Dot(3, 1), change)

    assert decode(recorded.body) == change
    assert decode_entries(encode_entries([recorded])) == [recorded]


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\u2028", "\u202eabc"])
def test_what_nobody_lets_be_written_is_not_believed_either(text: str) -> None:
    with pytest.raises(InvalidName, match="line of a log"):
        check_told("ada", text)


def test_authors_and_messages_are_bounded() -> None:
    assert check_author("a" * AUTHOR_CHARS_MAX)
    assert check_message("a" * MESSAGE_CHARS_MAX)
    with pytest.raises(InvalidName, match="321 characters, limit 320"):
        check_author("a" * (AUTHOR_CHARS_MAX + 1))
    with pytest.raises(InvalidName, match="1001 characters, limit 1000"):
        check_message("a" * (MESSAGE_CHARS_MAX + 1))


def test_a_cursor_of_a_later_epoch_is_later_and_the_start_is_first() -> None:
    assert START < Cursor(1, 0) < Cursor(1, 5) < Cursor(2, 1)


def test_dots_of_one_incarnation_are_in_the_order_of_writing() -> None:
    assert Dot(3, 9) < Dot(3, 10)
    assert str(Dot(3, 10)) == "3:10"
