"""Everything the hub refuses or fails at, by what a caller can do about it.

    HubError                          exit_code
    ├── PortInUse                     5   choose another port
    ├── ListenRefused                 5   choose an address of this machine
    ├── SettingRefused                2   mend the option or variable that it names
    ├── DataDirError                  5   the folder given by --data-dir
    │   ├── DataDirNotWritable        5   fix its permissions or choose another
    │   ├── DataDirInUse              5   stop the hub that holds it
    │   └── DataDirVersion            5   run the version that wrote it, or migrate
    ├── NoHubRuns                     7   start one, or name another data directory
    ├── NotOurs                       4   run it as the user that runs the hub
    ├── ServerFailed                  7   read the log it names
    ├── StoreUnsafe                   5   configure Postgres as the message says
    │   └── EncodingUnfit             5   make the database anew, in UTF-8
    ├── StoreDenied                   4   give the hub's role its database
    ├── StoreAddressRefused           2   mend the connection string
    ├── SchemaNewer                   5   run the release that migrated it
    ├── Unreachable                   7   something outside does not answer: try again later
    │   ├── StoreUnavailable          7
    │   │   ├── StoreFull             7
    │   │   ├── LogUnwritable         7   mend the log's tables
    │   │   └── CommitUncertain       7   read before trying again
    │   └── VaultUnavailable          7
    ├── AnchorDamaged                 8   find out who changed the file
    ├── LeafUnknown                   3   look it up with `anabranch-hub audit tail`
    ├── LogUnsigned                   7   start a hub that reaches Vault, or wait for it
    ├── LogTampered                   8   the transparency log is not what was logged or signed
    ├── VaultDenied                   4   Vault answers, and says no: fix the policy or the credentials
    ├── VaultRejected                 8   Vault finds the request itself wrong
    ├── VaultMissing                  3   Vault has nothing under that path
    ├── IdentityUnusable              8   enrol as an operator, into another folder
    ├── FarHubError                       what a hub far away said to an operator
    │   ├── HubRejects                2   mend the value it names
    │   ├── HubMisses                 3   ask for what is there
    │   ├── HubDenied                 4   ask with a certificate that is good for it
    │   ├── HubConflict               5   look again, then repeat it
    │   ├── HubAway                   7   try again later
    │   └── HubUnverified             8   check the address; it is not the hub of the certificate
    ├── RequestRefused                4   the peer's fault; the peer is told why
    │   ├── TokenRefused              4   invite the edge again
    │   ├── EdgeRevoked               4   invite it under a new name
    │   ├── SubscriptionRefused       4   ask for less of its scope, or in fewer prefixes
    │   ├── ScopeChanged              4   come again, and hold what is in the present one
    │   ├── RelayRefused              4   invite the relay as one, or go round it
    │   ├── CertificateUnknown        4   enrol again with a new token
    │   ├── OperatorRevoked           4   invite the operator under a new name
    │   ├── TenantDenied              4   ask with a certificate of that tenant
    │   ├── Fenced                    4   go on under a new incarnation
    │   ├── CutElsewhere              5   ask how far its changes are decided, and send those behind
    │   ├── VersionMismatch           5   read the document again, then write
    │   ├── TenantExists              5   use it, or choose another name
    │   ├── TenantUnknown             3   create the tenant
    │   ├── EdgeUnknown               3   invite the edge
    │   ├── NothingToAnswer           3   import a courier file of the edge first
    │   ├── RetentionRefused          2   keep histories for a time within the limits
    │   ├── OperatorUnknown           3   invite the operator
    │   ├── PositionAhead             3   name a position that was decided
    │   ├── VersionFolded             3   read a later version
    │   ├── VersionAbsorbed           3   read the version that stands for it
    │   ├── LedgerRowUnknown          3   list the rows there are
    │   ├── CandidateUnknown          2   see which the row has
    │   ├── FragmentOnly              2   put it where it belongs
    │   ├── DocumentGone              5   say that it shall be made anew
    │   └── CertificateRequestRefused 8   make a new key and request

Messages are one line: what happened to which value, against which limit, and the way out. Attributes hold
the same facts for programs. No message ever holds a password, a token or a key.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from anabranch_sync.errors import AnabranchError


class HubError(AnabranchError):
    """The root: `except HubError` at the top of a command prints the message and ends with `exit_code`."""

    # 2 usage, 3 not found, 4 denied, 5 conflict or precondition, 7 unreachable, 8 verification failed,
    # 1 anything else.
    exit_code: ClassVar[int] = 1


class PortInUse(HubError):
    """`port` on `host` is taken by another process."""

    exit_code = 5

    def __init__(self, *, host: str, port: int) -> None:
        self.host = host
        self.port = port
        super().__init__(f"port {port} on {host} is in use: stop what listens there or choose another port")


class ListenRefused(HubError):
    """The operating system does not let the hub listen on `address`."""

    exit_code = 5

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"cannot listen on {address} ({reason}): choose an address of this machine")


class SettingRefused(HubError):
    """An option or variable that cannot be meant; nothing was started."""

    exit_code = 2

    def __init__(self, setting: str, reason: str) -> None:
        self.setting = setting
        self.reason = reason
        super().__init__(f"{setting} is refused: {reason}")


class DataDirError(HubError):
    """The data directory cannot serve as one."""

    exit_code = 5

    def __init__(self, data_dir: Path, message: str) -> None:
        self.data_dir = data_dir
        super().__init__(message)


class DataDirNotWritable(DataDirError):
    """The hub may not write below `data_dir`."""

    def __init__(self, data_dir: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(
            data_dir,
            f"data directory {data_dir} cannot be written ({reason}): "
            "mend that, or choose another with --data-dir",
        )


class DataDirInUse(DataDirError):
    """Another hub, process `pid`, holds the lock of `data_dir` (0 when it left no readable pid)."""

    def __init__(self, data_dir: Path, pid: int) -> None:
        self.pid = pid
        super().__init__(
            data_dir,
            f"data directory {data_dir} is in use by the hub with pid {pid}: "
            "stop that hub first, or give this one another --data-dir",
        )


class DataDirVersion(DataDirError):
    """What lies in `data_dir` was written by another version of `what`."""

    def __init__(self, data_dir: Path, *, what: str, found: str, supported: str) -> None:
        self.what = what
        self.found = found
        self.supported = supported
        super().__init__(
            data_dir,
            f"{data_dir} was written by {what} {found}, this hub brings {supported}: "
            f"run the release that wrote it, or export there and import here",
        )


class NoHubRuns(HubError):
    """Nobody serves `data_dir`."""

    exit_code = 7

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        super().__init__(
            f"no hub runs on {data_dir}: start it with `anabranch-hub serve --data-dir {data_dir}`"
        )


class NotOurs(HubError):
    """The files of the hub on `data_dir` belong to somebody else."""

    exit_code = 4

    def __init__(self, data_dir: Path, reason: str) -> None:
        self.data_dir = data_dir
        self.reason = reason
        super().__init__(
            f"the hub on {data_dir} is somebody else's ({reason}): run this as the user that runs the hub"
        )


class ServerFailed(HubError):
    """An embedded server did not start or did not stay up; `log_path` tells the rest."""

    exit_code = 7

    def __init__(self, server: str, reason: str, log_path: Path) -> None:
        self.server = server
        self.reason = reason
        self.log_path = log_path
        super().__init__(f"{server} does not run: {reason}; its log is {log_path}")


class Unreachable(HubError):
    """Something the hub stands on does not answer; the same call may succeed later."""

    exit_code = 7


class StoreUnavailable(Unreachable):
    """Postgres does not answer, or broke off."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Postgres is not available ({reason}): nothing was changed, try again")


