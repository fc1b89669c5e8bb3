"""Is what the counting link takes for TLS really TLS? Held against a connection whose plaintext is known.

OpenSSL, with an edge's own key and certificate, shakes hands with the hub and reads until the hub has said
its first words of HTTP/2. As many bytes as it decrypted, the link must have counted.
"""

import asyncio
import contextlib
import ssl
import tempfile
from pathlib import Path

from anabranch.identity import identity_folder, read_identity

from benchmarks.counting import Carried
from benchmarks.fleet import Edge, PhaseStuck

# What every HTTP/2 client sends first (RFC 9113, 3.4), and empty settings.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SILENT_S = 0.5


async def check_counting(edge: Edge) -> Carried:
    """What the handshake alone costs. Raises PhaseStuck when the link counts other than was decrypted."""
    before = edge.link.carried
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["h2"])
    identity = read_identity(identity_folder(edge.replica))
    context.load_verify_locations(cadata=identity.root_pem.decode())
    with tempfile.TemporaryDirectory() as folder:
        pair = Path(folder, "pair.pem")
        pair.touch(mode=0o600)
        pair.write_bytes(identity.key_pem + identity.chain_pem)
        context.load_cert_chain(pair)
    host, _, port = edge.link.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=host)
    writer.write(PREFACE)
    decrypted = 0
    with contextlib.suppress(TimeoutError):
        while chunk := await asyncio.wait_for(reader.read(65_536), SILENT_S):
            decrypted += len(chunk)
    carried = edge.link.carried - before
    writer.transport.abort()  # a polite end waits for the other side's
    if not decrypted or carried.down != decrypted:
        raise PhaseStuck(
            f"the link counted {carried.down} bytes down without TLS, decrypted were {decrypted}"
        )
    return carried
