"""The replica's SQL by name, from `queries.sql` beside this module."""

import re
from pathlib import Path

_NAMED = re.compile(r"^-- (\w+): [^\n]*\n((?:(?!^-- \w+:).*\n?)+)", re.MULTILINE)


def _parsed(text: str) -> dict[str, str]:
    return {name: " ".join(body.split()).rstrip(";") for name, body in _NAMED.findall(text)}


SQL = _parsed(Path(__file__).with_name("queries.sql").read_text("utf-8"))
