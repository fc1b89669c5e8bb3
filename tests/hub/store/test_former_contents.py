"""What stood at a position is told by the versions since, or not at all."""

from unittest.mock import patch

import pytest
from anabranch_hub.store import Edit, Store, former_contents
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.messages import LIVE_PROTOCOL
from anabranch_sync.pull import Pull
from anabranch_sync.revision import Contents, Wanted
from anabranch_sync.scope import Scope

from tests.hub.store.conftest import Query
from tests.hub.store.replica import enrolled

pytestmark = pytest.mark.anyio

ROUTER, OTHER = document_id("acme/prod", "router"), document_id("beta/prod", "router")
SCOPE = Scope(("acme",))


async def write(store: Store, tenant: str, *contents: Object | None) -> None:
    for content in contents:
        await store.write(tenant, [Edit(ROUTER, content)], author="op", message="")


async def stood(store: Store, tenant: str, after: int, document: DocumentId = ROUTER) -> Contents:
    return await store.contents(tenant, SCOPE, Wanted(after, (document,)))


async def test_a_document_at_a_position_is_found_whatever_became_of_it(store: Store, tenant: str) -> None:
    contents: list[Object | None] = [
        {"texts": {"prompt": "the first one"}},
        {"texts": {"prompt": "the second"}, "a": 1},
        {"texts": {"greeting": "hello"}},
        {"texts": {"prompt": ["no text"]}},
        {"texts": {"prompt": "the last of all", "list": [{"a": 1}, 2, {"b": [3]}]}},
        {"texts": {"prompt": "the last of all", "list": [{"a": 2}, {"b": [3, 4]}]}},
        {"texts": {"prompt": "the last of all", "list": [0, {"a": 2}, 5, {"b": [4]}, 6.0]}},
        None,
        {"z": 1, "a": 1e300},
    ]
    await write(store, tenant, *contents)

    found = [(await stood(store, tenant, after)).get(ROUTER) for after in range(1, len(contents) + 1)]

    assert found == contents


async def test_of_a_document_that_came_later_nothing_is_known(store: Store, tenant: str) -> None:
    await store.write(tenant, [Edit(document_id("acme/prod", "first"), {"a": 1})], author="op", message="")
    await write(store, tenant, {"texts": {"prompt": "here"}}, {"texts": {"prompt": "there"}})

    assert await stood(store, tenant, 1) == {}


async def test_of_what_was_folded_nothing_is_known(store: Store, tenant: str, query: Query) -> None:
    contents: list[Object | None] = [{"texts": {"prompt": f"number {count}"}} for count in range(4)]
    await write(store, tenant, *contents)
    query("UPDATE versions SET patch = NULL, inverse = NULL WHERE version <= 2 RETURNING version")

    assert await stood(store, tenant, 1) == {}
    assert await stood(store, tenant, 2) == {ROUTER: contents[1]}


async def test_of_patches_that_do_not_lead_to_what_was_nothing_is_known(
    store: Store, tenant: str, query: Query
) -> None:
    await write(store, tenant, {"a": 1}, {"a": 2}, {"a": 3})
    query("UPDATE versions SET inverse = replace(inverse::text, '1', '7')::json RETURNING version")

    assert await stood(store, tenant, 1) == {}
    assert await stood(store, tenant, 2) == {ROUTER: {"a": 2}}


async def test_of_more_versions_than_are_read_nothing_is_known(store: Store, tenant: str) -> None:
    await write(store, tenant, {"texts": {"prompt": "number 1"}}, {"texts": {"prompt": "number 2"}})

    with patch.object(former_contents, "VERSIONS_READ_MAX", 0):
        assert await stood(store, tenant, 1) == {}
        assert await stood(store, tenant, 2) == {ROUTER: {"texts": {"prompt": "number 2"}}}


async def test_of_a_document_whose_patches_are_too_much_to_read_nothing_is_known(
    store: Store, tenant: str
) -> None:
    long = "x" * 1_000
    contents: list[Object | None] = [{"texts": {"prompt": f"{number} {long}"}} for number in range(3)]
    await write(store, tenant, *contents)

    with patch.object(former_contents, "PATCHES_BYTES_MAX", 1_500):
        assert await stood(store, tenant, 1) == {}
        assert await stood(store, tenant, 2) == {ROUTER: contents[1]}


async def test_nothing_is_told_of_documents_outside_the_scope(store: Store, tenant: str) -> None:
    await store.write(tenant, [Edit(OTHER, {"secret": "a text of others"})], author="op", message="")

    assert await stood(store, tenant, 1, OTHER) == {}


async def test_a_pull_brings_the_documents_that_the_replica_has(store: Store, tenant: str) -> None:
    await write(store, tenant, {"texts": {"prompt": "the first one"}, "a": 1})
    replica = await enrolled(store, tenant, "shop")
    await replica.pull()
    await write(store, tenant, {"texts": {"prompt": "the second one"}, "a": 2})
    at = (tenant, replica.edge, replica.incarnation, replica.cursor)

    drawn = await store.draw(*at, always=True, protocol=LIVE_PROTOCOL)
    before = await store.draw(*at, always=True, protocol=LIVE_PROTOCOL - 1)

    assert isinstance(drawn, Pull)
    assert drawn.before == {ROUTER: {"texts": {"prompt": "the first one"}, "a": 1}}
    assert isinstance(before, Pull)
    assert before.before == {}
