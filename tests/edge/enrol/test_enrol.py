"""`anabranch init`: all of it, or nothing."""

import asyncio
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anabranch.enrol import identify_again, initialise, split_address
from anabranch.errors import (
    DiskFull,
    HubDenied,
    HubUnreachable,
    HubUnverified,
    ReplicaInUse,
    ReplicaUnwritable,
)
from anabranch.identity import identity_folder, read_identity
from anabranch.replica import Replica
from anabranch_protos.sync.v1.sync_pb2 import EnrollReply, EnrollRequest
from anabranch_sync.errors import InvalidName
from cryptography import x509

from tests.edge.link.scripted_hub import Root, refusing, scripted_hub


def granted(root: Root, request: EnrollRequest, *, prefixes: tuple[str, ...] = ("acme/prod",)) -> EnrollReply:
    return EnrollReply(
        chain_pem=root.certify(request.csr_pem),
        ca_pem=root.pem,
        tenant="acme",
        edge="one",
        prefixes=prefixes,
        incarnation=7,
        epoch=3,
        renew_at_ms=4711,
    )


def test_what_the_hub_grants_is_on_disk_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        # given
        root = Root()

        async def enroll(request: EnrollRequest, _: Any) -> EnrollReply:
            assert request.secret == token.secret
            return granted(root, request)

        token = root.token()
        path = tmp_path / "replica.db"
        async with scripted_hub(enroll=enroll, root=root) as hub:
            # when
            await initialise(path, hub.address, token.render(), enrolment_address=hub.enrolment_address)
        # then
        identity = read_identity(identity_folder(path))
        assert (identity.address, identity.tenant, identity.edge) == (hub.address, "acme", "one")
        assert identity.renew_at_ms == 4711
        with Replica.open(path) as replica:
            assert replica.scope.prefixes == ("acme/prod",)
            assert replica.standing().incarnation == 7
            assert replica.author == "one"

    asyncio.run(scenario())


