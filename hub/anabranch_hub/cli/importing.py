"""The command `import`: many documents at once, in one of the shapes of `anabranch_cli.documents`."""

import asyncio

import click
from anabranch_cli import terminal
from anabranch_cli.documents import Documents, batches, given_documents
from anabranch_cli.options import MESSAGE
from anabranch_sync.document import Object, check_content
from anabranch_sync.errors import AnabranchError, ChangeTooLarge
from anabranch_sync.ids import DocumentId, check_message, check_tenant
from anabranch_sync.policy import check_schema_document
from anabranch_sync.value import Json

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import TENANT
from anabranch_hub.cli.failure import BrokenOff
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import Edit, Store, Written


@command("import")
@TENANT
@click.argument("source", metavar="FILE|DIR|-")
@MESSAGE
async def import_documents(invocation: Invocation, tenant: str, source: str, message: str) -> None:
    """Write many documents, each as a whole.

    A file or standard input holds one JSON object {"namespace/key": {...}}; in a directory,
    acme/prod/router/config.json is the document of that address. Everything is checked before anything
    is written. Small imports are one change; larger ones are several, and safe to repeat.
    """
    check_tenant(tenant)
    check_message(message)
    author = invocation.author
    documents = given_documents(source, _checked)
    async with reach.store(invocation) as store:
        await store.check(tenant, dict(documents))
        written = await _write(store, tenant, documents, author, message)
    hub_seq = written[-1].hub_seq if written else 0
    if invocation.json:
        terminal.write_json({"documents": len(documents), "batches": len(written), "hub_seq": hub_seq})
    else:
        imported = terminal.count(len(documents), "document")
        terminal.write(f"{terminal.painted('ok', 'green')} {imported}, position {hub_seq}")


async def _write(store: Store, tenant: str, documents: Documents, author: str, message: str) -> list[Written]:
    """One change after the other. What ends it early says how many documents are written."""
    written: list[Written] = []
    waiting = batches(documents)
    try:
        while waiting:
            batch = waiting.pop(0)
            edits = [Edit(document, content) for document, content in batch]
            try:
                written.append(await store.write(tenant, edits, author=author, message=message))
            except ChangeTooLarge:
                if len(batch) == 1:
                    raise
                half = len(batch) // 2
                waiting[:0] = [batch[:half], batch[half:]]
    except asyncio.CancelledError:  # Ctrl-C
        if written:
            raise BrokenOff(_so_far(written, documents)) from None
        raise
    except AnabranchError as error:
        if written:
            error.add_note(_so_far(written, documents))
        raise
    return written


def _so_far(written: list[Written], documents: Documents) -> str:
    count = f"{sum(len(each.versions) for each in written):,} of {len(documents):,} documents"
    upto = written[-1].hub_seq
    return f"before that {count} were written, up to position {upto}: import all of them again"


def _checked(document: DocumentId, given: Json) -> Object:
    """What was given as the content of that document. Raises InvalidInput."""
    content = check_content(document, given)
    check_schema_document(document, content)
    return content


COMMANDS = {"import": import_documents}
