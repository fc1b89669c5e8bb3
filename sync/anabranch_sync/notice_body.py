"""A notice (`pull.Notice`) in a pull, and as a replica keeps it.

::

    [ledger, hub_seq, won, namespace, key, kind, policy, policy_version, path, [claim ...],
     waiting, [look ...], quarantined]
    claim = [[value] or [], [hand ...], path, element]      no path: that of the row; no element: none
    hand  = [author, edge, timestamp, skew]
    look  = [reviewer, reviewed_ms, note, [value] or [] or nil]

The last fields of each are left out where they are what they nearly always are.
"""

from typing import Any

from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.change import unpacked_address
from anabranch_sync.clock import TIMESTAMP_MAX, WALL_MS_MAX
from anabranch_sync.explanation import HANDS_SHOWN_MAX
from anabranch_sync.path import Path
from anabranch_sync.pull import Notice
from anabranch_sync.register import DELETED, Value, json_of
from anabranch_sync.tables import Row, completed, trimmed
from anabranch_sync.value import INT_MAX, check, ordered

_NOTICE: tuple[object, ...] = (False, [], False)
_CLAIM: tuple[object, ...] = (None, None)
_HAND: tuple[object, ...] = (0,)


def packed_notice(notice: Notice) -> Row:
    """The notice as a row. Of many who agreed on a value the first are named, as a sentence does."""
    case = notice.case
    path = case.claims[0].path
    return trimmed(
        [
            *(notice.ledger, notice.hub_seq, notice.won, case.document.namespace, case.document.key),
            *(case.kind, case.policy, case.policy_version, list(path)),
            [_packed_claim(claim, path) for claim in case.claims],
            case.waiting,
            [_packed_look(look) for look in case.looks],
            case.quarantined,
        ],
        _NOTICE,
    )


def unpacked_notice(raw: Any) -> Notice:
    """The notice of a row. Raises ValueError and its kin (`tables.MALFORMED`)."""
    ledger, hub_seq, won, namespace, key, kind, policy, version, path, *rest = completed(raw, 13, _NOTICE)
    claims, waiting, looks, quarantined = rest
    own = _path(path)
    if not claims:
        raise ValueError("a conflict without candidates")
    case = Case(
        unpacked_address(namespace, key),
        _text(kind),
        _text(policy),
        _text(version),
        tuple(_unpacked_claim(claim, own) for claim in claims),
        waiting is True,
        tuple(_unpacked_look(look) for look in looks),
        quarantined is True,
    )
    return Notice(_number(ledger, INT_MAX), _number(hub_seq, INT_MAX), won is True, case)


def _packed_claim(claim: Claim, path: Path) -> Row:
    hands = [
        trimmed([hand.author, hand.edge, hand.timestamp, hand.skew_ms], _HAND)
        for hand in claim.hands[:HANDS_SHOWN_MAX]
    ]
    elsewhere = None if claim.path == path else list(claim.path)
    return trimmed([_packed(claim.value), hands, elsewhere, claim.element], _CLAIM)


def _unpacked_claim(raw: Any, path: Path) -> Claim:
    value, hands, elsewhere, element = completed(raw, 4, _CLAIM)
    if not hands or not (element is None or type(element) is bytes):
        raise ValueError("a candidate that nobody wrote, or an element that is no bytes")
    return Claim(
        path if elsewhere is None else _path(elsewhere),
        element,
        _unpacked(value),
        tuple(_unpacked_hand(hand) for hand in hands),
    )


def _unpacked_hand(raw: Any) -> Hand:
    author, edge, timestamp, skew_ms = completed(raw, 4, _HAND)
    return Hand(_text(author), _text(edge), _number(timestamp, TIMESTAMP_MAX), _number(skew_ms, WALL_MS_MAX))


def _packed_look(look: Look) -> Row:
    restored = None
    if look.restored is not None:
        restored = [_packed(value) for value in look.restored]
    return [look.reviewer, look.reviewed_ms, look.note, restored]


def _unpacked_look(raw: Any) -> Look:
    reviewer, reviewed_ms, note, restored = raw
    values = None if restored is None else tuple(_unpacked(value) for value in restored)
    return Look(_text(reviewer), _number(reviewed_ms, WALL_MS_MAX), _text(note), values)


def _packed(value: Value) -> Row:
    return [] if value is DELETED else [ordered(json_of(value))]


def _unpacked(raw: Any) -> Value:
    if type(raw) is not list or len(raw) > 1:
        raise ValueError("a value is a list of one, a deletion an empty one")
    return check(raw[0]) if raw else DELETED


def _path(raw: Any) -> Path:
    return tuple(_text(key) for key in raw)


def _text(text: Any) -> str:
    if type(text) is not str:
        raise ValueError(f"{text!r} is not a text")
    return text


def _number(number: Any, limit: int) -> int:
    if type(number) is not int or not 0 <= number <= limit:
        raise ValueError(f"{number!r} is not a number from 0 to {limit}")
    return number
