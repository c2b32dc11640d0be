"""Whom a client's address stands for, where addresses are counted."""

import ipaddress


def origin(address: str) -> str:
    """`address` as it is counted: for IPv6 its /64 network, within which a client can choose addresses freely.

    Text that is no address counts as it is.
    """
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((int(known), 64), strict=False))
    return address
