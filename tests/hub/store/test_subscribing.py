"""What an edge asks for of its scope, at the store."""

import pytest
from anabranch_hub.errors import SubscriptionRefused
from anabranch_hub.store import Store
from anabranch_sync.errors import InvalidName
from anabranch_sync.scope import EVERYTHING, SCOPE_PREFIXES_MAX, Scope, scope

from tests.hub.store.conftest import Query
from tests.hub.store.replica import enrolled

pytestmark = pytest.mark.anyio

# Each of the one meets each of the other.
MANY = scope(tuple(f"acme/*/n{number}" for number in range(SCOPE_PREFIXES_MAX)))
OTHERS = scope(tuple(f"acme/m{number}" for number in range(SCOPE_PREFIXES_MAX)))


async def asks(store: Store, tenant: str, incarnation: int, wanted: Scope | None) -> None:
    await store.open_replica(tenant, "shop", incarnation, wanted=wanted)


async def test_who_says_nothing_keeps_what_was_asked_for(store: Store, tenant: str, query: Query) -> None:
    # given
    shop = await enrolled(store, tenant, "shop")
    wanted = scope(("acme/prod",))

    # when
    for each in (wanted, wanted, None):
        await asks(store, tenant, shop.incarnation, each)

    # then it was logged once
    known = await store.edge(tenant, "shop")
    assert (known.subscription, known.replicates, known.scope) == (wanted, wanted, scope(("acme",)))
    assert len(query("SELECT FROM former_scopes")) == 1
    await asks(store, tenant, shop.incarnation, EVERYTHING)
    assert (await store.edge(tenant, "shop")).replicates == scope(("acme",))


async def test_a_subscription_that_takes_too_many_prefixes_is_refused(store: Store, tenant: str) -> None:
    # given
    shop = await enrolled(store, tenant, "shop", MANY.prefixes)

    # when, then
    with pytest.raises(SubscriptionRefused, match="more than 64 prefixes"):
        await asks(store, tenant, shop.incarnation, OTHERS)
    assert (await store.edge(tenant, "shop")).subscription == EVERYTHING


async def test_a_scope_that_takes_too_many_prefixes_with_what_is_asked_for_is_refused(
    store: Store, tenant: str
) -> None:
    # given
    shop = await enrolled(store, tenant, "shop")
    await asks(store, tenant, shop.incarnation, OTHERS)

    # when, then
    with pytest.raises(
        InvalidName, match=r"with what the edge asks for of it \(acme/m0, acme/m1, acme/m10, "
    ):
        await store.rescope(tenant, "shop", MANY.prefixes, author="ops")
    assert (await store.edge(tenant, "shop")).scope == scope(("acme",))
