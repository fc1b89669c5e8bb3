"""What hub processes on the same Postgres tell each other, as payloads of NOTIFY."""

from typing import TypeAlias

from anabranch_sync.ids import HubSeq

from anabranch_hub.store.records import Logged, Moved, Rescoped, Restored, Revoked

CHANNEL = "anabranch"

News: TypeAlias = Moved | Logged | Revoked | Rescoped | Restored

# Neither a tenant's nor an edge's name holds a colon, and a position is digits.
_REVOKED = "revoked"
_RESCOPED = "rescoped"
_LOGGED = "logged"
_RESTORED = "restored"


def moved_payload(tenant: str, hub_seq: HubSeq) -> str:
    """``acme:4711``"""
    return f"{tenant}:{hub_seq}"


def revoked_payload(tenant: str, edge: str) -> str:
    """``acme:revoked:store-17``"""
    return f"{tenant}:{_REVOKED}:{edge}"


def rescoped_payload(tenant: str, edge: str) -> str:
    """``acme:rescoped:store-17``"""
    return f"{tenant}:{_RESCOPED}:{edge}"


def logged_payload(tenant: str) -> str:
    """``acme:logged``"""
    return f"{tenant}:{_LOGGED}"


def restored_payload(tenant: str) -> str:
    """``acme:restored``"""
    return f"{tenant}:{_RESTORED}"


def news(payload: str) -> News | None:
    """What a payload says; None for one of a newer release."""
    match payload.split(":"):
        case [tenant, position] if position.isdecimal():
            return Moved(tenant, int(position))
        case [tenant, kind] if kind == _LOGGED:
            return Logged(tenant)
        case [tenant, kind] if kind == _RESTORED:
            return Restored(tenant)
        case [tenant, kind, edge] if kind == _REVOKED:
            return Revoked(tenant, edge)
        case [tenant, kind, edge] if kind == _RESCOPED:
            return Rescoped(tenant, edge)
        case _:
            return None
