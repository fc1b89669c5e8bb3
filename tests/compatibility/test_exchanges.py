"""Exchanges that earlier releases had, played again with one side of this release.

What the other side recorded answers for it: an old edge speaks to today's hub session, and today's edge
session hears an old hub.
"""

from dataclasses import replace

import pytest
from anabranch_sync import edge_effects, frame, hub_effects
from anabranch_sync.change import CHAIN_START, chained
from anabranch_sync.checkpoint import origin_of
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.hub_session import HubSession
from anabranch_sync.messages import Merged
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.pull import Urgent
from anabranch_sync.scope import Scope
from anabranch_sync.standing import Standing
from anabranch_sync.witness import Witnessed

from tests.compatibility.recordings import RELEASES, Recording, recordings

NOW_MS = 1_900_000_000_000
SCOPE = Scope(("acme/prod",))
# What each release spoke, and the messages of that protocol by the numbers they have on the wire.
PROTOCOLS = {"n-2": 1, "n-1": 2}
KINDS = {1: {1, 2, 3, 4, 5, 6, 7, 12, 13, 14}, 2: {*range(1, 8), *range(9, 11), *range(12, 20)}}
# Which exchange of the same replica went before; it is from there that it knows the hub's log.
BEFORE = {
    "first": "push",
    "notices": "first",
    "news": "notices",
    "last": "news",
    "conflicts": "pull",
    "ahead": "conflicts",
    "fenced": "conflicts",
    "fenced 1": "conflicts",
}
ANSWERED = [(release, name) for release in RELEASES for name in recordings(release) if name != "revoked"]


@pytest.mark.parametrize("release", RELEASES)
def test_every_frame_of_an_earlier_release_is_read(release: str) -> None:
    streams = recordings(release)

    messages = [each.message for stream in streams.values() for each in stream.frames]
    pushed = [entry for each in streams.values() for entry in each.pushed]
    pulls = [pull for each in streams.values() for pull in each.pulls]

    assert set(BEFORE) <= set(streams)
    assert all(not message.unknown for message in messages)
    assert len(pushed) > 20
    assert any(pull.documents for pull in pulls)
    assert any(pull.notices for pull in pulls)


@pytest.mark.parametrize(("release", "name"), ANSWERED)
def test_an_earlier_edge_is_served_as_it_was(release: str, name: str) -> None:
    # given an edge of that release, as it spoke
    recording = recordings(release)[name]
    hub = _Hub(recording)

    # when it speaks to this release
    for each in recording.frames:
        if each.direction == "up":
            hub.take(hub.session.received(each.frame, NOW_MS))

    # then it is merged and told so, and hears nothing that it does not know
    merged = [each for each in recording.messages("down") if isinstance(each, Merged)]
    assert hub.closed == []
    assert hub.session.protocol == PROTOCOLS[release]
    assert {frame.decode(raw).kind for raw in hub.sent} <= KINDS[PROTOCOLS[release]]
    assert hub.merged == [(each.push_mark, each.chain) for each in merged]


@pytest.mark.parametrize(("release", "name"), ANSWERED)
def test_an_earlier_hub_is_understood_as_it_was(release: str, name: str) -> None:
    # given a hub of that release, as it answered
    edge = _replayed(release, name)

    # then all of it is taken, and the hub heard nothing that it does not know
    assert edge.session.protocol == PROTOCOLS[release]
    assert {frame.decode(raw).kind for raw in edge.sent} <= KINDS[PROTOCOLS[release]]
    if name == "fenced":  # an old copy: the hub knows more of this replica than itself
        assert [each.renew for each in edge.closed] == [True]
        return
    assert edge.closed == []
    assert edge.applied == len(edge.recording.pulls)
    assert edge.session.settled


