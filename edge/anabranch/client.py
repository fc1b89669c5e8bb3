"""The SDK: one replica, read and written by a program.

::

    with anabranch.open() as client:
        limit = client.get("acme/prod/router", "/limits/requests").value
        with client.change("raise both limits") as change:
            change.set("acme/prod/router", "/limits/requests", 200)
            change.set("acme/prod/router", "/limits/tokens", 90_000)

Nothing here waits for the network: reads and writes are answered by the replica, and the agent
carries changes to the hub and back whenever it can. A `Client` may be used from several threads:
reads run side by side, writes one after the other. After `os.fork`, open a new one in the child.
"""

from __future__ import annotations

import marshal
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path as FilePath
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

from anabranch_sync.document import at
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.later import later
from anabranch_sync.path import ROOT, Path, parse_pointer, render_pointer
from anabranch_sync.priority import check_priority
from anabranch_sync.value import Json, check
from anabranch_sync.violation import summary

from anabranch.errors import Denied, NotFound, NothingCached
from anabranch.readings import WAIT_S, Reading, State, age_s, state_of
from anabranch.replica import Heard, Replica, Visible

if TYPE_CHECKING:
    from anabranch_sync.acknowledgement import Level
    from anabranch_sync.pull import Notice
    from anabranch_sync.reference import Reference

    from anabranch import acknowledging, answers, change_builder, history, patching
    from anabranch.answers import Changed, Committed, Difference, Status
    from anabranch.change_builder import Delete, Draft, Patch, Set, Step
    from anabranch.history import At
    from anabranch.replica import Acknowledged, Listed, LogLine, Refused, SetAside
else:
    later(globals(), "anabranch", "acknowledging", "answers", "change_builder", "history", "patching")

# Named here because inside `Client`, `list` is its method.
Log: TypeAlias = "list[LogLine]"
Notices: TypeAlias = "list[Notice]"
Refusals: TypeAlias = "list[Refused]"
Quarantine: TypeAlias = "list[SetAside]"

# The environment variable that names the replica when `open` is not told.
REPLICA_VARIABLE = "ANABRANCH_REPLICA"
# How often a watch looks: a person does not notice it, and it costs some microseconds each time.
WATCH_PAUSE_S = 0.05
# A reading made this lately is given out as it is: `age_s` is then at most so much too small. The hub is
# heard each half a minute at best, and making a reading anew takes as long again as the read.
_REMEMBERED_S = 1.0
# Bounds the memory of readings; the documents themselves are bounded by the replica's shelf.
_REMEMBERED_MAX = 10_000


def default_path() -> FilePath:
    """Where the replica is: $ANABRANCH_REPLICA, or the user's data directory."""
    named = os.environ.get(REPLICA_VARIABLE)
    if named:
        return FilePath(named)
    from platformdirs import user_data_path  # 25 ms that most callers need not pay

    return user_data_path("anabranch") / "replica.db"


def open(path: str | FilePath | None = None) -> Client:
    """Open the replica at `path` (default: `default_path`). Raises ReplicaError."""
    return Client(Replica.open(default_path() if path is None else path))


