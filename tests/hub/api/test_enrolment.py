"""From an invitation to an identity, and on to the next certificate."""

import asyncio
import os
import stat
from pathlib import Path

import pytest
from anabranch.agent import run_agent
from anabranch.enrol import identify_again, initialise
from anabranch.errors import HubDenied, HubError, HubUnreachable, HubUnverified, ReplicaExists
from anabranch.identity import (
    certificate_request,
    identity_folder,
    new_key,
    next_key,
    put_renewed,
    read_identity,
)
from anabranch.link import HubLink, enroll
from anabranch.replica import Link, Replica
from anabranch_hub.store import EdgeStatus
from anabranch_protos.invitation import InvalidToken, InvitationToken

from tests.hub.api.fleet import Fleet, comes, facts_of, identity_of, invited, now_ms, read, write
from tests.hub.secrets.requests import p256_key, request_of

pytestmark = pytest.mark.anyio


async def test_an_invitation_becomes_an_identity_and_an_empty_replica(fleet: Fleet) -> None:
    # given
    token = await invited(fleet.hub, fleet.tenant, "one", prefixes=("acme/prod", "acme/lab"))
    path = fleet.folder / "deeper" / "one.db"
    # when
    done = await initialise(path, fleet.hub.address, token.render(), author="Ada")
    # then
    assert (done.tenant, done.edge, done.prefixes) == (fleet.tenant, "one", ("acme/lab", "acme/prod"))
    with Replica.open(path) as replica:
        assert (replica.tenant, replica.edge, replica.author) == (fleet.tenant, "one", "Ada")
        assert replica.documents() == []
    folder = identity_folder(path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "key.pem").stat().st_mode) == 0o600
    assert (await fleet.hub.store.edge(fleet.tenant, "one")).status is EdgeStatus.ENROLLED


async def test_a_used_token_is_refused_and_leaves_nothing_behind(fleet: Fleet) -> None:
    # given
    token = (await invited(fleet.hub, fleet.tenant, "one")).render()
    await initialise(fleet.folder / "one.db", fleet.hub.address, token)
    again = fleet.folder / "again" / "two.db"
    # when
    with pytest.raises(HubDenied, match=r"token is refused \(used\)"):
        await initialise(again, fleet.hub.address, token)
    # then
    assert list(again.parent.iterdir()) == []


async def test_an_edge_gets_a_new_identity_and_keeps_what_waits_in_its_replica(fleet: Fleet) -> None:
    # given
    path = fleet.folder / "one.db"
    await initialise(path, fleet.hub.address, (await invited(fleet.hub, fleet.tenant, "one")).render())
    write(path, {"written": "offline"})
    before = identity_of(path).chain_pem
    again = (await invited(fleet.hub, fleet.tenant, "one")).render()
    # when
    with pytest.raises(ReplicaExists, match="--keep-replica"):
        await initialise(path, fleet.hub.address, again)
    await identify_again(path, fleet.hub.address, again)
    outcome = await run_agent(path, once=True)
    # then
    assert outcome.settled
    assert identity_of(path).chain_pem != before
    assert sorted(each.name for each in fleet.folder.glob("*.identity*")) == ["one.db.identity"]


async def test_a_token_of_another_edge_does_not_replace_an_identity(fleet: Fleet) -> None:
    # given
    path = fleet.folder / "one.db"
    await initialise(path, fleet.hub.address, (await invited(fleet.hub, fleet.tenant, "one")).render())
    before = identity_of(path)
    # when
    other = (await invited(fleet.hub, fleet.tenant, "two")).render()
    with pytest.raises(HubDenied, match="two"):
        await identify_again(path, fleet.hub.address, other)
    # then
    assert identity_of(path) == before


async def test_an_expired_token_is_refused(fleet: Fleet) -> None:
    # given
    token = await invited(fleet.hub, fleet.tenant, "one", life_ms=-1)
    # when, then
    with pytest.raises(HubDenied, match=r"token is refused \(expired\)"):
        await initialise(fleet.folder / "one.db", fleet.hub.address, token.render())


