"""How all tests run: those that take minutes first, hypothesis the same each time and no judge of speed."""

import pytest
from hypothesis import HealthCheck, settings

# A red run must be red again when it is repeated. New cases are for `pytest --hypothesis-seed=random`,
# the merge laws' seeds and `make fuzz`; no deadline, for the machine may be busy.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
# Where what counts is that nothing is missing (tests/house, of the wheel).
settings.register_profile("few", settings.get_profile("repeatable"), max_examples=5)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests before all others, so that no worker ends with one alone."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
