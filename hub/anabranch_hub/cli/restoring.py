"""The command `restored`: say that the hub's tables came from a backup."""

import click
from anabranch_cli import terminal
from anabranch_sync.ids import check_tenant

from anabranch_hub.audit.anchors import Anchors
from anabranch_hub.cli import reach
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.operations.restoring import Declared, declare_restored


@command("restored")
@click.argument("tenants", nargs=-1, metavar="[TENANT]...")
@click.option(
    "--known",
    type=click.IntRange(0),
    metavar="POSITION",
    help="The last position that the backup held, if the hub has run since.  [default: what can be shown]",
)
async def restored(invocation: Invocation, tenants: tuple[str, ...], known: int | None) -> None:
    """Say that this hub's Postgres was restored from a backup: of all tenants, or of these.

    What was decided after the backup is gone here, and edges may have it. Another epoch begins: every edge
    offers again what it has from behind the backup's end, and goes on under a new incarnation where it
    must. It is logged, each edge keeps the last checkpoint of the log it saw before, and the hub's own
    anchor is set aside beside the new one. Run it before edges come back, with --data-dir: best is
    `anabranch-hub serve --restored`, which does the same before it lets anybody in.

    \b
    anabranch-hub restored --data-dir /var/lib/anabranch
    anabranch-hub restored acme --known 4711
    """
    anchors = Anchors(reach.data_dir(invocation))
    named = tuple(dict.fromkeys(check_tenant(each) for each in tenants))
    if known is not None and len(named) != 1:
        raise click.UsageError("--known is the position of one tenant: name it")
    async with reach.store(invocation) as store:
        chosen = named or tuple(each.name for each in await store.tenants())
        declared = [
            await declare_restored(store, anchors, each, author=invocation.author, known=known)
            for each in chosen
        ]
    if invocation.json:
        terminal.write_json([_described(each) for each in declared])
        return
    for each in declared:
        terminal.write(f"{terminal.painted('ok', 'green')} {told(each)}")


def told(declared: Declared) -> str:
    """One line on what was declared."""
    begun = declared.begun
    return (
        f"{declared.tenant} is in epoch {begun.epoch}: edges offer again what they have of epoch "
        f"{begun.ended.epoch} from behind position {begun.ended.known}"
    )


def _described(declared: Declared) -> dict[str, object]:
    begun = declared.begun
    return {
        "tenant": declared.tenant,
        "epoch": begun.epoch,
        "ended": begun.ended.epoch,
        "known": begun.ended.known,
        "position": begun.position,
        "leaves_before": declared.leaves_before,
        "leaves": declared.leaves,
    }


COMMANDS = {"restored": restored}
