"""The program: which module has which command."""

from anabranch_cli.program import Program

from anabranch.cli.invocation import common_options

_MODULES = {
    "init": "linking",
    "get": "reading",
    "set": "writing",
    "patch": "writing",
    "delete": "writing",
    "list": "reading",
    "import": "moving",
    "export": "moving",
    "log": "reading",
    "diff": "past",
    "rollback": "past",
    "status": "looking",
    "incidents": "looking",
    "sync": "linking",
    "agent": "linking",
    "link": "link",
    "traffic": "link",
    "courier": "courier",
    "relay": "relaying",
    "subscribe": "subscribing",
    "watch": "reading",
    "conflicts": "conflicts",
    "audit": "audit",
    "doctor": "doctor",
    "version": "about",
    "completion": "about",
}

program = Program(
    "anabranch",
    _MODULES,
    package="anabranch.cli",
    params=common_options(with_variables=True),
    help="""Configuration that is written offline for weeks and merged, explained, when the link is back.

    Every command works on this machine's replica; only init, sync and agent need the hub.""",
    epilog="Exit codes: 0 ok, also offline; 1 other; 2 usage; 3 not found; 4 denied; 5 conflict or "
    "precondition; 6 not acknowledged; 7 nothing cached and unreachable; "
    "8 verification failed; 9 wiped by the hub; 130 interrupted.",
)
