"""What a replica pulls makes it equal to the hub, however edits interleave."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import pytest
from anabranch_hub.store import Edit, Store
from anabranch_sync.document import Document, Object
from anabranch_sync.ids import START, Cursor, DocumentId, document_id
from anabranch_sync.register import json_of
from anabranch_sync.scope import Scope
from anabranch_sync.value import Json
from anabranch_sync.version import applied
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.store.replica import NOON_MS, ROUTER, Replica, enrolled, live, place

pytestmark = pytest.mark.anyio

POLICIES = ("latest", "hub", "edge", "max", "min", "manual", "union", "union:id", "counter", "text", "list")
SCHEMA: Object = {
    "namespaces": ["acme/*"],
    "schema": {
        "properties": {policy.replace(":", "-"): {"x-anabranch-merge": policy} for policy in POLICIES}
    },
}

_scalars: st.SearchStrategy[Json] = st.sampled_from([None, True, 0, 1, 1.0, -7, "a", "\x00é", "a\x00é b"])
_elements: st.SearchStrategy[Json] = _scalars | st.fixed_dictionaries(
    {"id": st.sampled_from([1, 2, "x"]), "weight": st.sampled_from([0, 1])}
)
# Scalars, sets and objects at the same places, so that every kind of clash comes up.
_values: st.SearchStrategy[Json] = (
    _scalars
    | st.lists(_elements, max_size=3)
    | st.dictionaries(st.sampled_from(["p", "q"]), _scalars | st.just({}), max_size=2)
)
_contents: st.SearchStrategy[Object | None] = st.none() | st.dictionaries(
    st.sampled_from([policy.replace(":", "-") for policy in POLICIES]), _values, max_size=4
)


@dataclass(frozen=True)
class Act:
    """Something one of the sides does; side 0 is the hub."""

    side: int
    what: str
    document: int
    content: Object | None
    now_ms: int


_acts = st.lists(
    st.builds(
        Act,
        st.integers(0, 3),
        st.sampled_from(["put", "put", "put", "push", "pull"]),
        st.integers(0, 1),
        _contents,
        st.sampled_from([0, NOON_MS, NOON_MS + 1, 2**46]),
    ),
    min_size=4,
    max_size=24,
)


@given(acts=_acts)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_after_any_edits_every_replica_equals_the_hub(
    store: Store, tenant: str, acts: list[Act]
) -> None:
    # Each example works in a namespace and with edges of its own; the tenant is shared.
    run = f"acme/{secrets.token_hex(4)}"
    documents = [document_id(run, key) for key in ("one", "two")]
    schema = document_id("system/schemas", "all")
    await store.write(tenant, [Edit(schema, SCHEMA)], author="op", message="")
    replicas = [await enrolled(store, tenant, f"e{number}-{run[5:]}", (run,)) for number in range(3)]

    for act in acts:
        document = documents[act.document]
        if act.side == 0:
            await store.write(tenant, [Edit(document, act.content)], author="op", message="")
        elif act.what == "put":
            replicas[act.side - 1].put(document, act.content, now_ms=act.now_ms)
        elif act.what == "push":
            await replicas[act.side - 1].push()
        else:
            await replicas[act.side - 1].pull()  # compares digests
    for replica in replicas:
        await replica.push()
    for replica in replicas:
        await replica.pull(always=True)

    scope = Scope((run,))
    cursor, digest = await store.digest(tenant, scope)
    without_memory = Store(store._pool)
    assert await without_memory.digest(tenant, scope) == (cursor, digest)
    standing = {each: content for each, content in (await live(store, tenant)).items() if scope.reads(each)}
    for replica in replicas:
        assert (replica.cursor, replica.digest, replica.outbox) == (cursor, digest, [])
        assert replica.contents == standing
    await _check_history(store, tenant, documents)


async def _check_history(store: Store, tenant: str, documents: Sequence[DocumentId]) -> None:
    for document in documents:
        steps = (await store.versions(tenant, document))[::-1]
        assert [step.version for step in steps] == list(range(1, len(steps) + 1))
        nothing: Object | None = None
        content = reduce(lambda before, step: applied(before, step.patch), steps, nothing)
        stored = await store.read(tenant, document)
        assert content == (stored.content if stored else None)
        for step in steps[:3]:
            past = await store.read_version(tenant, document, step.version)
            assert past is not None
            assert past.digest == step.digest_after


async def test_a_writer_gets_nothing_of_its_own_back(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    await replica.pull()
    for number in range(100):
        replica.put(document_id("acme/prod", f"k{number}"), {"n": number})
    await replica.push()

    pull = await replica.pull()

    assert pull is not None
    assert pull.documents == {}
    assert [(run.first_local, run.count) for run in pull.runs] == [(1, 100)]
    assert len(replica.contents) == 100


async def test_nothing_new_is_no_pull_and_always_moves_the_cursor(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1", ("acme/prod",))
    first = await replica.pull()
    assert await replica.pull(always=True) is None
    await store.write(tenant, [Edit(document_id("acme/product"), {"a": 1})], author="op", message="")

    assert first is not None
    assert first.whole
    assert await replica.pull() is None
    moved = await replica.pull(always=True)
    assert moved is not None
    assert (moved.upto.hub_seq, moved.documents) == (1, {})


async def test_operators_layers_are_in_every_scope(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1", ("acme/prod",))
    layers = ["global", "global/limits", "system/schemas", "acme/prod", "acme/prod/router"]
    others = ["acme", "acme/product", "globals", "acme/dev"]
    edits = [
        Edit(document_id(namespace), {"namespaces": ["x"], "schema": {}}) for namespace in [*layers, *others]
    ]
    await store.write(tenant, edits, author="op", message="")

    await replica.pull()

    assert sorted(document.namespace for document in replica.contents) == sorted(layers)


async def test_a_replica_of_another_epoch_starts_from_nothing(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"a": 1})
    await replica.push()
    await replica.pull()
    replica.confirmed = {document_id("acme/leftover"): replica.confirmed[ROUTER]}
    replica.cursor = Cursor(replica.cursor.epoch - 1, 7)

    pull = await replica.pull()

    assert pull is not None
    assert pull.whole
    assert replica.contents == {ROUTER: {"a": 1}}


async def test_a_reset_replica_gets_its_own_changes_back(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"a": 1})
    await replica.push()
    await replica.pull()
    replica.put(ROUTER, {"a": 1, "b": 2})
    await replica.push()
    replica.cursor, replica.confirmed = START, {}

    await replica.pull()

    assert replica.contents == {ROUTER: {"a": 1, "b": 2}}
    assert replica.outbox == []


async def test_a_notice_tells_each_side_of_a_conflict_who_won(store: Store, tenant: str) -> None:
    winner, loser, bystander = [await enrolled(store, tenant, name) for name in ("e1", "e2", "e3")]
    loser.record([(ROUTER, place("a"), "first")], author="bob")
    winner.record([(ROUTER, place("a"), "second")], now_ms=NOON_MS + 1)
    await loser.push()
    await winner.push()

    for replica in (winner, loser, bystander):
        await replica.pull()

    assert [notice.won for notice in winner.notices] == [True]
    [notice] = loser.notices
    case = notice.case
    assert (notice.won, case.document, case.kind, case.policy) == (False, ROUTER, "value", "latest")
    assert [(claim.path, claim.value) for claim in case.claims] == [(("a",), "second"), (("a",), "first")]
    hands = [(hand.author, hand.edge) for claim in case.claims for hand in claim.hands]
    assert hands == [("ada", "e1"), ("bob", "e2")]
    assert case.looks == ()
    assert bystander.notices == []


PROMPTS_WAIT: Object = {
    "namespaces": ["acme/*"],
    "schema": {"properties": {"prompt": {"x-anabranch-merge": "manual"}}},
}


@pytest.mark.parametrize("field", ["limit", "prompt"])
async def test_a_review_is_told_to_those_who_took_part_where_it_matters_to_them(
    store: Store, tenant: str, field: str
) -> None:
    # given
    await store.write(
        tenant, [Edit(document_id("system/schemas", "s"), PROMPTS_WAIT)], author="op", message=""
    )
    one, two, bystander = [await enrolled(store, tenant, name) for name in ("e1", "e2", "e3")]
    replicas = (one, two, bystander)
    for replica in (one, two):
        replica.record([(ROUTER, place(field), replica.edge)])
        await replica.push()

    async def told() -> list[list[tuple[str, object]]]:
        """The looks of the one row in the notices of each replica's next pull."""
        for replica in replicas:
            replica.notices.clear()
            await replica.pull()
        assert all(len(replica.notices) <= 1 for replica in replicas)
        return [
            [(look.reviewer, look.restored) for notice in replica.notices for look in notice.case.looks]
            for replica in replicas
        ]

    async def moved(content: str) -> None:
        await store.write(tenant, [Edit(ROUTER, {field: content})], author="op", message="")

    assert await told() == [[], [], []]
    row = await store.merge(tenant, 1)
    assert row is not None
    loser = json_of(row.candidates[1].value)

    # when, then: nothing has moved that could bring it
    await store.accept(tenant, [1], reviewer="olga")
    assert await told() == [[], [], []]

    # when, then: an acceptance matters where the row waited
    await moved("a")
    looks: list[tuple[str, object]] = [("olga", None)]
    assert await told() == ([looks, looks, []] if field == "prompt" else [[], [], []])

    # when, then: a restoration always, also if it was accepted before the replica came
    await store.write(tenant, [Edit(ROUTER, {field: loser})], author="pete", message="no", restores=1)
    await store.accept(tenant, [1], reviewer="quinn")
    looks = [("olga", None), ("pete", (loser,)), ("quinn", None)]
    assert await told() == [looks, looks, []]

    # when, then: an acceptance may have been missed where the replica stood, so it comes once more
    await moved("b")
    assert await told() == ([looks, looks, []] if field == "prompt" else [[], [], []])
    await moved("c")
    assert await told() == [[], [], []]


