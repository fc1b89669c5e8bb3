"""How an edge reaches its hub through relays, and how the hub knows it behind them.

::

    child ---TLS---> relay ---TLS---> relay ---TLS---> hub
             certificate      BEHIND: child    BEHIND: child, relay

A relay passes on the certificate of whoever called it, behind those that were passed on to it. The frames go
through unchanged. All relays of a tenant have one name in their certificates, so a child needs to know an
address and nothing else, and no address is in a certificate.
"""

# A repeated header: the child first, each relay after it, in DER.
BEHIND = "anabranch-behind-bin"
# A certificate is under 700 bytes in DER, 950 in a header of at most 4 KiB.
LEVELS_MAX = 3
# A site has some dozens of machines, with an exchange and its ghost each; a larger one has more relays.
STREAMS_PER_RELAY_MAX = 256


def relay_name(tenant: str) -> str:
    """The name for which every relay of `tenant` has a certificate, and no server of another kind."""
    return f"relay.{tenant}.anabranch.internal"
