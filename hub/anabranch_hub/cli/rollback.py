"""The command `rollback`: values of the past, written again as a new change. Nothing is taken back."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click
from anabranch_cli import terminal
from anabranch_cli.options import BELOW, KEY, MESSAGE
from anabranch_sync.document import Object
from anabranch_sync.errors import ChangeTooLarge
from anabranch_sync.ids import DocumentId, HubSeq, check_message, check_tenant, document_id
from anabranch_sync.priority import PRIORITY_DEFAULT
from anabranch_sync.priority import URGENT as URGENT_PRIORITY
from anabranch_sync.reference import Reference, parse_moment, parse_reference

from anabranch_hub.cli import comparing, reach
from anabranch_hub.cli.arguments import NAMESPACE, TENANT, URGENT
from anabranch_hub.cli.documents import ATTEMPTS_MAX, version_of
from anabranch_hub.cli.failure import NotFound, Precondition
from anabranch_hub.cli.history import state_at, tell
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.errors import VersionMismatch
from anabranch_hub.store import Edit, Pair, Store, Stored, Written


@dataclass(frozen=True, slots=True)
class _Goal:
    """What is to stand again: a document's state `then`, or (None) all below its namespace at a position."""

    tenant: str
    document: DocumentId
    then: Stored | None
    reference: Reference
    position: HubSeq
    message: str = ""
    keep_new: bool = False
    priority: int = PRIORITY_DEFAULT


@command("rollback")
@TENANT
@NAMESPACE
@KEY
@BELOW
@click.option(
    "--to", required=True, metavar="REF", help="A version (17), a position (@204), a time or an age (2h, 7d)."
)
@click.option("--keep-new", is_flag=True, help="With --below: keep the documents that were not there then.")
@click.option("--dry-run", is_flag=True, help="Only show what it would change.")
@MESSAGE
@URGENT
async def rollback(
    invocation: Invocation,
    tenant: str,
    namespace: str,
    key: str,
    below: bool,
    to: str,
    keep_new: bool,
    dry_run: bool,
    message: str,
    urgent: bool,
) -> None:
    """Bring back a state of the past as a new change; it can be rolled back like any other.

    With --below, all documents of the namespace and of those below it, in one change: all of them or none.
    Documents that were not there then are deleted, unless --keep-new.

    \b
    anabranch-hub rollback acme acme/prod/router --to 3 --urgent
    anabranch-hub rollback acme acme/prod/router --to 2h --dry-run
    anabranch-hub rollback acme acme/prod --below --to 2026-11-22T09:00:00Z -m "before the launch"
    """
    check_tenant(tenant)
    check_message(message)
    if keep_new and not below:
        raise click.UsageError("--keep-new goes with --below")
    document, now_ms = document_id(namespace, key), time.time_ns() // 1_000_000
    author = invocation.author
    async with reach.store(invocation) as store:
        if below:
            moment = parse_moment(to, now_ms)
            position = await store.position(tenant, moment)
            goal = _Goal(tenant, document, None, moment, position, keep_new=keep_new)
        else:
            goal = await _goal(store, tenant, document, parse_reference(to, now_ms))
        said = check_message(f"rollback to {_named(goal)}" + (f": {message}" if message else ""))
        goal = replace(goal, message=said, priority=URGENT_PRIORITY if urgent else PRIORITY_DEFAULT)
        for attempts_left in reversed(range(ATTEMPTS_MAX)):
            pairs = await _pairs(store, goal)
            if dry_run or not pairs:
                await store.check(tenant, _contents(pairs))
                written = None
                break
            try:
                written = await _write(store, goal, pairs, author)
            except VersionMismatch:
                if not attempts_left:
                    raise
            else:
                break
    if invocation.json:
        terminal.write_json(_described(goal, pairs, written))
    elif dry_run:
        tell(pairs)
    elif written is None:
        terminal.write(f"{terminal.painted('ok', 'green')} unchanged: it is so already")
    else:
        documents = str(document) if not below else terminal.count(len(pairs), "document")
        terminal.write(
            f"{terminal.painted('ok', 'green')} {documents} as at {_named(goal)}, position {written.hub_seq}"
        )


async def _goal(store: Store, tenant: str, document: DocumentId, reference: Reference) -> _Goal:
    then = await state_at(store, tenant, document, reference)
    if then is None:
        raise NotFound(
            f"{document} at {reference}",
            f"nobody had written it yet; see `anabranch-hub log {tenant} {document.namespace}`",
        )
    return _Goal(tenant, document, then, reference, then.hub_seq)


async def _pairs(store: Store, goal: _Goal) -> list[Pair]:
    """What stands and what is to stand, of the documents where that differs."""
    if goal.then is None:
        since = await store.between(goal.tenant, goal.position, prefix=goal.document.namespace)
        changes = [Pair(each.document, each.after, each.before) for each in since]
        return [pair for pair in changes if pair.after is not None or not goal.keep_new]
    [head] = await store.versions(goal.tenant, goal.document, limit=1)
    now = await store.read_version(goal.tenant, goal.document, head.version)
    return [] if head.digest_after == goal.then.digest else [Pair(goal.document, now, goal.then)]


def _contents(pairs: Sequence[Pair]) -> dict[DocumentId, Object]:
    """What is to be written; what is to be deleted is not in it."""
    wanted = ((pair.document, comparing.content_of(pair.after)) for pair in pairs)
    return {document: content for document, content in wanted if content is not None}


async def _write(store: Store, goal: _Goal, pairs: Sequence[Pair], author: str) -> Written:
    edits = [Edit(pair.document, comparing.content_of(pair.after), version_of(pair.before)) for pair in pairs]
    try:
        return await store.write(
            goal.tenant,
            edits,
            author=author,
            message=goal.message,
            rolled_back_to=goal.position,
            priority=goal.priority,
        )
    except ChangeTooLarge as error:
        if len(edits) == 1:
            raise
        raise Precondition(
            f"rolling back {terminal.count(len(edits), 'document')} at once makes a change of {error.size} "
            f"{error.measure}, limit {error.limit}: nothing was changed; roll back a part of the namespace "
            "at a time"
        ) from error


def _named(goal: _Goal) -> str:
    """``version 3 (position 12)``, ``2026-11-22T09:00:00Z (position 12)``, ``position 12``."""
    position = f"position {goal.position}"
    return position if str(goal.reference) == position else f"{goal.reference} ({position})"


def _described(goal: _Goal, pairs: Sequence[Pair], written: Written | None) -> dict[str, object]:
    versions = [None] * len(pairs) if written is None else written.versions
    return {
        "rolled_back_to": goal.position,
        "hub_seq": None if written is None else written.hub_seq,
        "documents": [
            {**comparing.described(pair), "version": version}
            for pair, version in zip(pairs, versions, strict=True)
        ],
    }


COMMANDS = {"rollback": rollback}
