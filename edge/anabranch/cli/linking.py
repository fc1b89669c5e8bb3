"""Commands that speak to the hub: `init`, `sync`, `agent`. What needs gRPC is imported when they run."""

import gc
import json
import logging
import os
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.failure import UnusableInput
from anabranch_cli.given import read_text

from anabranch.cli.arguments import METERED, POLL
from anabranch.cli.invocation import Invocation, command
from anabranch.cli.without_ssl import asyncio
from anabranch.errors import ReplicaInUse

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from anabranch_sync.plan import Plan

    from anabranch.agent import AgentOutcome, Progress

TOKEN_VARIABLE = "ANABRANCH_TOKEN"
# Far more than any invitation has, and little enough to read by mistake.
TOKEN_BYTES_MAX = 4_096
# Registers and contents hold no cycles: to look among them for some each 700 objects took an eighth of a cold
# start's time. What so many objects of garbage take is 1 MB.
GARBAGE_OBJECTS = 10_000
# What a log record has of its own; the rest of its attributes are the fields of the event.
_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@command("init")
@click.option("--hub", required=True, metavar="HOST:PORT", help="Where the hub is.")
@click.option(
    "--token",
    metavar="T",
    help="The invitation: @FILE, or - for standard input.  [$ANABRANCH_TOKEN, else asked for]",
)
@click.option("--token-file", metavar="FILE", help="The same as --token @FILE.")
@click.option(
    "--enrolment", "enrolment_address", metavar="HOST:PORT", default="", help="Where to enrol, if elsewhere."
)
@click.option(
    "--keep-replica", is_flag=True, help="Give the replica that is there a new certificate; nothing is lost."
)
def init(
    invocation: Invocation,
    hub: str,
    token: str | None,
    token_file: str | None,
    enrolment_address: str,
    keep_replica: bool,
) -> None:
    """Enrol this machine as an edge of a hub and make its replica.

    An operator prints the invitation with anabranch-hub edge invite. It works once and for a short
    time; it also names the hub's certificate, so that nobody can stand between.

    \b
    anabranch init --hub hub.example.org:7443 --token @invitation.txt
    anabranch init --hub hub.example.org:7443 --token @invitation.txt --keep-replica
    """
    from anabranch import enrol

    if token is not None and token_file is not None:
        raise click.UsageError("give --token or --token-file, not both", click.get_current_context())
    invitation = _given_token(token if token_file is None else f"@{token_file}")
    with terminal.Progress(shown=not invocation.json) as line:
        line.tell(f"enrolling at {hub}")
        if keep_replica:
            done = enrol.init_again(invocation.replica, hub, invitation, enrolment_address=enrolment_address)
        else:
            done = enrol.init(
                invocation.replica,
                hub,
                invitation,
                author=invocation.author or "",
                enrolment_address=enrolment_address,
            )
    if invocation.json:
        terminal.write_json(
            {
                "replica": str(done.replica),
                "hub": hub,
                "tenant": done.tenant,
                "edge": done.edge,
                "prefixes": list(done.prefixes),
            }
        )
        return
    terminal.write(
        f"{terminal.painted('ok', 'green')} this is {done.tenant}/{done.edge}, which writes "
        f"{', '.join(done.prefixes) or 'nothing'}; its replica is {done.replica}"
    )
    terminal.say("next: anabranch sync, or anabranch agent to stay in touch")


@command("sync")
def sync(invocation: Invocation) -> None:
    """Exchange with the hub once, until both are equal.

    Sends what waits and fetches what is new. It may be stopped at any moment and goes on from there.
    """
    from anabranch.agent import run_agent

    try:
        with terminal.Progress(shown=not invocation.json) as line:
            line.tell("connecting to the hub")
            outcome = _run(run_agent(invocation.replica, once=True, progress=partial(_tell_step, line)))
    except ReplicaInUse as error:
        error.add_note("it exchanges by itself, and anabranch status tells how far it is")
        raise
    if not outcome.settled:
        raise click.Abort
    _tell_outcome(invocation, outcome)


@command("agent")
@click.option(
    "--relay",
    metavar="HOST:PORT",
    help="Pass other edges of this site on to the hub too: listen for them here.",
)
@POLL
@METERED
def agent(invocation: Invocation, relay: str | None, poll_ms: int | None, metered: bool | None) -> None:
    """Stay in touch with the hub until SIGTERM or Ctrl-C.

    One agent runs on a replica. It tells what it does on standard error, with --json as JSON lines, and
    its condition to systemd (Type=notify, WatchdogSec). A disk that fails, is full or read-only is waited
    for. Exits with 0 when stopped, 7 without a replica or identity, 8 when one of them is damaged, 9 when the
    hub had it wiped.

    How it keeps in touch is remembered, as anabranch link set does: --poll none and --free undo it. With
    --poll what is written here waits for the next look. With --metered it is saved up: configuration for a
    minute, bulk for an hour, telemetry for six. Urgent changes (set --urgent, and those of documents whose
    schema says x-anabranch-priority: 0) go at once.

    \b
    anabranch agent
    anabranch agent --poll 1h --metered
    """
    from anabranch.agent import run_agent
    from anabranch.polling import Wish
    from anabranch.supervision import supervisor_of

    _log_to_standard_error(invocation)
    supervisor, mode = supervisor_of(os.environ), Wish(poll_ms, metered)
    agent = run_agent(invocation.replica, mode=mode, progress=_log_step, supervisor=supervisor, relay=relay)
    outcome = _run(agent)
    _tell_outcome(invocation, outcome)


