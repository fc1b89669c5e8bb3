"""Scopes: whole segments, and the operators' layers for reading only."""

import pytest
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import OPERATOR_LAYERS, DocumentId, document_id
from anabranch_sync.scope import EVERYTHING, SCOPE_PREFIXES_MAX, Scope, scope, told_scope
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.strategies import addresses, prefix_lists


@pytest.mark.parametrize("namespace", ["acme/prod", "acme/prod/router", "acme/prod/router/eu"])
def test_a_scope_covers_what_lies_at_or_below_its_prefixes(namespace: str) -> None:
    document = document_id(namespace)

    assert scope(("acme/prod",)).writes(document)
    assert scope(("acme/prod",)).reads(document)
    assert scope(("acme",)).writes(document)


@pytest.mark.parametrize(
    "namespace", ["acme", "acme/product", "acme/prod2/router", "other/acme/prod", "acme/pro"]
)
def test_a_scope_ends_at_whole_segments(namespace: str) -> None:
    document = document_id(namespace)

    assert not scope(("acme/prod",)).reads(document)
    assert not scope(("acme/prod",)).writes(document)


@pytest.mark.parametrize("layer", OPERATOR_LAYERS)
def test_the_operators_layers_are_read_by_all_and_written_by_no_edge(layer: str) -> None:
    for namespace in (layer, f"{layer}/schemas"):
        document = document_id(namespace)
        for prefixes in (("acme",), (layer,), (f"{layer}/schemas",), ()):
            assert scope(prefixes).reads(document)
            assert not scope(prefixes).writes(document)
    assert not scope(("acme",)).reads(document_id(f"{layer}2"))


def test_no_prefix_covers_nothing_of_one_s_own() -> None:
    assert not scope(()).reads(document_id("acme"))


@given(st.lists(st.sampled_from(["acme", "acme/prod", "b", "b/c"]), max_size=5))
def test_a_fingerprint_depends_on_which_prefixes_and_not_on_their_order(prefixes: list[str]) -> None:
    forward, backward = scope(tuple(prefixes)), scope(tuple(reversed(prefixes)))

    assert forward == backward
    assert forward.fingerprint == backward.fingerprint
    assert forward.fingerprint != scope((*prefixes, "z")).fingerprint


@pytest.mark.parametrize(
    "prefix", ["", "/", "acme/", "acme/..", "acme//*", "/*", "acme/**", "acme/pr*", "*/" * 8 + "*"]
)
def test_a_prefix_is_made_of_names_and_stars(prefix: str) -> None:
    for read in (scope, told_scope):
        with pytest.raises(InvalidName, match="scope"):
            read((prefix,))


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        (
            "acme/*/router",
            ["acme/prod/router", "acme/dev/router/eu"],
            ["acme/router", "acme/prod/eu/router", "acme/prod/routers", "acme/prod", "b/prod/router"],
        ),
        ("acme/prod/*", ["acme/prod/router", "acme/prod/router/eu"], ["acme/prod", "acme/product/router"]),
        ("*", ["acme", "b/c"], []),
        ("*/*/router", ["acme/prod/router", "b/c/router"], ["acme/router", "router"]),
    ],
)
def test_a_star_stands_for_one_segment_of_any_name(
    prefix: str, inside: list[str], outside: list[str]
) -> None:
    given = scope((prefix,))

    assert all(given.writes(document_id(each)) and given.reads(document_id(each)) for each in inside)
    assert not any(given.reads(document_id(each)) for each in outside)
    assert not any(given.writes(document_id(layer)) for layer in OPERATOR_LAYERS)


@given(prefix_lists)
def test_a_scope_says_nothing_twice(prefixes: list[str]) -> None:
    kept = scope(tuple(prefixes)).prefixes

    assert list(kept) == sorted(kept)
    assert set(kept) <= set(prefixes)
    assert scope(kept).prefixes == kept
    for each in kept:
        others = scope(tuple(other for other in kept if other != each))
        one_below = document_id(each.replace("*", "elsewhere"))
        assert not others.writes(one_below), "then it was needed"


@given(prefix_lists, addresses)
def test_a_scope_without_repeats_covers_what_each_of_its_prefixes_covers(
    prefixes: list[str], document: DocumentId
) -> None:
    alone = [Scope((prefix,)).reads(document) for prefix in prefixes]

    assert scope(tuple(prefixes)).reads(document) is (any(alone) or Scope(()).reads(document))


@given(prefix_lists, prefix_lists, addresses)
def test_what_two_scopes_both_cover_is_what_each_covers(
    granted: list[str], wanted: list[str], document: DocumentId
) -> None:
    one, other = scope(tuple(granted)), scope(tuple(wanted))

    assert one.narrowed(other).writes(document) is (one.writes(document) and other.writes(document))
    assert one.narrowed(other) == other.narrowed(one) or EVERYTHING in (one, other)
    assert one.narrowed(EVERYTHING) is one


def test_two_scopes_may_take_too_many_prefixes_together() -> None:
    ones = scope(tuple(f"acme/*/n{number}" for number in range(SCOPE_PREFIXES_MAX)))
    others = scope(tuple(f"acme/m{number}" for number in range(SCOPE_PREFIXES_MAX)))

    with pytest.raises(InvalidName, match="more than 64"):
        ones.narrowed(others)


def test_a_scope_that_was_told_stays_as_it_was_named() -> None:
    named = ("acme", "acme/prod")

    assert told_scope(named).prefixes == named
    assert scope(named).prefixes == ("acme",)
    with pytest.raises(InvalidName, match="more than 64"):
        told_scope(tuple(f"acme/n{number}" for number in range(SCOPE_PREFIXES_MAX + 1)))


def test_a_scope_has_a_limit() -> None:
    prefixes = tuple(f"acme/n{number}" for number in range(SCOPE_PREFIXES_MAX))
    assert len(scope(prefixes).prefixes) == SCOPE_PREFIXES_MAX

    with pytest.raises(InvalidName, match="more than 64 prefixes"):
        scope((*prefixes, "acme/more"))
