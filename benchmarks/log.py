"""What do the transparency log's proofs cost, at the size that an auditor meets?

The arithmetic alone, in this process: leaves like those of decided changes, hashed into the tree, a
whole export verified from its first line to its signed root, single leaves proved and verified.
"""

import random
import statistics
import time
from collections.abc import Sequence

from anabranch_sync.audit_event import Event, EventKind, ValueOpening, leaf_bytes
from anabranch_sync.audit_file import ExportHead, LoggedLeaf, exported, verify_export
from anabranch_sync.checkpoint import Checkpoint, SignedCheckpoint, origin_of, signed
from anabranch_sync.merkle import (
    Frontier,
    Subtree,
    consistency_proof,
    frontier_at,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
)
from anabranch_sync.signed_note import VerifierKey
from anabranch_sync.tlog_proof import parse_tlog_proof, proof_of, verify_tlog_proof
from anabranch_sync.value import Json
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

TENANT = "acme"
SEED = 5
NOW_MS = 1_764_000_000_000

Figures = dict[str, object]


def measure(leaves: int, proofs: int) -> Figures:
    """Figures for a log of so many leaves, `proofs` of which are proved one by one."""
    chance = random.Random(SEED)
    logged = [_leaf(index, chance) for index in range(leaves)]
    began_s = time.perf_counter()
    hashes = [leaf_hash(leaf.raw) for leaf in logged]
    frontier, subtrees = Frontier().appended(hashes)
    appended_s = time.perf_counter() - began_s
    key, head = _signed(frontier)
    lines = list(exported(ExportHead(TENANT, key, head.note), logged))
    began_s = time.perf_counter()
    verified = verify_export(lines, key)
    verified_s = time.perf_counter() - began_s
    assert verified.checkpoint.tree == frontier.head, "all leaves are proved"
    nodes = dict(subtrees)
    return {
        "log_leaves": leaves,
        "log_leaf_bytes": statistics.mean(len(leaf.raw) for leaf in logged),
        "log_export_bytes_per_leaf": sum(map(len, lines)) / leaves,
        "log_append_us_per_leaf": appended_s / leaves * 1e6,
        "log_verify_us_per_leaf": verified_s / leaves * 1e6,
        "log_verify_seconds": verified_s,
        **_single(logged, nodes, key, head, chance.sample(range(leaves), proofs)),
        **_grown(frontier, nodes, chance.sample(range(1, leaves), proofs)),
    }


def _single(
    logged: Sequence[LoggedLeaf],
    nodes: dict[Subtree, bytes],
    key: VerifierKey,
    head: SignedCheckpoint,
    wanted: Sequence[int],
) -> Figures:
    """One leaf each, as the file that an auditor gets."""
    size = head.tree.size
    texts, hashes_bytes, took_s = [], [], []
    for index in wanted:
        hashes = inclusion_proof(index, size, nodes)
        texts.append(str(proof_of(index, logged[index], hashes, head.note, key)))
        hashes_bytes.append(sum(map(len, hashes)))
    for text in texts:
        began_s = time.perf_counter()
        verify_tlog_proof(parse_tlog_proof(text), key)
        took_s.append(time.perf_counter() - began_s)
    return {
        "proof_bytes": statistics.median(hashes_bytes),
        "proof_file_bytes": statistics.median(map(len, texts)),
        "proof_verify_us": statistics.median(took_s) * 1e6,
    }


def _grown(frontier: Frontier, nodes: dict[Subtree, bytes], sizes: Sequence[int]) -> Figures:
    """That the log only grew since it had one of these sizes, as an edge demands at each exchange."""
    proof_bytes, took_s = [], []
    for older in sizes:
        proof = consistency_proof(older, frontier.size, nodes)
        head = frontier_at(older, nodes).head
        began_s = time.perf_counter()
        verify_consistency(head, frontier.head, proof)
        took_s.append(time.perf_counter() - began_s)
        proof_bytes.append(sum(map(len, proof)))
    return {
        "consistency_bytes": statistics.median(proof_bytes),
        "consistency_verify_us": statistics.median(took_s) * 1e6,
    }


def _leaf(index: int, chance: random.Random) -> LoggedLeaf:
    """A decided change of one value, of the size that a hub writes."""
    opening = ValueOpening(chance.randbytes(32), chance.randrange(1_000))
    document = f"acme/prod/router/openai/gpt-{chance.randrange(500)}/config"
    data: dict[str, Json] = {
        "author": "ada",
        "content_id": chance.randbytes(16).hex(),
        "documents": [
            {
                "document": document,
                "version": index // 500 + 2,
                "before": chance.randbytes(16).hex(),
                "after": chance.randbytes(16).hex(),
            }
        ],
        "dot": f"3:{index}",
        "edge": "shop-3",
        "outcome": "merged",
        "position": index,
        "values": opening.commitment,
    }
    event = Event(EventKind.CHANGE_DECIDED, document, data)
    raw = leaf_bytes(event, TENANT, index, NOW_MS + index)
    return LoggedLeaf(raw, leaf_hash(raw))


def _signed(frontier: Frontier) -> tuple[VerifierKey, SignedCheckpoint]:
    private = Ed25519PrivateKey.generate()
    key = VerifierKey(origin_of(TENANT), private.public_key().public_bytes_raw())
    checkpoint = Checkpoint(origin_of(TENANT), frontier.head)
    return key, signed(checkpoint, key, private.sign(checkpoint.to_sign))
