"""Studies that arrive by chance, as in a hospital: a Poisson process of so many an hour."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

from node.bench.sender import LeanSender
from node.bench.studies import SentStudy, StudyTemplate


@dataclass(frozen=True, slots=True)
class Arrival:
    """A study whose last instance has been acknowledged.

    Attributes:
        at: When that was, seconds since the epoch.
    """

    study: SentStudy
    at: float


@dataclass
class Traffic:
    """Sends a study an association, at random moments, until its time is over.

    Attributes:
        images_per_hour: US images; a study has one, and a SEG besides.
        studies: Stop after so many; 0 for no limit.
        seed: Of the moments, so that two receivers get the same traffic.
        first: Number of the first study: those of two runs into one receiver must differ.
    """

    template: StudyTemplate
    address: tuple[str, int]
    called_ae: str
    images_per_hour: float
    seconds: float
    studies: int = 0
    seed: int = 4242
    first: int = 1
    arrivals: list[Arrival] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Send until the time, or the number of studies, is over.

        A study is sent by a thread of its own: one that is slow does not put off the next.
        """
        moments = random.Random(self.seed)  # noqa: S311 - traffic, no secret
        begun = time.monotonic()
        due = 0.0
        threads: list[threading.Thread] = []
        number = self.first
        while not self.studies or number < self.first + self.studies:
            due += moments.expovariate(self.images_per_hour / 3600)
            if due > self.seconds or self.stop.wait(max(0.0, begun + due - time.monotonic())):
                break
            thread = threading.Thread(target=self._send, args=(number,), daemon=True)
            thread.start()
            threads = [one for one in threads if one.is_alive()] + [thread]
            number += 1
        for thread in threads:
            thread.join()

    def _send(self, number: int) -> None:
        try:
            with LeanSender(self.address, self.called_ae, self.template.kinds) as sender:
                study = self.template.send(sender, number)
                self.arrivals.append(Arrival(study, time.time()))
        except Exception as error:  # noqa: BLE001 - the thread's boundary: the caller is told
            self.failures.append(f"study {number}: {error}")
