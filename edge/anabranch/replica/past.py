"""What a document was here: the contents this replica has passed through, read back offline.

::

    step 0        step 1                    outbox
    v1 <--------- v2 <---------- v5 ......... v6 ....... v7
    oldest known                 confirmed    own changes that wait

A step leads back from the content after a pull to the one before it. A pull may bring several
versions at once; those between were never here. Every content that is read back must have the digest
it had when it stood.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgpack
from anabranch_sync.clock import wall_ms
from anabranch_sync.document import Document, Object, rebuild
from anabranch_sync.errors import HistoryDamaged, WireError
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.merge import overlay
from anabranch_sync.packing import LEVEL_STORED, seal, unpack, unseal
from anabranch_sync.policy import NO_POLICIES, Policies
from anabranch_sync.reference import AtPosition, AtTime, AtVersion, Reference
from anabranch_sync.version import Patch, rebuilt

from anabranch.errors import StateUnknown
from anabranch.replica.facts import Known, Past
from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import (
    Rot,
    checksum_of,
    confirmed_body,
    digest_bytes,
    entry,
    number,
    position,
    shown,
)

# Some 50,000 edits of single fields, or 30 rewrites of the largest document; the hub keeps all.
STEPS_BYTES_MAX = 8 * 1024 * 1024
# What a row takes beside its body, so that many small ones are bounded too.
_ROW_BYTES = 48
# How many of the states that are known are named to whoever asks for one that is not.
NEAR_MAX = 5


@dataclass(frozen=True, slots=True)
class Step:
    """From one confirmed content to the next, and back.

    The pull was applied at `applied_ms` and began at position `pulled_after`. `version` and `hub_seq` are
    those of the content it led to; what follows is that of the content before: `digest` proves it,
    `before_ms` is when its last writer wrote, by his clock.
    """

    applied_ms: int
    pulled_after: HubSeq
    version: int
    hub_seq: HubSeq
    before_version: int
    before_seq: HubSeq
    before_ms: int
    digest: int
    inverse: Patch


def put_step(
    connection: Connection,
    document: DocumentId,
    row: int,
    before: tuple[Document, int],
    after: Document,
    inverse: Patch,
    pulled_after: HubSeq,
    now_ms: int,
) -> None:
    """Keep the way back from `after` to what was confirmed before, with its digest: `inverse` is that way."""
    state, digest = before
    packed = msgpack.packb(
        [
            *(now_ms, pulled_after, after.version, after.hub_seq),
            *(state.version, state.hub_seq, _written_ms(state), digest_bytes(digest), inverse),
        ]
    )
    body = seal(packed, LEVEL_STORED)
    connection.execute(
        SQL["put_step"],
        {
            "bytes": len(body) + _ROW_BYTES,
            "document": row,
            "checksum": checksum_of(document, body),
            "body": body,
        },
    )


def known(connection: Connection, document: DocumentId, policies: Policies, rot: Rot) -> list[Known]:
    """The states of a document that can be read here, oldest first. Raises ReplicaCorrupt."""
    return _Timeline(connection, document, policies, rot).states


def read_at(
    connection: Connection, document: DocumentId, reference: Reference, policies: Policies, rot: Rot
) -> Past | None:
    """A document as it stood here; None where it is known that it was not there yet.

    A time means what the hub had confirmed here by then, and own changes that wait from when they were
    written. Raises StateUnknown, ReplicaCorrupt.
    """
    timeline = _Timeline(connection, document, policies, rot)
    index = found(timeline.states, reference, position(connection).cursor.hub_seq)
    if index is None:
        near = _near(timeline.states, reference)
        raise StateUnknown(document, str(reference), tuple(f"version {each.version}" for each in near))
    return None if index == ABSENT else timeline.read(index)


def check(connection: Connection, document: DocumentId, rot: Rot) -> None:
    """Walk back to the oldest content. Raises ReplicaCorrupt for whatever leads elsewhere."""
    timeline = _Timeline(connection, document, NO_POLICIES, rot)
    if timeline.states:
        timeline.read(0)


ABSENT = -1


def found(states: Sequence[Known], reference: Reference, cursor: HubSeq) -> int | None:
    """Which of the states is meant; ABSENT: it was not there yet; None: that is not known here.

    `cursor` is the position up to which the hub was heard.
    """
    is_whole = not states or states[0].version == 1  # then nothing was before
    match reference:
        case AtVersion(version):
            return next((index for index, each in enumerate(states) if each.version == version), None)
        case AtPosition(hub_seq):
            if hub_seq > cursor:
                return None
            for index, each in enumerate(states):
                if each.hub_seq is not None and each.hub_seq <= hub_seq <= each.until_seq:
                    return index
            is_before = all(each.hub_seq is None or hub_seq < each.hub_seq for each in states)
            return ABSENT if is_before and is_whole else None
        case AtTime(asked_ms):
            for index in reversed(range(len(states))):
                if states[index].since_ms <= asked_ms:
                    return index
            return ABSENT if is_whole else None


class _Timeline:
    """What one transaction sees of a document's states: those that were confirmed, then those that wait."""

    def __init__(self, connection: Connection, document: DocumentId, policies: Policies, rot: Rot) -> None:
        at, row = position(connection), shown(connection, document).row
        self._document, self._rot = document, rot
        self._confirmed, self._digest = confirmed_body(connection, document, row, rot)
        self._steps = _steps(connection, document, row, rot)
        self._waiting: list[Document] = []
        self.states = _confirmed_states(self._confirmed, self._steps, at.cursor.hub_seq)
        state = self._confirmed
        for columns in connection.execute(SQL["outbox_of"], (row, 0)).fetchall():
            each = entry(at.incarnation, columns, rot)
            state = overlay(document, state, (each,), policies)
            self._waiting.append(state)
            self.states.append(Known(state.version, None, wall_ms(each.change.timestamp), 0))

    def read(self, index: int) -> Past:
        """The state of that number."""
        each = self.states[index]
        return Past(self._content(index, each.version), each.version, each.hub_seq)

    def _content(self, index: int, version: int) -> Object | None:
        confirmed = len(self.states) - len(self._waiting)
        if index >= confirmed:
            return rebuild(self._waiting[index - confirmed].registers)
        back = self._steps[index:]
        recorded = back[0].digest if back else self._digest
        inverses = [step.inverse for step in reversed(back)]
        try:
            return rebuilt(self._document, version, rebuild(self._confirmed.registers), inverses, recorded)
        except HistoryDamaged as error:
            raise self._rot.at(f"version {version} of {self._document}") from error


