"""Commands on the hub's documents: `get`, `set`, `delete`, `list`, `digest`.

What they write is decided like everything else: concurrent writes of edges meet it as they come.
"""

import sys
import time
from collections.abc import Callable, Sequence

import click
from anabranch_cli import terminal
from anabranch_cli.given import given_value
from anabranch_cli.options import AT, KEY, MESSAGE, POINTER, POINTER_NEEDED
from anabranch_sync.document import Object, at, check_content
from anabranch_sync.errors import InvalidValue
from anabranch_sync.ids import DocumentId, check_message, check_tenant, document_id
from anabranch_sync.path import ROOT, Path, parse_pointer, render_pointer
from anabranch_sync.priority import PRIORITY_DEFAULT
from anabranch_sync.priority import URGENT as URGENT_PRIORITY
from anabranch_sync.reference import parse_reference
from anabranch_sync.scope import scope
from anabranch_sync.value import Json, kind
from anabranch_sync.violation import summary

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import IF_VERSION, NAMESPACE, TENANT, URGENT
from anabranch_hub.cli.failure import NotFound, Precondition
from anabranch_hub.cli.heads import quarantine_facts, quarantine_line
from anabranch_hub.cli.history import state_at
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.errors import VersionMismatch
from anabranch_hub.store import Broken, Edit, Stored, Written
from anabranch_hub.store.records import is_schema

# An edit of one value reads the document, edits it and writes it back unless another write came between;
# a document that so many writers change at once has no use for one more.
ATTEMPTS_MAX = 10


