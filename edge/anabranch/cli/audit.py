"""Commands on the hub's transparency log: `audit verify`, `audit show`, `audit forget`.

`verify` needs no hub and no replica: an auditor's laptop will do.
"""

import base64
import io
import itertools
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click
from anabranch_cli import terminal
from anabranch_cli.failure import UnusableInput
from anabranch_cli.given import read_text
from anabranch_sync.audit_file import LINE_BYTES_MAX, Verified, parse_head, verify_export
from anabranch_sync.checkpoint import unpack_checkpoint
from anabranch_sync.errors import MalformedEvidence
from anabranch_sync.merkle import TreeHead
from anabranch_sync.signed_note import VerifierKey, parse_verifier_key
from anabranch_sync.tlog_proof import (
    FIRST_LINE,
    PROOF_BYTES_MAX,
    ProvedLeaf,
    parse_tlog_proof,
    verify_tlog_proof,
)
from anabranch_sync.witness import check_same

from anabranch.cli.invocation import Invocation, command, common_options
from anabranch.errors import ReplicaError, ReplicaMissing

if TYPE_CHECKING:
    from anabranch.replica import LogState

# Far more than any key has, and little enough to read by mistake.
KEY_BYTES_MAX = 4_096
# A proof shows the values of one change; a screen holds these.
VALUES_SHOWN_MAX = 20


@dataclass(frozen=True, slots=True)
class _Trust:
    """The key to be believed and where it is from: `given`, `pinned`, or the `file` itself (None)."""

    key: VerifierKey | None
    source: str
    pinned_ms: int = 0


@click.group("audit", params=common_options(with_variables=False))
def audit() -> None:
    """The hub's transparency log: verify what it proves, see what this edge has witnessed."""


@command("verify")
@click.argument("source", metavar="FILE|-")
@click.option("--key", "given_key", metavar="KEY|@FILE", help="The verifier key of the log to be believed.")
def verify(invocation: Invocation, source: str, given_key: str | None) -> None:
    """Verify an exported log, or the proof of one leaf, with no hub.

    FILE is what anabranch-hub audit export or prove wrote. Believed is the key that --key names, else
    the one that this machine's replica has pinned. Without either it is shown whose key it is, for
    you to compare. Exits with 8 and names the first bad leaf if anything was edited, removed,
    reordered or is missing.

    \b
    anabranch audit verify acme.jsonl --key @acme.vkey
    anabranch audit verify leaf-1233.tlog-proof
    """
    known = _known(invocation, needed=given_key is None)
    with _opened(source) as file:
        first = file.readline(LINE_BYTES_MAX + 1)
        if first.rstrip(b"\r\n") == FIRST_LINE.encode():
            _verify_proof(invocation, first + file.read(PROOF_BYTES_MAX + 1), given_key, known)
        else:
            lines = itertools.chain([first], iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""))
            _verify_export(invocation, lines if first else iter(()), given_key, known)


@command("show")
def show(invocation: Invocation) -> None:
    """Show the newest checkpoint of the log this edge has seen, and logs that it refused.

    Two signed checkpoints that do not fit prove that the log was bent, to anybody.
    """
    with invocation.open() as client:
        state, cursor = client.replica.log_state(), client.replica.standing().cursor
    if invocation.json:
        terminal.write_json(_state_facts(state))
        return
    for line in terminal.columns(_state_rows(state, cursor.hub_seq)):
        terminal.write(line)
    if state.seen is None:
        terminal.say("no checkpoint was seen yet: the first one, of the next exchange, pins the log's key")
        return
    terminal.write(f"\n{state.seen.witnessed.checkpoint.note}".rstrip("\n"))
    for broken in state.breaks:
        terminal.write(f"\nseen before the hub was restored ({terminal.one_line(broken.reason)}):")
        terminal.write(_note_of(state.origin, broken.seen).rstrip("\n"))
    for each in state.refusals:
        terminal.write(f"\nshown by the hub and refused ({terminal.one_line(each.reason)}):")
        terminal.write(_note_of(state.origin, each.checkpoint).rstrip("\n"))


@command("forget")
@click.option("--yes", "confirmed", is_flag=True, help="Really forget it.")
def forget(invocation: Invocation, confirmed: bool) -> None:
    """Forget the log that was seen, so that the next one is believed.

    Only for a hub whose log was begun anew for a reason that you know, as after a restored backup.
    Keep the evidence first:

    \b
    anabranch audit show --json > evidence.json && anabranch audit forget --yes
    """
    with invocation.open() as client:
        seen = client.replica.log_state().seen
        leaves = 0 if seen is None else seen.witnessed.tree.size
        if not confirmed:
            raise click.UsageError(
                f"this forgets the key and the {_leaves(leaves)} seen of the log, and believes "
                "whatever the hub shows next: say --yes if that is meant",
                click.get_current_context(),
            )
        client.replica.forget_log()
    if invocation.json:
        terminal.write_json({"forgotten": leaves})
    else:
        terminal.write(
            f"{terminal.painted('ok', 'green')} forgotten; the next checkpoint is believed and pinned"
        )


