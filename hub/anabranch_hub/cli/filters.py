"""Which rows of the ledger a command means: options that several commands share."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeAlias

import click
from anabranch_sync.conflict import Kind
from anabranch_sync.ids import check_edge, check_told, document_id
from anabranch_sync.path import parse_pointer
from anabranch_sync.policy import Rule, parse_policy

from anabranch_hub.store import Matching

# As the hub is called where an edge is asked for; no edge can have this name.
THE_HUB = "-"

_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_UNIT_S = {"m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

_OPTIONS: tuple[Decorator, ...] = (
    click.option("--namespace", metavar="PREFIX", help="Only this namespace and those below."),
    click.option("--path", metavar="POINTER", help="Only this place of documents and what is below it."),
    click.option("--edge", metavar="EDGE", help=f"Only where this edge took part; {THE_HUB} is the hub."),
    # Not --author, which is who acts, in every command.
    click.option(
        "--by", metavar="AUTHOR", help="Only where this author took part, named as `merges stats` does."
    ),
    click.option("--policy", help=f"Only what this policy decided: {', '.join(Rule)}."),
    click.option(
        "--kind", type=click.Choice([str(each) for each in Kind]), help="Only this kind of conflict."
    ),
    click.option(
        "--since", metavar="TIME", help="Decided then or later: 7d, 12h, 2026-11-20, 2026-11-20T08:00."
    ),
    click.option("--until", metavar="TIME", help="Decided before then."),
    click.option(
        "--reviewed/--unreviewed", default=None, help="Only what somebody, or nobody, has looked at."
    ),
    click.option("--waiting", is_flag=True, help="Only what waits for an operator to choose."),
)


def filtered(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that `matching` takes."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def matching(
    *,
    namespace: str | None,
    path: str | None,
    edge: str | None,
    by: str | None,
    policy: str | None,
    kind: str | None,
    since: str | None,
    until: str | None,
    reviewed: bool | None,
    waiting: bool,
) -> Matching:
    """What the options say. Raises InvalidName, InvalidPath, UnknownPolicy, UsageError."""
    now_ms = time.time_ns() // 1_000_000
    if namespace:
        document_id(namespace)
    if edge is not None:
        edge = "" if edge == THE_HUB else check_edge(edge)
    if by is not None:
        check_told(by)
    return Matching(
        namespace or None,
        kind,
        parse_policy(policy).rule if policy else None,
        edge,
        by,
        parse_pointer(path) if path else None,
        moment("--since", since, now_ms) if since else None,
        moment("--until", until, now_ms) if until else None,
        reviewed,
        waiting,
    )


def moment(option: str, given: str, now_ms: int) -> int:
    """Milliseconds since 1970 of ``7d`` before now, or of a date or time (UTC unless it says otherwise).

    Raises UsageError.
    """
    if ago := _AGO.fullmatch(given):
        return max(0, now_ms - int(ago[1]) * _UNIT_S[ago[2]] * 1_000)
    try:
        at = datetime.fromisoformat(given)
    except ValueError as error:
        raise click.UsageError(
            f"{option} {given!a} is refused: write 7d (or m, h, w), 2026-11-20 or 2026-11-20T08:00"
        ) from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000)