async def test_a_token_nobody_gave_is_refused(fleet: Fleet) -> None:
    # given
    real = await invited(fleet.hub, fleet.tenant, "one")
    made_up = InvitationToken(b"?" * 32, real.root_fingerprint, real.enrolment_port)
    # when, then
    with pytest.raises(HubDenied, match=r"token is refused \(unknown\)"):
        await initialise(fleet.folder / "one.db", fleet.hub.address, made_up.render())


async def test_a_token_of_another_hub_is_noticed_before_its_secret_is_sent(fleet: Fleet) -> None:
    # given
    real = await invited(fleet.hub, fleet.tenant, "one")
    foreign = InvitationToken(real.secret, b"\1" * 32, real.enrolment_port)
    # when
    with pytest.raises(HubUnverified, match="root that the token names"):
        await initialise(fleet.folder / "one.db", fleet.hub.address, foreign.render())
    # then
    await initialise(fleet.folder / "one.db", fleet.hub.address, real.render())


async def test_a_token_with_a_slip_in_it_is_refused_here(fleet: Fleet) -> None:
    # given
    token = (await invited(fleet.hub, fleet.tenant, "one")).render()
    # when, then
    for wrong in ("", "hunter2", token[:-30], token.replace("abr1", "abr9"), token + ".x", "x" * 10_000):
        with pytest.raises(InvalidToken):
            await initialise(fleet.folder / "one.db", fleet.hub.address, wrong)


async def test_a_token_of_an_edge_that_was_revoked_meanwhile_opens_nothing(fleet: Fleet) -> None:
    # given
    await fleet.enrol("one")
    token = await invited(fleet.hub, fleet.tenant, "one")
    # when
    await fleet.hub.store.revoke(fleet.tenant, "one")
    # then
    with pytest.raises(HubDenied):
        await initialise(fleet.folder / "again.db", fleet.hub.address, token.render())


async def test_of_many_who_use_one_token_at_once_one_is_let_in(fleet: Fleet) -> None:
    # given
    token = await invited(fleet.hub, fleet.tenant, "one")
    paths = [fleet.folder / f"{number}.db" for number in range(6)]
    # when
    outcomes = await asyncio.gather(
        *(initialise(path, fleet.hub.address, token.render()) for path in paths), return_exceptions=True
    )
    # then
    refused = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert len(refused) == len(paths) - 1
    assert all(isinstance(outcome, HubDenied) for outcome in refused)
    (one,) = (path for path in paths if path.exists())
    assert (await run_agent(one, once=True)).settled


async def test_a_lost_answer_is_given_again_to_the_same_key_only(fleet: Fleet) -> None:
    # given
    token = await invited(fleet.hub, fleet.tenant, "one")
    root_pem = await fleet.hub.authority.root_pem()
    request = certificate_request(new_key())
    address = fleet.hub.enrolment_address
    first = await enroll(address, root_pem, token.secret, request)
    # when
    second = await enroll(address, root_pem, token.secret, request)
    # then
    assert (second.tenant, second.edge) == (first.tenant, first.edge)
    with pytest.raises(HubDenied, match="used"):
        await enroll(address, root_pem, token.secret, certificate_request(new_key()))


async def test_a_bad_request_does_not_cost_the_token(fleet: Fleet) -> None:
    # given
    token = await invited(fleet.hub, fleet.tenant, "one")
    root_pem = await fleet.hub.authority.root_pem()
    # when
    for csr_pem in (b"", b"nonsense", b"x" * 5_000):
        with pytest.raises(HubError):
            await enroll(fleet.hub.enrolment_address, root_pem, token.secret, csr_pem)
    # then
    await enroll(fleet.hub.enrolment_address, root_pem, token.secret, request_of(p256_key()))


async def test_where_no_replica_can_be_written_the_token_stays_unused(fleet: Fleet) -> None:
    # given
    token = (await invited(fleet.hub, fleet.tenant, "one")).render()
    (fleet.folder / "file").write_text("")
    # when
    with pytest.raises(Exception, match="file"):
        await initialise(fleet.folder / "file" / "one.db", fleet.hub.address, token)
    existing = await fleet.enrol("other")
    with pytest.raises(ReplicaExists):
        await initialise(existing, fleet.hub.address, token)
    # then
    await initialise(fleet.folder / "one.db", fleet.hub.address, token)


