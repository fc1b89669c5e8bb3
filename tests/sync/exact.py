"""Equality that tells ``1``, ``1.0`` and ``true`` apart, which Python's own does not."""

from collections.abc import Mapping

from anabranch_sync.change import Change
from anabranch_sync.document import Document
from anabranch_sync.register import DELETED, AnyValue, Register, Slot, Stamp, json_of
from anabranch_sync.value import canonical


def exact_value(value: AnyValue) -> tuple[str, bytes] | None:
    """The value as something that can be compared."""
    return None if value is DELETED else (type(value).__name__, canonical(json_of(value)))


def exact_registers(
    registers: Mapping[Slot, Register],
) -> dict[Slot, tuple[object, tuple[Stamp, ...]]]:
    """The registers as something that can be compared."""
    return {slot: (exact_value(register.value), register.stamps) for slot, register in registers.items()}


def exact_document(document: Document) -> object:
    """The document as something that can be compared."""
    return document.version, exact_registers(document.registers)


def exact_change(change: Change) -> object:
    """The change as something that can be compared."""
    ops = [(op.document, op.slot, exact_value(op.value)) for op in change.ops]
    facts = change.timestamp, change.base, change.author, change.message, change.schemas, change.restores
    return facts, ops
