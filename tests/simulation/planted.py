"""Bugs of the kinds that exchanges have had, planted one at a time: who misses one is blind to its kind.

Each is found when some life breaks a promise within `SEEDS` seeds from 0. An error of another kind finds
nothing: it says that the planting does not fit the code.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

from anabranch_hub.simulation.disk import DiskFailure
from anabranch_hub.simulation.edge import Edge
from anabranch_hub.simulation.hub_side import HubSide
from anabranch_hub.simulation.memory import MemoryHub, MemoryLog, MemoryReplica, replica, tenant
from anabranch_hub.simulation.mishaps import Mishaps
from anabranch_hub.simulation.promise import Promise
from anabranch_hub.simulation.running import live
from anabranch_sync import absorbing, edge_effects, edge_session, frame, merge, policy
from anabranch_sync.change import Change, Entry, chained
from anabranch_sync.check_in import answered
from anabranch_sync.clock import Timestamp
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Object
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.greeting import reoffer_of
from anabranch_sync.ids import HUB_INCARNATION, Cursor, DocumentId
from anabranch_sync.messages import CheckIn, Merged, Welcome
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.pull import Pull
from anabranch_sync.register import Register, Stamp
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.scope import Scope

# The rarest needs some 100.
SEEDS = 300


@dataclass(frozen=True, slots=True)
class Hunt:
    """How the hunt for a planted bug went. `seed` is the first that showed it; None: none did."""

    bug: str
    seed: int | None
    reason: str


def planted(bug: str) -> AbstractContextManager[object]:
    """The code with this bug, while it is entered."""
    patched: AbstractContextManager[object] = _BUGS[bug]()
    return patched


def hunt(bug: str) -> Hunt:
    """Live seeds with the bug until one shows it."""
    with planted(bug):
        for seed in range(SEEDS):
            lived = live(seed, _NUMBERS.get(bug))
            if lived.broken in Promise.__members__:
                return Hunt(bug, seed, lived.reason)
            if lived.broken:  # the planting itself does not fit the code any more
                return Hunt(bug, None, f"{lived.broken}: {lived.reason}")
    return Hunt(bug, None, "")


def hunt_all(jobs: int) -> Iterator[Hunt]:
    """Hunt for every planted bug, in `jobs` processes."""
    if jobs <= 1:
        yield from map(hunt, BUGS)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(hunt, BUGS)


def _acknowledge_before_fsync() -> Any:
    commit = MemoryReplica.commit

    def hasty(
        self: MemoryReplica, document: DocumentId, content: Object | None, *, now_ms: int
    ) -> Entry | None:
        with patch.object(self, "_sync", lambda: None):
            return commit(self, document, content, now_ms=now_ms)

    return patch.object(MemoryReplica, "commit", hasty)


def _reused_incarnation() -> Any:
    open_replica = MemoryHub.open_replica

    def reusing(self: MemoryHub, incarnation: int, *rest: Any, **named: Any) -> Opening:
        newest = max(self._marks)
        leased = incarnation or (newest if newest > HUB_INCARNATION else 0)
        return open_replica(self, leased, *rest, **named)

    return patch.object(MemoryHub, "open_replica", reusing)


def _cursor_before_apply() -> Any:
    apply = MemoryReplica.apply

    def hasty(self: MemoryReplica, pull: Pull, *rest: Any) -> ScopeDigest:
        before = self.disk.confirmed
        digest = apply(self, pull, *rest)
        self.disk = replace(self.disk, confirmed=before)
        return digest

    return patch.object(MemoryReplica, "apply", hasty)


def _cursor_gap() -> Any:
    pull = MemoryHub.pull

    def skipping(self: MemoryHub, incarnation: int, after: Cursor, **settings: Any) -> Pull | None:
        later = Cursor(after.epoch, min(after.hub_seq + 1, self.hub_seq))
        drawn = pull(self, incarnation, later if after.hub_seq else after, **settings)
        return drawn and replace(drawn, after=after)

    return patch.object(MemoryHub, "pull", skipping)


def _wall_clock_order() -> Any:
    decide = merge.decide

    def by_the_clock(standing: Any, change: Change, *rest: Any) -> Any:
        return decide(standing, replace(change, base=Cursor(change.base.epoch, 0)), *rest)

    return patch("anabranch_hub.simulation.memory.hub.decide", by_the_clock)


def _drop_on_send() -> Any:
    pending = MemoryReplica.pending

    def forgetting(self: MemoryReplica, after: int) -> Sequence[Entry]:
        entries = pending(self, after)
        sent = {each.dot.local_seq for each in entries}
        left = tuple(each for each in self.outbox if each.dot.local_seq not in sent)
        self._state = replace(self._state, outbox=left)
        self._sync()
        return entries

    return patch.object(MemoryReplica, "pending", forgetting)


def _no_dedupe() -> Any:
    decide_one = MemoryHub._decide_one

    def forgetful(self: MemoryHub, each: Entry) -> None:
        self._merged.discard(each.content_id)
        decide_one(self, each)

    return patch.object(MemoryHub, "_decide_one", forgetful)


def _no_checksum() -> Any:
    return patch.object(frame, "_checksum", lambda head: b"\0\0\0\0")


def _missing_tie_break() -> Any:
    precedence_of = policy._precedence_of

    def tied(rule: policy.Rule, register: Register, stamp: Stamp) -> tuple[Any, ...]:
        return precedence_of(rule, register, Stamp(stamp.timestamp, 0, 0))

    return patch.object(policy, "_precedence_of", tied)


def _swallowed_enospc() -> Any:
    sync = MemoryReplica._sync

    def deaf(self: MemoryReplica) -> None:
        new = self._state
        try:
            sync(self)
        except DiskFailure as failure:
            if "full" not in str(failure):
                raise
            self._state = new

    return patch.object(MemoryReplica, "_sync", deaf)


def _stamp_without_incarnation() -> Any:
    def anonymous(timestamp: Timestamp, actor: int, hub_seq: int) -> Stamp:
        return Stamp(timestamp, 0, hub_seq)

    return patch.object(merge, "Stamp", anonymous)


@contextmanager
def _wrong_incarnation_acknowledged() -> Iterator[None]:
    """The hub answers for another incarnation, and the edge believes it: either alone is survived."""
    decide = MemoryHub.decide

    def crossed(self: MemoryHub, entries: Sequence[Entry], chain: bytes) -> Answer:
        answer = decide(self, entries, chain)
        others = [each for number, each in self._marks.items() if number != entries[0].dot.incarnation]
        return Answer(others[-1].push_mark, others[-1].chain, answer.hub_seq)

    def trusting(self: EdgeSession, merged: Merged) -> list[edge_effects.EdgeEffect]:
        self._in_flight, self._sending = (), None
        pulled = self._pulled(self._stream.heard.unseal(merged.pull), in_pieces=False) if merged.pull else []
        return [self._acknowledge(merged.push_mark, merged.chain), *pulled, *self._load()]

    with patch.object(MemoryHub, "decide", crossed), patch.object(EdgeSession, "_merged", trusting):
        yield


def _hub_acknowledges_before_commit() -> Any:
    """The hub's power goes in a transaction of which the edge has heard already."""
    decide = MemoryHub.decide

    def hasty(self: MemoryHub, entries: Sequence[Entry], chain: bytes) -> Answer:
        try:
            return decide(self, entries, chain)
        except DiskFailure as failure:
            if failure.reached:
                raise
            for each in entries:
                chain = chained(chain, each.body)
            return Answer(entries[-1].dot.local_seq, chain, self.hub_seq)

    return patch.object(MemoryHub, "decide", hasty)