class Client:
    """A replica, for a program. Close it, or use it as a context manager."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self._remembered: dict[tuple[str, str, str], tuple[int, float, Reading, bytes | None, Heard]] = {}

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. Safe to repeat."""
        self.replica.close()

    # Reading.

    def get(self, namespace: str, path: str = "", *, key: str = "config", at: At | None = None) -> Reading:
        """The value at the JSON Pointer `path` (default: the whole document).

        With `at` as it stood: a version (17), a position ("@204"), a datetime, or an age ("2h"). A time
        means what the hub had confirmed here by then. Objects and lists are the caller's own copy.
        Raises NotFound (StateUnknown: this replica never had that state), NothingCached, InvalidInput,
        ReplicaCorrupt.
        """
        if at is not None:
            return self._read_past(document_id(namespace, key), parse_pointer(path), history.reference(at))
        place = (namespace, path, key)
        view = self.replica.look()
        remembered = self._remembered.get(place)
        if remembered is not None:
            seen, until_s, reading, packed, heard = remembered
            if seen == view:
                if time.monotonic() >= until_s:
                    reading = _aged(reading, heard)
                    self._remember(place, view, reading, packed, heard)
                return reading if packed is None else _with(reading, marshal.loads(packed))
        return self._read(place, view)

    def head(self, namespace: str, path: str = "", *, key: str = "config") -> Reading:
        """As `get`, of all that has merged and waits here, also where that is invalid.

        It is what edits are made over, and its version what `if_version` asks for.
        """
        document, heard = document_id(namespace, key), self.replica.link()
        reading = self._reading(document, parse_pointer(path), self.replica.head(document), heard)
        return _with(reading, check(reading.value))

    def list(self, prefix: str = "") -> list[Listed]:
        """The documents whose namespace is `prefix` or lies below it, by name."""
        return self.replica.documents(prefix.strip("/"))

    def log(self, namespace: str, *, key: str = "config") -> Log:
        """What this replica knows of a document's past, oldest first; what waits comes last."""
        return self.replica.history(document_id(namespace, key))

    def diff(
        self, namespace: str, first: At | None = None, second: At | None = None, *, key: str = "config"
    ) -> Difference:
        """Two states of a document, by default the one before the last and the last. Raises as `get`."""
        return history.difference(self.replica, document_id(namespace, key), first, second)

    def conflicts(self) -> Notices:
        """Conflicts in which this edge took part, as the hub decided them."""
        return self.replica.notices()

    def quarantined(self) -> Quarantine:
        """The documents whose merged whole is invalid, by name: readers see the last valid version."""
        return self.replica.quarantined()

    def refused(self) -> Refusals:
        """Changes of this edge that the hub refused, whole."""
        return self.replica.refused()

    def status(self) -> Status:
        """How the replica stands. Works offline and on a full disk."""
        facts = self.replica.facts()
        now_s = time.time()
        age = age_s(facts.heard, now_s)
        oldest = facts.oldest_unsent_ms
        return answers.Status(
            path=str(self.replica.path),
            tenant=self.replica.tenant,
            edge=self.replica.edge,
            prefixes=self.replica.scope.prefixes,
            state=state_of(facts.heard, age),
            age_s=age,
            link=facts.heard.link,
            agent_running=self.replica.agent_running(),
            clock_offset_ms=facts.heard.clock_offset_ms,
            incarnation=facts.continuity.incarnation,
            cursor=facts.cursor,
            documents=facts.documents,
            outbox=facts.outbox,
            unsent=facts.unsent,
            oldest_unsent_s=None if oldest is None else max(0.0, now_s - oldest / 1000),
            conflicts=facts.notices,
            refused=facts.refused,
            quarantined=facts.quarantined,
            digest=str(facts.digest),
            mode=self.replica.link_mode(),
            proved_ms=facts.proved_ms,
            proved_hub_seq=facts.proved_hub_seq,
            incidents=facts.incidents,
            damaged=facts.damaged,
            damaged_changes=facts.damaged_changes,
            log=answers.log_reading(self.replica.log_state(), facts.cursor.hub_seq, now_s),
            file_bytes=facts.file_bytes,
            wal_bytes=facts.wal_bytes,
            reserve=facts.reserve,
            marks=self.replica.marks(),
            hub_restores=self.replica.hub_restores(),
        )

    # Writing.

    def set(
        self,
        namespace: str,
        path: str,
        value: object,
        *,
        key: str = "config",
        message: str = "",
        author: str | None = None,
        if_version: int | None = None,
        priority: int | None = None,
    ) -> Committed:
        """Put `value` at `path`, making the document and objects on the way; ``""`` replaces it all.

        Durable when it returns. With `if_version`, only if the document is at that version (0: does
        not exist). Raises InvalidInput (Invalid where a schema forbids it: its `violations` say which
        rule, where, and what would pass), Denied, PreconditionFailed, ReplicaError.
        """
        return self._commit(
            [_set_step(namespace, path, value, key, if_version)], message, author, priority=priority
        )

    def patch(
        self,
        namespace: str,
        operations: Sequence[object],
        *,
        key: str = "config",
        message: str = "",
        author: str | None = None,
        if_version: int | None = None,
        priority: int | None = None,
    ) -> Committed:
        """Apply a JSON Patch (RFC 6902), all of it or nothing. Raises as `set`, and PatchFailed."""
        return self._commit(
            [_patch_step(namespace, operations, key, if_version)], message, author, priority=priority
        )

    def delete(
        self,
        namespace: str,
        path: str = "",
        *,
        key: str = "config",
        message: str = "",
        author: str | None = None,
        if_version: int | None = None,
        priority: int | None = None,
    ) -> Committed:
        """Delete what is at `path` (default: the document). Raises as `set`, and NotFound."""
        return self._commit(
            [_delete_step(namespace, path, key, if_version)], message, author, priority=priority
        )

    def rollback(
        self,
        namespace: str,
        to: At,
        *,
        key: str = "config",
        message: str = "",
        author: str | None = None,
        priority: int | None = None,
    ) -> Committed:
        """Write a document's values of the past again, as a new change, whatever stands now.

        It says to what it goes back, before `message`. Raises as `get` with `at`, and as `set`.
        """
        meant = history.reference(to)
        changes = history.rollback(self.replica, document_id(namespace, key), meant)
        return self._commit(_restoring(changes), history.said(meant, message), author, priority=priority)

    def rollback_below(
        self,
        prefix: str,
        to: At,
        *,
        keep_new: bool = False,
        message: str = "",
        author: str | None = None,
        priority: int | None = None,
    ) -> Committed:
        """`rollback` of all documents at or below a namespace in one change, all of them or none.

        Documents that were not there then are deleted, unless `keep_new`. Raises as `rollback`, and
        ChangeTooLarge.
        """
        meant = history.moment(to)
        changes = history.rollback_below(self.replica, prefix, meant, keep_new=keep_new)
        return self._commit(_restoring(changes), history.said(meant, message), author, priority=priority)

    def change(
        self, message: str = "", *, author: str | None = None, restores: int = 0, priority: int | None = None
    ) -> ChangeBuilder:
        """Several writes as one change: committed when the block ends, dropped if it raises.

        `restores` names the ledger row whose losing value the change brings back. `priority` as in `set`.
        """
        return ChangeBuilder(self, message, author, restores, priority)

    # Watching.

    def watch(self, prefix: str = "", *, timeout_s: float | None = None) -> Iterator[Changed]:
        """Yield documents at or below `prefix` as they change from now on, whoever changes them.

        States between two looks are skipped: what is yielded is what stands. Ends after `timeout_s`.
        """
        watcher = _Watcher(self, prefix)
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            yield from watcher.changes()
            if end_s is not None and time.monotonic() >= end_s:
                return
            time.sleep(WATCH_PAUSE_S)

    async def awatch(self, prefix: str = "", *, timeout_s: float | None = None) -> AsyncIterator[Changed]:
        """`watch` for asyncio."""
        import asyncio  # a third of the time that importing this module would take

        watcher = _Watcher(self, prefix)
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            for changed in watcher.changes():
                yield changed
            if end_s is not None and time.monotonic() >= end_s:
                return
            await asyncio.sleep(WATCH_PAUSE_S)

    def _read(self, place: tuple[str, str, str], view: int) -> Reading:
        namespace, pointer, key = place
        document, path = document_id(namespace, key), parse_pointer(pointer)
        visible = self.replica.read(document)
        heard = self.replica.link()
        reading = self._reading(document, path, visible, heard)
        packed = marshal.dumps(reading.value) if isinstance(reading.value, dict | list) else None
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        self._remember(place, view, reading, packed, heard)
        return reading if packed is None else _with(reading, marshal.loads(packed))

    def _read_past(self, document: DocumentId, path: Path, reference: Reference) -> Reading:
        stood = history.past(self.replica, document, reference)
        if stood.content is None:
            raise NotFound(document, reason=f"at {reference} it was deleted")
        heard = self.replica.link()
        pending = int(stood.hub_seq is None)
        reading = self._reading(document, path, Visible(stood.content, stood.version, pending), heard)
        return _with(reading, check(reading.value))

    def _remember(
        self, place: tuple[str, str, str], view: int, reading: Reading, packed: bytes | None, heard: Heard
    ) -> None:
        self._remembered[place] = (view, time.monotonic() + _REMEMBERED_S, reading, packed, heard)

    def _reading(self, document: DocumentId, path: Path, visible: Visible | None, heard: Heard) -> Reading:
        age = age_s(heard, time.time())
        state = state_of(heard, age)
        if visible is None:
            if violations := self.replica.violations(document):
                raise NotFound(document, reason=f"it has never been valid: {summary(violations)}")
            if state is State.NEVER_SYNCED:
                raise NothingCached(document)
            raise NotFound(document)
        try:
            value = at(visible.content, path)
        except KeyError as error:
            raise NotFound(document, render_pointer(path), f"{error.args[0]} is absent") from error
        source = "local" if visible.pending else "hub"
        return Reading(
            document,
            render_pointer(path),
            value,
            visible.version,
            visible.pending > 0,
            source,
            age,
            state,
            visible.quarantined,
            visible.violations,
        )

    def _commit(
        self,
        steps: Sequence[Step],
        message: str,
        author: str | None,
        *,
        restores: int = 0,
        priority: int | None = None,
    ) -> Committed:
        if priority is not None:
            check_priority(priority)
        written = self.replica.compose(
            lambda head: change_builder.edits(steps, head),
            author=self.replica.author if author is None else author,
            message=message,
            now_ms=time.time_ns() // 1_000_000,
            restores=restores,
            priority=priority,
        )
        if written is None:
            return answers.Committed("", (), receipt=acknowledging.Everything(self.replica))
        new = written.entry
        receipt = acknowledging.Receipt(self.replica, new)
        return answers.Committed(str(new.dot), new.change.documents, written.set_aside, receipt)


