"""A conflict is explained in one sentence, whatever disagreed and whoever decided."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.clock import Timestamp, stamped
from anabranch_sync.explanation import VALUE_CHARS_MAX, sentence, shown
from anabranch_sync.ids import document_id
from anabranch_sync.policy import Rule
from anabranch_sync.register import DELETED, Value
from anabranch_sync.value import canonical
from hypothesis import given

from tests.sync.strategies import json_values

ROUTER = document_id("acme/prod/router")
LIMIT = ("limits", "requests")


def at(hour: int, minute: int, day: int = 24) -> Timestamp:
    return stamped(int(datetime(2026, 11, day, hour, minute, tzinfo=UTC).timestamp() * 1000))


SHOP = Hand("ada", "shop-3", at(10, 12))
BOB = Hand("bob", "", at(10, 12))


def claim(value: Value, *hands: Hand, element: bytes | None = None) -> Claim:
    return Claim(LIMIT, element, value, hands)


def case(*claims: Claim, policy: str = "latest", schema: str = "router@4", kind: str = "value") -> Case:
    return Case(ROUTER, kind, policy, schema, claims)


def test_a_sentence_says_who_wrote_what_when_and_why_one_of_them_stands() -> None:
    assert sentence(case(claim(300, SHOP), claim(900, BOB), policy="min")) == (
        "On Tuesday 24 November 2026 10:12 UTC edge shop-3 (ada) set /limits/requests of acme/prod/router "
        "to 300 while the operator bob set it to 900; neither had seen the other; "
        "policy `min` of schema router@4 keeps the smaller, so 300 stands and 900 is kept here."
    )


def test_writes_at_other_times_say_when() -> None:
    later, tomorrow = replace(BOB, timestamp=at(10, 15)), replace(BOB, timestamp=at(9, 1, day=25))
    assert "to 300, and at 10:15 UTC the operator bob set it to 900;" in sentence(
        case(claim(300, SHOP), claim(900, later))
    )
    assert "to 300, and on Wednesday 25 November 2026 09:01 UTC the operator bob set it to 900;" in sentence(
        case(claim(300, SHOP), claim(900, tomorrow))
    )


@pytest.mark.parametrize(
    ("policy", "winner", "loser", "why"),
    [
        ("latest", claim(1, BOB), claim(2, replace(SHOP, timestamp=at(9, 0))), "keeps the later write, so"),
        ("latest", claim(1, BOB), claim(2, SHOP), "of two at the same instant that of the replica with the"),
        ("hub", claim(1, BOB), claim(2, SHOP), "prefers the hub's write to an edge's"),
        ("hub", claim(1, SHOP), claim(2, replace(SHOP, edge="ship", timestamp=0)), "has only edges' writes"),
        ("edge", claim(1, SHOP), claim(2, BOB), "prefers an edge's write to the hub's"),
        ("edge", claim(1, SHOP), claim(2, replace(SHOP, edge="ship", timestamp=0)), "has only edges' writes"),
        # Where an edge agrees with the hub, two edges compete.
        (
            "edge",
            claim(1, replace(SHOP, edge="ship")),
            claim(2, BOB, SHOP),
            "keeps the later of the edges' writes",
        ),
        (
            "edge",
            claim(2, BOB, SHOP),
            claim(1, replace(SHOP, edge="ship")),
            "keeps the later of the edges' writes",
        ),
        ("max", claim(2, SHOP), claim(1, BOB), "keeps the greater, so"),
        ("max", claim(2, SHOP), claim(DELETED, BOB), "keeps a value rather than a deletion"),
        ("min", claim(1, SHOP), claim(1.0, BOB), "keeps the smaller, and of equals the later write"),
        ("max", claim("a", SHOP), claim(1, BOB), "keeps the greater (null, booleans, numbers, strings,"),
        ("manual", claim(1, SHOP), claim(2, BOB), "keeps what stood first until an operator decides"),
        ("counter", claim(5, SHOP), claim(DELETED, replace(BOB, timestamp=0)), "keeps the later write, so"),
        ("text", claim("a", SHOP), claim(1, replace(BOB, timestamp=0)), "keeps the later write, so"),
        ("quorum", claim(1, SHOP), claim(2, BOB), "policy `quorum` of schema router@4 chose"),
    ],
)
def test_every_policy_has_its_reason(policy: str, winner: Claim, loser: Claim, why: str) -> None:
    assert why in sentence(case(winner, loser, policy=policy))


@pytest.mark.parametrize("rule", [*Rule])
def test_no_policy_is_without_a_sentence(rule: Rule) -> None:
    for winner, loser in ((claim(1, BOB), claim(2, SHOP)), (claim(2, SHOP), claim(DELETED, BOB))):
        told = sentence(case(winner, loser, policy=rule))
        assert f"policy `{rule}` of schema router@4 " in told
        assert told.endswith(".")


def test_without_a_schema_the_policy_is_the_default() -> None:
    assert "policy `latest`, the default, keeps" in sentence(case(claim(1, BOB), claim(2, SHOP), schema=""))


def test_a_deletion_is_told_on_either_side() -> None:
    lost = sentence(case(claim(300, SHOP), claim(DELETED, BOB), kind="delete/update"))
    won = sentence(case(claim(DELETED, BOB), claim(300, SHOP), kind="delete/update"))
    assert "while the operator bob deleted it" in lost
    assert "so 300 stands and the deletion is kept here." in lost
    assert "the operator bob deleted /limits/requests of acme/prod/router while edge shop-3" in won
    assert "so the deletion stands and 300 is kept here." in won


def test_a_clock_that_was_ahead_is_named_and_not_trusted() -> None:
    wrong = replace(SHOP, skew_ms=3 * 3_600_000 + 5_000)
    assert "edge shop-3 (ada), whose clock was 3 h ahead and was not trusted, set /limits" in sentence(
        case(claim(300, wrong), claim(900, BOB))
    )


def test_several_losers_are_all_named_and_very_many_counted() -> None:
    losers = [claim(number, replace(SHOP, edge=f"e{number}", author="")) for number in range(2, 9)]
    three, many = sentence(case(claim(1, BOB), *losers[:2])), sentence(case(claim(1, BOB), *losers))
    assert "to 1, at 10:12 UTC edge e2 set it to 2, and at 10:12 UTC edge e3 set it to 3; none had" in three
    assert "so 1 stands and 2 and 3 are kept here." in three
    assert ", and 4 more wrote other values; none had seen the others" in many
    assert "so 1 stands and 2, 3, 4 and 4 more are kept here." in many


def test_all_who_agreed_on_a_value_are_named() -> None:
    ship = replace(SHOP, edge="ship", author="ship")
    assert "edge shop-3 (ada) and edge ship set /limits" in sentence(
        case(claim(3, SHOP, ship), claim(9, BOB))
    )
    crowd = [replace(SHOP, edge=f"e{number}") for number in range(5)]
    assert "edge e0 (ada), edge e1 (ada), edge e2 (ada) and 2 more set" in sentence(
        case(claim(3, *crowd), claim(9, BOB))
    )


def test_in_a_set_the_element_is_what_competes() -> None:
    element = canonical("eu-1")
    told = sentence(
        case(claim("eu-1", SHOP, element=element), claim(DELETED, BOB, element=element), policy="union")
    )
    assert 'put "eu-1" into the set /limits/requests of acme/prod/router while the operator bob' in told
    assert 'took "eu-1" out of it' in told
    assert "lets putting in win over taking out" in told
    both = sentence(
        case(claim({"id": 1}, SHOP, element=b"\xc1"), claim({"id": 2}, BOB, element=b""), policy="union:id")
    )
    assert "policy `union:id` of schema router@4 keeps the later write" in both


def test_that_a_set_is_there_at_all_is_told_without_its_elements() -> None:
    told = sentence(case(claim([], SHOP), claim(DELETED, BOB), policy="union", kind="delete/update"))
    assert (
        "edge shop-3 (ada) kept the set /limits/requests of acme/prod/router while the operator bob" in told
    )
    assert "so the set stands and the deletion is kept here." in told


def test_what_lies_inside_the_other_has_both_places_named() -> None:
    above = Claim(("limits",), None, 5, (SHOP,))
    told = sentence(case(above, claim(900, BOB), kind="prefix"))
    assert "set /limits of acme/prod/router to 5 while the operator bob set /limits/requests of acme" in told
    assert "they cannot stand together, as one lies inside the other" in told


def test_edits_of_one_text_that_touch_are_merged_and_to_be_looked_at() -> None:
    both, before, meant = claim("abc", SHOP, BOB), claim("ab", BOB), claim("bc", SHOP)
    overlap = case(both, before, meant, policy="text", kind="overlap")
    assert sentence(overlap) == (
        "On Tuesday 24 November 2026 10:12 UTC the operator bob edited /limits/requests of acme/prod/router "
        'into "ab" while edge shop-3 (ada) edited it into "bc"; neither had seen the other; policy `text` of '
        'schema router@4 merged edits that touch each other, so "abc" stands, with all of it together, '
        "to be looked at."
    )
    reviewed = replace(overlap, looks=(Look("olga", 0, "", ("ab",)),))
    assert 'so "abc" stood, with all of it together; on Thursday 1 January' in sentence(reviewed)


def test_what_an_edit_put_into_a_text_that_is_gone_is_told_as_the_piece_it_is() -> None:
    fragment = case(claim(5, BOB), claim("and true ", SHOP), policy="text", kind="fragment")
    told = sentence(fragment)
    assert 'edge shop-3 (ada) put "and true " into what it had said before' in told
    assert 'has no place for an edit of what is gone, so 5 stands and "and true " is kept here.' in told


def test_what_waits_says_for_whom() -> None:
    waiting = replace(case(claim(1, BOB), claim(2, SHOP), policy="manual"), waiting=True)
    assert "so 1 stands and 2 waits here for an operator." in sentence(waiting)


def test_a_whole_that_became_invalid_is_said_to_be_so() -> None:
    told = sentence(replace(case(claim(1, BOB), claim(2, SHOP)), quarantined=True))
    assert told.endswith("; the document was invalid with it, so its readers kept the last valid version.")


def test_reviews_are_told_in_order() -> None:
    accepted = Look("olga", int(datetime(2026, 11, 25, 9, 0, tzinfo=UTC).timestamp() * 1000), "fine")
    restored = Look("pete", accepted.reviewed_ms + 60_000, "", (900,))
    other = Look("pete", accepted.reviewed_ms + 60_000, "", ())
    conflict = case(claim(300, SHOP), claim(900, BOB))
    assert sentence(replace(conflict, looks=(accepted,))).endswith(
        "900 is kept here; on Wednesday 25 November 2026 09:00 UTC olga accepted that (fine)."
    )
    assert sentence(replace(conflict, looks=(accepted, restored))).endswith(
        "so 300 stood and 900 was kept here; "
        "on Wednesday 25 November 2026 09:00 UTC olga accepted that (fine); "
        "on Wednesday 25 November 2026 09:01 UTC pete restored 900."
    )
    assert sentence(replace(conflict, looks=(other,))).endswith("pete restored another value.")


def test_a_reader_elsewhere_is_told_where_the_losers_are() -> None:
    told = sentence(case(claim(1, BOB), claim(2, SHOP)), kept="in the hub's ledger")
    assert told.endswith("so 1 stands and 2 is kept in the hub's ledger.")


def test_the_document_itself_and_its_key_are_named() -> None:
    root = Case(
        document_id("acme/prod/router", "eu"), "value", "latest", "", (Claim((), None, {}, (SHOP,)),) * 2
    )
    assert "set the whole of acme/prod/router/eu to {}" in sentence(root)


@given(json_values)
def test_however_long_a_value_the_sentence_stays_readable(value: Value) -> None:
    assert shown("x" * 100) == '"' + "x" * 45 + '…" (102 characters)'
    assert len(shown(value)) <= VALUE_CHARS_MAX + len(" (1,000,000 characters)")
    assert len(sentence(case(claim(value, SHOP), claim("x" * 100_000, BOB)))) < 700