def _stream_kept_after_hub_restore() -> Any:
    restore_hub = Mishaps.restore_hub

    def keeping(self: Mishaps) -> None:
        with patch.object(self._hub, "cut_all", lambda: None):
            restore_hub(self)
        for each in list(self._hub.streams):
            if not self._hub.store.knows(each.session.incarnation):  # it would be noticed at once
                self._hub.forget(each)
                each.cut()

    return patch.object(Mishaps, "restore_hub", keeping)


def _no_resend_after_epoch_change() -> Any:
    apply = MemoryReplica.apply

    def silent(
        self: MemoryReplica, pull: Pull, reoffer: Reoffer | None = None, rescoped: Scope | None = None
    ) -> ScopeDigest:
        return apply(self, pull, None, rescoped)

    return patch.object(MemoryReplica, "apply", silent)


def _any_history_is_trusted() -> Any:
    return patch.object(edge_session, "is_continued", lambda *_: True)


def _invalid_heads_go_live() -> Any:
    return patch.object(MemoryHub, "_judge", lambda self, document, state, policies: None)


def _releases_are_not_told() -> Any:
    return patch.object(replica, "quarantined_after", lambda known, own, pull: {**known, **pull.quarantined})


def _log_rewritten() -> Any:
    crash = HubSide.crash

    def rewriting(self: HubSide) -> None:
        crash(self)
        self.store.tree = MemoryLog([b"nothing happened", *self.store.tree.leaves[1:]])

    return patch.object(HubSide, "crash", rewriting)