def _run(agent: "Coroutine[None, None, AgentOutcome]") -> "AgentOutcome":
    """Run an agent, in this process that does nothing else."""
    gc.freeze()  # what was imported stays
    gc.set_threshold(GARBAGE_OBJECTS)
    return asyncio.run(agent)


def _given_token(given: str | None) -> str:
    """The invitation, from wherever it was said to be. Raises UnusableInput."""
    if given is None:
        given = os.environ.get(TOKEN_VARIABLE)
        if given:
            return given.strip()
        if terminal.is_terminal(sys.stdin):
            return str(click.prompt("Invitation (not shown)", hide_input=True, err=True)).strip()
        raise click.UsageError(
            f"the invitation is missing: --token @FILE, --token - or ${TOKEN_VARIABLE}",
            click.get_current_context(),
        )
    if given == "-" or given.startswith("@"):
        text = read_text(given if given == "-" else given[1:], TOKEN_BYTES_MAX).strip()
        if not text:
            raise UnusableInput(
                "standard input" if given == "-" else given[1:], "it is empty, not an invitation"
            )
        return text
    terminal.say(
        "anabranch: the invitation is on the command line, where other users of this machine can read it; "
        "use --token @FILE or --token - (it works once and briefly, so this one goes through)"
    )
    return given


def _tell_step(line: terminal.Progress, step: "Progress") -> None:
    from anabranch.exchange import Applied

    # What a push is answered with brings no documents, and would hide how far it has come.
    if not isinstance(step, Applied) or step.documents:
        line.tell(_words(step))


def _words(step: "Progress") -> str:
    """A step for a person who waits."""
    from anabranch.agent import Waiting
    from anabranch.exchange import Applied, Connected, Pulled, Pushed, Settled

    match step:
        case Connected():
            return f"connected to {step.address}{_planned(step.plan)}"
        case Pushed():
            return f"sent {step.changes:,} of {terminal.count(step.total, 'change')}"
        case Pulled():
            return f"received {terminal.size(step.received)} of {terminal.size(step.total)}"
        case Applied():
            return f"applied {terminal.count(step.documents, 'document')}"
        case Settled():
            return "nothing is on its way"
        case Waiting():
            return f"{step.reason}; again in {terminal.duration(step.delay_ms / 1000)}"


def _planned(plan: "Plan | None") -> str:
    """How much is to come, where the hub says so."""
    return f": {plan.means}, about {terminal.size(plan.size_bytes)}" if plan and plan.size_bytes else ""


def _tell_outcome(invocation: Invocation, outcome: "AgentOutcome") -> None:
    if invocation.json:
        terminal.write_json(asdict(outcome))
        return
    terminal.write(
        f"{terminal.painted('ok', 'green')} {terminal.count(outcome.changes_pushed, 'change')} sent, "
        f"{terminal.count(outcome.documents_pulled, 'document')} received, "
        f"{terminal.count(outcome.conflicts, 'conflict')}; "
        f"{terminal.size(outcome.bytes_up)} up, {terminal.size(outcome.bytes_down)} down, "
        f"{outcome.seconds:.1f} s"
        + (f" (snapshot, about {terminal.size(outcome.plan_bytes)})" if outcome.plan == "snapshot" else "")
    )


def _log_step(step: "Progress") -> None:
    from anabranch.agent import Waiting
    from anabranch.exchange import Applied, Connected

    level = logging.INFO if isinstance(step, Connected | Applied | Waiting) else logging.DEBUG
    logging.getLogger("anabranch").log(level, type(step).__name__.lower(), extra=asdict(step))


def _log_to_standard_error(invocation: Invocation) -> None:
    to_standard_error = logging.StreamHandler()
    to_standard_error.setFormatter(_EventFormatter(invocation))
    logger = logging.getLogger("anabranch")
    logger.addHandler(to_standard_error)
    logger.setLevel(logging.DEBUG if invocation.verbose else logging.INFO)
    logger.propagate = False


class _EventFormatter(logging.Formatter):
    """An event and its fields on one line; with --debug the traceback of a defect below it."""

    def __init__(self, invocation: Invocation) -> None:
        super().__init__()
        self._as_json = invocation.json
        self._with_traceback = invocation.debug

    def format(self, record: logging.LogRecord) -> str:
        fields = {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}
        when = terminal.moment(int(record.created * 1000))
        if self._as_json:
            event = {"time": when, "level": record.levelname.lower(), "event": record.getMessage(), **fields}
            line = json.dumps(event, default=str)
        else:
            told = " ".join(f"{name}={json.dumps(value, default=str)}" for name, value in fields.items())
            line = terminal.one_line(
                f"{when} {record.levelname.lower()} {record.getMessage()} {told}".rstrip()
            )
        if record.exc_info and self._with_traceback:
            line += "\n" + self.formatException(record.exc_info)
        return line


COMMANDS = {"init": init, "sync": sync, "agent": agent}