class StoreFull(StoreUnavailable):
    """There is no room on the disk of Postgres."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.args = (
            f"the disk of Postgres is full ({reason}): nothing was changed; make room, then repeat it",
        )


class LogUnwritable(StoreUnavailable):
    """The transparency log cannot be written, so nothing may be done."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        message = f"the transparency log cannot be written ({reason}), so nothing was changed"
        self.args = (f"{message}: mend its tables (see `anabranch-hub audit verify`), then repeat it",)


class AnchorDamaged(HubError):
    """What the hub remembers of a log it signed cannot be believed."""

    exit_code = 8

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(
            f"{path} is not what the hub wrote ({reason}): find out who changed it; "
            "put it back from a backup, or remove it to trust the log as it is now"
        )


class LeafUnknown(HubError):
    """The log of `tenant` has no such leaf."""

    exit_code = 3

    def __init__(self, tenant: str, what: str) -> None:
        self.tenant = tenant
        super().__init__(
            f"the log of tenant {tenant} has not {what}: see `anabranch-hub audit tail {tenant}`"
        )


class LogUnsigned(HubError):
    """No checkpoint covers `size` leaves of the log of `tenant` yet."""

    exit_code = 7

    def __init__(self, tenant: str, size: int, signed: int) -> None:
        self.tenant = tenant
        self.size = size
        self.signed = signed
        super().__init__(
            f"{signed} leaves of the log of tenant {tenant} are signed, {size} are needed: "
            "a serving hub signs within seconds, if it reaches Vault (see `anabranch-hub doctor`)"
        )


