"""How long one case takes, stage by stage: what `crdl bench assess` runs."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from models.simulation.case import simulate_case
from models.simulation.cohort import write_case
from node.case import Case
from node.config import ModelSettings, Settings
from node.jobs.stages import StoredInstance
from node.pipeline.assess import Pipeline
from node.service.offline import pair_files, read_instances

_SEED = 4242


def time_cases(cases: int, rounds: int) -> Iterator[dict[str, Any]]:
    """Assess simulated cases on the CPU, warm, and yield medians over the rounds.

    Each row has the lesion's size in image pixels, wall and CPU milliseconds of the whole
    assessment, and milliseconds by stage.
    """
    pipeline = Pipeline.load(ModelSettings(device="cpu"))
    pipeline.warm_up()
    for index in range(1, cases + 1):
        with tempfile.TemporaryDirectory() as folder:
            case = simulate_case(index, _SEED)
            write_case(case, Path(folder))
            names = ("grey.dcm", "colour.dcm", "seg-reader1.dcm")
            instances = read_instances([Path(folder) / name for name in names])
            (paired,) = pair_files(instances, Settings())
            yield _timed(pipeline, paired, instances, rounds)


def _timed(
    pipeline: Pipeline, case: Case, instances: Mapping[str, StoredInstance], rounds: int
) -> dict[str, Any]:
    wall, cpu, stages = [], [], []
    pixels = 0
    for _ in range(rounds):
        start, cpu_start = time.perf_counter(), time.process_time()
        (result,) = pipeline.assess([case], instances)
        wall.append(1000 * (time.perf_counter() - start))
        cpu.append(1000 * (time.process_time() - cpu_start))
        stages.append(result.finding.timings_ms)
        outline = result.evidence.outline
        x, y = outline[:, 0], outline[:, 1]
        pixels = round(abs(float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())) / 2)
    return {
        "lesion_pixels": pixels,
        "wall_ms": round(statistics.median(wall), 1),
        "cpu_ms": round(statistics.median(cpu), 1),
        **{stage: round(statistics.median(one[stage] for one in stages), 1) for stage in stages[0]},
    }
