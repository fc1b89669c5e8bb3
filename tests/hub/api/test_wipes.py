"""An order to wipe reaches whoever has a way to call, and gives a revoked edge nothing else."""

import asyncio

import pytest
from anabranch.agent import run_agent
from anabranch.errors import EdgeWiped, HubDenied, HubUnreachable
from anabranch.identity import certificate_request, new_key
from anabranch.link import HubLink
from anabranch.polling import Wish
from anabranch.replica import Replica
from anabranch_sync.check_in import asked, read_answer

from tests.hub.api.fleet import Fleet, identity_of, write
from tests.hub.api.test_relay import free_address, go, relay

pytestmark = pytest.mark.anyio

SOON_MS = 200


async def ordered(fleet: Fleet, edge: str) -> None:
    await fleet.hub.store.order_wipe(fleet.tenant, edge, at_once=False, author="ops")


async def test_a_revoked_edge_that_is_to_be_wiped_gets_the_order_and_nothing_else(fleet: Fleet) -> None:
    # given an edge that was revoked, has something unsent, and lacks something
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    write(one, {"a": 1})
    await fleet.hub.store.revoke(fleet.tenant, "one")
    await ordered(fleet, "one")
    before = await fleet.hub.store.edge(fleet.tenant, "one")
    with Replica.open(one) as replica:
        question = asked(replica.standing(), replica.scope)

    # when
    async with HubLink(identity_of(one)) as link:
        with pytest.raises(HubDenied, match="revoked"):
            await link.renew(certificate_request(new_key()))
        answer = read_answer(await link.check_in(question))
    with pytest.raises(EdgeWiped):
        await run_agent(one, once=True)

    # then
    assert (answer.equal, answer.urgent) == (0, 1)
    assert not one.exists()
    after = await fleet.hub.store.edge(fleet.tenant, "one")
    assert (after.push_mark, after.cursor) == (before.push_mark, before.cursor)
    assert after.wipe is not None
    assert after.wipe.done_ms is not None


async def test_an_edge_that_looks_in_now_and_then_is_wiped_with_its_next_look(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    agent = asyncio.create_task(run_agent(one, mode=Wish(poll_ms=SOON_MS)))
    await asyncio.sleep(0)

    # when
    await ordered(fleet, "one")

    # then
    with pytest.raises(EdgeWiped):
        async with asyncio.timeout(30):
            await agent
    assert not one.exists()


async def test_a_child_is_wiped_through_its_relay_and_a_revoked_relay_passes_nobody_on(fleet: Fleet) -> None:
    # given
    near, one, two = await fleet.enrol("near", relay=True), await fleet.enrol("one"), await fleet.enrol("two")
    at = free_address()
    go(one, at)
    go(two, at)
    write(one, {"a": 1})
    await ordered(fleet, "one")

    # when
    async with relay(near, at):
        with pytest.raises(EdgeWiped):
            await run_agent(one, once=True)
        await fleet.hub.store.revoke(fleet.tenant, "near")
        await ordered(fleet, "near")
        with pytest.raises(HubUnreachable):
            await run_agent(two, once=True)

    # then
    assert not one.exists()
    assert two.exists()
    ((_, content),) = [
        (each.document, each.content) for each in await fleet.hub.store.documents(fleet.tenant, prefix="acme")
    ]
    assert content == {"a": 1}
