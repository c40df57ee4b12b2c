"""The port to the queue engine: enqueue a task in the caller's transaction, run tasks, stop.

A task is one step of work. It carries only what names the work; what is true stands in our own
tables, so that running a task twice changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from sqlalchemy import Connection

Queue = Literal["pairing", "inference", "delivery", "fetch", "commitment"]
QUEUES: tuple[Queue, ...] = ("pairing", "inference", "delivery", "fetch", "commitment")


@dataclass(frozen=True, slots=True)
class Task:
    """One step of work on a queue.

    Attributes:
        key: Unique name; a second task of the same key is dropped.
        arguments: Plain values for the handler of the queue.
        delay_s: Do not run before this many seconds have passed.
        rank: Of two waiting tasks of a queue the smaller one runs first.
        lane: Of the queue: tasks of a lane that has limits wait for each other only.
    """

    queue: Queue
    key: str
    arguments: tuple[str | int, ...]
    delay_s: float = 0.0
    rank: int = 0
    lane: str = ""


@dataclass(frozen=True, slots=True)
class Lane:
    """A part of a queue with limits of its own, over all processes together.

    Attributes:
        concurrent: Tasks at once; 0 sets no limit.
        per_minute: Tasks begun in a minute; 0 sets no limit.
    """

    queue: Queue
    name: str
    concurrent: int = 0
    per_minute: int = 0

    @property
    def queue_name(self) -> str:
        """What the engine calls it."""
        return f"{self.queue}:{self.name}"


@dataclass(frozen=True, slots=True)
class BegunTask:
    """A task that an executor has begun and not finished."""

    key: str
    queue: str
    executor_id: str


Handler = Callable[..., None]


class Enqueuer(Protocol):
    """What every process needs of the engine: to put tasks into it."""

    def enqueue(self, connection: Connection, task: Task) -> None:
        """Put a task into its queue; it exists when the caller's transaction commits."""


class Engine(Enqueuer, Protocol):
    """What a worker or sender needs: to run the tasks of some queues."""

    def start(self, handlers: Mapping[Queue, Handler], concurrency: Mapping[Queue, int]) -> None:
        """Run the tasks of the given queues, those of a killed predecessor first."""

    def stop(self, drain_s: float) -> None:
        """Finish running tasks for at most `drain_s` seconds; the rest is resumed later."""