async def test_what_a_killed_init_left_does_not_stand_in_the_way(fleet: Fleet) -> None:
    # given
    path = fleet.folder / "one.db"
    identity_folder(path).mkdir()
    (identity_folder(path) / "key.pem").write_bytes(new_key())
    # when, then
    assert await fleet.enrol("one") == path


async def test_the_wrong_port_is_told_in_one_line(fleet: Fleet) -> None:
    # given
    token = await invited(fleet.hub, fleet.tenant, "one")
    path = fleet.folder / "one.db"
    # when, then: nothing listens there; something else listens there
    with pytest.raises(HubUnreachable, match="refused"):
        await initialise(path, fleet.hub.address, token.render(), enrolment_address="127.0.0.1:1")
    plain = await asyncio.start_server(lambda _, writer: writer.write(b"SSH-2.0-no\r\n"), "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    with pytest.raises(HubUnverified, match="no TLS"):
        await initialise(path, fleet.hub.address, token.render(), enrolment_address=f"127.0.0.1:{port}")
    plain.close()
    # the hub's main port, which lets nobody in without a certificate
    with pytest.raises(HubError):
        await initialise(path, fleet.hub.address, token.render(), enrolment_address=fleet.hub.address)
    assert not identity_folder(path).exists()


# Renewal.


async def renewed(path: Path) -> None:
    """Ask for the next certificate and put it in place."""
    identity = identity_of(path)
    async with HubLink(identity) as link:
        answer = await link.renew(certificate_request(next_key(identity_folder(path))))
    put_renewed(identity_folder(path), identity, answer.chain_pem, answer.root_pem, answer.renew_at_ms)


async def test_the_next_certificate_ends_the_one_before_once_it_is_shown(fleet: Fleet) -> None:
    # given
    path = await fleet.enrol("one")
    old = identity_of(path)
    # when
    await renewed(path)
    # then: the new one may never have arrived, so the old one still counts
    assert identity_of(path).key_pem != old.key_pem
    async with HubLink(old) as link:
        await link.renew(certificate_request(new_key()))
    # when
    await renewed_from(path, old.key_pem, old.chain_pem)
    assert (await run_agent(path, once=True)).settled
    # then
    async with HubLink(old) as link:
        with pytest.raises(HubDenied, match="certificate is refused"):
            await link.renew(certificate_request(new_key()))


async def renewed_from(path: Path, key_pem: bytes, chain_pem: bytes) -> None:
    """Go back to an older identity, as after a lost answer, and renew from there."""
    folder = identity_folder(path)
    (folder / "key.pem").write_bytes(key_pem)
    (folder / "cert.pem").write_bytes(chain_pem)
    await renewed(path)


async def test_a_renewal_cut_off_between_certificate_and_key_is_finished(fleet: Fleet) -> None:
    # given
    path = await fleet.enrol("one")
    folder = identity_folder(path)
    identity = identity_of(path)
    async with HubLink(identity) as link:
        answer = await link.renew(certificate_request(next_key(folder)))
    # when: power fails with the certificate in place and its key still waiting
    (folder / "cert.pem").write_bytes(answer.chain_pem)
    # then
    assert read_identity(folder).key_pem != identity.key_pem
    assert not (folder / "key.pem.next").exists()
    assert (await run_agent(path, once=True)).settled


async def test_a_connected_agent_renews_when_it_is_due_and_goes_on_exchanging(fleet: Fleet) -> None:
    # given
    path, other = await fleet.enrol("one"), await fleet.enrol("other")
    before = identity_of(path)
    hub_file = identity_folder(path) / "hub"
    soon_ms = now_ms() + 1_000
    hub_file.write_text(hub_file.read_text().replace(str(before.renew_at_ms), str(soon_ms)))
    # when
    fleet.start(path, other)
    await comes(lambda: facts_of(path).heard.link is Link.UP)
    # then
    await comes(lambda: identity_of(path).chain_pem != before.chain_pem)
    write(other, {"n": 1})
    await comes(lambda: read(path) == {"n": 1})


def test_no_secret_is_in_the_repr_of_what_holds_it() -> None:
    # given
    token = InvitationToken(os.urandom(32), b"f" * 32)
    # then
    assert repr(token.secret) not in repr(token)
