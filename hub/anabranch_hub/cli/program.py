"""The program: which module has which command."""

from anabranch_cli.program import Program

from anabranch_hub.cli.invocation import common_options

_MODULES = {
    "serve": "serving",
    "tenant": "tenants",
    "edge": "edges",
    "operator": "operators",
    "courier": "courier",
    "get": "documents",
    "set": "documents",
    "delete": "documents",
    "list": "documents",
    "digest": "documents",
    "import": "importing",
    "export": "history",
    "log": "history",
    "blame": "history",
    "diff": "history",
    "rollback": "rollback",
    "retention": "retention",
    "trim": "trimming",
    "collect": "collecting",
    "merges": "merges",
    "audit": "audit",
    "quarantine": "quarantine",
    "restored": "restoring",
    "migrate": "upkeep",
    "doctor": "upkeep",
    "simulate": "simulating",
    "demo": "demo",
    "version": "about",
    "completion": "about",
}

program = Program(
    "anabranch-hub",
    _MODULES,
    package="anabranch_hub.cli",
    params=common_options(),
    help="""The hub of anabranch: where the offline writes of many edges meet, are merged and explained.

    serve runs a hub; the other commands work on the hub that runs on --data-dir.""",
    epilog="Exit codes: 0 ok; 1 other; 2 usage; 3 not found; 4 denied; 5 conflict or precondition; "
    "7 unreachable; 8 verification failed; 130 interrupted.",
)
