"""The invitation as a string."""

from contextlib import suppress
from hashlib import sha256

import pytest
from anabranch_protos.invitation import InvalidToken, InvitationToken, new_token, parse_token
from hypothesis import given
from hypothesis import strategies as st

SECRETS = st.binary(min_size=32, max_size=32)


@given(SECRETS, SECRETS, st.integers(0, 65_535))
def test_a_token_survives_its_journey_as_text(secret: bytes, fingerprint: bytes, port: int) -> None:
    token = InvitationToken(secret, fingerprint, port)
    assert parse_token(f" {token.render()}\n") == token


@given(st.text(max_size=140))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        parse_token(text)


@given(SECRETS, st.integers(0, 90), st.characters())
def test_a_token_with_one_character_changed_is_another_token_or_none(
    secret: bytes, place: int, character: str
) -> None:
    # given
    token = InvitationToken(secret, b"f" * 32)
    text = token.render()
    changed = text[:place] + character + text[place + 1 :]
    # when
    parsed: InvitationToken | None = None
    with suppress(InvalidToken):
        parsed = parse_token(changed)
    # then
    assert parsed is None or parsed.render() == changed.strip()


def test_the_root_is_known_by_its_fingerprint() -> None:
    assert new_token(b"a root").root_fingerprint == sha256(b"a root").digest()


def test_no_two_tokens_are_alike() -> None:
    assert new_token(b"a root").secret != new_token(b"a root").secret


def test_a_token_does_not_show_its_secret() -> None:
    token = InvitationToken(b"s" * 32, b"f" * 32)
    assert "s" * 32 not in repr(token)