class _Hub:
    """A session of this release whose store answers what was recorded."""

    def __init__(self, recording: Recording) -> None:
        self.session = HubSession()
        self.session.start(NOW_MS)
        self.sent: list[bytes] = []
        self.closed: list[str] = []
        self.merged: list[tuple[int, bytes]] = []
        self._recording = recording
        self._pulls = list(recording.pulls)

    def take(self, effects: list[hub_effects.HubEffect]) -> None:
        queue = list(effects)
        while queue:
            queue = self._done(queue.pop(0)) + queue

    def _done(self, effect: hub_effects.HubEffect) -> list[hub_effects.HubEffect]:
        session, welcome = self.session, self._recording.welcome
        match effect:
            case hub_effects.Send(sent):
                self.sent.append(sent)
            case hub_effects.Open():
                opening = Opening(
                    welcome.epoch,
                    welcome.incarnation,
                    welcome.push_mark,
                    welcome.chain,
                    welcome.hub_seq,
                    SCOPE,
                )
                return session.opened(opening, NOW_MS)
            case hub_effects.Decide(entries, chain):
                for each in entries:
                    chain = chained(chain, each.body)
                self.merged.append((entries[-1].dot.local_seq, chain))
                upto = max(pull.upto.hub_seq for pull in self._recording.pulls)
                return session.decided(Answer(entries[-1].dot.local_seq, chain, upto))
            case hub_effects.Draw():
                return session.drawn(self._pulls.pop(0) if self._pulls else None)
            case hub_effects.DrawUrgent():
                return session.drawn_urgent(Urgent())
            case hub_effects.Compare():
                hello = self._recording.hello
                return session.compared(hello.cursor, hello.digest)
            case hub_effects.Recall():
                return session.recalled(None)
            case hub_effects.Close(reason):
                self.closed.append(reason)
            case _:
                pass
        return []


class _Edge:
    """A session of this release over a replica that stood as the recorded one did."""

    def __init__(self, recording: Recording, witnessed: Witnessed | None) -> None:
        hello = recording.hello
        self.recording = recording
        self.sent: list[bytes] = []
        self.closed: list[edge_effects.Close] = []
        self.applied = 0
        self.witnessed = witnessed
        last = max((each.dot.local_seq for each in recording.pushed), default=hello.push_mark)
        self._standing = Standing(
            hello.incarnation or 1,
            hello.cursor,
            hello.push_mark,
            hello.chain,
            last,
            hello.digest,
            log=origin_of("acme"),
            witnessed=witnessed,
            epoch=hello.cursor.epoch,
            log_epoch=recording.welcome.epoch if witnessed else 0,
        )
        self.session = EdgeSession(self._standing, renew=not hello.incarnation)

    def play(self) -> None:
        self._take(self.session.start(NOW_MS))
        for each in self.recording.frames:
            if each.direction == "down":
                self._take(self.session.received(each.frame, NOW_MS))

    def _take(self, effects: list[edge_effects.EdgeEffect]) -> None:
        queue = list(effects)
        while queue:
            queue = self._done(queue.pop(0)) + queue

    def _done(self, effect: edge_effects.EdgeEffect) -> list[edge_effects.EdgeEffect]:
        match effect:
            case edge_effects.Send(sent):
                self.sent.append(sent)
            case edge_effects.Load(after):
                return self.session.loaded(
                    [each for each in self.recording.pushed if each.dot.local_seq > after]
                )
            case edge_effects.Apply(pull):
                self.applied += 1
                return self.session.applied(pull.digest)
            case edge_effects.Adopt(incarnation):
                anew = replace(
                    self._standing, incarnation=incarnation, push_mark=0, chain=CHAIN_START, partial=None
                )
                return self.session.adopted(anew)
            case edge_effects.Witness(witnessed):
                self.witnessed = witnessed
            case edge_effects.Close():
                self.closed.append(effect)
            case _:
                pass
        return []


def _replayed(release: str, name: str) -> _Edge:
    """The exchange, after those that went before it."""
    before = BEFORE.get(name)
    edge = _Edge(recordings(release)[name], None if before is None else _replayed(release, before).witnessed)
    edge.play()
    return edge
