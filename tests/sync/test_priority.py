"""How long a change waits for company on a link."""

from anabranch_sync.circumstances import LinkClass
from anabranch_sync.priority import (
    BULK_WAIT_MS,
    CONFIGURATION_WAIT_MS,
    PRIORITY_MAX,
    TELEMETRY_WAIT_MS,
    patience_ms,
)


def test_a_metered_link_saves_up_the_longer_the_less_pressing_and_urgent_changes_not_at_all() -> None:
    waits = [patience_ms(LinkClass.METERED, priority) for priority in range(PRIORITY_MAX + 1)]

    assert waits == [0, CONFIGURATION_WAIT_MS, BULK_WAIT_MS, TELEMETRY_WAIT_MS]
    assert waits == sorted(waits)


def test_a_link_that_is_free_or_not_known_to_be_metered_carries_everything_at_once() -> None:
    for link in (LinkClass.FREE, LinkClass.UNKNOWN):
        assert not any(patience_ms(link, priority) for priority in range(PRIORITY_MAX + 1))