@command("get")
@TENANT
@NAMESPACE
@POINTER
@KEY
@click.option("--raw", is_flag=True, help="Print a string as it is, without quotes.")
@click.option("--head", "of_head", is_flag=True, help="All that has merged, also where it is quarantined.")
@AT
async def get(
    invocation: Invocation,
    tenant: str,
    namespace: str,
    pointer: str,
    key: str,
    raw: bool,
    of_head: bool,
    at: str | None,
) -> None:
    """Print a document, or the value at a JSON Pointer in it, as JSON.

    It is what readers get everywhere: the last valid content. Where what has merged since is invalid,
    a line on standard error says so, and --head prints it.

    \b
    anabranch-hub get acme acme/prod/router
    anabranch-hub get acme acme/prod/router /limits/requests
    anabranch-hub get acme acme/prod/router /limits/requests --at 7d
    anabranch-hub get acme acme/prod/router --head
    """
    check_tenant(tenant)
    document, path = document_id(namespace, key), parse_pointer(pointer)
    async with reach.store(invocation) as store:
        if at is None:
            stored = await store.read(tenant, document)
        else:
            reference = parse_reference(at, time.time_ns() // 1_000_000)
            stored = await state_at(store, tenant, document, reference)
    value = _value(document, stored, path, of_head=of_head, then=at)
    assert stored is not None, "a value comes from a document"
    version = stored.version if of_head or stored.quarantine is None else stored.quarantine.live_version
    if invocation.json:
        terminal.write_json(
            {
                "tenant": tenant,
                "namespace": document.namespace,
                "key": document.key,
                "path": render_pointer(path),
                "value": value,
                "version": version,
                "hub_seq": stored.hub_seq,
                "quarantine": quarantine_facts(stored),
            }
        )
        return
    if raw and isinstance(value, str):
        terminal.write(terminal.one_line(value) if terminal.is_terminal(sys.stdout) else value)
    else:
        terminal.write_json(value)
    if invocation.verbose or terminal.is_terminal(sys.stdout):
        terminal.flush()
        provenance = f"{document} version {version}, position {stored.hub_seq}"
        terminal.say(terminal.painted(provenance, "dim", sys.stderr))
    if stored.quarantine is not None:
        terminal.flush()
        terminal.say(quarantine_line(stored, stored.quarantine, of_head=of_head))


@command("set")
@TENANT
@NAMESPACE
@POINTER_NEEDED
@click.argument("value")
@click.option("--string", "as_text", is_flag=True, help="Store the text as it is, whatever it looks like.")
@KEY
@MESSAGE
@IF_VERSION
@URGENT
async def set_value(
    invocation: Invocation,
    tenant: str,
    namespace: str,
    pointer: str,
    value: str,
    as_text: bool,
    key: str,
    message: str,
    if_version: int | None,
    urgent: bool,
) -> None:
    """Set the value at a JSON Pointer ("" is the whole document).

    VALUE is JSON, or a word that does not look like JSON and is stored as a string; - reads standard
    input and @FILE a file, both JSON. With --string the text is stored as it is.

    \b
    anabranch-hub set acme acme/prod/router /limits/requests 600
    anabranch-hub set acme acme/prod/router /model gpt-4o -m "cheaper at night"
    anabranch-hub set acme acme/prod/router "" @router.json
    anabranch-hub set acme acme/prod/router /enabled false --urgent
    """
    path = parse_pointer(pointer)
    try:
        new = given_value(value, as_text=as_text)
    except InvalidValue as error:
        raise InvalidValue(f"{pointer}{error.place}", error.reason) from error

    def edited(document: DocumentId, stored: Stored | None) -> Object:
        return check_content(document, _with(document, _head(stored), path, new))

    await edit(invocation, tenant, document_id(namespace, key), edited, message, if_version, urgent=urgent)


@command("delete")
@TENANT
@NAMESPACE
@POINTER
@KEY
@MESSAGE
@IF_VERSION
@URGENT
async def delete(
    invocation: Invocation,
    tenant: str,
    namespace: str,
    pointer: str,
    key: str,
    message: str,
    if_version: int | None,
    urgent: bool,
) -> None:
    """Delete a document, or the value at a JSON Pointer in it. Its history stays."""
    path = parse_pointer(pointer)

    def edited(document: DocumentId, stored: Stored | None) -> Object | None:
        _value(document, stored, path, of_head=True)
        return None if path == ROOT else _without(_head(stored) or {}, path)

    await edit(invocation, tenant, document_id(namespace, key), edited, message, if_version, urgent=urgent)


@command("list")
@TENANT
@click.argument("prefix", default="")
@click.option("-l", "--long", is_flag=True, help="Version and position too.")
async def list_documents(invocation: Invocation, tenant: str, prefix: str, long: bool) -> None:
    """List the documents of the namespace PREFIX and those below it, one on a line."""
    check_tenant(tenant)
    if prefix:
        document_id(prefix)
    async with reach.store(invocation) as store:
        listed: list[Stored] = []
        while page := await store.documents(
            tenant, prefix=prefix, after=str(listed[-1].document) if listed else ""
        ):
            listed += page
    if invocation.json:
        terminal.write_json(
            [
                {
                    "namespace": each.document.namespace,
                    "key": each.document.key,
                    "version": each.version,
                    "hub_seq": each.hub_seq,
                    "quarantined": each.quarantine is not None,
                }
                for each in listed
            ]
        )
    elif long:
        rows = [
            (
                str(each.document),
                str(each.version),
                str(each.hub_seq),
                "" if each.quarantine is None else "quarantined",
            )
            for each in listed
        ]
        for line in terminal.columns(rows, heading=("document", "version", "position", "state")):
            terminal.write(line)
    else:
        for each in listed:
            terminal.write(terminal.one_line(str(each.document)))


async def edit(
    invocation: Invocation,
    tenant: str,
    document: DocumentId,
    edited: Callable[[DocumentId, Stored | None], Object | None],
    message: str,
    if_version: int | None = None,
    *,
    urgent: bool = False,
) -> None:
    """Write what `edited` makes of the document, however often others write meanwhile, and tell so."""
    check_tenant(tenant)
    check_message(message)
    author = invocation.author
    async with reach.store(invocation) as store:
        for attempts_left in reversed(range(ATTEMPTS_MAX)):
            stored = await store.read(tenant, document)
            content = edited(document, stored)
            seen = if_version if if_version is not None else version_of(stored)
            try:
                written = await store.write(
                    tenant,
                    [Edit(document, content, seen)],
                    author=author,
                    message=message,
                    priority=URGENT_PRIORITY if urgent else PRIORITY_DEFAULT,
                )
            except VersionMismatch:
                if if_version is not None or not attempts_left:
                    raise
            else:
                break
        broken = await store.broken(tenant, schema=document.key) if is_schema(document) else None
    tell_written(invocation, written, [document], broken)


def version_of(stored: Stored | None) -> int:
    """What a write must say it saw; 0 for a document that is not there."""
    return 0 if stored is None or stored.head is None else stored.version


def tell_written(
    invocation: Invocation,
    written: Written,
    documents: Sequence[DocumentId],
    broken: tuple[int, list[Broken]] | None = None,
) -> None:
    """Acknowledge a write: ``ok``, its position in the tenant's order, the documents.

    `broken`: how many documents a schema that was written judges, and which of them break it.
    """
    if invocation.json:
        facts: dict[str, object] = {
            "hub_seq": written.hub_seq,
            "documents": [
                {
                    "namespace": each.namespace,
                    "key": each.key,
                    "version": version,
                    "quarantined": each in written.quarantined,
                }
                for each, version in zip(documents, written.versions, strict=True)
            ],
        }
        if broken is not None:
            facts["judged"], facts["broken"] = broken[0], len(broken[1])
        terminal.write_json(facts)
        return
    named = " ".join(
        f"{each} version {version}" for each, version in zip(documents, written.versions, strict=True)
    )
    terminal.write(f"{terminal.painted('ok', 'green')} {named}, position {written.hub_seq}")
    terminal.flush()
    for each in written.quarantined:
        terminal.say(f"{each} is still quarantined: readers get its last valid content until it is repaired")
    if broken is not None and broken[1]:
        count = terminal.count(broken[0], "standing document")
        said = f"{len(broken[1])} of the {count} that this schema judges would not pass it"
        terminal.say(f"{said}: they stay as they are until they change (anabranch-hub quarantine check)")


def _head(stored: Stored | None) -> Object | None:
    return None if stored is None else stored.head


def _value(
    document: DocumentId, stored: Stored | None, path: Path, *, of_head: bool, then: str | None = None
) -> Json:
    """The value at `path` of what readers get, or of the head; `then` is the reference that was asked for.

    Raises NotFound.
    """
    content = None if stored is None else stored.head if of_head else stored.content
    if content is None and stored is not None and stored.quarantine is not None:
        reason = summary(stored.quarantine.violations)
        raise NotFound(f"a valid content of {document}", f"its head is quarantined ({reason}); see --head")
    if content is None and then is not None:
        log = f"anabranch-hub log TENANT {document.namespace} --key {document.key}"
        raise NotFound(f"document {document} as of {then}", f"see its versions with `{log}`")
    if content is None:
        raise NotFound(f"document {document}", "see what there is with `anabranch-hub list TENANT`")
    try:
        return at(content, path)
    except KeyError as error:
        (pointer,) = error.args
        raise NotFound(f"{pointer} in {document}", "see what there is with `anabranch-hub get`") from None


def _with(document: DocumentId, content: Object | None, path: Path, new: Json) -> Json:
    """A copy of `content` with `new` at `path`; objects on the way are made where nothing stands.

    Raises Precondition.
    """
    if path == ROOT:
        return new
    result: Object = dict(content or {})
    parent = result
    for depth, key in enumerate(path[:-1], 1):
        child = parent.get(key, {})
        if not isinstance(child, dict):
            standing = render_pointer(path[:depth])
            raise Precondition(
                f"{document} has {kind(child)} at {standing}, not an object: write that place whole"
            )
        parent[key] = child = dict(child)
        parent = child
    parent[path[-1]] = new
    return result


def _without(content: Object, path: Path) -> Object:
    """A copy of `content` without what stands at `path`."""
    result = dict(content)
    parent = result
    for key in path[:-1]:
        child = parent[key]
        assert isinstance(child, dict), "the value at the path was found"
        parent[key] = child = dict(child)
        parent = child
    del parent[path[-1]]
    return result


@command("digest")
@TENANT
@click.option("--scope", "prefixes", multiple=True, metavar="PREFIX", help="An edge's scope; repeat it.")
async def digest(invocation: Invocation, tenant: str, prefixes: tuple[str, ...]) -> None:
    """Print the digest of a scope: equal to that of `anabranch status` on a replica that has it all.

    \b
    anabranch-hub digest acme
    """
    check_tenant(tenant)
    async with reach.store(invocation) as store:
        cursor, total = await store.digest(tenant, scope(prefixes or (tenant,)))
    if invocation.json:
        terminal.write_json({"digest": str(total), "documents": total.count, "hub_seq": cursor.hub_seq})
        return
    terminal.write(f"{total} position {cursor.hub_seq}")


COMMANDS = {"get": get, "set": set_value, "delete": delete, "list": list_documents, "digest": digest}
