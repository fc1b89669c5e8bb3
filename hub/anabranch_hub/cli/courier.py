"""Commands for edges that no network reaches: `courier import`, `courier export`."""

import time
from pathlib import Path

import click
from anabranch_cli import terminal
from anabranch_cli.failure import UnusableInput
from anabranch_cli.options import OUTPUT
from anabranch_sync.courier import FILE_SIZE_DEFAULT, file_bytes
from anabranch_sync.errors import ParcelError
from anabranch_sync.ids import check_edge, check_tenant
from anabranch_sync.parcel import PARCEL_BYTES_MAX
from cryptography import x509

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import EDGE, TENANT
from anabranch_hub.cli.audit_verify import written_whole
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.courier.answering import answer, signed
from anabranch_hub.courier.taking import Taken, take, verified
from anabranch_hub.operations import whereabouts


@click.group("courier")
def courier() -> None:
    """Exchange with an edge by files, where no network reaches it.

    \b
    anabranch-hub courier import store-17.parcel
    anabranch-hub courier export acme store-17 -o answer.parcel
    """


@command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
async def import_files(invocation: Invocation, files: tuple[Path, ...]) -> None:
    """Decide what edges wrote to files, in any order; a push is decided as a whole or not at all.

    Who signed a file is verified against the hub's root, and must be an edge that may be served. A
    file that comes twice or late changes nothing. Answer with courier export.

    \b
    anabranch-hub courier import /media/stick/*.parcel*
    """
    root = x509.load_pem_x509_certificate(whereabouts.authority_pem(reach.data_dir(invocation)))
    taken = []
    async with reach.store(invocation) as store:
        letters = []
        for file in files:
            try:
                letters.append((file, await verified(store, _read(file), root, _now_ms())))
            except ParcelError as error:
                raise error.of(str(file)) from error
        for file, letter in sorted(letters, key=lambda each: (each[1].made_ms, each[1].part)):
            try:
                done = await take(store, letter, _now_ms())
            except ParcelError as error:
                raise error.of(str(file)) from error
            taken.append((file, done))
            if not invocation.json:
                terminal.write(f"{terminal.painted('ok', 'green')} {file}: {_words(done)}")
                if done.accused:
                    terminal.say(f"the edge has seen another log: {terminal.one_line(done.accused)}")
    if invocation.json:
        terminal.write_json([_facts(file, done) for file, done in taken])
        return
    for tenant, edge in dict.fromkeys((done.tenant, done.edge) for _, done in taken):
        terminal.say(f"next: anabranch-hub courier export {tenant} {edge} -o FILE")


@command("export")
@TENANT
@EDGE
@OUTPUT
@click.option(
    "--max-bytes",
    default=FILE_SIZE_DEFAULT,
    show_default=True,
    metavar="SIZE",
    help="How large a file may be: 500kB, 1MB.",
)
async def export(invocation: Invocation, tenant: str, edge: str, output: Path, max_bytes: str) -> None:
    """Write the answer to an edge's last file: what is merged of it, and all that the edge lacks.

    Nothing changes here, so repeat it as often as you like. The files hold documents in clear.

    \b
    anabranch-hub courier export acme store-17 -o /media/stick/answer.parcel
    anabranch-hub courier export acme store-17 -o answer.parcel --max-bytes 1MB
    """
    check_tenant(tenant)
    check_edge(edge)
    bytes_max = file_bytes(max_bytes)
    courier_pem = whereabouts.courier_pem(reach.data_dir(invocation))
    async with reach.store(invocation) as store:
        letters = await answer(store, tenant, edge, _now_ms(), bytes_max)
    files = [
        output if len(letters) == 1 else output.with_name(f"{output.name}.{each.part:03}") for each in letters
    ]
    for file, letter in zip(files, letters, strict=True):
        with written_whole(file) as stream:
            stream.write(signed(letter, courier_pem))
    upto = letters[0].upto.hub_seq
    if invocation.json:
        terminal.write_json(
            {"tenant": tenant, "edge": edge, "files": [str(each) for each in files], "position": upto}
        )
        return
    named = str(files[0]) if len(files) == 1 else f"{files[0]} to {files[-1]}"
    terminal.write(f"{terminal.painted('ok', 'green')} {named}: {edge} of {tenant} up to position {upto}")
    terminal.say("next, on the edge: anabranch courier import FILE...; the files are signed, not encrypted")


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(PARCEL_BYTES_MAX + 1)
    except OSError as error:
        raise UnusableInput(str(file), error.strerror or str(error)) from error


def _words(done: Taken) -> str:
    whose = f"{done.tenant}/{done.edge}"
    if done.renewed:
        return f"{whose} goes on under a new incarnation, which its answer gives it; no change was taken"
    words = f"{terminal.count(done.changes, 'new change')} of {whose}"
    return f"{words}; a newer file of it was here, and is the one to be answered" if done.older else words


def _facts(file: Path, done: Taken) -> dict[str, object]:
    return {
        "file": str(file),
        "tenant": done.tenant,
        "edge": done.edge,
        "part": done.part,
        "parts": done.parts,
        "changes": done.changes,
        "push_mark": done.push_mark,
        "renewed": done.renewed,
        "older": done.older,
        "accused": done.accused,
    }


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


courier.add_command(import_files)
courier.add_command(export)

COMMANDS = {"courier": courier}
