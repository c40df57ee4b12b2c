"""Pretrain or fine-tune a backbone on prepared crops: `python -m models.backbone --help`.

The samples are one .npz file: `crops` (N, S, S) float32 from
`models.features.deep.prepare_crop`, optionally `groups` (N,) naming the patients, and one column
(N,) for each target that is known (`models.backbone.tasks.TASKS`), NaN where it is not.
"""

import argparse
import json
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.backbone.errors import BackboneError, PretrainingError
from models.backbone.pretrain import PretrainSettings, Samples, pretrain
from models.backbone.weights import load_weights, save_weights


def read_samples(path: Path, source: str) -> Samples:
    """The samples of an .npz file.

    Raises:
        PretrainingError: the file cannot be read or holds no crops, or its arrays do not fit.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        with np.load(path, allow_pickle=False) as arrays:
            columns = {name: arrays[name] for name in names}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise PretrainingError(f"{path} is no .npz file of plain arrays") from error
    if "crops" not in columns:
        raise PretrainingError(f"{path} holds no crops")
    crops, groups = columns.pop("crops"), columns.pop("groups", None)
    return Samples(crops, columns, source, groups)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when the weights are written, 1 when they cannot be."""
    defaults = PretrainSettings()
    parser = argparse.ArgumentParser(prog="python -m models.backbone", description=__doc__)
    parser.add_argument("--samples", type=Path, required=True, help="the .npz file")
    parser.add_argument("--source", required=True, help="which cohort this is, for the card")
    parser.add_argument("--out", type=Path, required=True, help="the weights to write")
    parser.add_argument("--start", type=Path, help="weights to fine-tune")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--batch", type=int, default=defaults.batch)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--device", default=defaults.device, help="auto, cpu, cuda or cuda:N")
    options = parser.parse_args(arguments)
    try:
        settings = PretrainSettings(
            seed=options.seed,
            epochs=options.epochs,
            batch=options.batch,
            learning_rate=options.learning_rate,
            threads=options.threads,
            device=options.device,
        )
        start = None if options.start is None else load_weights(options.start)
        samples = read_samples(options.samples, options.source)
        weights = pretrain(samples, settings, start, _tell if sys.stderr.isatty() else None)
        digest = save_weights(weights, options.out)
    except BackboneError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(json.dumps({"sha256": digest, "card": dict(weights.card)}) + "\n")
    return 0


def _tell(epoch: int, epochs: int, loss: float) -> None:
    end = "\n" if epoch == epochs else ""
    sys.stderr.write(f"\repoch {epoch} of {epochs}, loss {loss:.4f}{end}")


if __name__ == "__main__":
    sys.exit(main())
