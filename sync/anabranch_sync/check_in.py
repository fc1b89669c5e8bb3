"""The cheapest "anything new?": one question and one answer, for an edge that only looks in now and then.

::

    edge                                                   hub
     CheckIn  where I stand, the digest of what I have  ->
               <-  Checked  where you stand with me: news, or proof that there is none

An exchange follows where there is something to fetch, something to send, or where the digests differ: then
it finds out why. Neither side changes anything by a check-in alone.
"""

from anabranch_sync import frame
from anabranch_sync.budget import NO_BUDGET, Budget
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.frame import Frame
from anabranch_sync.ids import HubSeq, LocalSeq
from anabranch_sync.messages import CheckedIn, CheckIn, Message, decode_message, encode_message
from anabranch_sync.scope import Scope
from anabranch_sync.standing import Standing

# A check-in is the only frame of its call.
_ONLY = 1


def asked(standing: Standing, scope: Scope, budget_until_ms: int = 0) -> bytes:
    """The frame with which a replica that stands so asks; its budget is used up until then, or not (0)."""
    at = (standing.incarnation, standing.cursor, standing.push_mark, standing.digest)
    return _framed(CheckIn(*at, budget_until_ms=budget_until_ms, scope=scope.fingerprint))


def read_question(raw: bytes) -> CheckIn:
    """What an edge asks. Raises CorruptFrame, FrameTooLarge, ProtocolViolation."""
    message = _message(raw)
    if not isinstance(message, CheckIn):
        raise ProtocolViolation("no check-in")
    return message


def answered(
    asked: CheckIn,
    *,
    epoch: int,
    hub_seq: HubSeq,
    push_mark: LocalSeq,
    concerned: bool,
    digest: ScopeDigest,
    scope: Scope,
    urgent: bool = False,
    budget: Budget = NO_BUDGET,
) -> bytes:
    """The hub's answer. `concerned`: something that concerns the replica was decided after its cursor, and
    `urgent`: to an urgent document.

    `push_mark`, `digest` and `scope` are those of the replica at the hub, `budget` is the operator's.
    """
    is_rescoped = asked.scope not in (b"", scope.fingerprint)
    is_news = concerned or is_rescoped or asked.cursor.epoch != epoch or asked.cursor.hub_seq > hub_seq
    is_equal = not is_news and (asked.push_mark, asked.digest) == (push_mark, digest)
    answer = CheckedIn(hub_seq, int(is_equal), int(urgent), budget.day_bytes, budget.month_bytes)
    return _framed(answer)


def read_answer(raw: bytes) -> CheckedIn:
    """What the hub answered. Raises CorruptFrame, FrameTooLarge, ProtocolViolation."""
    message = _message(raw)
    if not isinstance(message, CheckedIn):
        raise ProtocolViolation("no answer to a check-in")
    return message


def _message(raw: bytes) -> Message | None:
    incoming = frame.decode(raw)
    return decode_message(incoming.kind, incoming.body)


def _framed(message: CheckIn | CheckedIn) -> bytes:
    kind, body = encode_message(message)
    return frame.encode(Frame(kind, _ONLY, body))
