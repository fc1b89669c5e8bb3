"""The invitation: one string that lets somebody new in, an edge or an operator, who knows the hub by it.

::

    abr1.<secret, 32 bytes>.<SHA-256 of the hub's root certificate (DER)>[.<enrolment port>]

Both parts are base64url without padding. Whoever is invited sends the secret only over a connection whose
chain ends in the root of that fingerprint; the hub keeps only a hash of the secret.
"""

import base64
import binascii
import secrets
from dataclasses import dataclass, field
from hashlib import sha256

from anabranch_sync.errors import InvalidInput

FORM = "abr1"
SECRET_BYTES = 32
FINGERPRINT_BYTES = 32
# The last port that there is.
PORT_MAX = 65_535
# Four parts of at most 43 characters and their dots; more is not a token, and is not looked at.
TOKEN_CHARS_MAX = 128


class InvalidToken(InvalidInput):
    """A string that is no invitation. It is not repeated: it may be one with a slip in it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the token is refused ({reason}): copy the whole line that `anabranch-hub edge invite` (for an "
            "operator, `operator invite`) printed"
        )


@dataclass(frozen=True, slots=True)
class InvitationToken:
    """`enrolment_port` 0: the one after the hub's own, as it is by default."""

    secret: bytes = field(repr=False)
    root_fingerprint: bytes
    enrolment_port: int = 0

    def render(self) -> str:
        """The string to hand over: a secret."""
        parts = [FORM, _text(self.secret), _text(self.root_fingerprint)]
        return ".".join(parts + ([str(self.enrolment_port)] if self.enrolment_port else []))

    @property
    def secret_hash(self) -> bytes:
        """What the hub keeps. The secret is 256 random bits, so a plain hash gives nothing away."""
        return hash_secret(self.secret)


def new_token(root_der: bytes, enrolment_port: int = 0) -> InvitationToken:
    """A token nobody has seen, for the hub whose root is `root_der`."""
    return InvitationToken(secrets.token_bytes(SECRET_BYTES), sha256(root_der).digest(), enrolment_port)


def parse_token(text: str) -> InvitationToken:
    """Raises InvalidToken."""
    if len(text) > TOKEN_CHARS_MAX:
        raise InvalidToken(f"{len(text)} characters, limit {TOKEN_CHARS_MAX}")
    parts = text.strip().split(".")
    if parts[0] != FORM:
        raise InvalidToken(f"it does not begin with {FORM}.")
    if len(parts) not in (3, 4):
        raise InvalidToken(f"{len(parts)} parts instead of 3 or 4")
    secret, fingerprint = (_bytes(part) for part in parts[1:3])
    if len(secret) != SECRET_BYTES or len(fingerprint) != FINGERPRINT_BYTES:
        raise InvalidToken("a part of it has another length")
    return InvitationToken(secret, fingerprint, _port(parts[3]) if len(parts) == 4 else 0)


def hash_secret(secret: bytes) -> bytes:
    """SHA-256 of a token's secret."""
    return sha256(secret).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _bytes(part: str) -> bytes:
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidToken("a part of it is not base64url") from error
    if _text(raw) != part:  # the decoder skips what it does not know
        raise InvalidToken("a part of it is not base64url")
    return raw


def _port(part: str) -> int:
    if not (part.isascii() and part.isdecimal() and 0 < int(part) <= PORT_MAX):
        raise InvalidToken("its last part is not a port")
    return int(part)
