"""How the work is shared among processes and machines."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from node.config.section import Section

WorkQueue = Literal["pairing", "inference"]


class WorkerSettings(Section):
    """`[worker]`: what a process of the roles work and deliver takes from the queues.

    `queues` are those that a worker takes: `["inference"]` on a machine with a GPU,
    `["pairing"]` on one without. `inference_threads` assess at once and share the GPU's batches,
    which wait at most `batch_ms` for each other. Each queue is looked at every `poll_s` seconds:
    with very many processes that is what the database mostly does. `processes` is how many workers
    an embedded node starts.
    """

    queues: tuple[WorkQueue, ...] = ("pairing", "inference")
    processes: int = Field(1, ge=1, le=64)
    pairing_threads: int = Field(2, ge=1, le=64)
    inference_threads: int = Field(1, ge=1, le=64)
    delivery_threads: int = Field(4, ge=1, le=64)
    batch_ms: float = Field(5.0, ge=0, le=1000)
    poll_s: float = Field(0.05, ge=0.01, le=10)

    @model_validator(mode="after")
    def _a_worker_takes_something(self) -> Self:
        if not self.queues or len(set(self.queues)) != len(self.queues):
            raise ValueError("worker.queues names pairing, inference or both, each once")
        return self
