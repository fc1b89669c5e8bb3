"""The cheapest "anything new?"."""

from dataclasses import replace

import pytest
from anabranch_sync import frame
from anabranch_sync.check_in import answered, asked, read_answer, read_question
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.ids import Cursor
from anabranch_sync.messages import CheckIn
from anabranch_sync.scope import Scope, scope

from tests.sync.pair import SCOPE, new_hub, new_replica

HERE = CheckIn(3, Cursor(1, 40), 12, ScopeDigest(2, 77), scope=SCOPE.fingerprint)


def is_equal(
    *,
    epoch: int = 1,
    hub_seq: int = 40,
    push_mark: int = 12,
    concerned: bool = False,
    digest: ScopeDigest = HERE.digest,
    given: Scope = SCOPE,
    asked: CheckIn = HERE,
) -> bool:
    answer = answered(
        asked,
        epoch=epoch,
        hub_seq=hub_seq,
        push_mark=push_mark,
        concerned=concerned,
        digest=digest,
        scope=given,
    )
    return read_answer(answer).equal == 1


def answer_of_nothing_new() -> bytes:
    return answered(HERE, epoch=1, hub_seq=40, push_mark=12, concerned=False, digest=HERE.digest, scope=SCOPE)


def test_a_question_and_its_answer_are_small() -> None:
    replica = new_replica(new_hub())

    question = asked(replica.standing(), SCOPE)

    assert read_question(question).cursor == replica.standing().cursor
    assert len(question) < 55
    assert len(answer_of_nothing_new()) < 15


def test_nothing_that_concerns_the_replica_and_equal_digests_prove_it_equal() -> None:
    assert is_equal()
    assert is_equal(hub_seq=90)


def test_an_exchange_is_due_where_anything_is_other_than_the_replica_says() -> None:
    assert not is_equal(concerned=True)
    assert not is_equal(epoch=2)
    assert not is_equal(hub_seq=39)
    assert not is_equal(push_mark=13)
    assert not is_equal(digest=ScopeDigest(2, 78))
    assert not is_equal(given=scope(("acme/dev",)))


def test_an_earlier_edge_does_not_say_which_scope_it_holds() -> None:
    assert is_equal(asked=replace(HERE, scope=b""), given=scope(("acme/dev",)))


def test_another_frame_is_no_check_in() -> None:
    answer = answer_of_nothing_new()
    question = asked(new_replica(new_hub()).standing(), SCOPE)

    with pytest.raises(ProtocolViolation):
        read_question(answer)
    with pytest.raises(ProtocolViolation):
        read_answer(question)
    with pytest.raises(ProtocolViolation):
        read_question(frame.encode(frame.Frame(99, 1, b"\x90")))
