"""Commands that write: `set`, `patch`, `delete`. What they answer with ok is durable, also offline."""

from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.given import VALUE_BYTES_MAX, given_json, given_value
from anabranch_cli.options import KEY, MESSAGE, POINTER, POINTER_NEEDED
from anabranch_sync.errors import AnabranchError, InvalidValue
from anabranch_sync.path import parse_pointer

from anabranch.cli.arguments import IF_VERSION, NAMESPACE, TIMEOUT, URGENT, WAIT
from anabranch.cli.invocation import Invocation, command

if TYPE_CHECKING:
    from anabranch.answers import Committed


@command("set")
@NAMESPACE
@POINTER_NEEDED
@click.argument("value")
@click.option("--string", "as_text", is_flag=True, help="Store the text as it is, whatever it looks like.")
@KEY
@MESSAGE
@IF_VERSION
@URGENT
@WAIT
@TIMEOUT
def set_value(
    invocation: Invocation,
    namespace: str,
    pointer: str,
    value: str,
    as_text: bool,
    key: str,
    message: str,
    if_version: int | None,
    priority: int | None,
    wait: str | None,
    timeout_s: float,
) -> None:
    """Set a value, or the whole document.

    POINTER is a JSON Pointer (RFC 6901), "" the whole document. VALUE is JSON, or a word that does
    not look like JSON and is stored as a string; - reads standard input and @FILE a file, both JSON.
    With --string the text is stored as it is.

    \b
    anabranch set acme/prod/router /limits/requests 600
    anabranch set acme/prod/router /model gpt-4o -m "cheaper at night"
    anabranch set acme/prod/router /build --string 1.10
    anabranch set acme/prod/prompts /greeting --string @greeting.txt
    anabranch set acme/prod/router "" @router.json
    anabranch set acme/prod/router /model gpt-4o --wait visible --timeout 60
    anabranch set acme/prod/router /enabled false --urgent
    """
    parse_pointer(pointer)
    try:
        new = given_value(value, as_text=as_text)
    except InvalidValue as error:
        raise InvalidValue(f"{pointer}{error.place}", error.reason) from error
    with invocation.open() as client:
        committed = client.set(
            namespace,
            pointer,
            new,
            key=key,
            message=message,
            author=invocation.author,
            if_version=if_version,
            priority=priority,
        )
        tell_committed(invocation, committed, wait, timeout_s)


@command("patch")
@NAMESPACE
@click.argument("file", metavar="FILE|-")
@KEY
@MESSAGE
@IF_VERSION
@URGENT
@WAIT
@TIMEOUT
def patch(
    invocation: Invocation,
    namespace: str,
    file: str,
    key: str,
    message: str,
    if_version: int | None,
    priority: int | None,
    wait: str | None,
    timeout_s: float,
) -> None:
    """Apply a JSON Patch (RFC 6902), as a whole or not at all.

    \b
    echo '[{"op": "replace", "path": "/model", "value": "gpt-4o"}]' | anabranch patch acme/prod/router -
    """
    operations = given_json(file, VALUE_BYTES_MAX)
    if not isinstance(operations, list):
        raise InvalidValue("", "a JSON Patch is a list of operations (RFC 6902)")
    with invocation.open() as client:
        committed = client.patch(
            namespace,
            operations,
            key=key,
            message=message,
            author=invocation.author,
            if_version=if_version,
            priority=priority,
        )
        tell_committed(invocation, committed, wait, timeout_s)


@command("delete")
@NAMESPACE
@POINTER
@KEY
@MESSAGE
@IF_VERSION
@URGENT
@WAIT
@TIMEOUT
def delete(
    invocation: Invocation,
    namespace: str,
    pointer: str,
    key: str,
    message: str,
    if_version: int | None,
    priority: int | None,
    wait: str | None,
    timeout_s: float,
) -> None:
    """Delete a document, or a value in it. Its history stays."""
    with invocation.open() as client:
        committed = client.delete(
            namespace,
            pointer,
            key=key,
            message=message,
            author=invocation.author,
            if_version=if_version,
            priority=priority,
        )
        tell_committed(invocation, committed, wait, timeout_s)


def tell_committed(
    invocation: Invocation, committed: "Committed", wait: str | None = None, timeout_s: float = 0.0
) -> None:
    """Acknowledge a write: ``ok``, the change's dot, the documents it changed; then, if asked, wait.

    What a wait for it ends with is told after the write itself, which is durable whatever that is.
    """
    documents = [str(document) for document in committed.documents]
    quarantined = [str(document) for document in committed.quarantined]
    facts: dict[str, object] = {"dot": committed.dot, "documents": documents, "quarantined": quarantined}
    if invocation.json:
        _tell_json(facts, committed, wait, timeout_s)
        return
    if documents:
        terminal.write(f"{terminal.painted('ok', 'green')} {committed.dot} {' '.join(documents)}")
    else:
        terminal.write(f"{terminal.painted('ok', 'green')} unchanged: it was so already")
    if quarantined or wait is not None:
        terminal.flush()
    if quarantined:
        terminal.say(
            f"{' '.join(quarantined)} stays quarantined: readers get the last valid version meanwhile"
        )
    if wait is not None:
        with terminal.Progress() as line:
            line.tell(f"durable here; waiting until it is {wait}, for {timeout_s:g} s at most")
            reached = committed.wait(wait, timeout_s)
        where = "" if reached.hub_seq is None else f" at @{reached.hub_seq}"
        terminal.write(f"{terminal.painted('ok', 'green')} {reached.level}{where}")


def _tell_json(facts: dict[str, object], committed: "Committed", wait: str | None, timeout_s: float) -> None:
    if wait is None:
        terminal.write_json(facts)
        return
    try:
        reached = committed.wait(wait, timeout_s)
    except AnabranchError:
        terminal.write_json({**facts, "acknowledged": None})
        raise
    acknowledged = {
        "dot": str(reached.dot),
        "level": reached.level,
        "outcome": str(reached.fate),
        "hub_seq": reached.hub_seq,
    }
    terminal.write_json({**facts, "acknowledged": acknowledged})


COMMANDS = {"set": set_value, "patch": patch, "delete": delete}
