"""Commands on quarantine: documents whose merged head is invalid, while readers get the last valid one.

A quarantined document is repaired like any other is edited (`set`, `delete`), or as a whole here.
"""

from dataclasses import replace

import click
from anabranch_cli import terminal
from anabranch_cli.options import KEY, MESSAGE
from anabranch_sync.clock import wall_ms
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, check_tenant, document_id

from anabranch_hub.cli import comparing, reach
from anabranch_hub.cli.arguments import NAMESPACE, TENANT
from anabranch_hub.cli.documents import edit
from anabranch_hub.cli.failure import NotFound, Precondition
from anabranch_hub.cli.heads import quarantine_facts, violation_lines
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import Broken, Pair, Store, Stored, Version

# Who wrote since a document was valid: more is a matter for `log`.
CHANGES_SHOWN_MAX = 100
WHY_CHARS_MAX = 100
HEADING = ("tenant", "document", "live", "head", "since", "why")


@click.group("quarantine")
def quarantine() -> None:
    """Documents whose merged head is invalid: who they are, why, and how to repair them.

    Readers everywhere get the last valid content until then.
    """


@command("list")
@click.option("--tenant", help="Only this tenant's.")
@click.argument("prefix", default="")
async def list_quarantined(invocation: Invocation, tenant: str | None, prefix: str) -> None:
    """List the documents in quarantine, of all tenants or of one, below the namespace PREFIX.

    \b
    anabranch-hub quarantine list
    anabranch-hub quarantine list --tenant acme acme/prod
    """
    if tenant is not None:
        check_tenant(tenant)
    if prefix:
        document_id(prefix)
    found: list[tuple[str, Stored]] = []
    async with reach.store(invocation) as store:
        for name in [each.name for each in await store.tenants()] if tenant is None else [tenant]:
            after = ""
            while page := await store.quarantined(name, prefix=prefix, after=after):
                found += [(name, each) for each in page]
                after = str(page[-1].document)
    if invocation.json:
        terminal.write_json([{"tenant": name, **_facts(each)} for name, each in found])
        return
    if not found:
        terminal.say("nothing is quarantined: readers get everything that has merged")
        return
    for line in terminal.columns([_row(name, each) for name, each in found], heading=HEADING):
        terminal.write(line)


@command("show")
@TENANT
@NAMESPACE
@KEY
async def show(invocation: Invocation, tenant: str, namespace: str, key: str) -> None:
    """Show why a document is quarantined: what is wrong, what differs from live, who wrote it.

    \b
    anabranch-hub quarantine show acme acme/prod/router
    """
    check_tenant(tenant)
    document = document_id(namespace, key)
    async with reach.store(invocation) as store:
        stored = await _quarantined(store, tenant, document)
        assert stored.quarantine is not None, "that is what it was looked up for"
        versions = await store.versions(tenant, document, limit=CHANGES_SHOWN_MAX)
    live_version = stored.quarantine.live_version
    since = [each for each in versions if each.version > live_version]
    pair = Pair(
        document,
        None if stored.content is None else replace(stored, version=live_version, quarantine=None),
        replace(stored, content=stored.quarantine.head, quarantine=None),
    )
    if invocation.json:
        described = comparing.described(pair)
        facts = {
            "tenant": tenant,
            **_facts(stored),
            "live": stored.content,
            "head": stored.quarantine.head,
            "patch": described["patch"],
            "inverse": described["inverse"],
            "changes": [_change(each) for each in since],
        }
        terminal.write_json(facts)
        return
    for line in violation_lines(stored.quarantine.violations):
        terminal.write(line)
    terminal.write()
    comparing.told(pair)
    terminal.write()
    for each in since:
        terminal.write(terminal.one_line(_change_line(each)))
    terminal.flush()
    terminal.say("repair it with `anabranch-hub set` or `delete`, or take live back: `quarantine revert`")


@command("revert")
@TENANT
@NAMESPACE
@KEY
@MESSAGE
async def revert(invocation: Invocation, tenant: str, namespace: str, key: str, message: str) -> None:
    """Make live the head again, as a new change. What goes with it stays in the versions.

    A document that was never valid is deleted by it.

    \b
    anabranch-hub quarantine revert acme acme/prod/router -m "two sites disagreed"
    """
    check_tenant(tenant)
    document = document_id(namespace, key)
    async with reach.store(invocation) as store:
        await _quarantined(store, tenant, document)

    def reverted(_: DocumentId, stored: Stored | None) -> Object | None:
        return None if stored is None else stored.content

    await edit(invocation, tenant, document, reverted, message or "back to what was valid")


