"""Notes, keys and checkpoints: the published examples, round trips, and everything that is not quite one."""

import pytest
from anabranch_hub.simulation.log_key import LogKey
from anabranch_sync.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    parse_checkpoint,
    parse_signed,
    signed,
    unpack_checkpoint,
    verified_checkpoint,
)
from anabranch_sync.errors import EvidenceError, MalformedEvidence, UntrustedSignature
from anabranch_sync.merkle import SIZE_MAX, TreeHead
from anabranch_sync.signed_note import (
    NOTE_BYTES_MAX,
    Note,
    Signature,
    VerifierKey,
    check_signed,
    encode_base64,
    parse_note,
    parse_verifier_key,
)
from hypothesis import given
from hypothesis import strategies as st

# The example of Go's package golang.org/x/mod/sumdb/note, from which the specification comes.
NEUMANN_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
# The example of C2SP tlog-checkpoint.
SOFA = (
    "example.com/behind-the-sofa\n"
    "20852163\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    "\n"
    "— example.com/behind-the-sofa "
    "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
KEY = LogKey()
TREE = TreeHead(1234, bytes(range(32)))

trees = st.builds(TreeHead, st.integers(0, SIZE_MAX), st.binary(min_size=32, max_size=32))


def test_the_published_note_verifies_under_its_published_key() -> None:
    note = parse_note(NEUMANN_NOTE)

    check_signed(note, parse_verifier_key(NEUMANN_KEY))

    assert str(note) == NEUMANN_NOTE
    assert str(parse_verifier_key(NEUMANN_KEY)) == NEUMANN_KEY


def test_the_published_checkpoint_is_read() -> None:
    note = parse_note(SOFA)

    checkpoint = parse_checkpoint(note)

    assert (checkpoint.origin, checkpoint.tree.size) == ("example.com/behind-the-sofa", 20852163)
    assert checkpoint.to_sign.decode() == note.text


@given(trees)
def test_a_signed_checkpoint_survives_as_text_and_as_bytes(tree: TreeHead) -> None:
    given_out = KEY.signed(tree)

    assert verified_checkpoint(given_out.note, KEY.verifier) == given_out.checkpoint
    assert parse_signed(given_out.note) == given_out
    assert unpack_checkpoint("anabranch/tenant/acme", given_out.packed) == given_out
    assert len(given_out.packed) <= 109


def test_a_signed_checkpoint_looks_like_this() -> None:
    text = KEY.signed(TREE).note

    assert text.startswith(
        "anabranch/tenant/acme\n1234\nAAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
        "\n— anabranch/tenant/acme "
    )


def test_a_wrong_signature_is_never_made_into_a_checkpoint() -> None:
    checkpoint = Checkpoint(KEY.verifier.name, TREE)
    signature = LogKey(seed="somebody else's").signature(checkpoint.to_sign)

    with pytest.raises(UntrustedSignature, match="does not verify"):
        signed(checkpoint, KEY.verifier, signature)


@given(trees, st.integers(0, 8 * 102 - 1))
def test_a_flipped_bit_anywhere_in_the_packed_bytes_is_noticed(tree: TreeHead, bit: int) -> None:
    packed = bytearray(KEY.signed(tree).packed)
    bit %= 8 * len(packed)
    packed[bit // 8] ^= 1 << bit % 8

    with pytest.raises(EvidenceError):
        unpack_checkpoint(KEY.verifier.name, bytes(packed)).check(KEY.verifier)


def test_a_changed_text_is_not_signed() -> None:
    text = KEY.signed(TREE).note.replace("\n1234\n", "\n1235\n")

    with pytest.raises(UntrustedSignature, match="does not verify"):
        verified_checkpoint(text, KEY.verifier)


def test_the_checkpoint_of_another_tenant_is_refused_even_under_the_same_private_key() -> None:
    other = LogKey("globex")

    with pytest.raises(UntrustedSignature, match=r"anabranch/tenant/globex\+"):
        verified_checkpoint(other.signed(TREE).note, KEY.verifier)
    with pytest.raises(UntrustedSignature, match="signed by anabranch/tenant/globex"):
        other.signed(TREE).check(KEY.verifier)


def test_a_key_signs_for_its_own_log_only() -> None:
    # given a note about another log that our key did sign
    checkpoint = Checkpoint("anabranch/tenant/globex", TREE)
    line = Signature(KEY.verifier.name, KEY.verifier.key_id, KEY.signature(checkpoint.to_sign))
    note = Note(checkpoint.to_sign.decode(), (line,))

    with pytest.raises(UntrustedSignature, match="for another log, anabranch/tenant/globex"):
        verified_checkpoint(str(note), KEY.verifier)


def test_signatures_of_others_are_passed_over_and_extension_lines_are_signed_too() -> None:
    # given a checkpoint with an extension line, a witness's signature and ours
    text = Checkpoint(KEY.verifier.name, TREE).to_sign.decode() + "extension of the future\n"
    ours = Signature(KEY.verifier.name, KEY.verifier.key_id, KEY.signature(text.encode()))
    witness = Signature("witness.example.com/w1", b"abcd", b"whatever a witness says" * 200)
    note = Note(text, (witness, ours, witness))

    assert verified_checkpoint(str(note), KEY.verifier) == Checkpoint(KEY.verifier.name, TREE)
    with pytest.raises(UntrustedSignature):
        verified_checkpoint(str(note).replace("future", "past"), KEY.verifier)


def test_a_checkpoint_that_only_others_signed_is_not_the_log_s() -> None:
    witness = Signature("witness.example.com/w1", b"abcd", bytes(64))

    with pytest.raises(MalformedEvidence, match="anabranch/tenant/acme itself has not signed it"):
        parse_signed(str(Note(Checkpoint(KEY.verifier.name, TREE).to_sign.decode(), (witness,))))


def test_one_bad_signature_of_the_known_key_spoils_the_note() -> None:
    good = KEY.signed(TREE)
    line = Signature(KEY.verifier.name, good.key_id, good.signature)
    bad = Signature(KEY.verifier.name, good.key_id, bytes(64))

    with pytest.raises(UntrustedSignature, match="does not verify"):
        check_signed(Note(good.checkpoint.to_sign.decode(), (line, bad)), KEY.verifier)


def test_a_key_id_that_is_right_by_chance_proves_nothing() -> None:
    stranger = LogKey(seed="collides")
    forged = SignedCheckpoint(
        Checkpoint(KEY.verifier.name, TREE),
        KEY.verifier.key_id,
        stranger.signature(Checkpoint(KEY.verifier.name, TREE).to_sign),
    )

    with pytest.raises(UntrustedSignature):
        forged.check(KEY.verifier)


GOOD = KEY.signed(TREE).note


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no signatures"),
        (GOOD[:-1], "the end is missing"),
        (GOOD + "\n", "the end is missing"),
        (GOOD + "x", "the end is missing"),
        (GOOD.replace("\n\n", "\n"), "no signatures"),
        (GOOD.replace("—", "-"), "signature line is not"),
        (GOOD.replace("1234", "12\t34"), "control character"),
        (GOOD.replace("acme", "\ud800"), "not UTF-8 at character 17"),
        (GOOD.replace("\n", "\r\n"), "control character"),
        (GOOD.replace("— anabranch", "—  anabranch"), "signature line is not"),
        (GOOD.replace("— anabranch", "— ana+branch"), "signature line is not"),
        (GOOD.replace("=\n", "\n"), "not base64"),
        (GOOD + "— a AAAA\n", "nothing after the key id"),
        (GOOD + "— a AAAAAAB=\n", "not the shortest base64"),
        (GOOD + "— a AAAAAAA=\n" * 100, "101 signatures, limit 100"),
        (GOOD + f"— a {'A' * NOTE_BYTES_MAX}\n", f"limit {NOTE_BYTES_MAX}"),
        (GOOD.replace("\n1234\n", "\n01234\n"), "not a plain number"),
        (GOOD.replace("\n1234\n", "\n+1234\n"), "not a plain number"),
        (GOOD.replace("\n1234\n", "\n१२३४\n"), "not a plain number"),
        (GOOD.replace("\n1234\n", f"\n{2**63}\n"), "not a plain number"),
        (GOOD.replace("\n1234\n", f"\n{'9' * 5000}\n"), "not a plain number"),
        (GOOD.replace("\n1234\n", "\n"), "expected the lines"),
        (GOOD.replace("\n1234\n", "\n\n1234\n"), "expected the lines"),
        (GOOD.replace("AAEC", ""), "its root has 29 bytes"),
        (GOOD.replace("AAEC", "????"), "root is malformed: not base64"),
    ],
)
def test_what_is_not_quite_a_checkpoint_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(MalformedEvidence, match=reason):
        parse_checkpoint(parse_note(text))