def _verify_export(
    invocation: Invocation, lines: Iterator[bytes], given_key: str | None, known: "LogState | None"
) -> None:
    first = next(lines, b"")
    trust = _trust(parse_head(first).key.name, given_key, known)
    seen = _seen(known, trust)
    proved = verify_export(itertools.chain([first], lines), trust.key, seen)
    if invocation.json:
        terminal.write_json(_export_facts(proved, trust))
        return
    tree = proved.checkpoint.tree
    terminal.write(
        f"{terminal.painted('ok', 'green')} the log of {proved.tenant} is whole: {_leaves(tree.size)}, every "
        "one as it was logged and in its place; "
        f"{terminal.count(proved.openings, 'value')} shown, every one as logged"
    )
    if seen and proved.witnessed:
        terminal.write(f"   it begins with the {_leaves(seen.size)} that this edge has seen before")
    elif seen:
        terminal.write(f"   it is older than what this edge has seen, which is {_leaves(seen.size)}")
    _tell_key(proved.key, trust)


def _verify_proof(
    invocation: Invocation, raw: bytes, given_key: str | None, known: "LogState | None"
) -> None:
    try:
        proof = parse_tlog_proof(raw.decode())
    except UnicodeDecodeError as error:
        raise MalformedEvidence("proof", f"not UTF-8 at byte {error.start}") from error
    trust = _trust(proof.note.partition("\n")[0], given_key, known)
    proved = verify_tlog_proof(proof, trust.key)
    if seen := _seen(known, trust):
        check_same(seen, proved.checkpoint.tree)
    if invocation.json:
        terminal.write_json(_proof_facts(proved, trust))
        return
    leaf = proved.leaf
    told = terminal.one_line(f"{leaf.kind} {leaf.subject}, {leaf.time}")
    terminal.write(
        f"{terminal.painted('ok', 'green')} leaf {leaf.index} of the log of {proved.tenant}, which has "
        f"{_leaves(proved.checkpoint.tree.size)}: {told}"
    )
    for opening in proved.openings[:VALUES_SHOWN_MAX]:
        terminal.write(f"   with the value {terminal.json_text(opening.value)}")
    if len(proved.openings) > VALUES_SHOWN_MAX:
        terminal.write(f"   and {len(proved.openings) - VALUES_SHOWN_MAX:,} more values (--json shows all)")
    _tell_key(proved.key, trust)


def _known(invocation: Invocation, *, needed: bool) -> "LogState | None":
    """What this machine's replica knows of its hub's log; None where there is no replica."""
    # With --key, a replica that cannot be read is no reason to stop.
    with suppress(ReplicaMissing if needed else ReplicaError), invocation.open() as client:
        return client.replica.log_state()
    return None


def _trust(origin: str, given_key: str | None, known: "LogState | None") -> _Trust:
    """Which key to believe for the log `origin`. Raises UnusableInput."""
    if given_key is not None:
        return _Trust(_parsed_key(given_key), "given")
    if known is not None and known.seen is not None and known.origin == origin:
        return _Trust(known.seen.witnessed.key, "pinned", known.seen.pinned_ms)
    return _Trust(None, "file")


def _seen(known: "LogState | None", trust: _Trust) -> TreeHead | None:
    """The newest tree seen here of the log whose key is believed; of no other log."""
    if known is None or known.seen is None or known.seen.witnessed.key != trust.key:
        return None
    return known.seen.witnessed.tree


def _parsed_key(given: str) -> VerifierKey:
    is_file = given.startswith("@")
    try:
        return parse_verifier_key(read_text(given[1:], KEY_BYTES_MAX) if is_file else given)
    except MalformedEvidence as error:
        raise UnusableInput(given[1:] if is_file else "--key", str(error)) from error


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    """The bytes of a file or, for ``-``, of standard input. Raises UnusableInput."""
    if source == "-":
        yield io.BytesIO() if sys.stdin is None else sys.stdin.buffer
        return
    try:
        with Path(source).open("rb") as file:
            yield file
    except OSError as error:
        raise UnusableInput(source, error.strerror or str(error)) from error


