"""What does one edit cost while everyone is connected, from edge to hub to another edge?"""

import statistics
from collections.abc import Sequence

from anabranch_hub.demo.catalogue import CatalogueDocument

from benchmarks import edits
from benchmarks.cold_start import Figures
from benchmarks.fleet import Edge, Fleet, carried_until_quiet, run_program
from benchmarks.sizes import Sizes


async def measure(
    fleet: Fleet, made: Sequence[CatalogueDocument], writer: Edge, reader: Edge, sizes: Sizes
) -> Figures:
    """Both agents run and are settled. Bytes are those of both links, divided by the edits."""
    count = sizes.live_edits
    # Not from the first document on: its number was overwritten before.
    file = edits.write(fleet.folder / "live.json", edits.overwrites(made[1:], count, count))
    before = [writer.link.carried, reader.link.carried]
    took = await run_program("live", str(writer.replica), str(reader.replica), str(file))
    own, others = await carried_until_quiet([writer, reader], before)
    both = own + others
    median_ms = statistics.median(took["ms"])
    fleet.say(f"live edit: {both.both / count:.0f} bytes on both links, {median_ms:.1f} ms")
    return {
        **{name: total / count for name, total in both.figures("live_edit").items()},
        "live_edit_writer_bytes_up": own.up / count,
        "live_edit_writer_bytes_down": own.down / count,
        "live_edit_reader_bytes_up": others.up / count,
        "live_edit_reader_bytes_down": others.down / count,
        "live_edit_ms": median_ms,
    }
