"""Commands on the past: `log`, `blame`, `diff`, `export`. A REF names a version, a position or a time."""

import time
from collections.abc import Sequence

import click
from anabranch_cli import terminal
from anabranch_cli.options import BELOW, KEY
from anabranch_sync.clock import wall_ms
from anabranch_sync.ids import DocumentId, HubSeq, check_tenant, document_id
from anabranch_sync.path import render_pointer
from anabranch_sync.reference import AtVersion, Reference, parse_moment, parse_reference

from anabranch_hub.cli import comparing, reach
from anabranch_hub.cli.arguments import NAMESPACE, TENANT
from anabranch_hub.cli.failure import NotFound
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import Origin, Pair, Placed, Store, Stored, Version

# A page of the store (`store.history.VERSIONS_MAX`), and what a person may want to see of it.
LIMIT_DEFAULT = 50
LIMIT_MAX = 1_000
HEADING = ("version", "position", "decided", "from", "author", "message")
PLACES_HEADING = ("path", "value", "position", "decided", "from", "author", "message")
# A cell of the table; `get` has the whole value.
VALUE_CHARS_MAX = 32
HEADING_BELOW = ("position", "decided", "document", "version", "from", "author", "message")


@command("log")
@TENANT
@NAMESPACE
@KEY
@BELOW
@click.option(
    "--limit",
    type=click.IntRange(1, LIMIT_MAX),
    default=LIMIT_DEFAULT,
    show_default=True,
    help="At most so many versions (with --below: changes), the latest first.",
)
@click.option(
    "--before",
    type=click.IntRange(min=1),
    help="Only before this version (with --below: position): the next page.",
)
async def log(
    invocation: Invocation,
    tenant: str,
    namespace: str,
    key: str,
    below: bool,
    limit: int,
    before: int | None,
) -> None:
    """Tell who changed a document, the latest change first.

    With --below: who changed any document of the namespace and of those below it, in the order in which the
    hub decided.

    \b
    anabranch-hub log acme acme/prod/router
    anabranch-hub log acme acme/prod --below --limit 10
    """
    check_tenant(tenant)
    document = document_id(namespace, key)
    async with reach.store(invocation) as store:
        if below:
            listed = await store.versions_below(tenant, prefix=namespace, before=before, limit=limit)
            is_full = len({each.hub_seq for each in listed}) == limit
        else:
            listed = await store.versions(tenant, document, before=before, limit=limit)
            is_full = len(listed) == limit
        if not listed and not below and await store.read(tenant, document) is None:
            raise not_there(document)
    if invocation.json:
        terminal.write_json([_logged(each) for each in listed])
        return
    for line in _table(listed, with_document=below):
        terminal.write(line)
    if is_full:
        last = listed[-1].hub_seq if below else listed[-1].version
        terminal.say(f"the latest {limit}; more: --before {last}")


@command("blame")
@TENANT
@NAMESPACE
@KEY
async def blame(invocation: Invocation, tenant: str, namespace: str, key: str) -> None:
    """Tell who put there what stands in a document, path by path.

    \b
    anabranch-hub blame acme acme/prod/router
    """
    check_tenant(tenant)
    document = document_id(namespace, key)
    async with reach.store(invocation) as store:
        places = await store.places(tenant, document)
        if not places and await store.read(tenant, document) is None:
            raise not_there(document)
    if invocation.json:
        terminal.write_json([_placed(each) for each in places])
        return
    for line in terminal.columns([_place_row(each) for each in places], heading=PLACES_HEADING):
        terminal.write(line)


@command("diff")
@TENANT
@NAMESPACE
@click.argument("first", metavar="[REF]", default="")
@click.argument("second", metavar="[REF]", default="")
@KEY
@BELOW
@click.option("--patch", "form", flag_value="patch", help="Print the patch that leads there (RFC 6902).")
@click.option("--inverse", "form", flag_value="inverse", help="Print the patch that leads back.")
async def diff(
    invocation: Invocation,
    tenant: str,
    namespace: str,
    first: str,
    second: str,
    key: str,
    below: bool,
    form: str | None,
) -> None:
    """Compare two states of a document, or of all documents below a namespace.

    A REF is a version (17), a position (@204), a time (2026-11-29T15:30:00Z) or an age (2h, 7d). Without
    REFs the last change is shown; with one, everything since then.

    \b
    anabranch-hub diff acme acme/prod/router
    anabranch-hub diff acme acme/prod/router 3 5 --patch
    anabranch-hub diff acme acme/prod 7d --below
    """
    check_tenant(tenant)
    document = document_id(namespace, key)
    now_ms = time.time_ns() // 1_000_000
    async with reach.store(invocation) as store:
        if below:
            pairs = await _pairs_below(store, tenant, namespace, first, second, now_ms)
        else:
            pairs = [await _pair(store, tenant, document, first, second, now_ms)]
    if form is not None:
        patches = {str(pair.document): comparing.described(pair)[form] for pair in pairs}
        terminal.write_json(patches if below else patches[str(document)])
    elif invocation.json:
        described = [comparing.described(pair) for pair in pairs]
        terminal.write_json({"documents": described} if below else described[0])
    else:
        tell(pairs)


def tell(pairs: Sequence[Pair]) -> None:
    """Write what differs, document by document."""
    differing = [pair for pair in pairs if comparing.described(pair)["patch"]]
    if not differing:
        terminal.say("no difference")
    for pair in differing:
        comparing.told(pair)


