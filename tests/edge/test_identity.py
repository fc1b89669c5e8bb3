"""The identity beside a replica: whole and this edge's own, or refused with the file that is at fault."""

from dataclasses import replace
from pathlib import Path

import pytest
from anabranch.errors import IdentityForeign, IdentityUnusable
from anabranch.identity import Identity, new_key, next_key, put_renewed, read_identity, write_identity

from tests.edge.identities import an_identity, certificate_for


@pytest.fixture
def identity() -> Identity:
    return an_identity("acme", "shop")


@pytest.fixture
def folder(tmp_path: Path, identity: Identity) -> Path:
    folder = tmp_path / "replica.db.identity"
    folder.mkdir(mode=0o700)
    write_identity(folder, identity)
    return folder


def test_an_identity_is_read_as_it_was_written(folder: Path, identity: Identity) -> None:
    assert read_identity(folder) == read_identity(folder, of="acme/shop") == identity


@pytest.mark.parametrize("name", ["hub", "key.pem", "cert.pem", "ca.pem"])
@pytest.mark.parametrize("content", [b"", b"junk\n", b"\xff\x00", None])
def test_a_file_that_is_damaged_or_missing_is_named(folder: Path, name: str, content: bytes | None) -> None:
    # given
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)

    # when
    with pytest.raises(IdentityUnusable) as refused:
        read_identity(folder)

    # then
    assert f": {name} is {'missing' if content is None else 'damaged'}: enrol" in str(refused.value)


def test_a_key_of_another_certificate_is_refused(folder: Path) -> None:
    (folder / "key.pem").write_bytes(new_key())
    with pytest.raises(IdentityUnusable, match=r"key\.pem is not the key of cert\.pem"):
        read_identity(folder)


def test_an_identity_of_another_edge_is_refused_with_both_names(folder: Path) -> None:
    with pytest.raises(IdentityForeign, match=r"is of acme/shop, the replica beside it of beta/shop"):
        read_identity(folder, of="beta/shop")


def test_a_renewal_that_was_cut_off_before_its_key_is_finished_when_read(
    folder: Path, identity: Identity
) -> None:
    # given
    key_pem = next_key(folder)
    renewed = certificate_for(key_pem)
    (folder / "cert.pem").write_bytes(renewed)

    # when
    found = read_identity(folder)

    # then
    assert found == replace(identity, key_pem=key_pem, chain_pem=renewed)
    assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "cert.pem", "hub", "key.pem"]


def test_a_renewed_identity_is_read_back(folder: Path, identity: Identity) -> None:
    renewed = certificate_for(next_key(folder))
    put = put_renewed(folder, identity, renewed, identity.root_pem, 9)
    assert read_identity(folder) == put
    assert put.renew_at_ms == 9
