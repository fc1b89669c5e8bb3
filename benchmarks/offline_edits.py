"""What does it cost to bring home what was written offline?"""

from collections.abc import Sequence

from anabranch_hub.demo.catalogue import CatalogueDocument

from benchmarks import edits
from benchmarks.cold_start import Figures
from benchmarks.fleet import Edge, Fleet, carried_until_quiet, run_program
from benchmarks.sizes import Sizes


async def spread(
    fleet: Fleet, made: Sequence[CatalogueDocument], writer: Edge, reader: Edge, sizes: Sizes, hub_seq: int
) -> Figures:
    """Field edits over many documents. The writer's agent is stopped before; the reader's runs."""
    count = sizes.offline_edits
    pending = edits.spread(made[: sizes.offline_documents], count, edits.OFFLINE)
    file = edits.write(fleet.folder / "offline.json", pending)
    written = await run_program("edits", str(writer.replica), str(file))
    return {
        **await _brought_home(fleet, "offline_edits", writer, reader, hub_seq + count),
        "offline_edits_write_seconds": written["seconds"],
    }


async def one_field(
    fleet: Fleet, made: Sequence[CatalogueDocument], writer: Edge, reader: Edge, sizes: Sizes, hub_seq: int
) -> Figures:
    """One field overwritten again and again, otherwise the same; the hub decides the last value alone."""
    file = edits.write(fleet.folder / "one-field.json", edits.overwrites(made, sizes.overwrites, 1))
    await run_program("edits", str(writer.replica), str(file))
    return await _brought_home(fleet, "one_field", writer, reader, hub_seq + 1)


async def _brought_home(fleet: Fleet, name: str, writer: Edge, reader: Edge, hub_seq: int) -> Figures:
    """Start the writer's agent; until the hub has all, and until the reader has."""
    before = [writer.link.carried, reader.link.carried]
    writer.link.first_byte_s = None
    await writer.start()
    hub_has_s = await writer.until_settled(hub_seq)
    reader_has_s = await reader.until_settled(hub_seq)
    own, others = await carried_until_quiet([writer, reader], before)
    began_s = writer.link.began_s
    fleet.say(f"{name}: {own.up} bytes up, {own.down} down, {hub_has_s - began_s:.2f} s")
    return {
        **own.figures(name),
        f"{name}_bytes_all_links": own.both + others.both,
        f"{name}_bytes_all_links_tls": own.both_tls + others.both_tls,
        f"{name}_seconds": hub_has_s - began_s,
        f"{name}_second_edge_seconds": reader_has_s - began_s,
    }
