"""A word of a prompt, changed at one edge and read at another: what travels is the word."""

import anabranch
import pytest
from anabranch_hub.store import Edit
from anabranch_sync.ids import document_id

from tests.hub.api.fleet import Fleet, comes, read

pytestmark = pytest.mark.anyio

PROMPT = document_id("acme/prod/prompt")
TEXT = "You are a shop assistant. Be brief, be kind, and never promise a date of delivery."


async def test_a_text_goes_to_the_hub_and_on_as_what_became_of_it(fleet: Fleet) -> None:
    # given
    await fleet.hub.store.write(fleet.tenant, [Edit(PROMPT, {"text": TEXT})], author="op", message="")
    writer, reader = await fleet.enrol("e1"), await fleet.enrol("e2")
    for edge in (writer, reader):
        fleet.start(edge)
        await fleet.comes_together(edge)
    # when
    with anabranch.open(writer) as client:
        client.set("acme/prod/prompt", "/text", TEXT.replace("brief", "short"))
        client.set("acme/prod/prompt", "/text", TEXT.replace("kind", "firm"))
    # then
    await comes(lambda: read(reader, PROMPT) == {"text": TEXT.replace("kind", "firm")})
    for edge in (writer, reader):
        await fleet.comes_together(edge)
