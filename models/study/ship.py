"""Make the shipped bundle: `python -m models.study.ship --out models/bundles/simulated`.

Simulates a pretraining cohort, pretrains the slim backbone on it, simulates the study cohort with
another seed (516 training and 78 external cases), trains the bundle, and runs the study on the
same cohort with `--study FOLDER`. Each stage leaves its result in the work folder and is skipped
where that is there already; `--backbone FILE` takes weights that are there instead of pretraining,
so that only the study is repeated; `--cases N` makes a small trial of the whole.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.backbone.pretrain import PretrainSettings, Samples, pretrain
from models.backbone.weights import save_weights
from models.features.deep import DeepSettings
from models.fusion.settings import FusionSettings
from models.imaging.preparation import ImagingSettings
from models.simulation import write_cohort
from models.simulation.reader_calls import write_reader_calls
from models.study.card import Origin
from models.study.command import StudyFiles, write_study
from models.study.evaluate import evaluate_cohort
from models.study.evaluation_output import write_evaluation
from models.study.pretraining import simulated_samples
from models.study.run import StudyOptions
from models.study.train import train_bundle

PRETRAINING_CASES, PRETRAINING_SEED = 1000, 70001
STUDY_CASES, STUDY_SEED = 594, 516078
TRAINING_SEED = 1
VERSION = "2"
STUDY_TITLE = "CRDL on a simulated cohort"
SHIPPED_FILES = ("report.html", "manifest.json", "cost.json")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """What may differ from the shipped bundle.

    Attributes:
        cases: Of the study cohort, both sites.
        backbone: Weights to use; None pretrains them, or takes those left in the work folder.
        fusion: How models are fitted; None as shipped.
    """

    cases: int = STUDY_CASES
    backbone: Path | None = None
    fusion: FusionSettings | None = None


def ship(
    out: Path,
    work: Path,
    jobs: int,
    report: Callable[[str], Progress],
    trial: Trial | None = None,
) -> Path:
    """Run every stage that has not left its result in `work`.

    Args:
        out: Folder of the bundle; its name is the bundle's name.
        work: Folder of the intermediate results, about 3 GB.
        jobs: Processes, 0 for one a core.
        report: Gives the progress callback of a stage by the stage's name.
        trial: What is to differ from the shipped bundle.
    """
    trial = trial or Trial()
    work.mkdir(parents=True, exist_ok=True)
    backbone = trial.backbone or work / "backbone.safetensors"
    if not backbone.is_file():
        samples = _samples(work, jobs, report("simulating the pretraining cohort"))
        told = report("pretraining the backbone")
        # One thread: the weights then do not depend on the machine's number of cores.
        recipe = PretrainSettings(device="cpu", threads=1)
        weights = pretrain(samples, recipe, progress=lambda done, of, _: told(done, of))
        save_weights(weights, backbone)
    cohort = work / "cohort"
    if not (cohort / "clinical.csv").is_file():
        write_cohort(trial.cases, STUDY_SEED, cohort, jobs, report("simulating the study cohort"))
    return train_bundle(
        cohort,
        out,
        name=out.name,
        version=VERSION,
        backbone=backbone,
        seed=TRAINING_SEED,
        jobs=jobs,
        fusion=trial.fusion,
        origin=Origin(
            cohort=(
                f"{trial.cases} simulated cases (models/simulation, seed {STUDY_SEED}): "
                "site 1 for training, site 2 as external cohort."
            ),
            command=f"python -m models.study.ship --out models/bundles/{out.name}",
            backbone=(
                f"Slim 3D ResNet-18, pretrained on {PRETRAINING_CASES} other simulated cases "
                f"(seed {PRETRAINING_SEED})."
            ),
        ),
        progress=report("measuring and training"),
    )


def ship_study(
    out: Path,
    work: Path,
    bundle: Path,
    backbone: Path,
    jobs: int,
    report: Callable[[str], Progress],
    trial: Trial | None = None,
) -> Path:
    """Run the whole study on the cohort of the work folder and keep what is worth shipping.

    Args:
        out: Folder that gets report.html, manifest.json, cost.json and tables/.
        work: Where `ship` left the cohort; the whole study, PDF and figures too, stays in
            `study` there.
        bundle: Of `ship`; it aids the simulated readers.
        backbone: Weights that the bundle was trained with.
        jobs: Processes, 0 for one a core.
        report: As `ship`.
        trial: As `ship`; a small one draws no learning curve.
    """
    trial = trial or Trial()
    whole = work / "study"
    options = StudyOptions(
        title=STUDY_TITLE,
        mode="both",
        seed=TRAINING_SEED,
        jobs=jobs,
        learning_curve=trial.cases == STUDY_CASES,
        importance=True,
        fusion=trial.fusion or FusionSettings(),
    )
    cohort = work / "cohort"
    scores, _ = write_evaluation(evaluate_cohort(bundle, cohort, jobs=jobs), work / "evaluation")
    readers = work / "readers.csv"
    write_reader_calls(cohort, scores, readers)
    files = StudyFiles(cohort=cohort, backbone=backbone, readers=readers)
    written = write_study(files, options, whole, report("the study"))
    for warning in written.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    out.mkdir(parents=True, exist_ok=True)
    for name in SHIPPED_FILES:
        shutil.copyfile(whole / name, out / name)
    shutil.rmtree(out / "tables", ignore_errors=True)
    shutil.copytree(whole / "tables", out / "tables")
    return out


def _samples(work: Path, jobs: int, progress: Progress) -> Samples:
    kept = work / "samples.npz"
    if kept.is_file():
        with np.load(kept, allow_pickle=False) as archive:
            return Samples(
                crops=archive["crops"],
                targets={
                    name.removeprefix("target_"): archive[name]
                    for name in archive.files
                    if name.startswith("target_")
                },
                source=str(archive["source"]),
            )
    samples = simulated_samples(
        PRETRAINING_CASES, PRETRAINING_SEED, ImagingSettings(), DeepSettings(), jobs or -1, progress
    )
    columns: dict[str, Any] = {f"target_{name}": v for name, v in samples.targets.items()}
    np.savez(kept, crops=samples.crops, source=np.array(samples.source), **columns)
    return samples


def _reporter(stage: str) -> Progress:
    """Tell stderr a stage's progress, at most once in ten seconds."""
    last = [0.0]

    def told(done: int, total: int) -> None:
        now = time.monotonic()
        if done == total or now - last[0] > 10:
            last[0] = now
            sys.stderr.write(f"{stage}: {done} of {total}\n")

    return told


def main() -> None:
    """Read the arguments and ship."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the bundle")
    parser.add_argument("--work", type=Path, default=Path("data/ship"), help="working folder")
    parser.add_argument("--jobs", type=int, default=0, help="processes, 0 for one a core")
    parser.add_argument("--cases", type=int, default=STUDY_CASES, help="of the study cohort")
    parser.add_argument("--backbone", type=Path, help="weights to use instead of pretraining")
    parser.add_argument("--study", type=Path, help="folder for the study's report")
    parser.add_argument("--only-study", action="store_true", help="with --study: leave the bundle")
    chosen = parser.parse_args()
    trial = Trial(chosen.cases, chosen.backbone)
    if not (chosen.study and chosen.only_study):
        folder = ship(chosen.out, chosen.work, chosen.jobs, _reporter, trial)
        sys.stdout.write(f"{folder}\n")
    if chosen.study:
        weights = chosen.backbone or chosen.work / "backbone.safetensors"
        written = ship_study(
            chosen.study, chosen.work, chosen.out, weights, chosen.jobs, _reporter, trial
        )
        sys.stdout.write(f"{written}\n")


if __name__ == "__main__":
    main()
