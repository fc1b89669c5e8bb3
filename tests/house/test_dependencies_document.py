"""docs/dependencies.md names every dependency of pyproject.toml on its own side, and no other."""

import re

import pytest

from tests.house.checkout import CHECKOUT, edge_requirements, group_requirements, hub_requirements

DOCUMENT = CHECKOUT / "docs" / "dependencies.md"
WANTED = {
    "Edge": edge_requirements(),
    "Hub": hub_requirements(),
    "Development": group_requirements("dev"),
}


@pytest.mark.parametrize("side", WANTED)
def test_each_dependency_is_explained_in_the_table_of_its_side(side: str) -> None:
    sections = DOCUMENT.read_text().split("\n## ")
    (section,) = (one for one in sections if one.startswith(side))
    named = set(re.findall(r"^\| ([a-z][a-z0-9-]*) \|", section, re.MULTILINE)) - {"package"}

    assert named == {requirement.name for requirement in WANTED[side]}
