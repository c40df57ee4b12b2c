"""Hosts in small: network namespaces with addresses of their own on one virtual switch.

A process that is started by a thread inside a namespace lives there. All of it is gone at the end;
the machine's own network is not touched. Needs root and a kernel that lets us.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_CLONE_NEWNET = 0x40000000  # setns(2)
_SWITCH = "switch"
_NETWORK = "10.77.0"


@dataclass
class Hosts:
    """Namespaces by name, each with one address; `cut` takes one off the switch."""

    prefix: str
    addresses: dict[str, str] = field(default_factory=dict)

    def add(self, name: str) -> str:
        """Make a host; return its address."""
        address = f"{_NETWORK}.{len(self.addresses) + 2}"
        _ip("netns", "add", self._full(name))
        self.addresses[name] = address
        # A link's name has at most 15 characters.
        port = self._port(name)
        peer = ("peer", "name", "eth0", "netns", self._full(name))
        _ip("link", "add", port, "netns", self._full(_SWITCH), "type", "veth", *peer)
        self._switch("link", "set", port, "master", "br0", "up")
        within = ("-n", self._full(name))
        _ip(*within, "link", "set", "lo", "up")
        _ip(*within, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip(*within, "link", "set", "eth0", "up")
        return address

    def cut(self, name: str) -> None:
        """Pull the cable: nobody is told, nothing comes back."""
        self._switch("link", "set", self._port(name), "down")

    def heal(self, name: str) -> None:
        """Put the cable back."""
        self._switch("link", "set", self._port(name), "up")

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Whatever this thread opens or starts meanwhile is on that host."""
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(Path("/run/netns") / self._full(name), os.O_RDONLY)
        try:
            _enter(there)
            yield
        finally:
            _enter(here)
            os.close(there)
            os.close(here)

    def _full(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    def _port(self, name: str) -> str:
        return f"to-{name}"[:15]

    def _switch(self, *arguments: str) -> None:
        _ip("-n", self._full(_SWITCH), *arguments)


@contextmanager
def hosts(*names: str) -> Iterator[Hosts]:
    """Hosts on one switch; skipped by name where the machine does not allow it."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces need root")
    made = Hosts(f"crdl{os.getpid()}")
    try:
        _ip("netns", "add", made._full(_SWITCH))
        made._switch("link", "add", "br0", "type", "bridge")
    except (OSError, subprocess.CalledProcessError) as error:
        _remove(made)
        said = getattr(error, "stderr", "") or str(error)
        pytest.skip(f"network namespaces are not available here: {said.strip()}")
    try:
        made._switch("link", "set", "br0", "up")
        for name in names:
            made.add(name)
        yield made
    finally:
        _remove(made)


def _remove(made: Hosts) -> None:
    for name in (*made.addresses, _SWITCH):
        subprocess.run(["ip", "netns", "del", made._full(name)], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
