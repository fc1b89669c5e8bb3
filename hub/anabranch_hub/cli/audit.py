"""Commands on the transparency log: `audit checkpoint|verify|prove|export|tail|erase|drill`."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import click
from anabranch_cli import terminal
from anabranch_sync.audit_event import Leaf, read_leaf
from anabranch_sync.errors import EvidenceError
from anabranch_sync.ids import check_tenant
from anabranch_sync.signed_note import parse_verifier_key
from anabranch_sync.value import Json

from anabranch_hub.audit import exporting
from anabranch_hub.cli import audit_verify, reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.errors import LeafUnknown, LogUnsigned
from anabranch_hub.store import Log
from anabranch_hub.store.log_snapshot import LogSnapshot

FOLLOW_S = 1.0
TAIL_LEAVES = 20

INDEX = click.option("--index", type=click.IntRange(min=0), help="Which leaf, by its number in the log.")
POSITION = click.option(
    "--position", type=click.IntRange(min=1), help="Which leaf: that of the change decided at this position."
)
MERGE = click.option("--merge", type=click.IntRange(min=1), help="Which leaf: that of this ledger row.")
OUTPUT = click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write it to a file."
)
WITHOUT_VALUES = click.option(
    "--without-values", is_flag=True, help="Leave out the values that leaves commit to."
)


@click.group("audit")
def audit() -> None:
    """The transparency log: everything that was done to a tenant, signed, and provable to anybody.

    \b
    anabranch-hub audit verify acme                      is the log what was logged?
    anabranch-hub audit export acme -o acme.jsonl        for an auditor, who verifies it with
    anabranch audit verify acme.jsonl --key @acme.vkey   no hub at hand
    """


@command("checkpoint")
@TENANT
@click.option("--key", "only_key", is_flag=True, help="Print the verifier key of the log instead.")
async def checkpoint(invocation: Invocation, tenant: str, only_key: bool) -> None:
    """Print the newest signed checkpoint: how many leaves the log has, and the root over them.

    Waits until the hub has signed all that was logged so far. Whoever keeps a checkpoint can later
    tell whether the log was bent since.

    \b
    anabranch-hub audit checkpoint acme > acme.checkpoint
    anabranch-hub audit checkpoint acme --key > acme.vkey
    """
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        log = await audit_verify.signed_log(store, tenant)
    newest = log.newest
    if newest is None:
        raise LogUnsigned(tenant, log.frontier.size, 0)
    key = parse_verifier_key(newest.key)
    if invocation.json:
        terminal.write_json(
            {
                "tenant": tenant,
                "leaves": log.frontier.size,
                "size": newest.tree.size,
                "root": newest.tree.root.hex(),
                "key": newest.key,
                "fingerprint": key.fingerprint,
                "note": newest.note,
            }
        )
        return
    terminal.write(newest.key if only_key else newest.note.rstrip("\n"))
    if unsigned := _unsigned(log):
        terminal.say(f"{unsigned} leaves are not signed yet: anabranch-hub doctor says why")
    if only_key:
        terminal.say(f"fingerprint {key.fingerprint}")


@command("prove")
@TENANT
@INDEX
@POSITION
@MERGE
@WITHOUT_VALUES
@OUTPUT
async def prove(
    invocation: Invocation,
    tenant: str,
    index: int | None,
    position: int | None,
    merge: int | None,
    without_values: bool,
    output: Path | None,
) -> None:
    """Write the proof of one leaf: a small file that anybody can verify with no hub.

    \b
    anabranch-hub audit prove acme --merge 17 -o merge-17.tlog-proof
    anabranch audit verify merge-17.tlog-proof --key @acme.vkey
    """
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        await audit_verify.signed_log(store, tenant)
        async with store.log_snapshot(tenant) as log:
            number = await _number(log, tenant, index, position, merge)
            proof = await exporting.proof(log, tenant, number, values=not without_values)
    if output is not None:
        with audit_verify.written_whole(output) as file:
            file.write(str(proof).encode())
    if invocation.json:
        file_name = None if output is None else str(output)
        shown = {"proof": str(proof)} if output is None else {}
        terminal.write_json({"tenant": tenant, "leaf": number, "file": file_name, **shown})
    elif output is None:
        terminal.write(str(proof).rstrip("\n"))
    else:
        terminal.write(f"{terminal.painted('ok', 'green')} leaf {number} of tenant {tenant} in {output}")


@command("export")
@TENANT
@WITHOUT_VALUES
@OUTPUT
async def export(invocation: Invocation, tenant: str, without_values: bool, output: Path | None) -> None:
    """Write the whole log, up to its newest checkpoint, to a file or to standard output.

    The file holds the values that the leaves commit to, so treat it like the documents themselves;
    --without-values leaves them out, and it proves the rest all the same.

    \b
    anabranch-hub audit export acme -o acme.jsonl
    anabranch-hub audit export acme --without-values | xz > acme.jsonl.xz
    """
    check_tenant(tenant)
    if output is None and (invocation.json or terminal.is_terminal(sys.stdout)):
        raise click.UsageError("an export is for a file or a pipe: name the file with --output")
    async with reach.store(invocation) as store:
        await audit_verify.signed_log(store, tenant)
        async with store.log_snapshot(tenant) as log:
            unsigned = _unsigned(await log.log())
            lines = exporting.export_lines(log, tenant, values=not without_values)
            if output is None:
                async for line in lines:
                    terminal.write(line.decode().rstrip("\n"))
                terminal.flush()
            else:
                leaves = await _written(lines, output)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "leaves": leaves, "unsigned": unsigned, "file": str(output)})
        return
    if output is not None:
        counted = terminal.count(leaves, "leaf").replace("leafs", "leaves")
        terminal.write(f"{terminal.painted('ok', 'green')} {counted} of tenant {tenant} in {output}")
    if unsigned:
        terminal.say(
            f"not in it, as they are not signed yet: the newest {unsigned} of the log; export it again "
            "(if nobody signs: anabranch-hub doctor says why)"
        )


@command("tail")
@TENANT
@click.option(
    "-n", "--leaves", type=click.IntRange(min=0), default=TAIL_LEAVES, show_default=True, help="How many."
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what is logged from now on, until Ctrl-C.")
async def tail(invocation: Invocation, tenant: str, leaves: int, follow: bool) -> None:
    """Print the newest leaves, one on a line; with --json each as its event.

    \b
    anabranch-hub audit tail acme -n 100
    anabranch-hub audit tail acme --follow
    """
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        first = max(0, (await store.log(tenant)).frontier.size - leaves)
        while True:
            async with store.log_snapshot(tenant) as log:
                async for page in log.pages(first=first, openings=False):
                    for leaf in page.leaves:
                        _print(invocation, tenant, leaf.leaf, leaf.event)
                        first = leaf.leaf + 1
            terminal.flush()
            if not follow:
                return
            await asyncio.sleep(FOLLOW_S)


@command("erase")
@TENANT
@INDEX
@POSITION
@MERGE
@click.option("--yes", "confirmed", is_flag=True, help="Really erase them.")
async def erase(
    invocation: Invocation,
    tenant: str,
    index: int | None,
    position: int | None,
    merge: int | None,
    confirmed: bool,
) -> None:
    """Erase the values behind a leaf, for good. The leaf stays, and the log verifies as before.

    Nobody can show then what the leaf commits to, nor find it out by trying. That they were erased,
    and by whom, is a leaf of its own. The documents and their history are not touched, nor are
    exports that were handed out.

    \b
    anabranch-hub audit erase acme --position 4711 --yes
    """
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        async with store.log_snapshot(tenant) as log:
            number = await _number(log, tenant, index, position, merge)
            if await log.leaf(number) is None:
                raise LeafUnknown(tenant, f"leaf {number}")
        if not confirmed:
            raise click.UsageError(
                f"this erases the values behind leaf {number} for good: say --yes to do it"
            )
        erased = await store.erase(tenant, number, author=invocation.author)
    if invocation.json:
        terminal.write_json({"tenant": tenant, "leaf": number, "erased": erased})
    else:
        done = f"{terminal.count(erased, 'value')} behind leaf {number} of tenant {tenant} erased"
        terminal.write(f"{terminal.painted('ok', 'green')} {done}")


async def _number(
    log: LogSnapshot, tenant: str, index: int | None, position: int | None, merge: int | None
) -> int:
    match index, position, merge:
        case int(), None, None:
            return index
        case None, int(), None:
            return await exporting.leaf_of_change(log, tenant, position)
        case None, None, int():
            return await exporting.leaf_of_merge(log, tenant, merge)
        case _:
            raise click.UsageError("name the leaf by one of --index, --position and --merge")


def _unsigned(log: Log) -> int:
    """How many leaves stand behind the newest checkpoint."""
    return log.frontier.size - (0 if log.newest is None else log.newest.tree.size)


async def _written(lines: AsyncIterator[bytes], output: Path) -> int:
    """Write the lines to a file, whole or not at all; how many leaves they hold."""
    leaves = 0
    with audit_verify.written_whole(output) as file:
        async for line in lines:
            file.write(line)
            leaves += line.startswith((b'{"hash"', b'{"leaf"'))
    return leaves


def _print(invocation: Invocation, tenant: str, number: int, event: bytes) -> None:
    try:
        leaf = read_leaf(event, tenant, number)
    except EvidenceError as error:
        terminal.say(terminal.one_line(str(error)))
        return
    if invocation.json:
        terminal.write(terminal.json_text(json.loads(event)))
        return
    when, subject = f"{leaf.time[:19]}Z", terminal.one_line(leaf.subject)
    terminal.write(f"{number:>6}  {when}  {leaf.kind:<16} {subject}  {_facts(leaf)}".rstrip())


def _facts(leaf: Leaf) -> str:
    names = ("position", "merge", "outcome", "author", "edge", "what", "scope", "leaf")
    facts = ((name, leaf.data.get(name)) for name in names)
    return ", ".join(f"{name} {_shown(value)}" for name, value in facts if value not in (None, ""))


def _shown(value: Json) -> str:
    words = value if isinstance(value, list) else [value]
    return terminal.one_line(" ".join(map(str, words)))


for each in (checkpoint, audit_verify.verify, prove, export, tail, erase, audit_verify.drill):
    audit.add_command(each)

COMMANDS = {"audit": audit}
