"""The command by which an edge asks for less than it was granted: `subscribe`."""

from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal

from anabranch.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from anabranch_sync.scope import Scope

    from anabranch.replica.subscribing import Leaving, Subscription


@command("subscribe")
@click.argument("prefixes", nargs=-1, metavar="[PREFIX]...")
@click.option("--all", "everything", is_flag=True, help="Take all that was granted again.")
@click.option("--dry-run", is_flag=True, help="Only tell what would go, and what would come.")
def subscribe(invocation: Invocation, prefixes: tuple[str, ...], *, everything: bool, dry_run: bool) -> None:
    """Keep only a part of what this edge was granted; without arguments tell what that is.

    A PREFIX is a namespace with all below it; a * in it is one segment of any name. With the next exchange
    what is outside leaves the disk, and what enters comes, and nothing else. What was written here and waits
    is sent before. What this edge does not keep it cannot write.

    \b
    anabranch subscribe acme/prod/router 'acme/*/limits'
    anabranch subscribe acme/prod --dry-run
    anabranch subscribe --all
    """
    from anabranch_sync.scope import EVERYTHING, scope

    if everything and prefixes:
        raise click.UsageError(
            "--all takes everything: give it without a PREFIX", click.get_current_context()
        )
    is_asking = everything or bool(prefixes)
    with invocation.open() as client:
        subscribing = client.replica.subscribing
        now = subscribing.now()
        wanted = now.wanted
        if is_asking:
            wanted = EVERYTHING if everything else scope(prefixes)
            _check_granted(now, wanted)
        kept = now.granted.narrowed(wanted)
        leaving = subscribing.leaving(kept)
        if is_asking and not dry_run:
            subscribing.want(wanted)
            now = subscribing.now()
    _tell(invocation, now, kept, leaving, is_dry=dry_run and is_asking)


def _check_granted(now: "Subscription", wanted: "Scope") -> None:
    """Raises InvalidName where something is wanted of which nothing was granted."""
    from anabranch_sync.errors import InvalidName
    from anabranch_sync.scope import Scope

    for prefix in wanted.prefixes:
        if not now.granted.narrowed(Scope((prefix,))).prefixes:
            granted = ", ".join(now.granted.prefixes)
            raise InvalidName("subscription", prefix, f"nothing of it was granted to this edge ({granted})")


def _tell(
    invocation: Invocation, now: "Subscription", kept: "Scope", leaving: "Leaving", *, is_dry: bool
) -> None:
    from anabranch_sync.scope import EVERYTHING, Scope

    # What of it is here in part may be here as a whole, in other words: then nothing comes.
    coming = [each for each in kept.prefixes if now.held.narrowed(Scope((each,))).prefixes != (each,)]
    if invocation.json:
        terminal.write_json(
            {
                "granted": list(now.granted.prefixes),
                "subscription": None if now.wanted == EVERYTHING else list(now.wanted.prefixes),
                "kept": list(now.held.prefixes),
                "told": not now.is_untold,
                "known_to_hub": None if now.is_untold else now.known,
                "leaving": {
                    "documents": leaving.documents,
                    "bytes": leaving.size_bytes,
                    "unsent": leaving.unsent,
                },
                "coming": coming,
            }
        )
        return
    asked = "all of it" if now.wanted == EVERYTHING else " ".join(now.wanted.prefixes)
    rows = [("granted", " ".join(now.granted.prefixes))]
    if not is_dry:
        rows += [("subscribed", asked), ("here", " ".join(now.held.prefixes) or "nothing of one's own")]
    if leaving.documents:
        size = f"{terminal.count(leaving.documents, 'document')}, {terminal.size(leaving.size_bytes)}"
        sent = f", after {terminal.count(leaving.unsent, 'document')} of them sent" if leaving.unsent else ""
        rows.append(("leaving", size + sent))
    if coming:
        rows.append(("coming", f"{' '.join(coming)} (how much, the hub knows)"))
    for line in terminal.columns(rows):
        terminal.write(line)
    if is_dry:
        terminal.say("nothing was changed")
    elif now.is_untold:
        terminal.say("the hub is told with the next exchange: anabranch sync")
    elif not now.known:
        terminal.say(
            "this hub does not know subscriptions, so all that was granted is here: it has to be updated"
        )


COMMANDS = {"subscribe": subscribe}