def test_a_lost_answer_is_asked_for_again_with_the_same_key(tmp_path: Path) -> None:
    async def scenario() -> None:
        # given
        root = Root()
        keys = []

        async def enroll(request: EnrollRequest, context: Any) -> EnrollReply:
            keys.append(x509.load_pem_x509_csr(request.csr_pem).public_key())
            if len(keys) < 3:
                await refusing("UNAVAILABLE", "the link broke", context)
            return granted(root, request)

        async with scripted_hub(enroll=enroll, root=root) as hub:
            # when
            await initialise(
                tmp_path / "replica.db",
                hub.address,
                root.token().render(),
                enrolment_address=hub.enrolment_address,
            )
        # then
        assert len(keys) == 3
        assert all(key == keys[0] for key in keys)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "error"), [("PERMISSION_DENIED", HubDenied), ("UNAVAILABLE", HubUnreachable)]
)
def test_a_refusal_leaves_nothing_behind(
    tmp_path: Path, status: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anabranch.enrol.RETRY_S", 0.0)

    async def scenario() -> None:
        async def enroll(_: EnrollRequest, context: Any) -> EnrollReply:
            await refusing(status, "no", context)
            raise AssertionError("not reached")

        async with scripted_hub(enroll=enroll) as hub:
            with pytest.raises(error):
                await initialise(
                    tmp_path / "replica.db",
                    hub.address,
                    hub.root.token().render(),
                    enrolment_address=hub.enrolment_address,
                )
        assert list(tmp_path.iterdir()) == []

    asyncio.run(scenario())


def test_a_grant_that_makes_no_replica_leaves_nothing_behind(tmp_path: Path) -> None:
    async def scenario() -> None:
        root = Root()

        async def enroll(request: EnrollRequest, _: Any) -> EnrollReply:
            return granted(root, request, prefixes=("../etc",))

        async with scripted_hub(enroll=enroll, root=root) as hub:
            with pytest.raises(InvalidName):
                await initialise(
                    tmp_path / "replica.db",
                    hub.address,
                    root.token().render(),
                    enrolment_address=hub.enrolment_address,
                )
        assert list(tmp_path.iterdir()) == []

    asyncio.run(scenario())


def test_two_that_enrol_at_one_place_do_not_take_each_others_identity(tmp_path: Path) -> None:
    async def scenario() -> None:
        # given one whose token is on its way
        root = Root()
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def enroll(request: EnrollRequest, _: Any) -> EnrollReply:
            asked.set()
            await go_on.wait()
            return granted(root, request)

        path = tmp_path / "replica.db"
        async with scripted_hub(enroll=enroll, root=root) as hub:
            told = (path, hub.address, root.token().render())
            first = asyncio.create_task(initialise(*told, enrolment_address=hub.enrolment_address))
            await asked.wait()
            # when
            with pytest.raises(ReplicaInUse, match="another `anabranch init` is at work: wait for it"):
                await initialise(*told, enrolment_address=hub.enrolment_address)
            go_on.set()
            await first
        # then
        assert read_identity(identity_folder(path)).edge == "one"
        with Replica.open(path) as replica:
            assert replica.edge == "one"

    asyncio.run(scenario())


@pytest.mark.parametrize("renames", [0, 1])
def test_another_identity_is_not_lost_where_its_coming_is_cut_off(
    tmp_path: Path, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def dying() -> Callable[[Path, Path], Path]:
        left = [renames]
        rename = Path.rename

        def renamed(path: Path, target: Path) -> Path:
            if not left[0]:
                raise Killed
            left[0] -= 1
            return rename(path, target)

        return renamed

    async def scenario() -> None:
        # given
        root = Root()

        async def enroll(request: EnrollRequest, _: Any) -> EnrollReply:
            return granted(root, request)

        path = tmp_path / "replica.db"
        folder = identity_folder(path)
        async with scripted_hub(enroll=enroll, root=root) as hub:
            told = (path, hub.address, root.token().render())
            await initialise(*told, enrolment_address=hub.enrolment_address)
            first = read_identity(folder)
            # when
            with monkeypatch.context() as patched:
                patched.setattr(Path, "rename", dying())
                with pytest.raises(Killed):
                    await identify_again(*told, enrolment_address=hub.enrolment_address)
            # then
            second = read_identity(folder)
            assert second.chain_pem != first.chain_pem
            assert read_identity(folder) == second
            assert not list(tmp_path.glob("*.identity.new"))

    asyncio.run(scenario())


def test_a_hub_of_another_root_never_hears_the_secret(tmp_path: Path) -> None:
    async def scenario() -> None:
        heard = []

        async def enroll(request: EnrollRequest, _: Any) -> EnrollReply:
            heard.append(request.secret)
            return EnrollReply()

        async with scripted_hub(enroll=enroll) as impostor:
            with pytest.raises(HubUnverified) as told:
                await initialise(
                    tmp_path / "replica.db",
                    impostor.address,
                    Root().token().render(),
                    enrolment_address=impostor.enrolment_address,
                )
        assert told.value.exit_code == 8
        assert heard == []

    asyncio.run(scenario())


def test_a_server_that_shows_the_right_root_without_being_signed_by_it_never_hears_the_secret(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        # given: the real root is no secret, so an impostor can append it to its own chain
        real, heard = Root(), []

        async def enroll(request: EnrollRequest, _: Any) -> EnrollReply:
            heard.append(request.secret)
            return EnrollReply()

        class Impostor(Root):
            @property
            def pem(self) -> bytes:
                return real.pem

        async with scripted_hub(enroll=enroll, root=Impostor()) as impostor:
            # when
            with pytest.raises(HubUnverified):
                await initialise(
                    tmp_path / "replica.db",
                    impostor.address,
                    real.token().render(),
                    enrolment_address=impostor.enrolment_address,
                )
        # then
        assert heard == []

    asyncio.run(scenario())


def test_a_folder_that_cannot_be_made_is_told_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReplicaUnwritable):
        asyncio.run(initialise(tmp_path / "file" / "replica.db", "127.0.0.1:1", Root().token().render()))


def test_a_disk_without_room_is_told_before_the_token_is_used_up(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DiskFull, match="nothing was made here; free some space"):
            asyncio.run(initialise(tmp_path / "replica.db", "127.0.0.1:1", Root().token().render()))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hub.example.org:7443", ("hub.example.org", 7443)),
        ("127.0.0.1:1", ("127.0.0.1", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize(
    "address", ["", "hub", "hub:", ":7443", "hub:0", "hub:65536", "hub:-1", "hub:x", "::1:7443", "hub:٣"]
)
def test_anything_else_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(InvalidName, match="port"):
        split_address(address)


@pytest.mark.parametrize("host", ["[::1", "[hub]", "\udcff\udcfe", "a hub", "hub\n", "ホスト", "h" * 254])
def test_a_host_that_can_never_be_resolved_is_refused(host: str) -> None:
    with pytest.raises(InvalidName, match="host"):
        split_address(f"{host}:7443")
