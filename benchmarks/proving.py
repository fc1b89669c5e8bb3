"""What do two sides say to prove that they hold the same, and to find and mend the one document that differs?

The sessions face to face over stores in memory, as the tests have them: frames alone, no transport.
"""

from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica
from anabranch_sync.document import Document
from anabranch_sync.ids import document_id
from anabranch_sync.messages import Equal, encode_message
from anabranch_sync.register import Register

from tests.sync.pair import Pair, new_hub, new_replica

NAMESPACE = "acme/prod"
DIGEST_BYTES = 16

Figures = dict[str, object]


def measure(count: int) -> Figures:
    """Bytes to prove `count` documents equal, and those that one different document costs beyond that."""
    hub, replica = _exchanged(count)
    equal = Pair(replica, hub).run()
    assert equal.edge.proved is not None, "the hub has answered that all is equal"
    _, answer = encode_message(Equal())
    digest = replica.standing().digest
    verify_bytes = DIGEST_BYTES + (digest.count.bit_length() + 7) // 8 + len(answer)
    _alter(replica, count // 3)
    differing = Pair(replica, hub).run()
    assert differing.edge.proved is not None, "what differed was found and replaced"
    repair_bytes = sum(differing.sent_bytes.values()) - sum(equal.sent_bytes.values())
    return {
        "compared_documents": count,
        f"verify_{count}_bytes": verify_bytes,
        f"repair_1_of_{count}_bytes": repair_bytes,
        "greeting_frames_bytes": sum(equal.sent_bytes.values()),
    }


def _exchanged(count: int) -> tuple[MemoryHub, MemoryReplica]:
    hub = new_hub()
    for number in range(count):
        hub.write(document_id(NAMESPACE, f"k{number}"), {"a": number, "text": f"document {number}"})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    return hub, replica


def _alter(replica: MemoryReplica, number: int) -> None:
    """The document is another one, and nothing tells."""
    document = document_id(NAMESPACE, f"k{number}")
    state = replica.confirmed[document]
    registers = {slot: Register("rotten", each.stamps) for slot, each in state.registers.items()}
    replica.alter(document, Document(registers, state.version))