class LogTampered(HubError):
    """The transparency log of `tenant` is not what was logged, or not what was signed.

    `leaf` is the first that is not what it was; where that is not known, it is one of those up to `last`.
    """

    exit_code = 8

    def __init__(self, tenant: str, leaf: int, reason: str, *, last: int | None = None) -> None:
        self.tenant = tenant
        self.leaf = leaf
        self.last = leaf if last is None else last
        self.reason = reason
        which = f"leaf {leaf}" if self.last == leaf else f"one of the leaves {leaf} to {self.last}"
        super().__init__(f"the log of tenant {tenant} was tampered with at {which}: {reason}")


class CommitUncertain(StoreUnavailable):
    """Postgres broke off while it committed: whether the change is stored is not known.

    A push may simply be repeated, what was stored is recognised.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.args = (f"Postgres broke off while it committed ({reason}): read again what was to be written",)


class StoreUnsafe(HubError):
    """Postgres runs with a `setting` under which acknowledged changes can be lost."""

    exit_code = 5

    def __init__(self, setting: str, found: str, needed: str) -> None:
        self.setting = setting
        self.found = found
        self.needed = needed
        super().__init__(
            f"Postgres runs with {setting}={found}, so acknowledged changes could be lost: set it to {needed}"
        )


class EncodingUnfit(StoreUnsafe):
    """The database cannot store every text."""

    def __init__(self, found: str) -> None:
        super().__init__("server_encoding", found, "UTF8")
        reason = f"the database of Postgres has the encoding {found}, in which not every text can be stored"
        self.args = (f"{reason}: make it anew with ENCODING 'UTF8' TEMPLATE template0",)


class StoreDenied(HubError):
    """Postgres answers, and says no: trying again changes nothing."""

    exit_code = 4

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"Postgres refuses the hub's role ({reason}): let that role own the database, and nothing else"
        )


class StoreAddressRefused(HubError):
    """A connection string that libpq does not understand. Its words may be parts of a password: not told."""

    exit_code = 2

    def __init__(self) -> None:
        super().__init__(
            "the connection string of Postgres is none that libpq understands, as is "
            "postgresql://hub@db.example.org/anabranch: write special characters in it as %40, "
            "or quote values as in password='a b'"
        )


class SchemaNewer(HubError):
    """The tables of `schema` were migrated by a newer release."""

    exit_code = 5

    def __init__(self, schema: str, *, found: int, supported: int) -> None:
        self.schema = schema
        self.found = found
        self.supported = supported
        super().__init__(
            f"schema {schema} is at migration {found}, this hub knows {supported}: "
            "run the release that migrated it, or a later one"
        )


class VaultUnavailable(Unreachable):
    """Vault does not answer, is sealed or breaks off, after every retry."""

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(
            f"Vault at {address} is not available ({reason}): check that it runs and is unsealed"
        )


class VaultDenied(HubError):
    """Vault refuses `action`; trying again changes nothing."""

    exit_code = 4

    def __init__(self, action: str, status: int, reason: str) -> None:
        self.action = action
        self.status = status
        self.reason = reason
        super().__init__(
            f"Vault refuses {action} ({status}: {reason}): check the hub's Vault policy and credentials"
        )


class VaultRejected(HubError):
    """Vault understood `action` and finds it wrong."""

    exit_code = 8

    def __init__(self, action: str, status: int, reason: str) -> None:
        self.action = action
        self.status = status
        self.reason = reason
        super().__init__(
            f"Vault finds {action} wrong ({status}: {reason}): what was sent is damaged or foreign"
        )


class VaultMissing(HubError):
    """Nothing is stored under `path`."""

    exit_code = 3

    def __init__(self, path: str) -> None:
        self.path = path
        super().__init__(f"Vault has nothing at {path}: check the name, or write it first")


class IdentityUnusable(HubError):
    """The folder holds no operator's identity that can be used."""

    exit_code = 8

    def __init__(self, folder: str, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(
            f"the identity in {folder} cannot be used ({reason}): get one with `anabranch-hub operator enrol`"
        )


class FarHubError(HubError):
    """What a hub far away answered an operator; the message is its own."""

    def __init__(self, address: str, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(reason)


class HubRejects(FarHubError):
    """A value is outside its grammar or limit."""

    exit_code = 2


class HubMisses(FarHubError):
    """What was asked for is not there."""

    exit_code = 3


class HubDenied(FarHubError):
    """The certificate is not good for this."""

    exit_code = 4


class HubConflict(FarHubError):
    """Something is not as it was said to be; nothing was changed."""

    exit_code = 5


class HubAway(FarHubError):
    """The hub does not answer, or cannot serve now."""

    exit_code = 7

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.args = (f"the hub at {address} does not answer ({reason}): try again later",)


class HubUnverified(FarHubError):
    """Whoever answers is not the hub that is meant."""

    exit_code = 8

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(address, reason)
        self.args = (f"the hub at {address} is not believed ({reason}): check the address and the network",)


class RequestRefused(HubError):
    """A peer asked for what it may not have."""

    exit_code = 4


class TokenRefused(RequestRefused):
    """A one-time token is unknown, used, expired or another tenant's; `reason` says which.

    `of` is whom such a token lets in: an edge or an operator.
    """

    def __init__(self, reason: str, *, of: str = "edge") -> None:
        self.reason = reason
        self.of = of
        super().__init__(
            f"the token is refused ({reason}): ask for a new one with `anabranch-hub {of} invite`"
        )


class EdgeRevoked(RequestRefused):
    """The edge's certificate was revoked."""

    def __init__(self, tenant: str, edge: str) -> None:
        self.tenant = tenant
        self.edge = edge
        super().__init__(
            f"edge {edge} of tenant {tenant} is revoked: invite it under a new name to let it back"
        )


class SubscriptionRefused(RequestRefused):
    """What an edge asks for of its scope cannot be served."""

    def __init__(self, tenant: str, edge: str, reason: str) -> None:
        self.tenant = tenant
        self.edge = edge
        self.reason = reason
        super().__init__(f"edge {edge} of tenant {tenant} asks for another part of its scope: {reason}")


class ScopeChanged(RequestRefused):
    """The edge was given another scope while its stream was open."""

    def __init__(self, tenant: str, edge: str) -> None:
        self.tenant = tenant
        self.edge = edge
        super().__init__(f"edge {edge} of tenant {tenant} has another scope now: let it connect again")


class RelayRefused(RequestRefused):
    """An edge passes others on and may not, or not these. Those behind it are not at fault."""

    def __init__(self, relay: str, reason: str) -> None:
        self.relay = relay
        self.reason = reason
        super().__init__(f"the relay {relay} is refused: {reason}")


class CertificateUnknown(RequestRefused):
    """The certificate is not the one that was issued last to whom it names, or names nobody.

    `of` is who may do what was asked: an edge or an operator.
    """

    def __init__(self, reason: str, *, of: str = "edge") -> None:
        self.reason = reason
        self.of = of
        super().__init__(
            f"the certificate is refused ({reason}): ask for a new token with `anabranch-hub {of} invite`"
        )


class Fenced(RequestRefused):
    """A push under an incarnation whose history is not the one stored here: a restored or cloned replica."""

    def __init__(self, edge: str, incarnation: int, reason: str) -> None:
        self.edge = edge
        self.incarnation = incarnation
        self.reason = reason
        super().__init__(
            f"incarnation {incarnation} of edge {edge} is fenced ({reason}): it goes on under a new one"
        )


class CutElsewhere(RequestRefused):
    """A push repeats what was decided, with its streaks cut at other places: `anabranch_sync.absorbing`.

    It was sent before its edge heard how far its changes are decided.
    """

    exit_code = 5

    def __init__(self, edge: str, first: int, last: int, mark: int) -> None:
        self.edge = edge
        self.mark = mark
        super().__init__(
            f"changes {first} to {last} of edge {edge} are one in its push, and what was decided ends or "
            f"begins between them (up to {mark}): let it connect again"
        )


class VersionMismatch(RequestRefused):
    """`document` is not at the version the writer had seen (0: it is not there)."""

    exit_code = 5

    def __init__(self, document: str, *, expected: int, found: int) -> None:
        self.document = document
        self.expected = expected
        self.found = found
        super().__init__(
            f"{document} is at version {found}, expected {expected}: read it again and repeat the edit"
        )


class TenantExists(RequestRefused):
    """A tenant of that name is there already."""

    exit_code = 5

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        super().__init__(f"tenant {tenant} exists already: use it, or choose another name")


class EdgeUnknown(RequestRefused):
    """The tenant has no edge of that name."""

    exit_code = 3

    def __init__(self, tenant: str, edge: str) -> None:
        self.tenant = tenant
        self.edge = edge
        super().__init__(
            f"tenant {tenant} has no edge {edge}: invite it with `anabranch-hub edge invite {tenant} {edge}`"
        )


class NothingToAnswer(RequestRefused):
    """No courier file of that edge has been imported."""

    exit_code = 3

    def __init__(self, tenant: str, edge: str) -> None:
        self.tenant = tenant
        self.edge = edge
        super().__init__(
            f"no courier file of {tenant}/{edge} was imported yet: make one there with "
            "`anabranch courier export -o FILE` and import it here"
        )


class RetentionRefused(RequestRefused):
    """A time for which histories cannot be kept."""

    exit_code = 2

    def __init__(self, days: int, *, at_least: int, at_most: int) -> None:
        self.days = days
        self.at_least = at_least
        self.at_most = at_most
        super().__init__(
            f"histories cannot be kept for {days} days: at least {at_least}, so that a mistake found late "
            f"can be explained and undone, and at most {at_most}"
        )


class PositionAhead(RequestRefused):
    """Nothing has been decided yet at the position whose state was asked for."""

    exit_code = 3

    def __init__(self, position: int, *, standing: int) -> None:
        self.position = position
        self.standing = standing
        super().__init__(f"position {position} is still to come: the tenant stands at {standing}")


class VersionFolded(RequestRefused):
    """The version is older than the tenant keeps histories, and folded into a later one."""

    exit_code = 3

    def __init__(self, document: str, version: int, *, oldest: int) -> None:
        self.document = document
        self.version = version
        self.oldest = oldest
        super().__init__(
            f"version {version} of {document} was folded, as it is older than the tenant keeps histories: "
            f"the oldest that can be read is {oldest}"
        )


class VersionAbsorbed(RequestRefused):
    """The version's author overwrote it before it was sent: only he has seen it."""

    exit_code = 3

    def __init__(self, document: str, version: int, *, by: int) -> None:
        self.document = document
        self.version = version
        self.by = by
        super().__init__(
            f"version {version} of {document} was overwritten on its edge before it was sent: "
            f"version {by} stands for it"
        )


class TenantUnknown(RequestRefused):
    """No tenant has that name."""

    exit_code = 3

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        super().__init__(
            f"tenant {tenant} does not exist: create it with `anabranch-hub tenant create {tenant}`"
        )


class LedgerRowUnknown(RequestRefused):
    """The tenant's ledger has no row of that number."""

    exit_code = 3

    def __init__(self, tenant: str, number: int) -> None:
        self.tenant = tenant
        self.number = number
        super().__init__(
            f"the ledger of tenant {tenant} has no row {number}: "
            f"see `anabranch-hub merges list --tenant {tenant}`"
        )


class OperatorRevoked(RequestRefused):
    """The operator's certificate was revoked."""

    def __init__(self, tenant: str, operator: str) -> None:
        self.tenant = tenant
        self.operator = operator
        super().__init__(
            f"operator {operator} of tenant {tenant} is revoked: invite a new name to let that person back"
        )


class OperatorUnknown(RequestRefused):
    """The tenant has no operator of that name."""

    exit_code = 3

    def __init__(self, tenant: str, operator: str) -> None:
        self.tenant = tenant
        self.operator = operator
        super().__init__(
            f"tenant {tenant} has no operator {operator}: "
            f"invite one with `anabranch-hub operator invite {tenant} {operator}`"
        )


class TenantDenied(RequestRefused):
    """`operator` asks for what is another tenant's. Whether that tenant is there is not said."""

    def __init__(self, operator: str, own: str, tenant: str) -> None:
        self.operator = operator
        self.own = own
        self.tenant = tenant
        super().__init__(
            f"the certificate of operator {operator} is for tenant {own} only: {tenant} is another's"
        )


class FragmentOnly(RequestRefused):
    """The candidate is a piece of a text or list, which cannot stand for the whole of it."""

    exit_code = 2

    def __init__(self, merge: int, candidate: int) -> None:
        self.merge = merge
        self.candidate = candidate
        super().__init__(
            f"candidate {candidate} of row {merge} is a piece put into what is gone, no whole value: "
            "`anabranch-hub merges show` has it, put it where it belongs with `anabranch-hub set`"
        )


class CandidateUnknown(RequestRefused):
    """The row of the ledger has no candidate of that number."""

    exit_code = 2

    def __init__(self, merge: int, candidate: int, count: int) -> None:
        self.merge = merge
        self.candidate = candidate
        self.count = count
        super().__init__(
            f"row {merge} has no candidate {candidate}: it has 0 (the winner) to {count - 1}, "
            "as `anabranch-hub merges show` numbers them"
        )


class DocumentGone(RequestRefused):
    """The document of a ledger row was deleted since: its value alone would make another document of it."""

    exit_code = 5

    def __init__(self, document: str, merge: int) -> None:
        self.document = document
        self.merge = merge
        super().__init__(
            f"{document} is deleted, so there is nothing to restore a value of row {merge} into: "
            "--recreate makes it anew with that value alone"
        )


class CertificateRequestRefused(RequestRefused):
    """A certificate signing request that must not be signed."""

    exit_code = 8

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"the certificate request is refused ({reason}): make a new P-256 key and send its request"
        )
