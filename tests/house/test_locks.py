"""The locks: complete, hashed, of one resolution, and without the address of any package index."""

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.checkout import (
    LOCKS,
    edge_requirements,
    group_requirements,
    hub_requirements,
    pins,
    pyproject,
)

PARTS = ["edge.txt", "hub.txt", "test.txt"]
ALL = [*PARTS, "dev.txt", "binary.txt"]


def assert_covered(lock: str, requirements: list[Requirement]) -> None:
    pinned = pins(lock)
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{requirement} is not in build/locks/{lock}: run `make lock`"
        version, _ = pinned[name]
        assert version in requirement.specifier, f"{name} {version} is locked, {requirement} wanted"


def test_the_edge_lock_covers_the_base_dependencies() -> None:
    assert_covered("edge.txt", edge_requirements())


def test_the_hub_lock_covers_the_base_and_the_hub_dependencies() -> None:
    assert_covered("hub.txt", edge_requirements() + hub_requirements())


def test_the_test_lock_covers_its_group() -> None:
    assert_covered("test.txt", group_requirements("test"))


def test_the_development_lock_covers_everything_and_the_build_backend() -> None:
    backend = [Requirement(line) for line in pyproject()["build-system"]["requires"]]
    assert_covered("dev.txt", edge_requirements() + hub_requirements() + group_requirements("dev") + backend)


def test_the_lock_of_the_binary_covers_its_tools_and_the_build_backend() -> None:
    backend = [Requirement(line) for line in pyproject()["build-system"]["requires"]]
    assert_covered("binary.txt", group_requirements("binary") + backend)


@pytest.mark.parametrize("lock", ALL)
def test_every_locked_package_has_hashes(lock: str) -> None:
    for name, (_, hashes) in pins(lock).items():
        assert hashes, f"{name} in {lock} has no hash"


@pytest.mark.parametrize("lock", PARTS)
def test_a_part_has_the_versions_that_are_tested(lock: str) -> None:
    assert pins(lock).items() <= pins("dev.txt").items()


@pytest.mark.parametrize("lock", ALL)
def test_no_lock_says_where_packages_come_from(lock: str) -> None:
    text = (LOCKS / lock).read_text()

    assert "://" not in text
    assert "index-url" not in text
    assert "find-links" not in text


def test_the_edge_lock_holds_nothing_that_only_the_hub_needs() -> None:
    only_hub = {canonicalize_name(requirement.name) for requirement in hub_requirements()}

    assert only_hub.isdisjoint(pins("edge.txt"))
