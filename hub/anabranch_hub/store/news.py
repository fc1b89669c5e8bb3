"""What hub processes on the same Postgres tell each other, as payloads of NOTIFY."""

from anabranch_sync.ids import HubSeq

from anabranch_hub.store.records import Moved, Revoked

CHANNEL = "anabranch"

# Neither a tenant's nor an edge's name holds a colon, and a position is digits.
_REVOKED = "revoked"


def moved_payload(tenant: str, hub_seq: HubSeq) -> str:
    """``acme:4711``"""
    return f"{tenant}:{hub_seq}"


def revoked_payload(tenant: str, edge: str) -> str:
    """``acme:revoked:store-17``"""
    return f"{tenant}:{_REVOKED}:{edge}"


def news(payload: str) -> Moved | Revoked | None:
    """What a payload says; None for one of a newer release."""
    match payload.split(":"):
        case [tenant, position] if position.isdecimal():
            return Moved(tenant, int(position))
        case [tenant, kind, edge] if kind == _REVOKED:
            return Revoked(tenant, edge)
        case _:
            return None
