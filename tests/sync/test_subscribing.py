"""What an edge asks for of its scope, between two sessions."""

from dataclasses import replace

import pytest
from anabranch_sync.edge_effects import Close, Send
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.hub_effects import Open
from anabranch_sync.hub_session import HubSession
from anabranch_sync.messages import Welcome
from anabranch_sync.opening import Opening
from anabranch_sync.scope import EVERYTHING, Scope, scope
from anabranch_sync.stream import Stream

from tests.sync.pair import NOW_MS, SCOPE, new_hub, new_replica

WANTED = scope(("acme/*/router",))
HELD = SCOPE.narrowed(WANTED)


def greeted(wanted: Scope, held: Scope, *, granted: Scope | None) -> EdgeSession:
    """An edge that asks for `wanted` and holds `held`; the hub answers that it has `granted` so much."""
    hub = new_hub()
    replica = new_replica(hub)
    edge = EdgeSession(replica.standing(), held.fingerprint, subscription=wanted)
    far = HubSession()
    far.start(NOW_MS)
    (hello,) = (each.frame for each in edge.start(NOW_MS) if isinstance(each, Send))
    (opening,) = far.received(hello, NOW_MS)
    assert isinstance(opening, Open)
    assert opening.hello.subscription == wanted.prefixes
    answer: Opening = hub.open_replica(opening.hello.incarnation, opening.hello.checkpoint)
    answer = replace(answer, scope=SCOPE if granted is None else granted.narrowed(wanted), granted=granted)
    welcome, *_ = (each.frame for each in far.opened(answer, NOW_MS) if isinstance(each, Send))
    edge.received(welcome, NOW_MS)
    return edge


def test_the_hub_says_what_it_granted_to_an_edge_that_asks_for_less() -> None:
    edge = greeted(WANTED, HELD, granted=SCOPE)

    assert edge.is_subscribed
    assert edge.granted == SCOPE


def test_a_hub_that_knows_no_subscriptions_is_known_by_its_silence() -> None:
    edge = greeted(WANTED, SCOPE, granted=None)

    assert not edge.is_subscribed
    assert edge.granted is None


def test_an_edge_that_asks_for_everything_needs_no_answer() -> None:
    assert greeted(EVERYTHING, SCOPE, granted=None).is_subscribed


@pytest.mark.parametrize("prefixes", [("acme/**",), ("",), tuple(f"acme/n{each}" for each in range(65))])
def test_what_is_no_scope_ends_the_stream(prefixes: tuple[str, ...]) -> None:
    # given
    replica = new_replica(new_hub())
    edge = EdgeSession(replica.standing(), HELD.fingerprint, subscription=Scope(prefixes))
    far = HubSession()
    far.start(NOW_MS)
    (hello,) = (each.frame for each in edge.start(NOW_MS) if isinstance(each, Send))

    # when
    (closed,) = far.received(hello, NOW_MS)
    hub_says = Welcome(2, 1, 0, replica.standing().incarnation, 0, b"", 0, granted=prefixes)
    (ended,) = edge.received(Stream().frame(hub_says), NOW_MS)

    # then
    assert "scope" in getattr(closed, "reason", "")
    assert isinstance(ended, Close)
    assert "scope" in ended.reason
