"""The commands `audit verify` and `audit drill`, and what they take for known from elsewhere."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import BinaryIO

import click
from anabranch_cli import terminal
from anabranch_cli.failure import ExitCode, UnusableInput
from anabranch_cli.given import read_text
from anabranch_sync.audit_file import LINE_BYTES_MAX, parse_head
from anabranch_sync.checkpoint import origin_of, verified_checkpoint
from anabranch_sync.errors import MalformedEvidence, UntrustedSignature
from anabranch_sync.ids import check_tenant
from anabranch_sync.signed_note import NOTE_BYTES_MAX, VerifierKey, parse_verifier_key

from anabranch_hub.audit.anchors import Anchor, Anchors
from anabranch_hub.audit.drill import Drilled
from anabranch_hub.audit.drill import drill as tampered
from anabranch_hub.audit.verifying import Known, Seen, Sound
from anabranch_hub.audit.verifying import verify as verify_log
from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import Log, Store

# A verifier key is one line of some hundred characters.
KEY_BYTES_MAX = 4_096
# A serving hub signs within two seconds of growth; one whose Vault restarts, within a few more.
SIGNED_S_MAX = 10.0
LOOK_S = 0.1
# Somebody who waits hears of it this often.
PROGRESS_S = 2.0


@command("verify")
@TENANT
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="A checkpoint or an export of the log from before: the log has to go on from it.",
)
@click.option("--key", "given_key", metavar="KEY|@FILE", help="The verifier key of the log to be believed.")
async def verify(invocation: Invocation, tenant: str, against: Path | None, given_key: str | None) -> None:
    """Hash every leaf again and compare it with everything that is known of it.

    With the tree that is stored, with every signed checkpoint, with the changes, versions and ledger
    rows that leaves speak of, with what this hub remembers of its log outside Postgres, and with a
    file. Exits with 8 and names the first leaf that is not what was logged.

    \b
    anabranch-hub audit verify acme
    anabranch-hub audit verify acme --against acme.checkpoint --key @acme.vkey
    """
    check_tenant(tenant)
    folder = reach.examined_folder(invocation)
    anchor = Anchors(folder).read(tenant) if folder is not None else None
    async with reach.store(invocation) as store, store.log_snapshot(tenant) as log:
        key, source = _key(tenant, given_key, anchor)
        newest = (await log.log()).newest
        if key is None and newest is not None:
            key = parse_verifier_key(newest.key)
        seen = [Seen(anchor.tree, "the checkpoint that this hub remembers")] if anchor else []
        if against is None:
            sound = await verify_log(log, tenant, Known(key, seen), _progress(invocation))
        else:
            with against.open("rb") as file:
                known = _known(file, against, key, seen)
                sound = await verify_log(log, tenant, known, _progress(invocation))
    _tell(invocation, tenant, sound, key, source)


@command("drill")
@TENANT
async def drill(invocation: Invocation, tenant: str) -> None:
    """Bend a copy of the log in every way a superuser of Postgres can, and show that each is found.

    The log is only read, the copy is undone. Exits with 8 if anything is not found. It takes as long
    as some fifteen times verify.

    \b
    anabranch-hub audit drill acme
    """
    check_tenant(tenant)
    drilled: list[Drilled] = []
    async with reach.store(invocation) as store:
        await signed_log(store, tenant)
        async with store.log_copy(tenant) as log:
            sound, tampering = await tampered(log, tenant)
            async for each in tampering:
                drilled.append(each)
                if not invocation.json:
                    found = terminal.painted("found", "green") if each.detected else "MISSED"
                    terminal.write(f"{found}  {each.tampering} ({_where(each)})")
                    terminal.flush()
    missed = [each for each in drilled if not each.detected]
    if invocation.json:
        terminal.write_json(
            {
                "tenant": tenant,
                "leaves": sound.tree.size,
                "verified": True,
                "tampering_detected": not missed,
                "tamperings": [asdict(each) for each in drilled],
            }
        )
    if missed:
        raise click.exceptions.Exit(ExitCode.UNVERIFIED)


def _where(each: Drilled) -> str:
    if each.leaf is None:
        return each.said
    which = f"leaf {each.leaf}" if each.leaf == each.last else f"leaves {each.leaf} to {each.last}"
    return f"{which}: {terminal.one_line(each.said)}"


async def signed_log(store: Store, tenant: str) -> Log:
    """The log once a checkpoint covers all that it holds now, or as it is when nobody signs."""
    log = await store.log(tenant)
    size = log.frontier.size
    left_s = SIGNED_S_MAX
    while left_s > 0 and (log.newest is None or log.newest.tree.size < size):
        await asyncio.sleep(LOOK_S)
        left_s -= LOOK_S
        log = await store.log(tenant)
    return log


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is complete; readable by its owner alone.

    A device or a pipe, as /dev/stdout, is written to: a file in its place would break it for everybody.
    Raises UnusableInput where it cannot be written.
    """
    try:
        with _taking_the_place(path) as file:
            yield file
    except BrokenPipeError:  # the reader has left
        raise
    except OSError as error:
        raise UnusableInput(str(path), error.strerror or str(error)) from error


