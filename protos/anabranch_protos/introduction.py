"""How somebody new finds the root to trust: the token names its fingerprint, the hub shows its chain.

Nothing is sent before the root is found, and nothing of the chain is believed here: whoever connects
next has the root, and TLS verifies the chain with it.
"""

import socket
import ssl
import sys
from hashlib import sha256
from hmac import compare_digest
from typing import Any

# A person waits for it, perhaps on a slow link: a chain of certificates is 2 kB.
CONNECT_S_MAX = 20.0
# What _ssl.Certificate.public_bytes takes for DER.
_ENCODING_DER = 2


def root_shown(host: str, port: int, fingerprint: bytes) -> bytes | None:
    """The certificate of that fingerprint, in PEM, from the chain shown there; None: it is not in it.

    Raises ssl.SSLError where nobody speaks TLS 1.3, OSError where nobody answers.
    """
    for der in _chain_shown(host, port):
        if compare_digest(sha256(der).digest(), fingerprint):
            return ssl.DER_cert_to_PEM_cert(der).encode("ascii")
    return None


def _chain_shown(host: str, port: int) -> list[bytes]:
    """The certificates (DER) that the server shows to anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, port), timeout=CONNECT_S_MAX) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        return _unverified_chain(secured)


def _unverified_chain(secured: ssl.SSLSocket) -> list[bytes]:
    # Public from Python 3.13 on; before that the same method of the object underneath, since 3.10.
    if sys.version_info >= (3, 13):
        return list(secured.get_unverified_chain())
    shown: Any = secured._sslobj  # type: ignore[attr-defined]
    return [certificate.public_bytes(_ENCODING_DER) for certificate in shown.get_unverified_chain()]
