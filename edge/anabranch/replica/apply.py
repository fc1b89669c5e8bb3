"""A pull, applied: documents, outbox and cursor move in one transaction or not at all."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from anabranch_sync.change import Entry
from anabranch_sync.clock import Timestamp, wall_ms
from anabranch_sync.columns import encode_document
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, Object, digest, digest_rebuilt, rebuild, rebuild_after
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.ids import Cursor, DocumentId, HubSeq, LocalSeq
from anabranch_sync.live import Served
from anabranch_sync.merge import overlay
from anabranch_sync.packing import Dictionary
from anabranch_sync.policy import NO_POLICIES, SCHEMA_NAMESPACE, Policies
from anabranch_sync.pull import Outcome, Pull, Result, decided_at, fold, outcomes, touched
from anabranch_sync.register import Stamp
from anabranch_sync.reoffer import Offers, Reoffer
from anabranch_sync.scope import Scope
from anabranch_sync.version import patches

from anabranch.errors import ReplicaCorrupt
from anabranch.replica import dictionary
from anabranch.replica.facts import Fate
from anabranch.replica.file import Connection
from anabranch.replica.past import STEPS_BYTES_MAX, put_step
from anabranch.replica.queries import SQL
from anabranch.replica.reoffer import put_offers, to_offer
from anabranch.replica.rescoping import drop_ahead, forget, outside, put_scope, repack, scope_of
from anabranch.replica.rows import (
    Position,
    Rot,
    Shown,
    confirmed_body,
    digest_bytes,
    number,
    pack_notice,
    position,
    put_confirmed,
    row_of,
    shown,
    standing_body,
)
from anabranch.replica.serving import aside, put_quarantined, serving
from anabranch.replica.shelf import Shelf
from anabranch.replica.show import Outbox, note_shown, show
from anabranch.replica.staging import taken

# The hub keeps every row; a replica keeps what a person may still look for on the spot.
HISTORY_ROWS_MAX = 20_000
NOTICES_MAX = 10_000


def apply(
    connection: Connection,
    pull: Pull,
    shelf: Shelf,
    now_ms: int,
    rot: Rot,
    reoffer: Reoffer | None = None,
    rescoped: Scope | None = None,
) -> ScopeDigest:
    """Apply `pull` and move the cursor; returns the digest of the confirmed documents.

    With `reoffer`, what the restored hub lacks of what was confirmed goes into the outbox. With `rescoped`,
    what is outside of that scope goes, whatever the pull says of it.

    Raises ProtocolViolation when the pull starts elsewhere than at the cursor, so that a repeated
    one changes nothing.
    """
    at = position(connection)
    if not pull.whole and pull.after != at.cursor:
        raise ProtocolViolation(f"a pull after {pull.after}, but this replica is at {at.cursor}")
    scope = rescoped or scope_of(at.prefixes)
    # Where the scope stays: what is merged after its document had left does not stay here.
    leaving = outside(connection, scope, waiting=rescoped is None)
    drop_ahead(connection, leaving)
    if not pull.whole:
        pull = replace(pull, replaced=pull.replaced | leaving.keys())
    total = _Application(connection, pull, shelf, now_ms, rot, at, scope, reoffer).run()
    forget(connection, leaving)
    if rescoped is not None:
        put_scope(connection, rescoped)
        repack(connection, rot)
    return total


@dataclass(slots=True)
class _Application:
    """One pull while it is applied. `decided` are the own changes that leave the outbox with it."""

    connection: Connection
    pull: Pull
    shelf: Shelf
    now_ms: int
    rot: Rot
    at: Position
    scope: Scope
    reoffer: Reoffer | None
    rows: dict[DocumentId, int] = field(default_factory=dict)
    # Confirmed registers and the digest of their content, as they are before and, once folded, after.
    confirmed: dict[DocumentId, tuple[Document, int]] = field(default_factory=dict)
    # Those whose bytes are not what was written. Unless the pull replaces them, they stay as they are, so
    # that nobody is served them; then the digests differ, and the repair asks for them.
    damaged: set[DocumentId] = field(default_factory=set)
    # Those that overtook an earlier pull.
    ahead: set[DocumentId] = field(default_factory=set)
    # The greatest timestamp that came.
    latest: Timestamp = 0
    # Confirmed contents, as they are before, of documents that own changes wait for.
    contents: dict[DocumentId, Object | None] = field(default_factory=dict)
    # By which those are merged into what readers see before.
    waited_for: Policies | None = None
    # What documents are packed behind.
    behind: Dictionary | None = None

    def run(self) -> ScopeDigest:
        pull = self.pull
        # First: what follows takes the room that the pieces in which it came took.
        self.connection.execute(SQL["drop_parts"])
        positions = decided_at(pull.runs)
        decided = self._decided(positions)
        results = outcomes(decided, pull)
        named = [document for each in decided for document in each.change.documents]
        reached = self._reached()
        stale = self._stale([*pull.documents, *sorted(pull.replaced), *pull.quarantined, *named, *reached])
        seen = {document: self._seen(document) for document in stale}
        self.connection.execute(SQL["drop_ahead"], (pull.upto.epoch, pull.upto.hub_seq))
        placed = [each for each in decided if each.dot.local_seq in positions]
        self._set_aside(touched(decided, pull))
        before = {document: state for document, (state, _) in self.confirmed.items()}
        offered = self._to_offer()
        if pull.parts:
            total = self._swap_in()
            stale = sorted(self.rows, key=_is_judged)
        else:
            total = self._confirm(fold(before, self.at.incarnation, placed, pull))
        self._remember(decided, positions, results, self._counted(decided, results, before))
        self._take_out(decided)
        if self.reoffer is not None:
            put_offers(self.connection, offered, self.reoffer, self.rows, self.now_ms, self.rot)
        self._show(stale, seen)
        self._move(total)
        self._heal()
        return total

    def _decided(self, positions: dict[LocalSeq, HubSeq]) -> list[Entry]:
        """The own changes that the pull names, oldest first.

        A whole pull may name some that left the outbox long ago: it carries all their values itself.
        """
        first, last = min(positions, default=0), max(positions, default=0)
        rows = self.connection.execute(SQL["outbox_between"], (first, last)).fetchall()
        missing = positions.keys() - {row[0] for row in rows}
        if missing and not self.pull.whole:
            raise ProtocolViolation(f"the pull names change {min(missing)}, which is not in the outbox")
        results = {result.local_seq for result in self.pull.results}
        for local_seq in results - positions.keys():
            rows += self.connection.execute(SQL["outbox_between"], (local_seq, local_seq)).fetchall()
        return [
            self.shelf.decoded.entry(self.at.incarnation, row, self.rot)
            for row in sorted(rows)
            if row[0] in positions or row[0] in results
        ]

    def _reached(self) -> list[DocumentId]:
        """The documents that overtook an earlier pull, as far as this one at most."""
        found = []
        for namespace, key, epoch, hub_seq in self.connection.execute(SQL["all_ahead"]):
            document = DocumentId(namespace, key)
            self.ahead.add(document)
            if Cursor(epoch, hub_seq) <= self.pull.upto:
                found.append(document)
        return found

    def _stale(self, touched: Iterable[DocumentId]) -> list[DocumentId]:
        """Everything that may look different afterwards, loaded; schemas first, for they judge the others."""
        stale = dict.fromkeys(touched)
        if self.pull.whole:
            for _, namespace, key in self.connection.execute(SQL["all_documents"]):
                stale[DocumentId(namespace, key)] = None
        elif not all(map(_is_judged, stale)):
            for _, namespace, key in self.connection.execute(SQL["waiting_documents"]):
                stale[DocumentId(namespace, key)] = None
        for document in stale:
            self.rows[document] = row_of(self.connection, document)
            self.confirmed[document] = self._confirmed(document)
        return sorted(stale, key=_is_judged)

    def _confirmed(self, document: DocumentId) -> tuple[Document, int]:
        """What is confirmed. A pull that says all of a document uses nothing of it: so damage heals."""
        if self.pull.whole:
            return EMPTY, 0
        try:
            return confirmed_body(self.connection, document, self.rows[document], self.rot)
        except ReplicaCorrupt:
            self.damaged.add(document)
            if document not in self.pull.replaced:
                self.connection.execute(SQL["note_damage"], (self.rows[document],))
            return EMPTY, 0

    @property
    def unreadable(self) -> set[DocumentId]:
        """Those that are damaged after this pull too."""
        return self.damaged - self.pull.replaced

    def _seen(self, document: DocumentId) -> int:
        """The digest of the content readers see; -1 when that cannot be read any more."""
        if document in self.damaged:
            return -1
        row = shown(self.connection, document)
        if not self.pull.whole and row.served is Served.HEAD and document not in self.ahead:
            return self._seen_over_confirmed(document, row) if row.pending else self.confirmed[document][1]
        try:
            visible = self.shelf.held_in(self.connection, document, self.at.revision).visible
            return digest(document, None if visible is None else visible.content)
        except ReplicaCorrupt:
            return -1

    def _seen_over_confirmed(self, document: DocumentId, row: Shown) -> int:
        """The same where own changes wait and nothing else is in between. What is decoded is needed again."""
        if self.waited_for is None:
            self.waited_for = self.shelf.policies_in(self.connection)
        standing = self.confirmed[document][0]
        try:
            waiting = self._outbox().of(document, row.row)
        except ReplicaCorrupt:
            return -1
        state = overlay(document, standing, waiting, self.waited_for)
        content = self.contents[document] = rebuild(standing.registers)
        return digest_rebuilt(document, rebuild_after(content, standing.registers, state.registers))

    def _outbox(self) -> Outbox:
        return Outbox(self.connection, self.at.incarnation, self.rot, self.shelf.decoded)

    def _to_offer(self) -> Offers:
        if self.reoffer is None:
            return Offers()
        documents = dict(self.pull.documents)
        for name in self.pull.parts:  # a hub is restored so seldom that this may take the memory it takes
            documents.update(taken(self.connection, name, self.rot).documents)
        return to_offer(self.connection, documents, self.reoffer, self.scope, self.rot)

    def _set_aside(self, named: Iterable[DocumentId]) -> None:
        """Take over the hub's word on what is quarantined; what it does not say so of is released."""
        if self.pull.whole:
            self.connection.execute(SQL["release_all"])
        for document in named:
            row = self.rows[document]
            quarantined = self.pull.quarantined.get(document)
            if quarantined is None:
                self.connection.execute(SQL["release"], (row,))
            else:
                put_quarantined(self.connection, document, row, quarantined)

    def _swap_in(self) -> ScopeDigest:
        """Confirm the documents of a snapshot, those of one part in memory at a time."""
        total = self._cleared()
        for name in self.pull.parts:
            cut = taken(self.connection, name, self.rot)
            self.connection.execute(SQL["drop_staged"], (name,))  # its room is that of its documents
            self._look_for_dictionary(cut.documents)
            part = replace(self.pull, documents=cut.documents)
            for document, state in fold({}, self.at.incarnation, (), part).items():
                row = self.rows[document] = row_of(self.connection, document)
                after = digest_rebuilt(document, rebuild(state.registers))
                total = total.replaced(0, after)
                put_confirmed(self.connection, document, row, state, after, self.behind)
                self._receive(document, state)
            for document, quarantined in cut.quarantined.items():
                put_quarantined(self.connection, document, self.rows[document], quarantined)
        return total

    def _cleared(self) -> ScopeDigest:
        """Confirm nothing any more; returns the digest of that."""
        self.connection.execute(SQL["drop_confirmed"])
        self.connection.execute(SQL["drop_dictionary"])
        self.connection.execute(SQL["drop_steps"])
        return ScopeDigest()

    def _confirm(self, changed: dict[DocumentId, Document]) -> ScopeDigest:
        total = self._cleared() if self.pull.whole else self.at.digest
        self._look_for_dictionary(changed)
        for document, state in changed.items():
            if document in self.unreadable:
                continue
            row = self.rows[document]
            before = self.confirmed[document]
            is_known = document in self.contents
            content_before = self.contents.pop(document) if is_known else rebuild(before[0].registers)
            content = rebuild_after(content_before, before[0].registers, state.registers)
            after = digest_rebuilt(document, content)
            self.confirmed[document] = (state, after)
            total = total.replaced(before[1], after)
            if document in self.damaged or state == EMPTY:  # nothing leads back from here
                self.connection.execute(SQL["drop_steps_of"], (row,))
            elif before[0].version:  # what comes for the first time has nothing before it
                after_seq = self.pull.after.hub_seq
                inverse = patches(content_before, content)[1]
                put_step(self.connection, document, row, before, state, inverse, after_seq, self.now_ms)
            if state == EMPTY:
                self.connection.execute(SQL["drop_confirmed_of"], (row,))
            else:
                put_confirmed(self.connection, document, row, state, after, self.behind)
        self.connection.execute(SQL["trim_steps"], (STEPS_BYTES_MAX,))
        return self._summed() if self.pull.replaced else total

    def _look_for_dictionary(self, documents: Mapping[DocumentId, Document]) -> None:
        """Pack behind the dictionary that is here, or behind one made of `documents` if they are many."""
        self.behind = self.behind or dictionary.stored(self.connection)
        if self.behind is None:
            some = dictionary.spread(list(documents.values()))
            self.behind = dictionary.make(self.connection, [encode_document(each) for each in some])

    def _summed(self) -> ScopeDigest:
        """The digest from that of each document: where some were damaged, so may be what they add up to."""
        total = ScopeDigest()
        for (each,) in self.connection.execute(SQL["digests"]):
            total = total.replaced(0, number(each))
        return total

    def _counted(
        self,
        decided: list[Entry],
        results: dict[LocalSeq, Result],
        before: dict[DocumentId, Document],
    ) -> dict[DocumentId, int]:
        """Where the versions of own changes are counted from: where all that changed is as it was written."""
        merged = Counter(
            document
            for each in decided
            if each.dot.local_seq not in results
            for document in each.change.documents
        )
        return {
            document: before[document].version
            for document, count in merged.items()
            if not self.pull.whole
            and document not in self.pull.documents
            and document not in self.pull.replaced
            and self.confirmed[document][0].version == before[document].version + count
        }

    def _take_out(self, decided: list[Entry]) -> None:
        if decided:  # what the pull names is merged, also if its acknowledgement was lost
            last = decided[-1].dot.local_seq
            (chain,) = self.connection.execute(SQL["chain_at"], (last,)).fetchone()
            self.connection.execute(SQL["acknowledge"], {"mark": last, "chain": chain})
        for each in decided:
            self.connection.execute(SQL["decided"], (each.dot.local_seq,))
            pairs = [(self.rows[document], each.dot.local_seq) for document in each.change.documents]
            self.connection.executemany(SQL["decided_document"], pairs)

    def _show(self, stale: list[DocumentId], seen: dict[DocumentId, int]) -> None:
        outbox = self._outbox()
        policies: Policies | None = None
        for document in stale:
            if document in self.unreadable:
                continue
            if policies is None and _is_judged(document):
                policies = self.shelf.policies_in(self.connection)
            row = self.rows[document]
            if self.pull.parts:  # too many to have been kept in memory
                confirmed, after = confirmed_body(self.connection, document, row, self.rot)
            else:
                confirmed, after = self.confirmed[document]
            if document in self.ahead:
                confirmed = self._ahead_of(document, confirmed)
                after = digest_rebuilt(document, rebuild(confirmed.registers))
            waiting = outbox.of(document, row)
            judging = policies or NO_POLICIES
            state = show(self.connection, document, row, confirmed, waiting, judging)
            which = serving(self.connection, document, row, state, judging, pending=bool(waiting))
            instead = aside(self.connection, document, row, state, which, judging, self.rot)
            if instead is not None:
                after = digest(document, instead.content)
            elif waiting:
                after = digest_rebuilt(document, rebuild(state.registers))
            note_shown(
                self.connection,
                row,
                state,
                len(waiting),
                self.at.revision + 1,
                content=after != seen.get(document, 0),
                aside=instead,
                served=which,
            )

    def _ahead_of(self, document: DocumentId, confirmed: Document) -> Document:
        """What overtook, if this pull has not come as far; damaged, it goes: the next pull has it again."""
        try:
            return standing_body(self.connection, document, self.rows[document], self.rot)
        except ReplicaCorrupt:
            self.connection.execute(SQL["drop_ahead_of"], (self.rows[document],))
            return confirmed

    def _remember(
        self,
        decided: list[Entry],
        positions: dict[LocalSeq, HubSeq],
        results: dict[LocalSeq, Result],
        versions: dict[DocumentId, int],
    ) -> None:
        """Keep what became of own changes, what others changed, and the conflicts with them."""
        incarnation = self.at.incarnation
        for each in decided:
            local_seq, change = each.dot.local_seq, each.change
            result = results.get(local_seq)
            fate = Fate.MERGED if result is None else Fate(result.outcome.value)
            for document in change.documents:
                version = None
                if result is None and document in versions:
                    version = versions[document] = versions[document] + 1
                facts = (wall_ms(change.timestamp), change.author, change.message, fate)
                self._note(document, version, positions.get(local_seq), incarnation, local_seq, *facts)
            if result is not None and result.outcome is Outcome.REFUSED:
                refusal = (incarnation, local_seq, result.reason, self.now_ms, each.body)
                self.connection.execute(SQL["refuse"], refusal)
        for document, state in self.pull.documents.items():
            self._receive(document, state)
        for notice in self.pull.notices:
            self.connection.execute(SQL["notice"], (notice.ledger, pack_notice(notice)))
        self.connection.execute(SQL["trim_history"], (HISTORY_ROWS_MAX,))
        self.connection.execute(SQL["trim_notices"], (NOTICES_MAX,))

    def _heal(self) -> None:
        if self.pull.whole:
            self.connection.execute(SQL["heal_all"])
        for document in self.pull.replaced:
            self.connection.execute(SQL["heal"], (self.rows[document],))

    def _receive(self, document: DocumentId, state: Document) -> None:
        """Keep who wrote last, where it was another, and how far clocks have come."""
        last = max((each.stamp for each in state.registers.values()), key=_by_position, default=None)
        if last is not None and last.actor != self.at.incarnation:
            facts = (wall_ms(last.timestamp), "", "", Fate.RECEIVED)
            self._note(document, state.version, last.hub_seq, last.actor, None, *facts)
        timestamps = (each.stamp.timestamp for each in state.registers.values())
        self.latest = max(self.latest, *timestamps, 0)

    def _note(self, document: DocumentId, *columns: object) -> None:
        self.connection.execute(SQL["remember"], (self.rows[document], *columns))

    def _move(self, total: ScopeDigest) -> None:
        pull, at = self.pull, self.at
        upto = (pull.upto.epoch, pull.upto.hub_seq)
        self.connection.execute(SQL["drop_all_staged"])
        self.connection.execute(
            SQL["moved"],
            (
                *(*upto, *upto, max(at.last_timestamp, self.latest), total.count, digest_bytes(total.sum)),
                *(at.revision + 1, self.now_ms, self.now_ms),
            ),
        )


def _by_position(stamp: Stamp) -> HubSeq:
    return stamp.hub_seq


def _is_judged(document: DocumentId) -> bool:
    """Whether it is no schema. Schemas are shown first: they judge the others, and no outbox touches them."""
    return document.namespace != SCHEMA_NAMESPACE
