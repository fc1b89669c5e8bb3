"""Documents and their histories can be read at any version."""

import pytest
from anabranch_hub.store import Edit, Store
from anabranch_sync.document import Object, digest
from anabranch_sync.ids import document_id

from tests.hub.store.replica import ROUTER, enrolled

pytestmark = pytest.mark.anyio

CONTENTS: list[Object | None] = [
    {"a": 1, "nested": {"b": [1, 2, 3]}},
    {"a": 1.0, "nested": {"b": [1, 3]}},
    None,
    {"\x00": "\x00", "": None, "/~": -0.0, "big": 2**63 - 1, "é": []},
    {"a": True},
]


async def test_every_version_can_be_read_again_exactly(store: Store, tenant: str) -> None:
    for content in CONTENTS:
        await store.write(tenant, [Edit(ROUTER, content)], author="op", message="")

    for version, content in enumerate(CONTENTS, 1):
        stored = await store.read_version(tenant, ROUTER, version)
        assert stored is not None
        assert repr(stored.content) == repr(None if content is None else dict(sorted(content.items())))
        assert (stored.version, stored.hub_seq) == (version, version)
        assert stored.digest == digest(ROUTER, content)
    assert await store.read_version(tenant, ROUTER, 0) is None
    assert await store.read_version(tenant, ROUTER, len(CONTENTS) + 1) is None
    assert await store.read_version(tenant, document_id("acme/none"), 1) is None


async def test_a_history_names_each_author_and_its_edge(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"a": 1})
    await replica.push()
    await store.write(tenant, [Edit(ROUTER, {"a": 2})], author="olga", message="two is better")

    second, first = await store.versions(tenant, ROUTER)

    assert (first.version, first.author, first.edge, first.dot.incarnation) == (
        1,
        "ada",
        "e1",
        replica.incarnation,
    )
    assert (second.author, second.message, second.edge) == ("olga", "two is better", "")
    assert second.patch == [{"op": "replace", "path": "/a", "value": 2}]
    assert second.inverse == [{"op": "replace", "path": "/a", "value": 1}]
    assert second.digest_before == first.digest_after
    assert [each.version for each in await store.versions(tenant, ROUTER, limit=1)] == [2]


async def test_documents_come_in_pages_and_by_namespace(store: Store, tenant: str) -> None:
    names = ["acme", "acme/dev", "acme/prod", "acme/prod/x", "acme/product", "zebra"]
    edits = [Edit(document_id(name, key), {"n": name}) for name in names for key in ("config", "z")]
    await store.write(tenant, edits, author="op", message="")
    await store.write(tenant, [Edit(document_id("acme/dev"), None)], author="op", message="")

    everything = await store.documents(tenant)
    below = await store.documents(tenant, prefix="acme/prod")
    page = await store.documents(tenant, limit=3)
    rest = await store.documents(tenant, after=str(page[-1].document))

    assert len(everything) == 11
    assert [str(each.document) for each in below] == [
        "acme/prod/config",
        "acme/prod/x/config",
        "acme/prod/x/z",
        "acme/prod/z",
    ]
    assert page + rest == everything
