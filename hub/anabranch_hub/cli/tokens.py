"""One-time tokens: made for an edge or an operator, printed once, redeemed at the enrolment port."""

import sys
import time
from dataclasses import dataclass

from anabranch_cli import terminal
from anabranch_protos.invitation import InvitationToken, new_token
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from anabranch_hub.cli import reach
from anabranch_hub.cli.invocation import Invocation
from anabranch_hub.operations import whereabouts
from anabranch_hub.settings import parse_address


@dataclass(frozen=True, slots=True)
class MadeToken:
    """A token, where the hub listens to which it leads, and until when."""

    token: InvitationToken
    hub: str
    expires_ms: int


def made_token(invocation: Invocation, ttl_s: int) -> MadeToken:
    """A new token for the hub that runs on the data directory. Raises NoHubRuns, UsageError."""
    folder = reach.data_dir(invocation)
    here = whereabouts.find(folder)
    root = x509.load_pem_x509_certificate(whereabouts.authority_pem(folder))
    enrol, listen = parse_address(here.enrol), parse_address(here.listen)
    # Left out where it is the port after the hub's: a token is typed by hand at some sites.
    port = 0 if enrol.port == listen.port + 1 else enrol.port
    token = new_token(root.public_bytes(Encoding.DER), port)
    return MadeToken(token, here.listen, time.time_ns() // 1_000_000 + ttl_s * 1_000)


def show_token(made: MadeToken, what_next: str) -> None:
    """Print the token alone, so that it can go into a file, and tell a person what it is for."""
    terminal.write(made.token.render())
    terminal.flush()
    terminal.say(what_next)
    if terminal.is_terminal(sys.stdout):
        terminal.say("the line above is a secret and is not shown again")
