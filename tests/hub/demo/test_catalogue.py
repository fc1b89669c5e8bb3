"""The real catalogue as documents: safe addresses, exact prices, the same each time."""

import json
import re
from decimal import Decimal
from itertools import islice

import pytest
from anabranch_hub.demo.catalogue import (
    ADDRESSES,
    ENVIRONMENTS,
    KEY_CHARS_MAX,
    CatalogueDocument,
    documents,
    keys,
)
from anabranch_sync import value
from anabranch_sync.ids import document_id
from genai_prices import data
from hypothesis import given
from hypothesis import strategies as st

CONTENT_BYTES_MAX = 8_192


@pytest.fixture(scope="module")
def catalogue() -> list[CatalogueDocument]:
    return list(documents("acme"))


def size(document: CatalogueDocument) -> int:
    return len(json.dumps(document.content, separators=(",", ":")).encode())


def found(catalogue: list[CatalogueDocument], provider: str, key: str) -> CatalogueDocument:
    namespace = f"acme/prod/router/{provider}"
    return next(one for one in catalogue if (one.namespace, one.key) == (namespace, key))


def test_every_model_and_every_provider_is_one_document(catalogue: list[CatalogueDocument]) -> None:
    models = sum(len(provider.models) for provider in data.providers)

    assert len(catalogue) == models + len(data.providers)
    assert len(catalogue) >= 2_000


def test_every_address_is_unique_and_safe(catalogue: list[CatalogueDocument]) -> None:
    addresses = {(one.namespace, one.key) for one in catalogue}

    assert len(addresses) == len(catalogue)
    for one in catalogue:
        document_id(one.namespace, one.key)
        assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]*", one.key)
        assert ".." not in one.key


def test_every_content_is_json_that_a_replica_keeps_exactly(catalogue: list[CatalogueDocument]) -> None:
    for one in catalogue:
        assert value.check(one.content) == one.content
        assert json.loads(json.dumps(one.content)) == one.content


def test_contents_are_of_the_size_of_real_configuration(catalogue: list[CatalogueDocument]) -> None:
    sizes = sorted(map(size, catalogue))

    assert sizes[-1] <= CONTENT_BYTES_MAX
    assert 1_000 <= sum(sizes) / len(sizes) <= 3_000
    assert sum(one < 500 for one in sizes) < len(sizes) / 100


def test_the_same_catalogue_gives_the_same_documents(catalogue: list[CatalogueDocument]) -> None:
    assert list(documents("acme")) == catalogue


def test_tenants_differ_in_the_address_alone(catalogue: list[CatalogueDocument]) -> None:
    for ours, theirs in islice(zip(catalogue, documents("globex"), strict=True), 200):
        assert theirs.namespace == ours.namespace.replace("acme/", "globex/", 1)
        assert (theirs.key, theirs.content) == (ours.key, ours.content)


@pytest.mark.parametrize("count", [0, 1, 47, 1_000, 2_377, 2_378, 5_000])
def test_as_many_documents_as_asked_for_all_different(count: int) -> None:
    chosen = list(documents("acme", count))

    assert len({(one.namespace, one.key) for one in chosen}) == len(chosen) == count


def test_a_part_is_spread_over_all_providers() -> None:
    namespaces = {one.namespace for one in documents("acme", 1_000)}

    assert len(namespaces) >= len(data.providers) * 3 // 4


def test_more_than_production_has_is_found_in_the_other_environments(
    catalogue: list[CatalogueDocument],
) -> None:
    everything = list(documents("acme", len(catalogue) * len(ENVIRONMENTS)))

    assert {one.namespace.split("/")[1] for one in everything} == set(ENVIRONMENTS)
    assert {one.namespace.split("/")[1] for one in catalogue} == {"prod"}


@pytest.mark.parametrize("count", [-1, 1_000_000])
def test_a_count_that_the_catalogue_does_not_hold_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} catalogue documents wanted, 0 to"):
        next(documents("acme", count))


