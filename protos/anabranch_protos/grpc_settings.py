"""What gRPC reads from the environment, the same on both sides.

TLS 1.3 and nothing older: grpc for Python has no setting for it. BoringSSL under it offers TLS 1.2 unless its
cipher list for 1.2 holds only suites that need a shared key, which nobody has; the suites of 1.3 are not in
that list.
"""

import os
import sys

CIPHER_SUITES = "PSK-AES128-CBC-SHA"


def settle_grpc() -> None:
    """Let gRPC in this process speak TLS 1.3 only, and leave what it has to say to our logs.

    gRPC reads its environment once: this has no effect when grpc is imported already.
    """
    if "grpc" not in sys.modules:
        os.environ["GRPC_SSL_CIPHER_SUITES"] = CIPHER_SUITES
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
