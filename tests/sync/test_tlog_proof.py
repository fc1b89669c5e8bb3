"""One leaf proved in one file: the form of C2SP tlog-proof, and that nothing in it can be bent."""

from dataclasses import replace

import pytest
from anabranch_hub.simulation.log_key import LogKey
from anabranch_sync.audit_file import LoggedLeaf, leaf_line
from anabranch_sync.errors import (
    BadLeaf,
    EvidenceError,
    InvalidProof,
    MalformedEvidence,
    UntrustedSignature,
)
from anabranch_sync.merkle import inclusion_proof
from anabranch_sync.tlog_proof import TlogProof, parse_tlog_proof, proof_of, verify_tlog_proof
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.logs import log_of, log_with, logged

LOG = log_with(20)
KEY = LOG.key.verifier
TEXT = str(LOG.proof(7))


@given(st.integers(1, 40), st.data())
def test_every_leaf_of_every_log_has_a_proof_that_survives_as_text(size: int, data: st.DataObject) -> None:
    log = log_with(size)
    index = data.draw(st.integers(0, size - 1))

    proved = verify_tlog_proof(parse_tlog_proof(str(log.proof(index))), log.key.verifier)

    assert (proved.tenant, proved.leaf.index, proved.checkpoint.tree.size) == ("acme", index, size)
    assert proved.openings == log.leaves[index].openings


def test_the_text_is_a_tlog_proof() -> None:
    first, extra, index, *rest = TEXT.split("\n")

    assert first == "c2sp.org/tlog-proof@v1"
    assert extra.startswith("extra ey")
    assert index == "index 7"
    assert rest[5:8] == ["", "anabranch/tenant/acme", "20"]
    assert TEXT.endswith(LOG.signed(20).note)


def test_the_specification_s_form_without_extra_is_read() -> None:
    text = str(replace(LOG.proof(7), extra=b""))

    assert parse_tlog_proof(text).hashes == inclusion_proof(7, 20, LOG.store)
    with pytest.raises(MalformedEvidence, match="does not carry a leaf"):
        verify_tlog_proof(parse_tlog_proof(text))


def test_a_proof_shows_the_value_and_who_holds_the_key() -> None:
    proved = verify_tlog_proof(parse_tlog_proof(TEXT))

    assert proved.key == KEY
    assert proved.leaf.subject == "acme/prod/router/config"
    assert proved.openings[0].value == {"limit": 7}


def test_another_leaf_is_not_proved() -> None:
    honest = LOG.proof(7)
    bent = proof_of(7, logged("acme", 7, "bent"), honest.hashes, honest.note, KEY)

    with pytest.raises(InvalidProof, match="inclusion of leaf 7 in a tree of 20"):
        verify_tlog_proof(bent, KEY)


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", "9" * 100, '"\\ud800"', "[" * 100 + "]" * 100]
)
def test_data_that_cannot_be_shown_exactly_is_no_event_whoever_signed_it(value: str) -> None:
    # given a log whose owner signed something that is not quite JSON
    raw = LOG.leaves[0].raw.replace(b'"what":""', f'"what":{value}'.encode())
    log = log_of([LoggedLeaf(raw)])

    with pytest.raises(BadLeaf, match="its bytes are no event"):
        verify_tlog_proof(log.proof(0))


def test_the_same_leaf_in_another_place_is_not_proved() -> None:
    with pytest.raises(BadLeaf, match="was written as leaf '7'"):
        verify_tlog_proof(replace(LOG.proof(7), index=8), KEY)


def test_a_proof_of_a_stranger_s_log_is_refused() -> None:
    stranger = log_of(LOG.leaves, key=LogKey(seed="a stranger"))

    with pytest.raises(UntrustedSignature, match="the proof names the key"):
        verify_tlog_proof(stranger.proof(7), KEY)


def test_a_checkpoint_of_another_log_proves_nothing_of_this_one() -> None:
    other = log_with(20, "globex")

    with pytest.raises(UntrustedSignature):
        verify_tlog_proof(replace(LOG.proof(7), note=other.signed(20).note), KEY)


@given(st.data())
def test_no_character_of_a_proof_can_be_changed_so_that_it_proves_something_else(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(TEXT) - 1))
    text = TEXT[:at] + data.draw(st.characters()) + TEXT[at + 1 :]

    try:
        proved = verify_tlog_proof(parse_tlog_proof(text), KEY)
    except EvidenceError:
        return
    assert (proved.leaf.index, proved.checkpoint) == (7, LOG.signed(20).checkpoint)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not begin with"),
        (TEXT.replace("@v1", "@v2"), "does not begin with"),
        (TEXT.replace("\n\n", "\n"), "has no checkpoint"),
        (TEXT.replace("index ", "place "), "no index line"),
        (TEXT.replace("index 7", "index 07"), "not a plain number"),
        (TEXT.replace("index 7", "index -7"), "not a plain number"),
        (TEXT.replace("index 7", "index 7\nAAAA"), "other than 32 bytes"),
        (TEXT.replace("index 7", "index 7\n????"), "not base64"),
        (TEXT.replace("index 7", "index 7" + "\nAAAA" * 64), "69 hashes, limit 63"),
        (TEXT.replace("extra ", "extra  "), "not base64"),
        (TEXT.replace("extra ", "extra AAAA\nextra "), "no index line"),
    ],
)
def test_what_is_not_quite_a_proof_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(MalformedEvidence, match=reason):
        parse_tlog_proof(text)


@pytest.mark.parametrize("extra", [b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, leaf_line(LOG.leaves[7])])
def test_an_extra_line_without_leaf_and_key_is_refused(extra: bytes) -> None:
    honest = LOG.proof(7)

    with pytest.raises(MalformedEvidence, match="does not carry a leaf"):
        verify_tlog_proof(TlogProof(7, honest.hashes, honest.note, extra), KEY)
