"""The tree of the log: the published vectors, and the recursive definition of RFC 6962 as the oracle."""

import hashlib
from collections.abc import Sequence

import pytest
from anabranch_sync.errors import InvalidProof
from anabranch_sync.merkle import (
    EMPTY_ROOT,
    Frontier,
    Subtree,
    TreeHead,
    consistency_proof,
    consistency_subtrees,
    frontier_at,
    frontier_subtrees,
    inclusion_proof,
    inclusion_subtrees,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)
from hypothesis import given
from hypothesis import strategies as st

# The reference tree of Certificate Transparency: its eight leaves, roots at every size, and proofs.
REFERENCE = [
    bytes.fromhex(leaf)
    for leaf in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
]


# The definition, as RFC 6962 2.1 writes it down: slow, and nothing to get wrong.


def naive_root(leaves: Sequence[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = power_below(len(leaves))
    return hashlib.sha256(b"\x01" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_path(index: int, leaves: Sequence[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    split = power_below(len(leaves))
    if index < split:
        return [*naive_path(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_path(index - split, leaves[split:]), naive_root(leaves[:split])]


def naive_consistency(older: int, leaves: Sequence[bytes], *, known: bool = True) -> list[bytes]:
    if older == len(leaves):
        return [] if known else [naive_root(leaves)]
    split = power_below(len(leaves))
    if older <= split:
        return [*naive_consistency(older, leaves[:split], known=known), naive_root(leaves[split:])]
    return [*naive_consistency(older - split, leaves[split:], known=False), naive_root(leaves[:split])]


def power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


# A store as the hub keeps one: the hash of every complete subtree.


def grown(leaves: Sequence[bytes]) -> tuple[Frontier, dict[Subtree, bytes]]:
    frontier, completed = Frontier().appended(map(leaf_hash, leaves))
    return frontier, dict(completed)


def numbered(count: int, prefix: bytes = b"") -> list[bytes]:
    return [prefix + str(number).encode() for number in range(count)]


def unhex(hashes: Sequence[str]) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, hashes))


sizes = st.integers(1, 300)


@pytest.mark.parametrize("size", range(9))
def test_the_reference_trees_have_their_published_roots(size: int) -> None:
    frontier, store = grown(REFERENCE[:size])

    assert frontier.root.hex() == ROOTS[size]
    assert frontier_at(size, store) == frontier


@pytest.mark.parametrize(("index", "size", "published"), INCLUSION)
def test_the_reference_inclusion_proofs_are_made_and_believed(
    index: int, size: int, published: list[str]
) -> None:
    _, store = grown(REFERENCE)

    proof = inclusion_proof(index, size, store)

    assert proof == unhex(published)
    verify_inclusion(leaf_hash(REFERENCE[index]), index, TreeHead(size, bytes.fromhex(ROOTS[size])), proof)


@pytest.mark.parametrize(("older", "newer", "published"), CONSISTENCY)
def test_the_reference_consistency_proofs_are_made_and_believed(
    older: int, newer: int, published: list[str]
) -> None:
    _, store = grown(REFERENCE)

    proof = consistency_proof(older, newer, store)

    assert proof == unhex(published)
    before, after = (TreeHead(size, bytes.fromhex(ROOTS[size])) for size in (older, newer))
    verify_consistency(before, after, proof)


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_tree_grown_in_two_steps_is_the_tree_of_the_definition(first: int, more: int) -> None:
    leaves = numbered(first + more)

    frontier, completed = Frontier().appended(map(leaf_hash, leaves[:first]))
    frontier, completed_later = frontier.appended(map(leaf_hash, leaves[first:]))

    assert frontier.head == TreeHead(first + more, naive_root(leaves))
    assert dict(completed + completed_later) == grown(leaves)[1]


@given(sizes)
def test_every_completed_subtree_has_the_hash_of_its_leaves(size: int) -> None:
    leaves = numbered(size)

    _, completed = Frontier().appended(map(leaf_hash, leaves))

    for (level, number), hash_here in completed:
        assert hash_here == naive_root(leaves[number << level : (number + 1) << level])
    # 2n - 1 nodes in a full binary tree, less for the ones that are not complete.
    assert len({subtree for subtree, _ in completed}) == len(completed) == 2 * size - size.bit_count()


@given(sizes, st.data())
def test_an_inclusion_proof_is_that_of_the_definition(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    _, store = grown(leaves)

    proof = inclusion_proof(index, size, {each: store[each] for each in inclusion_subtrees(index, size)})

    assert list(proof) == naive_path(index, leaves)
    verify_inclusion(leaf_hash(leaves[index]), index, TreeHead(size, naive_root(leaves)), proof)


@given(sizes, st.data())
def test_a_consistency_proof_is_that_of_the_definition(newer: int, data: st.DataObject) -> None:
    leaves = numbered(newer)
    older = data.draw(st.integers(1, newer))
    _, store = grown(leaves)

    proof = consistency_proof(
        older, newer, {each: store[each] for each in consistency_subtrees(older, newer)}
    )

    assert list(proof) == naive_consistency(older, leaves)
    verify_consistency(
        TreeHead(older, naive_root(leaves[:older])), TreeHead(newer, naive_root(leaves)), proof
    )


def test_every_size_up_to_70_proves_every_leaf_and_every_older_size() -> None:
    leaves = numbered(70)
    _, store = grown(leaves)
    heads = [TreeHead(size, naive_root(leaves[:size])) for size in range(71)]

    for size in range(1, 71):
        for index in range(size):
            verify_inclusion(
                leaf_hash(leaves[index]), index, heads[size], inclusion_proof(index, size, store)
            )
        for older in range(size + 1):
            verify_consistency(heads[older], heads[size], consistency_proof(older, size, store))


@given(st.integers(1, 2**63 - 1), st.data())
def test_a_proof_needs_few_hashes_at_any_size(size: int, data: st.DataObject) -> None:
    levels = size.bit_length()
    index = data.draw(st.integers(0, size - 1))
    older = data.draw(st.integers(0, size))

    assert len(inclusion_subtrees(index, size)) <= 2 * levels
    assert len(consistency_subtrees(older, size)) <= 2 * levels + 1
    assert len(frontier_subtrees(size)) == size.bit_count()


@given(sizes, st.data())
def test_a_flipped_bit_anywhere_in_an_inclusion_proof_is_noticed(size: int, data: st.DataObject) -> None:
    leaves = numbered(size)
    index = data.draw(st.integers(0, size - 1))
    frontier, store = grown(leaves)
    proof = inclusion_proof(index, size, store)

    for bad in flipped(proof, data):
        with pytest.raises(InvalidProof, match=f"inclusion of leaf {index}"):
            verify_inclusion(leaf_hash(leaves[index]), index, frontier.head, bad)
    for bad in flipped((leaf_hash(leaves[index]),), data):
        with pytest.raises(InvalidProof):
            verify_inclusion(bad[0], index, frontier.head, proof)


@given(sizes, st.data())
def test_a_flipped_bit_anywhere_in_a_consistency_proof_is_noticed(newer: int, data: st.DataObject) -> None:
    leaves = numbered(newer)
    older = data.draw(st.integers(1, newer))
    frontier, store = grown(leaves)
    before = frontier_at(older, store).head
    proof = consistency_proof(older, newer, store)

    for bad in flipped(proof, data):
        with pytest.raises(InvalidProof, match=f"a tree of {newer} with one of {older}"):
            verify_consistency(before, frontier.head, bad)


def flipped(proof: tuple[bytes, ...], data: st.DataObject) -> list[tuple[bytes, ...]]:
    """`proof` with one bit of each of its hashes flipped, one after the other."""
    result = []
    for place, whole in enumerate(proof):
        bit = data.draw(st.integers(0, 255))
        bad = (int.from_bytes(whole, "big") ^ (1 << bit)).to_bytes(32, "big")
        result.append((*proof[:place], bad, *proof[place + 1 :]))
    return result


def test_every_single_bit_of_a_proof_matters() -> None:
    leaves = numbered(13)
    frontier, store = grown(leaves)
    before = frontier_at(6, store).head
    proof = consistency_proof(6, 13, store)
    path = inclusion_proof(12, 13, store)

    for place, bit in ((place, bit) for place in range(len(proof)) for bit in range(256)):
        bad = list(proof)
        bad[place] = (int.from_bytes(bad[place], "big") ^ (1 << bit)).to_bytes(32, "big")
        with pytest.raises(InvalidProof):
            verify_consistency(before, frontier.head, bad)
    for place, bit in ((place, bit) for place in range(len(path)) for bit in range(256)):
        bad = list(path)
        bad[place] = (int.from_bytes(bad[place], "big") ^ (1 << bit)).to_bytes(32, "big")
        with pytest.raises(InvalidProof):
            verify_inclusion(leaf_hash(leaves[12]), 12, frontier.head, bad)


@given(sizes, st.data())
def test_a_fork_is_never_consistent(newer: int, data: st.DataObject) -> None:
    # given two logs that part at leaf `fork`, and an edge that saw one of them after it
    fork = data.draw(st.integers(0, newer - 1))
    older = data.draw(st.integers(fork + 1, newer))
    seen, _ = grown(numbered(older))
    other, store = grown(numbered(fork) + numbered(newer - fork, b"another "))

    # when the other log proves its own consistency from that size, honestly
    proof = consistency_proof(older, newer, store)

    with pytest.raises(InvalidProof):
        verify_consistency(seen.head, other.head, proof)


def test_a_log_that_shrinks_is_never_consistent() -> None:
    longer, _ = grown(numbered(5))
    shorter, _ = grown(numbered(4))

    with pytest.raises(InvalidProof, match="a log never shrinks"):
        verify_consistency(longer.head, shorter.head, ())


@pytest.mark.parametrize("proof", [(), (b"\x00" * 32,) * 2, (b"\x00" * 31,)])
def test_a_proof_of_another_shape_is_refused_before_it_is_hashed(proof: tuple[bytes, ...]) -> None:
    frontier, _ = grown(numbered(2))

    with pytest.raises(InvalidProof, match=r"are needed|other than 32 bytes"):
        verify_inclusion(leaf_hash(b"0"), 0, frontier.head, proof)
    with pytest.raises(InvalidProof, match=r"are needed|other than 32 bytes"):
        verify_consistency(TreeHead(1, leaf_hash(b"0")), frontier.head, proof)


@pytest.mark.parametrize("index", [-1, 2])
def test_a_leaf_outside_the_tree_is_not_included(index: int) -> None:
    frontier, _ = grown(numbered(2))

    with pytest.raises(InvalidProof, match="outside the tree"):
        verify_inclusion(leaf_hash(b"0"), index, frontier.head, (leaf_hash(b"1"),))


def test_everything_is_consistent_with_the_empty_log_and_only_with_its_true_root() -> None:
    frontier, _ = grown(numbered(3))

    verify_consistency(TreeHead(0, EMPTY_ROOT), frontier.head, ())
    with pytest.raises(InvalidProof, match="the empty tree has another root"):
        verify_consistency(TreeHead(0, b"\x00" * 32), frontier.head, ())


def test_an_inner_node_never_passes_for_a_leaf() -> None:
    left, right = leaf_hash(b"0"), leaf_hash(b"1")

    assert leaf_hash(left + right) != node_hash(left, right)
