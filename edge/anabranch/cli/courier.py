"""Commands for sites that no network reaches: `courier export`, `courier import`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.options import OUTPUT
from anabranch_sync.courier import FILE_SIZE_DEFAULT, file_bytes

from anabranch.cli.invocation import Invocation, command, common_options

if TYPE_CHECKING:
    from anabranch.courier import Imported


@click.group("courier", params=common_options(with_variables=False))
def courier() -> None:
    """Exchange with the hub by files, where no network is: on a stick, by hand, by post.

    \b
    anabranch courier export -o /media/stick/store-17.parcel
    anabranch-hub courier import /media/stick/store-17.parcel        at the hub
    anabranch-hub courier export acme store-17 -o /media/stick/answer.parcel
    anabranch courier import /media/stick/answer.parcel
    """


@command("export")
@OUTPUT
@click.option(
    "--max-bytes",
    default=FILE_SIZE_DEFAULT,
    show_default=True,
    metavar="SIZE",
    help="How large a file may be: 500kB, 1MB.",
)
def export(invocation: Invocation, output: Path, max_bytes: str) -> None:
    """Write all that the hub has not acknowledged to signed files for it.

    Repeat it as often as you like: what arrives twice or late changes nothing. The files hold
    documents in clear: treat them as the documents themselves.

    \b
    anabranch courier export -o /media/stick/store-17.parcel
    anabranch courier export -o store-17.parcel --max-bytes 1MB
    """
    from anabranch.courier import export_to_files

    if not output.name:
        raise click.BadParameter("give the name of a file", param_hint="'-o' / '--output'")
    done = export_to_files(invocation.replica, output, file_bytes(max_bytes))
    if invocation.json:
        files = [str(each) for each in done.files]
        terminal.write_json({"files": files, "changes": done.changes, "renewal": done.renewal})
        return
    named = str(done.files[0]) if len(done.files) == 1 else f"{done.files[0]} to {done.files[-1]}"
    what = "the wish for a new incarnation" if done.renewal else terminal.count(done.changes, "unsent change")
    terminal.write(f"{terminal.painted('ok', 'green')} {what} in {named}")
    terminal.say(
        "next, at the hub: anabranch-hub courier import FILE...; the files are signed, not encrypted"
    )


@command("import")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False, exists=True)
)
def import_files(invocation: Invocation, files: tuple[Path, ...]) -> None:
    """Take in files that the hub wrote for this edge, in any order; each whole or not at all.

    Stop the agent before. A file that comes twice or late changes nothing.

    \b
    anabranch courier import /media/stick/answer.parcel
    anabranch courier import answer.parcel.*
    """
    from anabranch.courier import import_files

    taken = []
    for each in import_files(invocation.replica, files):
        taken.append(each)
        if not invocation.json:
            terminal.write(f"{terminal.painted('ok', 'green')} {each.file}: {_words(each)}")
            if each.next_step:
                terminal.say(f"next: {each.next_step}")
    if invocation.json:
        terminal.write_json([_facts(each) for each in taken])


def _words(each: "Imported") -> str:
    if each.known:
        return "nothing new, it was here already"
    words = []
    if each.acknowledged:
        words.append(f"{terminal.count(each.acknowledged, 'change')} merged at the hub")
    if each.documents:
        words.append(f"{terminal.count(each.documents, 'document')} received")
    if not each.complete:
        words.append(f"part {each.part} of {each.parts} kept until the rest is here")
    return ", ".join(words) or "up to date"


def _facts(each: "Imported") -> dict[str, object]:
    return {
        "file": str(each.file),
        "part": each.part,
        "parts": each.parts,
        "known": each.known,
        "acknowledged": each.acknowledged,
        "documents": each.documents,
        "complete": each.complete,
        "next_step": each.next_step,
    }


courier.add_command(export)
courier.add_command(import_files)

COMMANDS = {"courier": courier}