def _tell_key(key: VerifierKey, trust: _Trust) -> None:
    """Under which key all that holds, and why that key is to be believed, or not yet."""
    match trust.source:
        case "given":
            terminal.write(f"   signed by {key}, the key that --key names")
        case "pinned":
            since = terminal.moment(trust.pinned_ms)
            terminal.write(f"   signed by {key}, which this edge pinned on {since}")
        case _:
            terminal.write(f"   signed by {key}")
            terminal.write(
                "   that key is the file's own: it proves something only if it is the log's. Compare its "
                f"fingerprint, {key.fingerprint}, with what an edge tells (anabranch audit show) or the "
                "hub's operator (anabranch-hub audit checkpoint TENANT --key), or name the key with --key"
            )


def _export_facts(proved: Verified, trust: _Trust) -> dict[str, object]:
    tree = proved.checkpoint.tree
    return {
        "kind": "export",
        "tenant": proved.tenant,
        "leaves": tree.size,
        "root": base64.b64encode(tree.root).decode(),
        "values": proved.openings,
        "checkpoints": proved.checkpoints,
        "witnessed": proved.witnessed,
        "key": str(proved.key),
        "fingerprint": proved.key.fingerprint,
        "trust": trust.source,
    }


def _proof_facts(proved: ProvedLeaf, trust: _Trust) -> dict[str, object]:
    leaf, tree = proved.leaf, proved.checkpoint.tree
    return {
        "kind": "proof",
        "tenant": proved.tenant,
        "leaves": tree.size,
        "root": base64.b64encode(tree.root).decode(),
        "leaf": {
            "index": leaf.index,
            "kind": leaf.kind,
            "subject": leaf.subject,
            "time": leaf.time,
            "data": dict(leaf.data),
        },
        "values": [{"commitment": each.commitment, "value": each.value} for each in proved.openings],
        "key": str(proved.key),
        "fingerprint": proved.key.fingerprint,
        "trust": trust.source,
    }


def _state_rows(state: "LogState", hub_seq: int) -> list[tuple[str, str]]:
    rows = [("log", state.origin)]
    if state.seen is not None:
        key, tree = state.seen.witnessed.key, state.seen.witnessed.tree
        since = hub_seq - state.seen.hub_seq
        ago = terminal.duration(max(0.0, time.time() - state.seen.seen_ms / 1000))
        more = f"; {terminal.count(since, 'change')} decided since" if since > 0 else ""
        rows += [
            ("seen", f"{_leaves(tree.size)}, {ago} ago{more}"),
            ("key", str(key)),
            ("pinned", f"{terminal.moment(state.seen.pinned_ms)}, fingerprint {key.fingerprint}"),
        ]
    for broken in state.breaks:
        when = f"epoch {broken.epoch}, {terminal.moment(broken.noted_ms)}"
        rows.append(("restored", f"{terminal.one_line(broken.reason)} ({when})"))
    for each in state.refusals:
        when = f"{terminal.moment(each.first_ms)} to {terminal.moment(each.last_ms)}"
        rows.append(
            ("refused", f"{terminal.one_line(each.reason)} ({terminal.count(each.times, 'time')}, {when})")
        )
    return rows


def _state_facts(state: "LogState") -> dict[str, object]:
    seen = state.seen
    return {
        "origin": state.origin,
        "leaves": None if seen is None else seen.witnessed.tree.size,
        "checkpoint": None if seen is None else seen.witnessed.checkpoint.note,
        "seen": None if seen is None else terminal.moment(seen.seen_ms),
        "hub_seq": None if seen is None else seen.hub_seq,
        "key": None if seen is None else str(seen.witnessed.key),
        "fingerprint": None if seen is None else seen.witnessed.key.fingerprint,
        "pinned": None if seen is None else terminal.moment(seen.pinned_ms),
        "breaks": [
            {
                "epoch": each.epoch,
                "reason": each.reason,
                "seen": _note_of(state.origin, each.seen),
                "shown": _note_of(state.origin, each.shown),
                "noted": terminal.moment(each.noted_ms),
            }
            for each in state.breaks
        ],
        "refusals": [
            {
                "reason": each.reason,
                "checkpoint": _note_of(state.origin, each.checkpoint),
                "first": terminal.moment(each.first_ms),
                "last": terminal.moment(each.last_ms),
                "times": each.times,
            }
            for each in state.refusals
        ],
    }


def _note_of(origin: str, packed: bytes) -> str:
    """A refused checkpoint as a note, or its bytes where they are none."""
    try:
        return unpack_checkpoint(origin, packed).note
    except MalformedEvidence:
        return packed.hex()


def _leaves(number: int) -> str:
    return f"{number:,} leaf" if number == 1 else f"{number:,} leaves"


audit.add_command(verify)
audit.add_command(show)
audit.add_command(forget)

COMMANDS = {"audit": audit}