def _confirmed_states(confirmed: Document, steps: Sequence[Step], cursor: HubSeq) -> list[Known]:
    states = []
    since_ms = steps[0].before_ms if steps else _written_ms(confirmed)
    for step in steps:
        # Where one version follows the other, the first stood until the second was decided.
        follows = step.version == step.before_version + 1
        until_seq = step.hub_seq - 1 if follows else max(step.pulled_after, step.before_seq)
        states.append(Known(step.before_version, step.before_seq, since_ms, until_seq))
        since_ms = step.applied_ms
    if confirmed.version:
        states.append(Known(confirmed.version, confirmed.hub_seq, since_ms, max(cursor, confirmed.hub_seq)))
    return states


def _steps(connection: Connection, document: DocumentId, row: int, rot: Rot) -> list[Step]:
    steps = []
    for checksum, body in connection.execute(SQL["steps"], (row,)).fetchall():
        place = f"the history of {document}"
        if checksum_of(document, body) != checksum:
            raise rot.at(place)
        try:
            applied_ms, after, version, hub_seq, before, before_seq, before_ms, digest, inverse = unpack(
                unseal(body)
            )
        except WireError as error:
            raise rot.at(place) from error
        known = (applied_ms, after, version, hub_seq, before, before_seq, before_ms)
        steps.append(Step(*known, number(digest), inverse))
    return steps


def _near(states: Sequence[Known], reference: Reference) -> Sequence[Known]:
    """The states that come closest to what was asked for, oldest first."""
    match reference:
        case AtVersion(version):
            closest = sorted(states, key=lambda each: abs(each.version - version))
        case AtPosition(hub_seq):
            closest = sorted(states, key=lambda each: abs((each.hub_seq or hub_seq) - hub_seq))
        case AtTime(asked_ms):
            closest = sorted(states, key=lambda each: abs(each.since_ms - asked_ms))
    return sorted(closest[:NEAR_MAX], key=lambda each: each.version)


def _written_ms(state: Document) -> int:
    """When the last writer wrote, by his clock."""
    return wall_ms(max((register.stamp.timestamp for register in state.registers.values()), default=0))
