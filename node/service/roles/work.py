"""Work: pairing and assessment, either or both."""

from __future__ import annotations

import threading

from models.imaging.isolated import DECODER
from node.jobs.assessing import Assessor
from node.jobs.dbos_engine import DbosEngine
from node.jobs.engine import Handler, Queue
from node.jobs.pairing import Pairer
from node.jobs.recovery import start_sweeper
from node.service.compose import Foundation, assessment_stage, compose
from node.service.executors import executor_name, holding, lanes
from node.service.roles.ready import DRAIN_S, announce


def run(foundation: Foundation, stop: threading.Event) -> None:
    """Run the tasks of the pairing and the inference queue, of either or of both."""
    settings = foundation.settings
    worker = settings.worker
    DECODER.launch()
    assess = None
    if "inference" in worker.queues:
        from node.service.activation import Lectern  # noqa: PLC0415 - torch, where it is used

        together = worker.inference_threads > 1
        batch_s = worker.batch_ms / 1000 if together else 0.0
        lectern = Lectern(foundation.database, settings.model, batch_s)
        lectern.warm_up()
        assess = assessment_stage(settings, lectern)
    stages = compose(settings, assess=assess)
    with holding(foundation.database, executor_name(settings, "work")) as executor:
        stop_sweeper = start_sweeper(foundation.database, executor, "work")
        engine = DbosEngine(foundation.database, executor, lanes(settings), worker.poll_s)
        rooms = (foundation.database, foundation.trail, engine, stages, foundation.blobs)
        handlers: dict[Queue, Handler] = {
            "pairing": Pairer(*rooms),
            "inference": Assessor(*rooms),
        }
        engine.start(
            {queue: handlers[queue] for queue in worker.queues},
            {"pairing": worker.pairing_threads, "inference": worker.inference_threads},
        )
        announce()
        stop.wait()
        engine.stop(DRAIN_S)
        stop_sweeper()
