"""Edges that stand alike share one draw, and none of them gets anything but what is for it."""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from anabranch_hub.errors import EdgeRevoked, Fenced, ScopeChanged
from anabranch_hub.store import Edit, Store, drawing, pulls
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.messages import PROTOCOL_MAX
from anabranch_sync.packing import pack
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import encode_pull, packed_pull
from anabranch_sync.scope import scope
from anabranch_sync.snapshot import Offer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.hub.store.replica import ROUTER, Replica, enrolled

pytestmark = pytest.mark.anyio

STAGING = document_id("acme/staging/router")
BOTH = ("acme/prod", "acme/staging")
SCOPES = (BOTH, ("acme/prod",), ("acme/staging",))


@dataclass
class Readings:
    """How often what a replica lacks was read, and for whom."""

    incarnations: list[int] = field(default_factory=list)


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> Readings:
    counted, really = Readings(), pulls.drawn

    async def drawn(*args: object, **named: object) -> Pull | None:
        pulling = args[2]
        assert isinstance(pulling, pulls.Pulling)
        counted.incarnations.append(pulling.incarnation)
        return await really(*args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(pulls, "drawn", drawn)
    return counted


@pytest.fixture
async def other_tenant(store: Store) -> str:
    name = f"t{secrets.token_hex(6)}"
    await store.create_tenant(name)
    return name


async def level(store: Store, tenant: str, count: int, prefixes: tuple[str, ...] = BOTH) -> list[Replica]:
    """So many edges that have all there is."""
    named = [f"edge-{secrets.token_hex(4)}" for _ in range(count)]
    replicas = [await enrolled(store, tenant, each, prefixes) for each in named]
    for replica in replicas:
        await replica.pull(always=True)
    return replicas


async def draw(replica: Replica, prefixes: tuple[str, ...] = BOTH, *, always: bool = False) -> Pull | None:
    """As a stream draws."""
    drawn = await replica.store.draw(
        *(replica.tenant, replica.edge, replica.incarnation, replica.cursor),
        always=always,
        protocol=PROTOCOL_MAX,
        told=scope(prefixes),
    )
    assert not isinstance(drawn, Offer)
    return drawn


async def alone(replica: Replica, *, always: bool = False) -> Pull | None:
    """What it is when nobody shares it."""
    at = (replica.tenant, replica.edge, replica.incarnation, replica.cursor)
    drawn = await replica.store.draw(*at, always=always, protocol=PROTOCOL_MAX)
    assert not isinstance(drawn, Offer)
    return drawn


async def write(store: Store, tenant: str, content: Object, document: DocumentId = ROUTER) -> None:
    await store.write(tenant, [Edit(document, content)], author="ops", message="")


async def test_what_all_lack_alike_is_read_once(store: Store, tenant: str, readings: Readings) -> None:
    # given
    replicas = await level(store, tenant, 12)
    await write(store, tenant, {"model": "new"})
    readings.incarnations.clear()

    # when
    drawn = await asyncio.gather(*map(draw, replicas))

    # then
    assert len(readings.incarnations) == 1
    assert len({id(pull and pull.packed) for pull in drawn}) == 1
    for replica, pull in zip(replicas, drawn, strict=True):
        assert pull is not None
        assert pull.packed is not None
        replica.apply(pull)
        assert replica.read(ROUTER) == {"model": "new"}


async def test_a_large_crowd_is_read_for_in_groups(
    store: Store, tenant: str, readings: Readings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "ALIKE_MAX", 4)
    replicas = await level(Store(store._pool), tenant, 10)
    await write(store, tenant, {"model": "new"})
    readings.incarnations.clear()

    drawn = await asyncio.gather(*map(draw, replicas))

    assert len(readings.incarnations) == 3
    assert drawn == [drawn[0]] * 10


async def test_who_wrote_draws_by_itself_and_gets_nothing_back(
    store: Store, tenant: str, readings: Readings
) -> None:
    # given a writer among readers, and one whose own change lost
    writer, loser, *readers = await level(store, tenant, 5)
    writer.put(ROUTER, {"model": "written"})
    loser.put(ROUTER, {"model": "lost"}, now_ms=1)
    await loser.push()
    await writer.push()
    readings.incarnations.clear()

    # when
    drawn = await asyncio.gather(*map(draw, [writer, loser, *readers]))

    # then
    own, lost, *others = [pull for pull in drawn if pull is not None]
    assert sorted(readings.incarnations)[:2] == [writer.incarnation, loser.incarnation]
    assert len(readings.incarnations) == 3
    assert own.runs
    assert lost.runs
    assert [notice.won for notice in (*own.notices, *lost.notices)] == [True, False]
    for pull in others:
        assert not pull.runs
        assert not pull.notices
    for replica, pull in zip([writer, loser, *readers], [own, lost, *others], strict=True):
        replica.apply(pull)
        assert replica.read(ROUTER) == {"model": "written"}


async def test_what_is_drawn_for_one_scope_never_reaches_another(store: Store, tenant: str) -> None:
    # given edges of three scopes at one cursor
    crowds = {prefixes: await level(store, tenant, 3, prefixes) for prefixes in SCOPES}
    await write(store, tenant, {"secret": "of prod"}, ROUTER)
    await write(store, tenant, {"secret": "of staging"}, STAGING)

    # when
    asked = [(each, prefixes) for prefixes, crowd in crowds.items() for each in crowd]
    drawn = await asyncio.gather(*(draw(replica, prefixes) for replica, prefixes in asked))

    # then
    for (_, prefixes), pull in zip(asked, drawn, strict=True):
        assert pull is not None
        assert pull.documents.keys() == {each for each in (ROUTER, STAGING) if scope(prefixes).reads(each)}


async def test_one_that_says_it_may_see_what_others_see_does_not(store: Store, tenant: str) -> None:
    # given one of a narrower scope among edges that stand where it stands
    wide, narrow = await level(store, tenant, 3), (await level(store, tenant, 1, ("acme/staging",)))[0]
    for replica in wide:
        await replica.pull(always=True)
    await write(store, tenant, {"secret": "of prod"})

    # when it asks as they do
    *drawn, refused = await asyncio.gather(*map(draw, [*wide, narrow]), return_exceptions=True)

    # then
    assert isinstance(refused, ScopeChanged)
    assert all(isinstance(pull, Pull) and pull.documents for pull in drawn)


async def test_who_is_shut_out_meanwhile_gets_nothing_of_what_others_get(store: Store, tenant: str) -> None:
    # given
    *others, revoked, rescoped = await level(store, tenant, 5)
    stranger = Replica(store, tenant, "stranger", others[0].incarnation, others[0].cursor)
    await write(store, tenant, {"secret": "of prod"})
    await store.revoke(tenant, revoked.edge)
    await store.rescope(tenant, rescoped.edge, ("acme/staging",), author="ops")

    # when
    asking = [*others, revoked, rescoped, stranger]
    *drawn, shut_out, elsewhere, unknown = await asyncio.gather(*map(draw, asking), return_exceptions=True)

    # then
    assert isinstance(shut_out, EdgeRevoked)
    assert isinstance(elsewhere, ScopeChanged)
    assert isinstance(unknown, Fenced)
    assert all(isinstance(pull, Pull) and pull.documents for pull in drawn)


async def test_tenants_at_the_same_position_share_nothing(
    store: Store, tenant: str, other_tenant: str
) -> None:
    # given two tenants with as many edges, at the same position
    crowds = [await level(store, each, 3) for each in (tenant, other_tenant)]
    for each in (tenant, other_tenant):
        await write(store, each, {"secret": f"of {each}"})

    # when
    replicas = [replica for crowd in crowds for replica in crowd]
    drawn = await asyncio.gather(*map(draw, replicas))

    # then
    for replica, pull in zip(replicas, drawn, strict=True):
        assert pull is not None
        replica.apply(pull)
        assert replica.contents == {ROUTER: {"secret": f"of {replica.tenant}"}}


async def test_a_draw_that_is_asked_for_while_another_is_read_sees_what_was_decided_before_it(
    store: Store, tenant: str
) -> None:
    # given a crowd whose draw is under way
    first, second = await level(store, tenant, 3), await level(store, tenant, 3)
    await write(store, tenant, {"n": 1})
    under_way = [asyncio.create_task(draw(replica)) for replica in first]
    await asyncio.sleep(0)

    # when more is decided, and another crowd asks from the same cursor
    await write(store, tenant, {"n": 2})
    drawn = await asyncio.gather(*map(draw, second))
    await asyncio.gather(*under_way)

    # then
    for replica, pull in zip(second, drawn, strict=True):
        assert pull is not None
        replica.apply(pull)
        assert replica.read(ROUTER) == {"n": 2}


@dataclass(frozen=True)
class Act:
    """Something one of the edges does, or the hub (-1)."""

    edge: int
    document: int
    content: Object | None
    pushes: bool
    pulls: bool


_acts = st.lists(
    st.builds(
        Act,
        st.integers(-1, 5),
        st.integers(0, 1),
        st.none() | st.dictionaries(st.sampled_from("abc"), st.integers(0, 2) | st.just("t" * 40)),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


@given(acts=_acts, always=st.booleans())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_drawing_together_answers_each_as_drawing_alone_does(
    store: Store, tenant: str, acts: Sequence[Act], always: bool
) -> None:
    # given six edges of two scopes, in a place of their own, after whatever they did
    run = f"acme/{secrets.token_hex(4)}"
    documents = [document_id(run, "one"), document_id(f"{run}/part", "two")]
    scopes = [(run,), (run,), (run,), (run,), (f"{run}/part",), (f"{run}/part",)]
    names = [f"e{number}-{run[5:]}" for number in range(len(scopes))]
    replicas = [
        await enrolled(store, tenant, name, prefixes) for name, prefixes in zip(names, scopes, strict=True)
    ]
    for replica in replicas:
        await replica.pull(always=True)
    for act in acts:
        document = documents[act.document]
        if act.edge < 0:
            await store.write(tenant, [Edit(document, act.content)], author="op", message="")
            continue
        replica = replicas[act.edge]
        if scope(scopes[act.edge]).reads(document):
            replica.put(document, act.content)
        if act.pushes:
            await replica.push()
        if act.pulls:
            await replica.pull()

    # when
    together = await asyncio.gather(
        *(draw(each, prefixes, always=always) for each, prefixes in zip(replicas, scopes, strict=True))
    )

    # then
    for replica, pull in zip(replicas, together, strict=True):
        expected = await alone(replica, always=always)
        assert pull == expected
        if pull is not None and expected is not None:
            body = encode_pull(expected, expected.before)
            assert packed_pull(pull, PROTOCOL_MAX) == pack(body)
