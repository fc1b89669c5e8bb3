"""Head and live: what merges into an invalid whole waits for repair; readers go on with what was valid."""

import secrets
from dataclasses import dataclass

import pytest
from anabranch_hub.store import Edit, Store
from anabranch_sync.document import Object
from anabranch_sync.errors import Invalid, InvalidValue
from anabranch_sync.ids import START, document_id
from anabranch_sync.policy import policies_from
from anabranch_sync.pull import Outcome
from anabranch_sync.value import Json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.store.conftest import Query
from tests.hub.store.replica import NOON_MS, ROUTER, Replica, enrolled

pytestmark = pytest.mark.anyio

SCHEMA = document_id("system/schemas", "router")
RULED: Object = {
    "namespaces": ["acme/*"],
    "schema": {"properties": {"min": {"type": "integer"}, "max": {"type": "integer", "maximum": 600}}},
    "rules": [{"name": "min below max", "require": ["/min", "<=", "/max"]}],
}


async def operated(store: Store, tenant: str, content: Object | None, *, schema: bool = False) -> None:
    document = SCHEMA if schema else ROUTER
    await store.write(tenant, [Edit(document, content)], author="op", message="")


@pytest.fixture
async def edges(store: Store, tenant: str) -> tuple[Replica, Replica]:
    """Two edges that have the schema and a valid document."""
    await operated(store, tenant, RULED, schema=True)
    await operated(store, tenant, {"min": 1, "max": 9})
    one, other = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    await one.pull()
    await other.pull()
    return one, other


async def quarantined(one: Replica, other: Replica) -> None:
    """Two changes, each valid by itself, that merge into min 8 over max 5."""
    one.put(ROUTER, {**one.contents[ROUTER], "min": 8})
    other.put(ROUTER, {**other.contents[ROUTER], "max": 5})
    await one.push()
    await other.push()
    await one.pull()
    await other.pull()


async def test_two_valid_changes_that_merge_into_an_invalid_whole_leave_live_as_it_was(
    store: Store, tenant: str, edges: tuple[Replica, Replica], query: Query
) -> None:
    # when
    await quarantined(*edges)
    # then
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.head) == ({"min": 8, "max": 9}, {"min": 8, "max": 5})
    assert stored.quarantine is not None
    assert (stored.quarantine.live_version, stored.version, stored.quarantine.since) == (2, 3, 4)
    [violation] = stored.quarantine.violations
    assert (violation.rule, violation.place) == ("min below max", "/min")
    [(outcome, reason)] = query("SELECT outcome, reason FROM changes WHERE hub_seq = 4")
    assert outcome == Outcome.MERGED
    assert "min below max" in str(reason)


