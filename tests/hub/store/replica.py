"""An edge's replica in memory: enough of one to drive a store as an edge would."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anabranch_hub.store import Store
from anabranch_sync.absorbing import absorbed
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, chained, entry
from anabranch_sync.clock import Timestamp, tick
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, Object, digest, rebuild, written
from anabranch_sync.ids import START, Cursor, DocumentId, Dot, Incarnation, document_id
from anabranch_sync.live import Quarantined, Served, check_written, served
from anabranch_sync.merge import overlay
from anabranch_sync.opening import Answer
from anabranch_sync.policy import SCHEMA_NAMESPACE, Policies, policies_from
from anabranch_sync.pull import Notice, Pull, Result, decided_at, fold, quarantined_after
from anabranch_sync.register import Operand, Slot

FAR_MS = 2**50
NOON_MS = 1_700_000_000_000  # in the past, so that no clock of a test is ahead of the hub's


@dataclass
class Replica:
    """Confirmed documents, an outbox and a cursor, and the edge they belong to."""

    store: Store
    tenant: str
    edge: str
    incarnation: Incarnation
    cursor: Cursor = START
    confirmed: dict[DocumentId, Document] = field(default_factory=dict)
    outbox: list[Entry] = field(default_factory=list)
    pushed: int = 0
    written: int = 0
    chain: bytes = CHAIN_START
    timestamp: Timestamp = 0
    notices: list[Notice] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    quarantined: dict[DocumentId, Quarantined] = field(default_factory=dict)

    def record(
        self, ops: Sequence[tuple[DocumentId, Slot, Operand]], *, now_ms: int = NOON_MS, author: str = "ada"
    ) -> Entry:
        """Commit a change to the outbox."""
        self.timestamp = tick(self.timestamp, now_ms)
        self.written += 1
        change = Change(self.timestamp, self.cursor, author, "", tuple(Op(*op) for op in ops))
        self.outbox.append(entry(Dot(self.incarnation, self.written), change))
        return self.outbox[-1]

    def put(self, document: DocumentId, content: Object | None, *, now_ms: int = NOON_MS) -> None:
        """Write a document whole, over the head here. Raises Invalid."""
        policies = self.policies
        visible = self.head(document)
        check_written(document, lambda: rebuild(visible.registers), content, policies)
        ops = written(visible.registers, content, lambda path: policies.of(document, path))
        if ops:
            self.record([(document, slot, value) for slot, value in ops], now_ms=now_ms)

    def head(self, document: DocumentId) -> Document:
        """What is confirmed, with the outbox merged into it."""
        return overlay(document, self.confirmed.get(document, EMPTY), self.outbox, self.policies)

    def read(self, document: DocumentId) -> Object | None:
        """What a reader gets here."""
        head = rebuild(self.head(document).registers)
        aside = self.quarantined.get(document)
        pending = any(document in each.change.documents for each in self.outbox)
        match served(document, lambda: head, self.policies, pending=pending, quarantined=aside is not None):
            case Served.HEAD:
                return head
            case Served.LIVE:
                return None if aside is None else aside.live
            case Served.CONFIRMED:
                return rebuild(self.confirmed.get(document, EMPTY).registers)

    async def push(self, *, absorbing: bool = False) -> Answer | None:
        """Send what was not sent yet; `absorbing`: runs of one field by their last change."""
        entries = [each for each in self.outbox if each.dot.local_seq > self.pushed]
        if not entries:
            return None
        sent = absorbed(entries, self.chain) if absorbing else entries
        answer = await self.store.decide(self.tenant, self.edge, sent, self.chain)
        for each in entries:
            self.chain = chained(self.chain, each.body)
        self.pushed = entries[-1].dot.local_seq
        assert (answer.push_mark, answer.chain) == (self.pushed, self.chain)
        return answer

    async def pull(self, *, always: bool = False) -> Pull | None:
        """Take what is lacking, and compare digests."""
        pull = await self.store.pull(self.tenant, self.edge, self.incarnation, self.cursor, always=always)
        if pull is not None:
            self.apply(pull)
            await self.store.seen(self.tenant, self.incarnation, self.cursor)
        return pull

    def apply(self, pull: Pull) -> None:
        decided = decided_at(pull.runs)
        own = [each for each in self.outbox if each.dot.local_seq in decided]
        folded = fold(self.confirmed, self.incarnation, own, pull)
        self.confirmed = folded if pull.whole else {**self.confirmed, **folded}
        self.quarantined = quarantined_after(self.quarantined, own, pull)
        self.outbox = [each for each in self.outbox if each.dot.local_seq not in decided]
        self.cursor = pull.upto
        self.notices += pull.notices
        self.results += pull.results
        assert self.digest == pull.digest

    @property
    def digest(self) -> ScopeDigest:
        total = ScopeDigest()
        for document, content in self.contents.items():
            total = total.replaced(0, digest(document, content))
        return total

    @property
    def contents(self) -> Mapping[DocumentId, Object]:
        """The live documents as confirmed."""
        rebuilt = {document: rebuild(state.registers) for document, state in self.confirmed.items()}
        return {document: content for document, content in rebuilt.items() if content is not None}

    @property
    def policies(self) -> Policies:
        return policies_from(
            (document, self.confirmed[document].version, content)
            for document, content in self.contents.items()
            if document.namespace == SCHEMA_NAMESPACE
        )


async def enrolled(store: Store, tenant: str, edge: str, prefixes: tuple[str, ...] = ("acme",)) -> Replica:
    """A replica of a new edge."""
    token_hash = secrets.token_bytes(32)
    await store.invite(tenant, edge, prefixes, token_hash, FAR_MS, "operator")
    await store.redeem(token_hash, NOON_MS)
    enrolment = await store.enrolled(tenant, edge, f"serial-{edge}", FAR_MS)
    return Replica(store, tenant, edge, enrolment.incarnation)


async def live(store: Store, tenant: str) -> dict[DocumentId, Object]:
    """The hub's live documents."""
    found = await store.documents(tenant)
    return {each.document: each.content for each in found if each.content is not None}


ROUTER = document_id("acme/prod/router")


def place(*path: str) -> Slot:
    return Slot(path)
