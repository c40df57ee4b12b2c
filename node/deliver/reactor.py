"""A pause of pynetdicom's reactor that holds.

An association runs a thread, the reactor, that takes whatever the peer sends off a queue. To send
a request and read its answer, the caller pauses that thread first. pynetdicom 3.0 takes the
reactor for paused one step before it is: a reactor that loses the processor in between wakes up
later, takes the answer off the queue and drops it as "unexpected", and the caller waits for an
answer that has already been there until its time is over. Under load that happens.
"""

from __future__ import annotations

import threading

from pynetdicom.association import Association


class Checkpoint(threading.Event):
    """An event whose `clear` returns only once the reactor stands still in `wait`.

    The reactor waits here once a round, so clearing takes about a millisecond; it does not wait
    for a reactor that has ended, nor for the reactor itself.
    """

    def __init__(self, reactor: threading.Thread) -> None:
        super().__init__()
        self._reactor = reactor
        self._parked = threading.Event()
        self.set()

    def clear(self) -> None:
        """Stop the reactor at its next round and wait until it has stopped."""
        self._parked.clear()
        super().clear()
        if threading.current_thread() is self._reactor:
            return
        while self._reactor.is_alive() and not self._parked.wait(0.01):
            pass

    def wait(self, timeout: float | None = None) -> bool:
        """Let the reactor pass, or hold it until the event is set."""
        if self.is_set():
            return True
        self._parked.set()
        return super().wait(timeout)


def pause_properly(association: Association) -> None:
    """Give an established association a checkpoint that holds.

    It is to be called before the first request; the reactor passes the old checkpoint, which
    nobody clears any more, at most once.
    """
    association._reactor_checkpoint = Checkpoint(association)  # noqa: SLF001 - no public way to it
