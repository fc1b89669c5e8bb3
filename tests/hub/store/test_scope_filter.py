"""What Postgres finds in a scope is what the core says is in it."""

import secrets
from itertools import product

import pytest
from anabranch_hub.store import Edit, Store
from anabranch_sync.ids import document_id
from anabranch_sync.messages import PROTOCOL_MAX
from anabranch_sync.pull import Pull
from anabranch_sync.scope import scope
from hypothesis import HealthCheck, given, settings

from tests.hub.store.replica import enrolled
from tests.sync.strategies import prefix_lists

pytestmark = pytest.mark.anyio

# Where LIKE and regular expressions have signs of their own, and where a name ends in another.
NAMES = ("acme", "prod", "pro", "v1.2", "v1x2", "a_b", "axb", "global")
DOCUMENTS = [
    document_id("/".join(namespace), key)
    for depth in (1, 2, 3)
    for namespace in product(NAMES[: 10 - 2 * depth], repeat=depth)
    for key in ("config", "prod")
]


@pytest.fixture
async def filled(store: Store, tenant: str) -> str:
    """A tenant with all of DOCUMENTS."""
    await store.write(tenant, [Edit(each, {"a": 1}) for each in DOCUMENTS], author="ada", message="")
    return tenant


@given(prefixes=prefix_lists)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_postgres_finds_in_any_scope_what_the_core_says_is_in_it(
    store: Store, filled: str, prefixes: list[str]
) -> None:
    # given
    given_scope = scope(tuple(prefixes))

    # when
    surveyed = await store.survey(filled, given_scope)
    _, digest = await store.digest(filled, given_scope)

    # then
    inside = {each for each in DOCUMENTS if given_scope.reads(each)}
    assert surveyed.digests.keys() == inside
    assert digest.count == len(inside)


@given(prefixes=prefix_lists, former=prefix_lists)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_what_enters_any_scope_is_what_was_not_in_the_former_one(
    store: Store, filled: str, prefixes: list[str], former: list[str]
) -> None:
    # given an edge that had the former scope, and has it all
    edge = f"edge-{secrets.token_hex(4)}"
    replica = await enrolled(store, filled, edge, tuple(former))
    await replica.pull(always=True)
    had, wanted = scope(tuple(former)), scope(tuple(prefixes))
    await store.rescope(filled, edge, wanted.prefixes, author="ada")

    # when
    pull = await store.draw(
        *(filled, edge, replica.incarnation, replica.cursor),
        always=False,
        replaced=frozenset(),
        protocol=PROTOCOL_MAX,
        held=had.fingerprint,
    )

    # then
    entering = {each for each in DOCUMENTS if wanted.reads(each) and not had.reads(each)}
    if had == wanted:
        assert pull is None
    else:
        assert isinstance(pull, Pull)
        assert pull.replaced == entering
