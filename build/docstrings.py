"""Packages without their docstrings: nobody reads them in dist/anabranch, and they take room and memory."""

import ast
from pathlib import Path

# What stands for one: dataclasses put together a longer one at each start where there is none.
INSTEAD = b'"."'
# Theirs are the help of the commands.
KEPT = Path("anabranch", "cli")


def strip(packages: Path, *names: str) -> None:
    """Take them out of these packages in a folder, but not out of the command line. Safe to repeat."""
    for name in names:
        module = packages / name
        for path in [module] if module.suffix == ".py" else module.rglob("*.py"):
            if not path.relative_to(packages).is_relative_to(KEPT):
                path.write_bytes(without_docstrings(path.read_bytes()))


def without_docstrings(source: bytes) -> bytes:
    """The same module, all else on the lines where it was."""
    lines = source.splitlines(keepends=True)
    for found in sorted(_docstrings(ast.parse(source)), key=lambda each: each.lineno, reverse=True):
        first, last = found.lineno - 1, (found.end_lineno or found.lineno) - 1
        before, after = lines[first][: found.col_offset], lines[last][found.end_col_offset :]
        lines[first : last + 1] = [before + INSTEAD + after, *[b"\n"] * (last - first)]
    return b"".join(lines)


def _docstrings(module: ast.Module) -> list[ast.Constant]:
    """In Python's sense: a text that stands first in a module, class or function."""
    return [
        node.body[0].value
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
        and isinstance(node.body[0].value.value, str)
    ]