@command("export")
@TENANT
@click.argument("prefix", default="")
@click.option("--at", metavar="REF", help="As they stood at a position (@204), a time, or so long ago (7d).")
async def export(invocation: Invocation, tenant: str, prefix: str, at: str | None) -> None:
    """Print all documents of the namespace PREFIX and those below it as one JSON object.

    `import` reads it. Documents that were not there are not in it.

    \b
    anabranch-hub export acme acme/prod > now.json
    anabranch-hub export acme acme/prod --at 2026-11-22T09:00:00Z > before.json
    """
    check_tenant(tenant)
    if prefix:
        document_id(prefix)
    moment = None if at is None else parse_moment(at, time.time_ns() // 1_000_000)
    async with reach.store(invocation) as store:
        position = await store.position(tenant, moment)
        listed = await everything_at(store, tenant, prefix, position)
    terminal.write_json({str(each.document): each.content for each in listed})
    if invocation.verbose:
        documents = terminal.count(len(listed), "document")
        terminal.say(terminal.painted(f"{documents} at position {position}", "dim"))


async def everything_at(store: Store, tenant: str, prefix: str, position: HubSeq) -> list[Stored]:
    """All documents that were there at a position."""
    listed: list[Stored] = []
    while page := await store.documents_at(
        tenant, position, prefix=prefix, after=str(listed[-1].document) if listed else ""
    ):
        listed += page
    return listed


async def state_at(store: Store, tenant: str, document: DocumentId, reference: Reference) -> Stored | None:
    """A document as it stood; None where it was not there yet. Raises NotFound for an unknown version."""
    stored = await store.read_at(tenant, document, reference)
    if stored is None and isinstance(reference, AtVersion):
        raise NotFound(
            f"{reference} of {document}",
            f"see `anabranch-hub log {tenant} {document.namespace} --key {document.key}`",
        )
    return stored


def not_there(document: DocumentId) -> NotFound:
    """The error for a document that nobody ever wrote."""
    return NotFound(f"document {document}", "see what there is with `anabranch-hub list TENANT`")


async def _pair(
    store: Store, tenant: str, document: DocumentId, first: str, second: str, now_ms: int
) -> Pair:
    latest = await store.versions(tenant, document, limit=1)
    if not latest:
        raise not_there(document)
    head = latest[0].version
    if first:
        before = await state_at(store, tenant, document, parse_reference(first, now_ms))
    else:
        before = await store.read_version(tenant, document, head - 1)
    reference = parse_reference(second, now_ms) if second else AtVersion(head)
    return Pair(document, before, await state_at(store, tenant, document, reference))


async def _pairs_below(
    store: Store, tenant: str, prefix: str, first: str, second: str, now_ms: int
) -> list[Pair]:
    if first:
        start = await store.position(tenant, parse_moment(first, now_ms))
    else:
        latest = await store.versions_below(tenant, prefix=prefix, limit=1)
        start = latest[0].hub_seq - 1 if latest else 0
    end = await store.position(tenant, parse_moment(second, now_ms)) if second else None
    return await store.between(tenant, start, end, prefix=prefix)


def _table(listed: Sequence[Version], *, with_document: bool) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for each in listed:
        version = f"{each.version} (folded)" if each.is_folded else str(each.version)
        if each.absorbed:
            version += f" (stands for {each.absorbed + 1})"
        position, decided = str(each.hub_seq), terminal.moment(each.decided_ms)
        source = (_origin(each), each.author, each.message)
        if with_document:
            rows.append((position, decided, str(each.document), version, *source))
        else:
            rows.append((version, position, decided, *source))
    return terminal.columns(rows, heading=HEADING_BELOW if with_document else HEADING)


def _origin(version: Version) -> str:
    match version.origin:
        case Origin.EDGE:
            return f"edge {version.edge}"
        case Origin.ROLLBACK:
            return f"rollback to @{version.rolled_back_to}"
        case Origin.RESTORE:
            return f"restore of row {version.restores}"
        case Origin.OPERATOR:
            return "operator"


def _logged(version: Version) -> dict[str, object]:
    return {
        "namespace": version.document.namespace,
        "key": version.document.key,
        "version": version.version,
        "hub_seq": version.hub_seq,
        "decided_ms": version.decided_ms,
        "wall_ms": wall_ms(version.timestamp),
        "author": version.author,
        "message": version.message,
        "origin": version.origin,
        "edge": version.edge,
        "dot": str(version.dot),
        "restores": version.restores or None,
        "rolled_back_to": version.rolled_back_to,
        "digest_before": f"{version.digest_before:032x}",
        "digest_after": f"{version.digest_after:032x}",
        "folded": version.is_folded,
        "stands_for": version.absorbed + 1,
    }


def _place_row(placed: Placed) -> tuple[str, ...]:
    return (
        str(placed.slot) or "/",
        terminal.shortened(terminal.json_text(placed.value), VALUE_CHARS_MAX),
        str(placed.hub_seq),
        terminal.moment(placed.decided_ms),
        f"edge {placed.edge}" if placed.edge else "the hub",
        placed.author,
        placed.message,
    )


def _placed(placed: Placed) -> dict[str, object]:
    return {
        "path": render_pointer(placed.slot.path),
        "element": placed.slot.element is not None,
        "value": placed.value,
        "hub_seq": placed.hub_seq,
        "decided_ms": placed.decided_ms,
        "edge": placed.edge,
        "author": placed.author,
        "message": placed.message,
    }


COMMANDS = {"log": log, "blame": blame, "diff": diff, "export": export}