def test_sixteen_large_signatures_are_no_reason_to_refuse_a_note() -> None:
    text = GOOD + f"— witness {encode_base64(b'x' * 5000)}\n" * 16

    assert verified_checkpoint(text, KEY.verifier).tree == TREE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        "+00000000+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        NEUMANN_KEY.replace("c74f20a3", "c74f20a4"),
        NEUMANN_KEY.replace("c74f20a3", "C74F20A3"),
        NEUMANN_KEY.replace("Peter", "Peter "),
        NEUMANN_KEY.replace("Peter", "\ud800"),
        NEUMANN_KEY.replace("Peter", "\x1b"),
        NEUMANN_KEY.replace("Peter", "Paul"),
        NEUMANN_KEY.replace("ARpc", "BRpc"),
        NEUMANN_KEY[:-4],
        NEUMANN_KEY + "AAAA",
    ],
)
def test_what_is_not_quite_a_key_is_refused(text: str) -> None:
    with pytest.raises(MalformedEvidence, match="verifier key is malformed"):
        parse_verifier_key(text)


@given(st.binary(min_size=32, max_size=32))
def test_a_key_survives_as_text(public: bytes) -> None:
    key = VerifierKey("anabranch/tenant/acme", public)

    assert parse_verifier_key(f" {key}\n") == key
    assert len(key.fingerprint) == 39


@pytest.mark.parametrize("packed", [b"", b"\x00", b"\xff" * 120, KEY.signed(TREE).packed + b"\x00"])
def test_packed_bytes_of_another_length_are_refused(packed: bytes) -> None:
    with pytest.raises(MalformedEvidence, match="packed checkpoint"):
        unpack_checkpoint(KEY.verifier.name, packed)
