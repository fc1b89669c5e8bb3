"""What edge and hub say of themselves first, and what each reads in what the other says."""

from anabranch_sync.change import CHAIN_START
from anabranch_sync.circumstances import Circumstances
from anabranch_sync.epochs import Epochs, packed_ended, unpacked_ended, went_back
from anabranch_sync.errors import InvalidName, ProtocolViolation
from anabranch_sync.ids import Cursor
from anabranch_sync.messages import PROTOCOL_MAX, PROTOCOL_MIN, URGENT_ONLY, Hello, Welcome
from anabranch_sync.opening import Opening
from anabranch_sync.pacing import Pacing
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.scope import Scope, scope, told_scope
from anabranch_sync.standing import Standing
from anabranch_sync.transfer import split_upload_name


def hello_of(
    standing: Standing,
    learned: Pacing,
    circumstances: Circumstances,
    *,
    scope_fingerprint: bytes,
    subscription: Scope | None,
    renew: bool,
    urgent_only: bool,
    now_ms: int,
) -> Hello:
    """What a replica says of where it stands, of its link and of what it asks for."""
    partial = standing.partial
    return Hello(
        PROTOCOL_MIN,
        PROTOCOL_MAX,
        0 if renew else standing.incarnation,
        standing.cursor,
        standing.push_mark,
        standing.chain or CHAIN_START,
        standing.digest,
        now_ms,
        scope=scope_fingerprint,
        partial=partial.batch if partial else b"",
        partial_bytes=len(partial.received) if partial else 0,
        oldest_unsent_ms=standing.oldest_unsent_ms or 0,
        checkpoint=standing.log_mark,
        passed_bytes=learned.passed_bytes,
        breaks=learned.breaks,
        link_class=circumstances.link_class,
        byte_budget=circumstances.byte_budget,
        budget_until_ms=circumstances.budget_until_ms,
        disk_free_bytes=circumstances.disk_free_bytes,
        subscription=subscription.prefixes if subscription else (),
        capabilities=(URGENT_ONLY,) if urgent_only else (),
        damaged_changes=standing.damaged_changes,
        damaged_documents=standing.damaged_documents,
    )


def welcome_of(hello: Hello, opening: Opening, protocol: int, now_ms: int, *, is_rescoped: bool) -> Welcome:
    """What the hub says of the tenant and of this replica, as its store knows them."""
    upload, log = opening.upload, opening.log
    batch, last = split_upload_name(upload.batch) if upload else (b"", 0)
    is_older = hello.cursor.epoch != opening.epoch
    return Welcome(
        protocol,
        opening.epoch,
        opening.hub_seq,
        opening.incarnation,
        opening.push_mark,
        opening.chain,
        now_ms - hello.now_ms,
        upload=batch,
        upload_last=last,
        upload_bytes=len(upload.received) if upload else 0,
        checkpoint=log.checkpoint.packed if log else b"",
        consistency=b"".join(log.consistency) if log else b"",
        log_key=log.public_key if log else b"",
        scope=opening.scope.prefixes if is_rescoped else (),
        ended=packed_ended(opening.ended) if is_older else (),
        plan=opening.plan.means.value if opening.plan else "",
        plan_bytes=opening.plan.size_bytes if opening.plan else 0,
        budget_day_bytes=opening.budget.day_bytes,
        budget_month_bytes=opening.budget.month_bytes,
        granted=opening.granted.prefixes if opening.granted else (),
        wipe=int(opening.wipe),
    )


def subscription_of(hello: Hello) -> Scope | None:
    """What the edge asks for of its scope; None: it says nothing of that. Raises ProtocolViolation."""
    try:
        return scope(told_scope(hello.subscription).prefixes) if hello.subscription else None
    except InvalidName as error:
        raise ProtocolViolation(str(error)) from error


def granted_by(welcome: Welcome) -> Scope | None:
    """What the replica may ask for, where the hub has named it. Raises ProtocolViolation."""
    prefixes = welcome.granted or welcome.scope
    try:
        return told_scope(prefixes) if prefixes else None
    except InvalidName as error:
        raise ProtocolViolation(str(error)) from error


def wanted_of(granted: Scope, subscription: Scope) -> Scope:
    """The part of it that a subscription names. Raises ProtocolViolation."""
    try:
        return granted.narrowed(subscription)
    except InvalidName as error:
        raise ProtocolViolation(str(error)) from error


def reoffer_of(past: int, welcome: Welcome) -> Reoffer | None:
    """What a replica of epoch `past` has to offer again. Raises CorruptFrame, ProtocolViolation."""
    if past in (0, welcome.epoch):
        return None
    epochs = Epochs(welcome.epoch, unpacked_ended(welcome.ended))
    return Reoffer(past, epochs.known(past), welcome.epoch, granted_by(welcome))


def lost_of(replica: Hello | Standing, hub: Welcome | Opening) -> str:
    """How it shows that the hub has lost what this replica once had from it; empty where it does not."""
    mark = replica.push_mark if replica.incarnation == hub.incarnation else 0
    here = Cursor(hub.epoch, hub.hub_seq)
    return went_back(replica.cursor, mark, here, hub.push_mark)