def _rescoping_drops_unsent_changes() -> Any:
    apply = MemoryReplica.apply

    def tidy(
        self: MemoryReplica, pull: Pull, reoffer: Reoffer | None = None, rescoped: Scope | None = None
    ) -> ScopeDigest:
        if rescoped is not None:
            inside = [each for each in self.outbox if all(map(rescoped.writes, each.change.documents))]
            self._state = replace(self._state, outbox=tuple(inside))
        return apply(self, pull, reoffer, rescoped)

    return patch.object(MemoryReplica, "apply", tidy)


def _what_leaves_the_scope_stays() -> Any:
    apply = MemoryReplica.apply

    def keeping(
        self: MemoryReplica, pull: Pull, reoffer: Reoffer | None = None, rescoped: Scope | None = None
    ) -> ScopeDigest:
        before = self.confirmed
        digest = apply(self, pull, reoffer, rescoped)
        if rescoped is not None:
            left = {each: state for each, state in before.items() if not rescoped.reads(each)}
            self._state = self.disk = replace(self._state, confirmed={**left, **self.confirmed})
        return digest

    return patch.object(MemoryReplica, "apply", keeping)


@contextmanager
def _a_stream_goes_on_under_another_scope() -> Iterator[None]:
    """Nobody hears of a rescoping, and the pull does not find out either."""
    draw = MemoryHub.draw

    def careless(self: MemoryHub, incarnation: int, after: Cursor, **settings: Any) -> Any:
        return draw(self, incarnation, after, **{**settings, "told": None})

    with patch.object(MemoryHub, "draw", careless), patch.object(HubSide, "heard", lambda self: None):
        yield


def _collected_and_forgotten() -> Any:
    """The tombstones are thrown away: whoever wrote without having seen them meets none."""
    return patch("anabranch_hub.simulation.memory.hub.recalled", lambda documents, *_: documents)


@contextmanager
def _collected_without_asking() -> Iterator[None]:
    """The tombstones that some edge has not seen are thrown away; only collected, they would be survived."""
    with patch.object(MemoryHub, "_holding", lambda self: ()), _collected_and_forgotten():
        yield


def _collected_behind_a_delta() -> Any:
    """A replica from before the collection gets a delta, which does not say what was deleted."""
    collect = MemoryHub.collect

    def silent(self: MemoryHub) -> None:
        collect(self)
        self.collected_seq = 0

    return patch.object(MemoryHub, "collect", silent)


def _a_check_in_misses_what_is_new() -> Any:
    def content(asked: CheckIn, **standing: Any) -> bytes:
        here = {"epoch": asked.cursor.epoch, "push_mark": asked.push_mark, "digest": asked.digest}
        return answered(asked, **{**standing, **here, "concerned": False})

    return patch.object(tenant, "answered", content)


