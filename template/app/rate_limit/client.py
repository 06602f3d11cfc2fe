"""The key by which one client is told from another."""

from ipaddress import IPv6Address, ip_address

# A provider gives each customer at least a /64 of IPv6: one client has 2^64 addresses.
_IPV6_BYTES = 64 // 8


def client_key(client: str) -> bytes:
    """Return what all addresses of one client have in common."""
    try:
        address = ip_address(client)
    except ValueError:
        return client.encode()
    return address.packed[:_IPV6_BYTES] if isinstance(address, IPv6Address) else address.packed
