"""Key and certificate on disk."""

import re
import resource
import stat
from pathlib import Path

import pytest
from anabranch.errors import IdentityUnusable
from anabranch.identity import (
    certificate_request,
    go_via,
    identity_folder,
    next_key,
    put_renewed,
    read_identity,
    write_identity,
    write_private,
)
from cryptography import x509

from tests.edge.link.scripted_hub import Root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = identity_folder(tmp_path / "replica.db")
    folder.mkdir(mode=0o700)
    return folder


def test_an_identity_is_read_as_it_was_written(folder: Path) -> None:
    # given
    identity = Root().identity("hub.example.org:7443")
    # when
    write_identity(folder, identity)
    # then
    assert read_identity(folder) == identity


def test_only_the_owner_may_read_any_of_it(folder: Path) -> None:
    write_identity(folder, Root().identity("hub:1"))
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_a_request_names_nobody_and_proves_its_key() -> None:
    # given
    identity = Root().identity("hub:1")
    # when
    request = x509.load_pem_x509_csr(certificate_request(identity.key_pem))
    # then
    assert request.is_signature_valid
    assert list(request.subject) == []
    assert list(request.extensions) == []


def test_a_renewal_replaces_key_and_certificate(folder: Path) -> None:
    # given
    root = Root()
    identity = root.identity("hub:1")
    write_identity(folder, identity)
    # when
    key_pem = next_key(folder)
    renewed = put_renewed(folder, identity, root.certify(certificate_request(key_pem)), root.pem, 7)
    # then
    assert renewed.key_pem == key_pem
    assert renewed.renew_at_ms == 7
    assert read_identity(folder) == renewed
    assert {file.name for file in folder.iterdir()} == {"key.pem", "cert.pem", "ca.pem", "hub"}


def test_a_renewal_keeps_the_way_that_was_chosen_while_its_agent_ran(folder: Path) -> None:
    # given
    root = Root()
    identity = root.identity("hub:1")
    write_identity(folder, identity)
    go_via(folder, identity, "relay:1")
    # when
    key_pem = next_key(folder)
    renewed = put_renewed(folder, identity, root.certify(certificate_request(key_pem)), root.pem, 7)
    # then
    assert renewed.via == "relay:1"
    assert read_identity(folder) == renewed


def test_a_renewal_that_ends_before_the_certificate_came_changes_nothing(folder: Path) -> None:
    # given
    identity = Root().identity("hub:1")
    write_identity(folder, identity)
    # when
    next_key(folder)
    # then
    assert read_identity(folder) == identity


def test_a_renewal_that_ends_between_certificate_and_key_is_finished_by_the_next_reader(folder: Path) -> None:
    # given
    root = Root()
    write_identity(folder, root.identity("hub:1"))
    key_pem = next_key(folder)
    # when
    write_private(folder / "cert.pem", root.certify(certificate_request(key_pem)))
    # then
    for _ in range(2):
        assert read_identity(folder).key_pem == key_pem


@pytest.mark.parametrize("name", ["key.pem", "cert.pem", "ca.pem", "hub"])
def test_what_is_missing_or_damaged_is_told_with_the_way_out(folder: Path, name: str) -> None:
    # given
    write_identity(folder, Root().identity("hub:1"))
    (folder / name).unlink()
    # when, then
    with pytest.raises(IdentityUnusable, match=f"{name} is missing.*anabranch init"):
        read_identity(folder)
    if name != "ca.pem":  # whatever is in that one, gRPC trusts no hub by it
        (folder / name).write_bytes(b"damaged")
        with pytest.raises(IdentityUnusable, match="damaged"):
            read_identity(folder)


def test_a_key_of_another_certificate_is_noticed(folder: Path) -> None:
    # given
    root = Root()
    write_identity(folder, root.identity("hub:1"))
    # when
    (folder / "cert.pem").write_bytes(root.identity("hub:1").chain_pem)
    # then
    with pytest.raises(IdentityUnusable):
        read_identity(folder)


def test_no_key_is_in_the_repr_of_an_identity() -> None:
    assert "PRIVATE" not in repr(Root().identity("hub:1"))


def test_a_write_that_finds_no_room_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    # given
    target = tmp_path / "cert.pem"
    write_private(target, b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))

    # when
    try:
        with pytest.raises(OSError, match=re.escape(str(target))):
            write_private(target, bytes(10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    # then
    assert [each.name for each in tmp_path.iterdir()] == ["cert.pem"]
    assert target.read_bytes() == b"before"


def test_a_file_that_cannot_be_written_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    target = tmp_path / "not there" / "secret"
    with pytest.raises(FileNotFoundError) as failed:
        write_private(target, b"after")
    assert failed.value.filename == str(target)
