"""Whether an address can be listened on, found out before anything slow is started."""

from __future__ import annotations

import errno
import socket

from anabranch_hub.errors import HubError, ListenRefused, PortInUse
from anabranch_hub.settings import Address


def check_listenable(address: Address) -> None:
    """Return if a server could listen on `address` now. Raises PortInUse, ListenRefused."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise listen_error(address, error) from error
    family, kind, protocol, _, place = found[0]
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: connections in TIME_WAIT of the hub before are nobody's.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
            probe.listen(1)
        except OSError as error:
            raise listen_error(address, error) from error


def listen_error(address: Address, error: OSError) -> HubError:
    """What the operating system's refusal means."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(host=address.host, port=address.port)
    return ListenRefused(str(address), error.strerror or str(error))