def test_a_price_is_the_catalogues_own_in_micro_dollars(catalogue: list[CatalogueDocument]) -> None:
    provider = next(one for one in data.providers if one.id == "anthropic")
    model = next(one for one in provider.models if one.id == "claude-3-7-sonnet-latest")
    content = found(catalogue, provider.id, model.id).content

    pricing = content["pricing"]
    assert isinstance(pricing, dict)
    schedule = pricing["schedule"]
    assert isinstance(schedule, list)
    (only,) = schedule
    assert isinstance(only, dict)
    prices = only["prices"]
    assert isinstance(prices, dict)
    assert prices["input_mtok"] == 3_000_000
    assert prices["output_mtok"] == 15_000_000
    assert content["description"] == model.description
    assert content["context_window_tokens"] == model.context_window


def test_no_price_is_rounded(catalogue: list[CatalogueDocument]) -> None:
    exact = {
        Decimal(price)
        for provider in data.providers
        for model in provider.models
        if not isinstance(model.prices, list)
        for price in vars(model.prices).values()
        if isinstance(price, Decimal)
    }
    kept = {Decimal(one) / 1_000_000 for one in numbers_of(catalogue)}

    assert exact <= kept


def numbers_of(catalogue: list[CatalogueDocument]) -> set[str]:
    def prices(content: value.Json, inside: bool) -> set[str]:
        match content:
            case dict():
                return set().union(
                    *(prices(part, inside or name == "prices") for name, part in content.items())
                )
            case list():
                return set().union(*(prices(part, inside) for part in content))
            case int() | str() if inside:
                return {str(content)}
        return set()

    return set().union(*(prices(one.content, False) for one in catalogue))


def test_every_provider_has_an_address_that_its_own_pattern_accepts(
    catalogue: list[CatalogueDocument],
) -> None:
    for provider in data.providers:
        endpoint = found(catalogue, provider.id, "config").content["endpoint"]
        assert isinstance(endpoint, dict)
        assert isinstance(endpoint["url"], str), f"{provider.id}: add its address"
        assert re.match(provider.api_pattern, endpoint["url"])


def test_no_address_is_kept_for_a_provider_that_is_gone() -> None:
    assert set(ADDRESSES) <= {provider.id for provider in data.providers}


def test_failover_names_documents_that_exist(catalogue: list[CatalogueDocument]) -> None:
    known = {(provider.id, model.id) for provider in data.providers for model in provider.models}
    named = 0
    for one in catalogue:
        routing = one.content["routing"]
        assert isinstance(routing, dict)
        failover = routing.get("failover", [])
        assert isinstance(failover, list)
        for other in failover:
            assert isinstance(other, dict)
            assert (other["provider"], other["model"]) in known
            assert other["provider"] != one.namespace.rpartition("/")[2]
            named += 1
    assert named > 1_000


def test_other_environments_have_smaller_limits() -> None:
    staging = next(
        one
        for one in documents("acme", 4_754)
        if one.namespace.startswith("acme/staging/") and one.key != "config"
    )

    limits = staging.content["limits"]
    assert isinstance(limits, dict)
    assert limits["requests_per_minute"] == 150


def test_colliding_ids_all_get_a_fingerprint_and_the_others_none() -> None:
    chosen = keys(["meta/llama", "Meta/Llama", "mistral", "config"])

    assert chosen[2] == "mistral"
    assert re.fullmatch(r"meta-llama-[0-9a-f]{8}", chosen[0])
    assert re.fullmatch(r"meta-llama-[0-9a-f]{8}", chosen[1])
    assert re.fullmatch(r"config-[0-9a-f]{8}", chosen[3])
    assert len(set(chosen)) == 4
    assert keys(["config", "Meta/Llama", "mistral", "meta/llama"]) == [
        chosen[3],
        chosen[1],
        "mistral",
        chosen[0],
    ]


@given(st.lists(st.text(), unique=True, max_size=20))
def test_whatever_a_model_is_called_its_key_is_safe_and_its_own(model_ids: list[str]) -> None:
    chosen = keys(model_ids)

    assert len(set(chosen)) == len(model_ids)
    for key in chosen:
        document_id("acme", key)
        assert len(key) <= KEY_CHARS_MAX + 9