@contextmanager
def _what_is_urgent_waits_for_the_budget() -> Iterator[None]:
    """On both sides: whoever is let through for one takes the other with it."""

    def calm(asked: CheckIn, **standing: Any) -> bytes:
        return answered(asked, **{**standing, "urgent": False})

    with patch.object(Edge, "_has_urgent", False), patch.object(tenant, "answered", calm):
        yield


def _another_field_is_absorbed() -> Any:
    def careless(later: Entry, earlier: Entry) -> bool:
        return later.change.documents == earlier.change.documents and earlier.priority == later.priority

    return patch.object(absorbing, "_overwrites", careless)


def _what_is_absorbed_is_not_counted() -> Any:
    decide = merge.decide

    def counting_one(standing: Any, change: Change, *rest: Any) -> Any:
        return decide(standing, change, *rest[:4])

    return patch("anabranch_hub.simulation.memory.hub.decide", counting_one)


def _what_leaves_is_not_offered_to_a_restored_hub() -> Any:
    def of_what_is_held(past: int, welcome: Welcome) -> Reoffer | None:
        reoffer = reoffer_of(past, welcome)
        return reoffer and replace(reoffer, granted=None)

    return patch.object(edge_session, "reoffer_of", of_what_is_held)


def _a_subscription_is_not_heeded() -> Any:
    return patch.object(tenant.Enrolled, "scope", property(lambda self: self.granted))


_BUGS: dict[str, Callable[[], Any]] = {
    "acknowledge before fsync": _acknowledge_before_fsync,
    "reused incarnation": _reused_incarnation,
    "cursor before apply": _cursor_before_apply,
    "cursor gap": _cursor_gap,
    "wall-clock order": _wall_clock_order,
    "drop on send": _drop_on_send,
    "no dedupe": _no_dedupe,
    "no checksum": _no_checksum,
    "missing tie-break": _missing_tie_break,
    "stream kept after hub restore": _stream_kept_after_hub_restore,
    "swallowed ENOSPC": _swallowed_enospc,
    "stamp without incarnation": _stamp_without_incarnation,
    "no resend after epoch change": _no_resend_after_epoch_change,
    "wrong incarnation acknowledged": _wrong_incarnation_acknowledged,
    "hub acknowledges before commit": _hub_acknowledges_before_commit,
    "any history is trusted": _any_history_is_trusted,
    "invalid heads go live": _invalid_heads_go_live,
    "releases are not told": _releases_are_not_told,
    "log rewritten": _log_rewritten,
    "rescoping drops unsent changes": _rescoping_drops_unsent_changes,
    "what leaves the scope stays": _what_leaves_the_scope_stays,
    "a stream goes on under another scope": _a_stream_goes_on_under_another_scope,
    "collected without asking": _collected_without_asking,
    "collected and forgotten": _collected_and_forgotten,
    "collected behind a delta": _collected_behind_a_delta,
    "a check-in misses what is new": _a_check_in_misses_what_is_new,
    "what is urgent waits for the budget": _what_is_urgent_waits_for_the_budget,
    "another field is absorbed": _another_field_is_absorbed,
    "what is absorbed is not counted": _what_is_absorbed_is_not_counted,
    "what leaves is not offered to a restored hub": _what_leaves_is_not_offered_to_a_restored_hub,
    "a subscription is not heeded": _a_subscription_is_not_heeded,
}
BUGS = tuple(_BUGS)
# What a life must have for a bug to show, where few have it: streams that are held while the hub is restored,
# and edges that ask for less meanwhile.
_NUMBERS: dict[str, dict[str, int | float]] = {
    "stream kept after hub restore": {
        **{"hub_restores": 2, "polling": 0, "budgets": 0, "offline": 0},
        **{"carried": 0, "wipes": 0},
    },
    "what leaves is not offered to a restored hub": {
        **{"hub_restores": 2, "subscriptions": 16, "offline": 0.9, "polling": 0, "budgets": 0, "urgent": 0},
        **{"carried": 0, "wipes": 0, "rescopes": 0},
    },
}
