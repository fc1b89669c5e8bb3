"""A conflict in one sentence that a person understands: who wrote what, why one of them stands.

The hub explains rows of its ledger with it and an edge the notices it got, so that both say the same.
It reads what was recorded, perhaps by another release: a rule or kind it does not know is named as it is.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.clock import wall_ms
from anabranch_sync.conflict import Kind
from anabranch_sync.errors import WireError
from anabranch_sync.packing import unpack
from anabranch_sync.path import ROOT, Path, render_pointer
from anabranch_sync.policy import Rule
from anabranch_sync.register import DELETED, Value, json_of
from anabranch_sync.value import rank, render_json

# A sentence is to be read at one go; `merges show` has every value whole and every write.
VALUE_CHARS_MAX = 48
CLAIMS_SHOWN_MAX = 4
HANDS_SHOWN_MAX = 3
REVIEWS_SHOWN_MAX = 3

_DEFAULT_KEY = "config"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def sentence(case: Case, *, kept: str = "here") -> str:
    """Explain `case`; `kept` is where the losing values are, seen from the reader."""
    # Of edits that were merged, the winner is what became of them all.
    rivals = case.claims[1:] if case.kind == Kind.OVERLAP and len(case.claims) > 2 else case.claims
    parts = [_events(case, rivals), _unseen(rivals)]
    if case.kind == Kind.PREFIX:
        parts.append("they cannot stand together, as one lies inside the other")
    parts.append(f"{_policy(case)} {_choice(case)}, so {_outcome(case, kept)}")
    if case.quarantined:
        parts.append("the document was invalid with it, so its readers kept the last valid version")
    parts += [_look(each) for each in case.looks[-REVIEWS_SHOWN_MAX:]]
    return "; ".join(parts) + "."


def shown(value: Value, chars_max: int = VALUE_CHARS_MAX) -> str:
    """A value as JSON on one line, cut to `chars_max`; a deletion as the word."""
    if value is DELETED:
        return "the deletion"
    text = render_json(json_of(value))
    if len(text) <= chars_max:
        return text
    end = '"' if isinstance(value, str) else ""
    return f"{text[: chars_max - 2]}…{end} ({len(text):,} characters)"


def _events(case: Case, rivals: Sequence[Claim]) -> str:
    """Who did what, and when: the winner first."""
    claims = rivals[:CLAIMS_SHOWN_MAX]
    first = min(claims[0].hands, key=_moment)
    told = f"On {_day(_moment(first))} {_minute(_moment(first))} {_who(claims[0])} {_deed(case, claims[0])}"
    together = len(rivals) == 2
    before = _moment(first)
    for number, claim in enumerate(claims[1:], 2):
        at = _moment(min(claim.hands, key=_moment))
        joint = " and" if number == len(rivals) else ""
        deed = f"{_who(claim)} {_deed(case, claim, again=claim.path == claims[0].path)}"
        if _minute_of(at) == _minute_of(before) and together:
            told += f" while {deed}"
        elif _day(at) == _day(before):
            told += f",{joint} at {_minute(at)} {deed}"
        else:
            told += f",{joint} on {_day(at)} {_minute(at)} {deed}"
        before = at
    more = len(rivals) - len(claims)
    return told + (f", and {more} more wrote other values" if more else "")


def _who(claim: Claim) -> str:
    names = [_name(hand) for hand in claim.hands[:HANDS_SHOWN_MAX]]
    more = len(claim.hands) - len(names)
    if more:
        names.append(f"{more} more")
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _name(hand: Hand) -> str:
    if not hand.edge:
        name = f"the operator {hand.author}" if hand.author else "an operator"
    else:
        author = f" ({hand.author})" if hand.author not in ("", hand.edge) else ""
        name = f"edge {hand.edge}{author}"
    if hand.skew_ms:
        name += f", whose clock was {_length(hand.skew_ms)} ahead and was not trusted,"
    return name


def _deed(case: Case, claim: Claim, *, again: bool = False) -> str:
    place = "it" if again else _place(case, claim.path)
    if case.kind == Kind.OVERLAP:
        return f"edited {place} into {shown(claim.value)}"
    if case.kind == Kind.FRAGMENT and claim == case.claims[-1]:
        return f"put {shown(claim.value)} into what {place} had said before"
    if claim.element is not None:
        return _deed_in_set(claim, place, again=again)
    if _is_set(case, claim):
        return f"kept {place if again else f'the set {place}'}"
    return f"deleted {place}" if claim.value is DELETED else f"set {place} to {shown(claim.value)}"


def _is_set(case: Case, claim: Claim) -> bool:
    """Whether the claim is that there is a set here at all; its elements are claims of their own."""
    return case.policy.partition(":")[0] == Rule.UNION and claim.value == []


def _told(case: Case, claim: Claim) -> str:
    return "the set" if _is_set(case, claim) else shown(claim.value)


def _deed_in_set(claim: Claim, place: str, *, again: bool) -> str:
    """In a set it is one element that competes: adding it, changing it, removing it."""
    the_set = "it" if again else f"the set {place}"
    if claim.value is not DELETED:
        return f"put {shown(claim.value)} into {the_set}"
    return f"took {_element(claim.element or b'')} out of {the_set}"


def _element(element: bytes) -> str:
    try:
        return shown(unpack(element))
    except WireError:
        return "an element"


def _place(case: Case, path: Path) -> str:
    document = case.document
    address = document.namespace if document.key == _DEFAULT_KEY else str(document)
    return f"the whole of {address}" if path == ROOT else f"{render_pointer(path)} of {address}"


def _unseen(claims: Sequence[Claim]) -> str:
    return "neither had seen the other" if len(claims) == 2 else "none had seen the others"


def _policy(case: Case) -> str:
    return f"policy `{case.policy}`" + (
        f" of schema {case.policy_version}" if case.policy_version else ", the default,"
    )


def _choice(case: Case) -> str:
    """What the policy did with these very claims."""
    winner, losers = case.claims[0], case.claims[1:]
    match case.policy.partition(":")[0]:
        case _ if case.kind == Kind.OVERLAP:
            return "merged edits that touch each other"
        case _ if case.kind == Kind.FRAGMENT:
            return "has no place for an edit of what is gone"
        # What is left of these where they do not simply add up: something was written whole, or deleted.
        case Rule.LATEST | Rule.COUNTER | Rule.TEXT | Rule.LIST:
            return _later(winner, losers)
        case Rule.HUB if _by_hub(winner):
            return "prefers the hub's write to an edge's"
        case Rule.EDGE if any(_by_hub_alone(each) for each in losers):
            return "prefers an edge's write to the hub's"
        case Rule.EDGE if any(_by_hub(each) for each in case.claims):
            return "keeps the later of the edges' writes"
        case Rule.HUB | Rule.EDGE:
            return f"has only edges' writes to choose from and {_later(winner, losers)}"
        case Rule.MAX | Rule.MIN as rule:
            return _extreme(rule, winner, losers)
        case Rule.UNION if any(each.value is DELETED for each in losers):
            return "lets putting in win over taking out"
        case Rule.UNION:
            return _later(winner, losers)
        case Rule.MANUAL:
            return "keeps what stood first until an operator decides"
        case _:
            return "chose"


def _later(winner: Claim, losers: Sequence[Claim]) -> str:
    times = [max(hand.timestamp for hand in each.hands) for each in losers]
    if max(hand.timestamp for hand in winner.hands) in times:
        return (
            "keeps the later write, and of two at the same instant that of the replica with the higher number"
        )
    return "keeps the later write"


def _extreme(rule: str, winner: Claim, losers: Sequence[Claim]) -> str:
    kept = "greater" if rule == Rule.MAX else "smaller"
    live = [each for each in losers if each.value is not DELETED]
    if not live:
        return (
            "keeps a value rather than a deletion" if winner.value is not DELETED else _later(winner, losers)
        )
    own = rank(json_of(winner.value))
    if any(rank(json_of(each.value)) == own for each in live):
        return f"keeps the {kept}, and of equals the later write"
    if any(rank(json_of(each.value))[0] != own[0] for each in live):
        return f"keeps the {kept} (null, booleans, numbers, strings, the rest rise in this order)"
    return f"keeps the {kept}" if len(live) == 1 else f"keeps the {kept[:-2]}est"


def _outcome(case: Case, kept: str) -> str:
    winner, losers = case.claims[0], case.claims[1:]
    is_past = any(each.restored is not None for each in case.looks)
    if case.kind == Kind.OVERLAP:
        stands = f"{shown(winner.value)} {'stood' if is_past else 'stands'}, with all of it together"
        return stands if case.looks else f"{stands}, to be looked at"
    names = [_told(case, each) for each in losers[:HANDS_SHOWN_MAX]]
    more = len(losers) - len(names)
    if more:
        names.append(f"{more} more")
    lost = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    one = len(losers) == 1
    stands = "stood" if is_past else "stands"
    if case.waiting:
        return f"{_told(case, winner)} {stands} and {lost} wait{'s' if one else ''} {kept} for an operator"
    is_kept = ("was" if one else "were") if is_past else ("is" if one else "are")
    return f"{_told(case, winner)} {stands} and {lost} {is_kept} kept {kept}"


def _look(look: Look) -> str:
    when = f"on {_day(look.reviewed_ms)} {_minute(look.reviewed_ms)}"
    note = f" ({look.note})" if look.note else ""
    if look.restored is None:
        return f"{when} {look.reviewer} accepted that{note}"
    what = shown(look.restored[0]) if look.restored else "another value"
    return f"{when} {look.reviewer} restored {what}{note}"


def _by_hub(claim: Claim) -> bool:
    return any(not hand.edge for hand in claim.hands)


def _by_hub_alone(claim: Claim) -> bool:
    """Whether no edge agrees."""
    return not any(hand.edge for hand in claim.hands)


def _moment(hand: Hand) -> int:
    return wall_ms(hand.timestamp)


def _minute_of(milliseconds: int) -> int:
    return milliseconds // 60_000


def _day(milliseconds: int) -> str:
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{_WEEKDAYS[at.weekday()]} {at.day} {_MONTHS[at.month - 1]} {at.year}"


def _minute(milliseconds: int) -> str:
    at = _EPOCH + timedelta(milliseconds=milliseconds)
    return f"{at.hour:02}:{at.minute:02} UTC"


def _length(milliseconds: int) -> str:
    """A length of time in its most telling unit."""
    for unit_ms, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min")):
        if milliseconds >= 2 * unit_ms:
            return f"{milliseconds // unit_ms} {unit}"
    return f"{milliseconds // 1_000} s"


# Kept here and not taken from the locale: a sentence is the same on every machine.
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