async def test_every_edge_reads_live_while_heads_converge(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # when
    await quarantined(*edges)
    # then
    late = await enrolled(store, tenant, "late")
    await late.pull()
    for replica in (*edges, late):
        assert replica.contents[ROUTER] == {"min": 8, "max": 5}
        assert replica.read(ROUTER) == {"min": 8, "max": 9}


async def test_a_quarantined_document_holds_up_nothing_behind_it(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given
    one, other = edges
    await quarantined(one, other)
    # when
    one.put(document_id("acme/prod/other"), {"a": 1})
    one.put(ROUTER, {"min": 8, "max": 5, "name": "x"})  # breaks nothing that is not broken
    await one.push()
    await one.pull()
    # then
    assert one.outbox == []
    assert one.read(document_id("acme/prod/other")) == {"a": 1}
    assert one.read(ROUTER) == {"min": 8, "max": 9}


async def test_the_ledger_says_which_conflict_led_into_quarantine(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given: both move min, the later write wins it, and the other one moved max too
    one, other = edges
    one.put(ROUTER, {"min": 8, "max": 9}, now_ms=NOON_MS + 1)
    other.put(ROUTER, {"min": 4, "max": 5}, now_ms=NOON_MS)
    # when
    await one.push()
    await other.push()
    # then
    [row] = await store.merges(tenant)
    assert [each.value for each in row.candidates] == [8, 4]
    assert row.quarantined


async def test_an_operators_repair_releases_it_everywhere(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given
    await quarantined(*edges)
    # when
    await operated(store, tenant, {"min": 4, "max": 5})
    for replica in edges:
        await replica.pull()
    # then
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.quarantine) == ({"min": 4, "max": 5}, None)
    for replica in edges:
        assert replica.quarantined == {}
        assert replica.read(ROUTER) == {"min": 4, "max": 5}


async def test_an_edges_own_repair_releases_it_though_nothing_comes_back_but_its_position(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given
    one, other = edges
    await quarantined(one, other)
    # when
    one.put(ROUTER, {"min": 3, "max": 5})
    await one.push()
    pull = await one.pull()
    await other.pull()
    # then
    assert pull is not None
    assert pull.documents == {}
    assert one.read(ROUTER) == other.read(ROUTER) == {"min": 3, "max": 5}
    assert one.quarantined == other.quarantined == {}


async def test_deleting_a_quarantined_document_releases_it(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given
    await quarantined(*edges)
    # when
    await operated(store, tenant, None)
    await edges[0].pull()
    # then
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.quarantine) == (None, None)
    assert edges[0].read(ROUTER) is None


async def test_an_operators_write_that_breaks_a_rule_is_refused_with_the_way_out(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # when
    with pytest.raises(Invalid) as caught:
        await operated(store, tenant, {"min": 10, "max": 9})
    # then
    assert caught.value.schema == "router@1"
    assert caught.value.violations[0].passes == "/min at most 9, or /max at least 10"
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.version) == ({"min": 1, "max": 9}, 1)


async def test_an_old_replicas_change_that_breaks_a_newer_schema_is_quarantined(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given: an edge that does not know of it yet
    one, other = edges
    await operated(store, tenant, {**RULED, "schema": {"properties": {"max": {"maximum": 100}}}}, schema=True)
    one.put(ROUTER, {"min": 1, "max": 200})
    one.put(document_id("acme/prod/behind"), {"a": 1})
    # when
    await one.push()
    await one.pull()
    await other.pull()
    # then
    assert one.outbox == []
    assert one.read(ROUTER) == other.read(ROUTER) == {"min": 1, "max": 9}
    assert other.read(document_id("acme/prod/behind")) == {"a": 1}
    assert one.quarantined[ROUTER].violations[0].passes == "a number of at most 100"


async def test_a_document_that_was_never_valid_has_no_live_content(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given: a document that an edge makes under an older schema
    one, other = edges
    new = document_id("acme/prod/new")
    await operated(store, tenant, {**RULED, "schema": {"required": ["owner"]}}, schema=True)
    one.put(new, {"min": 1})
    # when
    await one.push()
    await one.pull()
    await other.pull()
    # then
    stored = await store.read(tenant, new)
    assert stored is not None
    assert (stored.content, stored.head) == (None, {"min": 1})
    assert one.read(new) is None
    assert other.read(new) is None
    assert other.quarantined[new].live_version == 0


async def test_what_stands_is_judged_at_its_next_change(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # when
    strict: Object = {"namespaces": ["acme/*"], "schema": {"properties": {"max": {"maximum": 5}}}}
    await operated(store, tenant, strict, schema=True)
    judged, broken = await store.broken(tenant, schema="router")
    before = await store.read(tenant, ROUTER)
    written = await store.write(tenant, [Edit(ROUTER, {"min": 0, "max": 9})], author="op", message="")
    after = await store.read(tenant, ROUTER)
    # then
    assert judged == 1
    assert [each.document for each in broken] == [ROUTER]
    assert before is not None
    assert before.quarantine is None
    assert after is not None
    assert written.quarantined == (ROUTER,)
    assert (after.content, after.head) == ({"min": 1, "max": 9}, {"min": 0, "max": 9})


async def test_a_head_that_a_newer_schema_finds_valid_is_released_by_writing_it_again(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given
    await quarantined(*edges)
    await operated(store, tenant, {**RULED, "rules": []}, schema=True)
    still = await store.read(tenant, ROUTER)
    # when
    await operated(store, tenant, {"min": 8, "max": 5})
    released = await store.read(tenant, ROUTER)
    for replica in edges:
        await replica.pull()
    # then
    assert still is not None
    assert still.quarantine is not None
    assert released is not None
    assert (released.content, released.quarantine) == ({"min": 8, "max": 5}, None)
    assert [replica.read(ROUTER) for replica in edges] == [released.content] * 2
    assert [replica.quarantined for replica in edges] == [{}, {}]


async def test_a_release_leaves_every_value_as_it_is(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given: values that are made of several registers stand before the plain one
    merging: Object = {"a": {"x-anabranch-merge": "counter"}, "b": {"x-anabranch-merge": "text"}}
    kinds: Object = {**RULED, "schema": {"properties": {**merging, "c": {"x-anabranch-merge": "union"}}}}
    await operated(store, tenant, kinds, schema=True)
    head: Object = {"a": 1, "b": "one", "c": ["x", "y"], "max": 9, "min": 1}
    await operated(store, tenant, head)
    await operated(store, tenant, {**head, "a": 3, "b": "one two"})
    for replica in edges:
        await replica.pull()
    await quarantined(*edges)
    await operated(store, tenant, {**kinds, "rules": []}, schema=True)
    before = await store.read(tenant, ROUTER)
    assert before is not None
    assert before.quarantine is not None
    # when
    await operated(store, tenant, before.head)
    # then
    after = await store.read(tenant, ROUTER)
    assert after is not None
    assert (after.content, after.digest, after.quarantine) == (before.head, before.digest, None)
    for replica in edges:
        await replica.pull()
        assert replica.read(ROUTER) == before.head


async def test_a_whole_pull_says_all_that_is_quarantined(
    store: Store, tenant: str, edges: tuple[Replica, Replica]
) -> None:
    # given
    one, other = edges
    await quarantined(one, other)
    known = dict(one.quarantined)
    # when: a cursor of another epoch asks for everything
    one.cursor = START
    pull = await one.pull()
    # then
    assert pull is not None
    assert pull.whole
    assert one.quarantined == known


async def test_a_schema_that_does_not_compile_is_refused(store: Store, tenant: str) -> None:
    # when
    with pytest.raises(InvalidValue) as caught:
        await operated(store, tenant, {"namespaces": ["acme/*"], "schema": {"type": "strin"}}, schema=True)
    # then
    assert caught.value.place == "/schema/type"


@dataclass(frozen=True)
class Act:
    """Something one of the sides does; side 0 is the operator."""

    side: int
    what: str
    content: Object | None
    now_ms: int


_small: st.SearchStrategy[Json] = st.integers(0, 9)
_contents: st.SearchStrategy[Object | None] = st.none() | st.dictionaries(
    st.sampled_from(["min", "max", "other"]), _small, max_size=3
)
_acts = st.lists(
    st.builds(
        Act,
        st.integers(0, 2),
        st.sampled_from(["put", "put", "push", "pull"]),
        _contents,
        st.sampled_from([NOON_MS, NOON_MS + 1, 2**46]),
    ),
    min_size=4,
    max_size=24,
)
POLICIES = policies_from([(SCHEMA, 1, RULED)])


@given(acts=_acts)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_is_written_at_once_no_reader_ever_sees_an_invalid_document(
    store: Store, tenant: str, acts: list[Act]
) -> None:
    # given
    document = document_id(f"acme/{secrets.token_hex(4)}")
    await operated(store, tenant, RULED, schema=True)
    run = document.namespace
    replicas = [await enrolled(store, tenant, f"e{number}-{run[5:]}", (run,)) for number in range(2)]
    for replica in replicas:
        await replica.pull(always=True)
    # when
    for act in acts:
        try:
            if act.side == 0:
                await store.write(tenant, [Edit(document, act.content)], author="op", message="")
            elif act.what == "put":
                replicas[act.side - 1].put(document, act.content, now_ms=act.now_ms)
            elif act.what == "push":
                await replicas[act.side - 1].push()
            else:
                await replicas[act.side - 1].pull()
        except Invalid:
            pass  # the author is told; nothing was written
        # then
        stored = await store.read(tenant, document)
        seen = [replica.read(document) for replica in replicas]
        for content in [*seen, None if stored is None else stored.content]:
            assert POLICIES.violations(document, content) == ()
    await _settled(replicas)
    heads = [replica.contents.get(document) for replica in replicas]
    assert heads[0] == heads[1]
    await store.write(tenant, [Edit(document, {"min": 1, "max": 2})], author="op", message="repair")
    await _settled(replicas)
    repaired = await store.read(tenant, document)
    assert repaired is not None
    assert (repaired.content, repaired.quarantine) == ({"min": 1, "max": 2}, None)
    assert [replica.read(document) for replica in replicas] == [repaired.content] * 2
    assert [replica.quarantined for replica in replicas] == [{}, {}]


async def _settled(replicas: list[Replica]) -> None:
    for replica in replicas:
        await replica.push()
    for replica in replicas:
        await replica.pull(always=True)
