"""One sentence says why an edge is behind, whichever side is asked."""

from dataclasses import replace

import pytest
from anabranch_sync.lateness import EdgeFacts, Reason, lateness

NOW_MS = 1_800_000_000_000
DAY_MS = 86_400_000
WELL = EdgeFacts(NOW_MS, certificate_until_ms=NOW_MS + 90 * DAY_MS, heard_ms=NOW_MS, agent_running=True)


def test_an_edge_that_is_well_is_not_behind_and_was_proved_equal() -> None:
    why = lateness(replace(WELL, proved_ms=NOW_MS - 90_000))

    assert why.reason is None
    assert why.sentence == "This edge is not behind, proved equal 1 min 30 s ago."
    assert why.facts == ()


@pytest.mark.parametrize(
    ("facts", "reason", "says"),
    [
        (replace(WELL, revoked=True), Reason.REVOKED, "revoked"),
        (replace(WELL, to_be_wiped=True), Reason.WIPED, "to be wiped at its next contact"),
        (replace(WELL, to_be_wiped=True, wiped_ms=NOW_MS - DAY_MS), Reason.WIPED, "It was wiped 1 d ago"),
        (replace(WELL, certificate_until_ms=NOW_MS - DAY_MS), Reason.CERTIFICATE, "ended 1 d ago"),
        (replace(WELL, certificate_until_ms=NOW_MS + 3_600_000), Reason.CERTIFICATE, "ends in 1 h"),
        (replace(WELL, denied=True), Reason.DENIED, "said no"),
        (replace(WELL, distrusted=True), Reason.DISTRUSTED, "refuses the hub's log"),
        (replace(WELL, agent_running=False), Reason.AGENT, "anabranch agent"),
        (replace(WELL, budget_until_ms=1_800_057_600_000), Reason.BUDGET, "until 2027-01-16 00:00 UTC"),
        (replace(WELL, heard_ms=None), Reason.NEVER_CAME, "never exchanged"),
        (replace(WELL, heard_ms=NOW_MS - 7_260_000), Reason.LINK, "2 h 1 min ago"),
        (replace(WELL, disk_free_bytes=10), Reason.DISK, "10 bytes left"),
        (replace(WELL, clock_offset_ms=-DAY_MS), Reason.CLOCK, "1 d ahead of the hub's"),
        (replace(WELL, unhealed=2), Reason.UNEQUAL, "2 of its documents are damaged"),
        (replace(WELL, unsent=3, oldest_unsent_ms=NOW_MS - 60_000), Reason.UNSENT, "the oldest for 1 min"),
        (replace(WELL, behind=4), Reason.BEHIND, "4 documents"),
        (replace(WELL, refused=5), Reason.REFUSED, "5 of its changes were refused"),
        (replace(WELL, quarantined=6), Reason.QUARANTINED, "6 documents are quarantined"),
        (replace(WELL, unhealed=1), Reason.UNEQUAL, "1 of its documents is damaged"),
        (replace(WELL, unsent=1), Reason.UNSENT, "1 of its changes is not sent."),
        (replace(WELL, behind=1), Reason.BEHIND, "1 document in its scope has changed"),
        (replace(WELL, refused=1), Reason.REFUSED, "1 of its changes was refused; it is not lost."),
        (replace(WELL, quarantined=1), Reason.QUARANTINED, "1 document is quarantined"),
    ],
)
def test_each_reason_has_its_sentence(facts: EdgeFacts, reason: Reason, says: str) -> None:
    why = lateness(facts)

    assert why.reason is reason
    assert says in why.sentence


def test_what_shuts_an_edge_out_comes_first_and_all_else_follows() -> None:
    why = lateness(replace(WELL, revoked=True, heard_ms=NOW_MS - DAY_MS, unsent=2, refused=1))

    assert [reason for reason, _ in why.facts] == [
        Reason.REVOKED,
        Reason.LINK,
        Reason.UNSENT,
        Reason.REFUSED,
    ]
    assert why.sentence == why.facts[0][1]