async def test_documents_travel_whole_where_they_are_asked_for_and_no_others(
    store: Store, tenant: str
) -> None:
    # given
    edge = await enrolled(store, tenant, "e1", ("acme/prod",))
    router, limits, beside, nowhere = (
        document_id(name) for name in ("acme/prod/router", "acme/prod/limits", "beside/x", "acme/prod/none")
    )
    edits = [Edit(each, {"a": 1}) for each in (router, limits, beside)]
    await store.write(tenant, edits, author="op", message="")
    await edge.pull()
    edge.put(router, {"a": 1, "b": 2})
    await edge.push()
    await edge.pull()
    edge.confirmed[router] = Document()
    edge.confirmed[nowhere] = edge.confirmed[limits]
    asked = frozenset({router, beside, nowhere})

    # when
    pull = await store.pull(tenant, "e1", edge.incarnation, edge.cursor, replaced=asked)

    # then
    assert pull is not None
    assert (pull.after, pull.replaced, pull.whole) == (pull.upto, asked, False)
    assert list(pull.documents) == [router]
    edge.apply(pull)
    assert edge.contents == {router: {"a": 1, "b": 2}, limits: {"a": 1}}


async def test_pulls_of_one_scope_agree_while_others_write(store: Store, tenant: str) -> None:
    writer = await enrolled(store, tenant, "writer")
    readers = [await enrolled(store, tenant, f"r{number}") for number in range(4)]

    async def write() -> None:
        for number in range(30):
            writer.put(document_id("acme/prod", f"k{number % 7}"), {"n": number})
            await writer.push()

    async def read(replica: Replica) -> None:
        for _ in range(15):
            await replica.pull()  # compares digests

    await asyncio.gather(write(), *(read(replica) for replica in readers))
    for replica in readers:
        await replica.pull(always=True)

    assert {replica.digest for replica in readers} == {(await store.digest(tenant, Scope(("acme",))))[1]}