class ChangeBuilder:
    """Writes that will be one change. `get` shows what would stand; nothing is durable before the end."""

    def __init__(
        self, client: Client, message: str, author: str | None, restores: int, priority: int | None
    ) -> None:
        self.committed: Committed | None = None
        self._client = client
        self._message = message
        self._author = author
        self._restores = restores
        self._priority = priority
        self._steps: list[Step] = []
        self._drafts: Draft = {}

    def __enter__(self) -> ChangeBuilder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.committed = self._client._commit(
                self._steps,
                self._message,
                self._author,
                restores=self._restores,
                priority=self._priority,
            )

    def wait(self, level: Level | str, timeout_s: float = WAIT_S) -> Acknowledged:
        """As `Committed.wait`, after the block."""
        assert self.committed is not None, "a change is waited for after its block"
        return self.committed.wait(level, timeout_s)

    def get(self, namespace: str, path: str = "", *, key: str = "config") -> Reading:
        """As `Client.get`, with the steps so far taken."""
        document = document_id(namespace, key)
        if document not in self._drafts:
            return self._client.get(namespace, path, key=key)
        standing = self._client.replica.head(document)
        content = self._drafts[document]
        draft = None if content is None else Visible(content, standing.version if standing else 0, 1)
        reading = self._client._reading(document, parse_pointer(path), draft, self._client.replica.link())
        return _with(reading, check(reading.value))

    def set(
        self, namespace: str, path: str, value: object, *, key: str = "config", if_version: int | None = None
    ) -> None:
        """As `Client.set`."""
        self._take(_set_step(namespace, path, value, key, if_version))

    def patch(
        self,
        namespace: str,
        operations: Sequence[object],
        *,
        key: str = "config",
        if_version: int | None = None,
    ) -> None:
        """As `Client.patch`."""
        self._take(_patch_step(namespace, operations, key, if_version))

    def delete(
        self, namespace: str, path: str = "", *, key: str = "config", if_version: int | None = None
    ) -> None:
        """As `Client.delete`."""
        self._take(_delete_step(namespace, path, key, if_version))

    def _take(self, step: Step) -> None:
        """Try the step now, so that its error shows where it was written, and keep it for the commit."""
        scope = self._client.replica.scope
        if not scope.writes(step.document):
            raise Denied(step.document, scope.prefixes)
        change_builder.take(step, self._drafts, self._client.replica.head)
        self._steps.append(step)