@contextmanager
def _taking_the_place(path: Path) -> Iterator[BinaryIO]:
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    path = path.resolve()  # a link, as /dev/stdout into a file, stays a link
    aside = path.with_name(f"{path.name}.{os.getpid()}.new")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def _key(tenant: str, given: str | None, anchor: Anchor | None) -> tuple[VerifierKey | None, str]:
    """The key to be believed, and where it is from."""
    if given is None:
        return (anchor.key, "remembered by this hub") if anchor else (None, "Postgres itself")
    text = read_text(given[1:], KEY_BYTES_MAX) if given.startswith("@") else given
    key = parse_verifier_key(text)
    if key.name != origin_of(tenant):
        raise UntrustedSignature(str(key), f"it is the key of {key.name}, not of {origin_of(tenant)}")
    return key, "given"


def _known(file: BinaryIO, path: Path, key: VerifierKey | None, seen: list[Seen]) -> Known:
    """What a file knows of the log: a signed checkpoint, or an export. Raises EvidenceError."""
    if key is None:
        raise UnusableInput(str(path), "the log has no key yet that could have signed it")
    first = file.readline(LINE_BYTES_MAX + 1)
    if first.startswith(b"{"):
        head = parse_head(first)
        tree = verified_checkpoint(head.note, key).tree
        return Known(key, [*seen, Seen(tree, f"the export {path}")], _leaves(file, path))
    note = (first + file.read(NOTE_BYTES_MAX)).decode("utf-8", "replace")
    return Known(key, [*seen, Seen(verified_checkpoint(note, key).tree, f"the checkpoint {path}")])


def _leaves(file: BinaryIO, path: Path) -> Iterator[str]:
    for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES_MAX + 1), b""), 2):
        try:
            parsed = json.loads(line)
            leaf = parsed.get("leaf")
        except (ValueError, RecursionError, AttributeError) as error:
            raise MalformedEvidence(str(path), f"line {number} is not of an export") from error
        if isinstance(leaf, str):
            yield leaf


def _progress(invocation: Invocation) -> Callable[[int, int], None]:
    last_s = time.monotonic()

    def told(done: int, size: int) -> None:
        nonlocal last_s
        if time.monotonic() - last_s >= PROGRESS_S and (
            invocation.verbose or terminal.is_terminal(sys.stderr)
        ):
            last_s = time.monotonic()
            terminal.say(f"{done:,} of {size:,} leaves")

    return told


def _tell(invocation: Invocation, tenant: str, sound: Sound, key: VerifierKey | None, source: str) -> None:
    size = sound.tree.size
    if invocation.json:
        terminal.write_json(
            {
                "tenant": tenant,
                "verified": True,
                "leaves": size,
                "root": sound.tree.root.hex(),
                "signed": sound.signed,
                "checkpoints": sound.checkpoints,
                "openings": sound.openings,
                "key": None if key is None else str(key),
                "key_source": source,
                "goes_on_from": list(sound.witnessed),
            }
        )
        return
    terminal.write(
        f"{terminal.painted('ok', 'green')} the log of {tenant} is whole: {size:,} leaves, each as it was "
        f"logged and in its place, and what the tables say of them; {terminal.count(sound.openings, 'value')}"
    )
    terminal.write(
        f"signed up to leaf {sound.signed - 1}, at {terminal.count(sound.checkpoints, 'checkpoint')}"
        if sound.signed
        else "nothing of it is signed yet"
    )
    for each in sound.witnessed:
        terminal.write(f"goes on from {each}")
    if key is not None and source == "Postgres itself":
        terminal.say(
            f"the key was read from Postgres itself: compare its fingerprint {key.fingerprint} with one that "
            "you know, or name the key with --key"
        )
