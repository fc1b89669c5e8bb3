"""The trees in the docstrings of the three `errors` modules are those of the classes."""

import inspect
import re
from types import ModuleType

import pytest
from anabranch import errors as edge
from anabranch_hub import errors as hub
from anabranch_sync import errors as core
from anabranch_sync.errors import AnabranchError

# How far a class is below the root, its name, its exit code where one is said, and what to do.
_LINE = re.compile(r" {4}(?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+) +(?P<code>\d)? *(?P<said>.*)")


def drawn(module: ModuleType) -> dict[str, tuple[str | None, int]]:
    """The classes in the tree, by name: the one above each, and its exit code, said there or inherited."""
    found: dict[str, tuple[str | None, int]] = {}
    above: list[str] = []
    for line in (module.__doc__ or "").splitlines():
        if match := _LINE.fullmatch(f"{line} "):
            depth = len(match["branches"]) // 4
            del above[depth:]
            parent = above[-1] if above else None
            inherited = found[parent][1] if parent else 1
            found[match["name"]] = (parent, int(match["code"]) if match["code"] else inherited)
            above.append(match["name"])
    return found


def defined(module: ModuleType) -> dict[str, tuple[str | None, int]]:
    """The classes of the module, and those of others that the tree has room for, likewise."""
    classes = {
        name: each
        for name, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, AnabranchError) and (each.__module__ == module.__name__ or name in drawn(module))
    }
    return {
        name: (
            next((above.__name__ for above in each.__mro__[1:] if above in classes.values()), None),
            each.exit_code,
        )
        for name, each in classes.items()
    }


@pytest.mark.parametrize("module", [core, edge, hub], ids=lambda each: each.__name__)
def test_the_tree_of_errors_is_that_of_the_classes(module: ModuleType) -> None:
    assert len(drawn(module)) > 20
    assert drawn(module) == defined(module)
