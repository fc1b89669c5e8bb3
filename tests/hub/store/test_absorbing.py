"""A change that stands for others before it: counted in marks, versions, the past, the ledger and the log."""

import pytest
from anabranch_hub.errors import CutElsewhere, Fenced, VersionAbsorbed
from anabranch_hub.store import Edit, Store
from anabranch_sync.absorbing import absorbed
from anabranch_sync.change import CHAIN_START
from anabranch_sync.document import Object
from anabranch_sync.ids import document_id
from anabranch_sync.pull import Outcome, Run
from anabranch_sync.reference import AtVersion

from tests.hub.store.conftest import Query
from tests.hub.store.replica import ROUTER, Replica, enrolled, place

pytestmark = pytest.mark.anyio

ELSEWHERE = document_id("other/prod/router")


def overwritten(replica: Replica, count: int, *, start: int = 0) -> None:
    for number in range(start, start + count):
        replica.record([(ROUTER, place("a"), number)])


async def test_a_streak_is_one_decision_and_as_many_versions(store: Store, tenant: str, query: Query) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"a": -1, "b": 1})
    overwritten(replica, 10)
    replica.record([(ROUTER, place("b"), 2)])

    answer = await replica.push(absorbing=True)
    pull = await replica.pull()

    assert answer is not None
    assert (answer.push_mark, answer.hub_seq) == (12, 3)
    assert query("SELECT local_seq, absorbed FROM changes ORDER BY hub_seq") == [(1, 0), (11, 9), (12, 0)]
    assert pull is not None
    assert pull.runs == (Run(1, 1, 1), Run(11, 2, 2, 9))
    assert replica.confirmed[ROUTER].version == 12
    assert replica.outbox == []
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.version, stored.content) == (12, {"a": 9, "b": 2})


async def test_versions_of_which_only_their_author_knew_say_so(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    overwritten(replica, 10)
    await replica.push(absorbing=True)
    await store.write(tenant, [Edit(ROUTER, {"a": "later"}, 10)], author="op", message="")
    overwritten(replica, 6, start=20)
    await replica.push(absorbing=True)

    contents = {}
    for version in (10, 11, 17, 18):
        stood = await store.read_at(tenant, ROUTER, AtVersion(version))
        contents[version] = None if stood is None else stood.content
    listed = await store.versions(tenant, ROUTER, limit=10)

    # The edge had not seen what the operator wrote, and its clock says that it wrote before.
    assert contents == {10: {"a": 9}, 11: {"a": "later"}, 17: None, 18: None}
    assert [(each.version, each.absorbed) for each in listed] == [(11, 0), (10, 9)]
    for version, by in ((1, 10), (9, 10)):
        with pytest.raises(VersionAbsorbed, match=f"version {version} of .* version {by} stands for it"):
            await store.read_at(tenant, ROUTER, AtVersion(version))


async def test_the_past_is_rebuilt_over_what_was_absorbed_from_both_ends(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    contents: dict[int, Object] = {}
    for start in range(0, 60, 20):
        overwritten(replica, 8, start=start)
        await replica.push(absorbing=True)
        await replica.pull()
        contents[replica.confirmed[ROUTER].version] = {"a": start + 7}

    found = {}
    for version in contents:
        stood = await store.read_at(tenant, ROUTER, AtVersion(version))
        assert stood is not None
        found[version] = stood.content

    assert found == contents
    assert list(contents) == [8, 16, 24]


async def test_the_ledger_tells_for_how_many_a_candidate_stands(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    await store.write(tenant, [Edit(ROUTER, {"a": "operator"})], author="op", message="")
    overwritten(replica, 10)

    await replica.push(absorbing=True)
    [row] = await store.merges(tenant)

    assert [[write.absorbed for write in each.writes] for each in row.candidates] == [[0], [9]]
    assert row.candidates[1].value == 9


async def test_a_push_that_repeats_what_was_decided_changes_nothing(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    overwritten(replica, 10)
    sent = absorbed(replica.outbox, CHAIN_START)
    answer = await replica.push(absorbing=True)

    again = await store.decide(tenant, "e1", sent, CHAIN_START)
    in_full = await store.decide(tenant, "e1", replica.outbox, CHAIN_START)

    assert answer == again == in_full


async def test_a_push_whose_streaks_are_cut_elsewhere_is_not_taken(
    store: Store, tenant: str, query: Query
) -> None:
    replica = await enrolled(store, tenant, "e1")
    overwritten(replica, 10)
    await replica.push(absorbing=True)
    overwritten(replica, 5, start=10)

    for push in (absorbed(replica.outbox, CHAIN_START), replica.outbox[:7]):
        with pytest.raises(CutElsewhere, match="let it connect again"):
            await store.decide(tenant, "e1", push, CHAIN_START)
    in_full = await store.decide(tenant, "e1", replica.outbox, CHAIN_START)

    assert in_full.push_mark == 15
    assert query("SELECT local_seq FROM changes ORDER BY hub_seq") == [(10,), *((n,) for n in range(11, 16))]


async def test_a_copy_with_another_past_is_fenced(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    overwritten(replica, 10)
    copy = Replica(store, tenant, "e1", replica.incarnation)
    overwritten(copy, 10, start=50)
    await replica.push(absorbing=True)

    for push in (absorbed(copy.outbox, CHAIN_START), copy.outbox):
        with pytest.raises(Fenced, match="another history"):
            await store.decide(tenant, "e1", push, CHAIN_START)


async def test_what_is_refused_counts_for_the_mark_and_for_no_version(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    for number in range(10):
        replica.record([(ELSEWHERE, place("a"), number)])

    answer = await replica.push(absorbing=True)
    pull = await replica.pull()

    assert answer is not None
    assert answer.push_mark == 10
    assert await store.read(tenant, ELSEWHERE) is None
    assert pull is not None
    assert [(each.local_seq, each.outcome) for each in pull.results] == [(10, Outcome.REFUSED)]
    assert replica.outbox == []
