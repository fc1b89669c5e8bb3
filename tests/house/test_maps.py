"""The packages of many modules say where to find what, and leave none of them out."""

import pkgutil
import re
from collections import Counter
from types import ModuleType

import anabranch_hub.store
import anabranch_sync
import pytest

# A heading, or none where one goes on, and its modules.
_LINE = re.compile(r" {4}(?P<heading>.{20})(?P<modules>[a-z0-9_ ]+)")


@pytest.mark.parametrize("package", [anabranch_sync, anabranch_hub.store], ids=lambda each: each.__name__)
def test_every_module_has_one_place_on_the_map_of_its_package(package: ModuleType) -> None:
    lines = map(_LINE.fullmatch, (package.__doc__ or "").splitlines())
    named = Counter(name for line in lines if line for name in line["modules"].split())

    assert named == Counter(each.name for each in pkgutil.iter_modules(package.__path__))