class _Watcher:
    """Where a watch stands: the revision up to which it has yielded what changed."""

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = prefix.strip("/")
        self._view = client.replica.look()
        self._revision, _ = client.replica.changed(-1)

    def changes(self) -> Iterator[Changed]:
        """What has changed since the last look."""
        view = self._client.replica.look()
        if view == self._view:
            return
        self._view = view
        self._revision, documents = self._client.replica.changed(self._revision)
        for document in documents:
            if self._covers(document):
                yield answers.Changed(document, self._now(document))

    def _covers(self, document: DocumentId) -> bool:
        return not self._prefix or f"{document.namespace}/".startswith(f"{self._prefix}/")

    def _now(self, document: DocumentId) -> Reading | None:
        try:
            return self._client.get(document.namespace, key=document.key)
        except (NotFound, NothingCached):
            return None


def _aged(reading: Reading, heard: Heard) -> Reading:
    """The reading as of now, when nothing has changed but the time."""
    age = age_s(heard, time.time())
    return _again(reading, reading.value, age, state_of(heard, age))


def _with(reading: Reading, value: Json) -> Reading:
    """The reading with the caller's own copy of the value."""
    return _again(reading, value, reading.age_s, reading.state)


def _again(reading: Reading, value: Json, age: float | None, state: State) -> Reading:
    return Reading(
        reading.document,
        reading.path,
        value,
        reading.version,
        reading.pending,
        reading.source,
        age,
        state,
        reading.quarantined,
        reading.violations,
    )


def _restoring(changes: Sequence[Difference]) -> list[Step]:
    return [
        change_builder.Delete(each.document, ROOT)
        if each.after is None
        else change_builder.Set(each.document, ROOT, each.after)
        for each in changes
    ]


def _set_step(namespace: str, path: str, value: object, key: str, if_version: int | None) -> Set:
    keys = parse_pointer(path)
    return change_builder.Set(
        document_id(namespace, key), keys, check(value, path, len(keys) + 1), if_version
    )


def _patch_step(namespace: str, operations: Sequence[object], key: str, if_version: int | None) -> Patch:
    document = document_id(namespace, key)
    return change_builder.Patch(document, patching.check_patch(document, operations), if_version)


def _delete_step(namespace: str, path: str, key: str, if_version: int | None) -> Delete:
    return change_builder.Delete(document_id(namespace, key), parse_pointer(path), if_version)
