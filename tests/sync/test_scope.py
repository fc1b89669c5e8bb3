"""Scopes: whole segments, and the operators' layers for reading only."""

import pytest
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import OPERATOR_LAYERS, document_id
from anabranch_sync.scope import SCOPE_PREFIXES_MAX, scope
from hypothesis import given
from hypothesis import strategies as st


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


@pytest.mark.parametrize("prefix", ["", "/", "acme/", "acme/..", "*", "acme/*"])
def test_a_prefix_is_a_namespace(prefix: str) -> None:
    with pytest.raises(InvalidName):
        scope((prefix,))


def test_a_scope_has_a_limit() -> None:
    prefixes = tuple(f"acme/n{number}" for number in range(SCOPE_PREFIXES_MAX))
    assert len(scope(prefixes).prefixes) == SCOPE_PREFIXES_MAX

    with pytest.raises(InvalidName, match="65 prefixes, limit 64"):
        scope((*prefixes, "acme/more"))
