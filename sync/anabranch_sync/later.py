"""Modules that are loaded when they are first used: a process that reads one value needs a third of them.

To load them all takes twice as long as the read itself. So what only some commands come to is named once as
usual, for people and type checkers, and once for `later`::

    if TYPE_CHECKING:
        from anabranch_sync import leaf_edits, merge
    else:
        later(globals(), "anabranch_sync", "leaf_edits", "merge")

Functions and classes are then used through their module, `merge.decide(...)`. At its first use the name comes
to stand for the module itself, so that later ones cost nothing.
"""

from importlib import import_module
from types import ModuleType
from typing import Any


def later(names: dict[str, Any], package: str, *modules: str, **renamed: str) -> None:
    """Put modules of `package` into a module's globals `names`, to be loaded at their first use."""
    for name, module in {**{each: each for each in modules}, **renamed}.items():
        names[name] = _Later(f"{package}.{module}", name, names)


class _Later(ModuleType):
    def __init__(self, path: str, name: str, names: dict[str, Any]) -> None:
        super().__init__(path)
        self._bound = (name, names)

    def __getattr__(self, attribute: str) -> Any:
        name, names = self._bound
        names[name] = module = import_module(self.__name__)
        return getattr(module, attribute)