@command("release")
@TENANT
@NAMESPACE
@KEY
@MESSAGE
async def release(invocation: Invocation, tenant: str, namespace: str, key: str, message: str) -> None:
    """Judge a quarantined head again, after its schema was changed, and let it go live if it is valid now.

    \b
    anabranch-hub quarantine release acme acme/prod/router
    """
    check_tenant(tenant)
    document = document_id(namespace, key)
    async with reach.store(invocation) as store:
        await _quarantined(store, tenant, document)
        _, broken = await store.broken(tenant, prefix=namespace)
    wrong = [each for each in broken if each.document == document]
    if wrong:
        reasons = "; ".join(str(each) for each in wrong[0].violations)
        raise Precondition(f"{document} still breaks schema {wrong[0].schema}: {reasons}")

    def unchanged(_: DocumentId, stored: Stored | None) -> Object | None:
        return None if stored is None else stored.head

    await edit(invocation, tenant, document, unchanged, message or "valid by the schema of now")


@command("check")
@TENANT
@click.argument("prefix", default="")
async def check(invocation: Invocation, tenant: str, prefix: str) -> None:
    """Judge every standing document by the schemas in force now; nothing is changed by it.

    A schema judges a document when it changes. This tells what each next change would meet.

    \b
    anabranch-hub quarantine check acme
    """
    check_tenant(tenant)
    if prefix:
        document_id(prefix)
    async with reach.store(invocation) as store:
        judged, broken = await store.broken(tenant, prefix=prefix)
    if invocation.json:
        terminal.write_json({"judged": judged, "broken": [_broken(each) for each in broken]})
        return
    for each in broken:
        aside = "  (quarantined)" if each.quarantined else ""
        terminal.write(terminal.one_line(f"{each.document}  schema {each.schema}{aside}"))
        for line in violation_lines(each.violations):
            terminal.write(line)
    terminal.flush()
    terminal.say(f"{len(broken)} of {terminal.count(judged, 'document')} break their schema")


async def _quarantined(store: Store, tenant: str, document: DocumentId) -> Stored:
    stored = await store.read(tenant, document)
    if stored is None or stored.quarantine is None:
        raise NotFound(f"document {document} in quarantine", "see `anabranch-hub quarantine list`")
    return stored


def _facts(stored: Stored) -> dict[str, object]:
    facts = quarantine_facts(stored)
    assert facts is not None, "it is asked of quarantined documents"
    return {"namespace": stored.document.namespace, "key": stored.document.key, **facts}


def _row(tenant: str, stored: Stored) -> tuple[str, ...]:
    quarantine = stored.quarantine
    assert quarantine is not None, "it is asked of quarantined documents"
    first = quarantine.violations[0]
    more = len(quarantine.violations) - 1
    why = f"{first.place or '/'}: {first.reason}"
    return (
        tenant,
        str(stored.document),
        f"version {quarantine.live_version}" if quarantine.live_version else "nothing",
        f"version {stored.version}",
        f"position {quarantine.since}",
        terminal.shortened(why, WHY_CHARS_MAX) + (f" and {more} more" if more else ""),
    )


def _change(version: Version) -> dict[str, object]:
    return {
        "version": version.version,
        "hub_seq": version.hub_seq,
        "dot": str(version.dot),
        "author": version.author,
        "edge": version.edge,
        "message": version.message,
        "wall_ms": wall_ms(version.timestamp),
        "patch": version.patch,
    }


def _change_line(version: Version) -> str:
    origin = f"edge {version.edge}" if version.edge else "the hub"
    message = f": {version.message}" if version.message else ""
    written = terminal.moment(wall_ms(version.timestamp))
    return f"version {version.version} by {version.author or 'unknown'} on {origin}, {written}{message}"


def _broken(broken: Broken) -> dict[str, object]:
    return {
        "namespace": broken.document.namespace,
        "key": broken.document.key,
        "schema": broken.schema,
        "quarantined": broken.quarantined,
        "violations": [each.facts() for each in broken.violations],
    }


for each_command in (list_quarantined, show, revert, release, check):
    quarantine.add_command(each_command)

COMMANDS = {"quarantine": quarantine}
