"""How many connections and associations a peer may have, and how fast it may ask for new ones."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from node.config import LimitSettings

Clock = Callable[[], float]
_REMEMBERED: Final = 4096  # peers; beyond that the longest silent one is forgotten
_IPV6_SITE_BITS: Final = 64  # RFC 4291 section 2.5.1: what a single host can choose freely


def peer_of(address: str) -> str:
    """Return what counts as one peer: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False))


class Rate:
    """So many a minute for each key, a minute's worth of them at once; thread-safe."""

    def __init__(self, per_minute: int, clock: Clock = time.monotonic) -> None:
        self._capacity = float(per_minute)
        self._clock = clock
        self._lock = threading.Lock()
        self._left: dict[str, tuple[float, float]] = {}  # key: what is left, when

    def take(self, key: str) -> bool:
        """Take one; False if none is left."""
        with self._lock:
            now = self._clock()
            left, since = self._left.pop(key, (self._capacity, now))
            left = min(self._capacity, left + (now - since) * self._capacity / 60)
            enough = left >= 1
            # Put in again at the end: the first key is the one that was silent for longest.
            self._left[key] = (left - 1 if enough else left, now)
            if len(self._left) > _REMEMBERED:
                del self._left[next(iter(self._left))]
            return enough


class Turnstile:
    """Lets connections and associations in and counts those that are there; thread-safe."""

    def __init__(self, limits: LimitSettings, clock: Clock = time.monotonic) -> None:
        self._limits = limits
        self._connection_rate = Rate(limits.connections_per_minute, clock)
        self._association_rate = Rate(limits.associations_per_minute, clock)
        self._lock = threading.Lock()
        self._connections: Counter[str] = Counter()
        self._associations: set[object] = set()

    def enter(self, address: str) -> str:
        """Let a connection in; say why not, "" if it is in."""
        peer = peer_of(address)
        if not self._connection_rate.take(peer):
            return f"more than {self._limits.connections_per_minute} connections a minute"
        with self._lock:
            if self._connections.total() >= self._limits.maximum_connections:
                return f"{self._limits.maximum_connections} connections are open"
            if self._connections[peer] >= self._limits.maximum_connections_per_peer:
                return f"it has {self._limits.maximum_connections_per_peer} connections open"
            self._connections[peer] += 1
        return ""

    def leave(self, address: str) -> None:
        """A connection that was let in is over."""
        peer = peer_of(address)
        with self._lock:
            self._connections[peer] -= 1
            if self._connections[peer] <= 0:
                del self._connections[peer]

    def is_too_fast(self, calling_ae: str, address: str) -> str:
        """Say why a caller has to slow down; "" if it need not."""
        if self._association_rate.take(f"{calling_ae}@{peer_of(address)}"):
            return ""
        return f"more than {self._limits.associations_per_minute} associations a minute"

    def begin(self, association: object) -> str:
        """Count an association; say why it cannot begin, "" if it can."""
        with self._lock:
            if len(self._associations) >= self._limits.maximum_associations:
                return f"{self._limits.maximum_associations} associations are open"
            self._associations.add(association)
        return ""

    def end(self, association: object) -> None:
        """An association is over, begun or not."""
        with self._lock:
            self._associations.discard(association)
