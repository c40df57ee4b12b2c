"""Pretraining of the slim backbone, and fine-tuning of any: the same function, the same command.

The samples must come from another cohort than the one the fusion model is trained and evaluated
on: another seed of the simulation, other patients of a user's. A backbone that has seen a study's
lesions carries their labels into its features, and every cross-validated figure with it. The card
states the source, so that a reader of a study can check.

Deterministic by seed on the CPU for a fixed number of threads. On CUDA the same holds on one card
with CUBLAS_WORKSPACE_CONFIG=:4096:8 in the environment (torch, "Reproducibility").
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.backbone.architecture import SLIM, Architecture
from models.backbone.augment import augment
from models.backbone.collapse import collapse
from models.backbone.device import choose_device, count_cuda_devices
from models.backbone.errors import PretrainingError
from models.backbone.resnet3d import ResNet18
from models.backbone.runner import reproducible
from models.backbone.tasks import TASKS, Targets, multi_task_loss, scores
from models.backbone.weights import Weights, load_into, weights_of

Progress = Callable[[int, int, float], None]
"""Called after each epoch with its number from 1, the number of epochs, and its mean loss."""

FEWEST_SAMPLES = 8


@dataclass(frozen=True, slots=True)
class PretrainSettings:
    """How to train.

    Attributes:
        architecture: what to train, in its 2D form: the samples are slices.
        seed: of initialisation, split, order and augmentation.
        epochs: passes over the samples.
        batch: samples per step.
        learning_rate: highest of the one-cycle schedule (Smith and Topin 2018).
        weight_decay: of AdamW (Loshchilov and Hutter 2019).
        dropout: of the features before the task heads.
        holdout: share of the groups kept from training, on which the card's scores are computed.
        threads: CPU threads; part of what makes a run repeatable.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        PretrainingError: a value is out of range, or the architecture is one of volumes.
    """

    architecture: Architecture = SLIM
    seed: int = 0
    epochs: int = 24
    batch: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    holdout: float = 0.15
    threads: int = 2
    device: str = "auto"

    def __post_init__(self) -> None:
        if min(self.epochs, self.threads) < 1 or self.batch < 2 or self.learning_rate <= 0.0:
            raise PretrainingError("epochs, threads and learning rate are positive, batch above 1")
        if not 0.0 <= self.holdout < 0.9 or not 0.0 <= self.dropout < 1.0:
            raise PretrainingError("holdout is 0 to 0.9, dropout 0 to 1")
        if self.architecture.volume or self.architecture.precision != "fp32":
            raise PretrainingError("pretraining is on slices, in fp32")


@dataclass(frozen=True, slots=True)
class Samples:
    """What to train on.

    Attributes:
        crops: `(N, S, S)` float32, as `models.features.deep.prepare_crop` makes them.
        targets: `(N,)` columns by name of `models.backbone.tasks.TASKS`; NaN where not known.
        groups: `(N,)` patient of each sample, so that none is on both sides of the split; None
            where every sample is another patient.
        source: which cohort this is, for the card.

    Raises:
        PretrainingError: shapes differ, samples are too few or a crop is not finite.
    """

    crops: NDArray[np.float32]
    targets: Mapping[str, NDArray[np.float64]]
    source: str
    groups: NDArray[np.str_] | NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.crops.ndim != 3 or self.crops.dtype != np.float32:
            raise PretrainingError(f"crops are (N, S, S) float32, not {self.crops.shape}")
        if len(self.crops) < FEWEST_SAMPLES:
            raise PretrainingError(f"{len(self.crops)} samples are fewer than {FEWEST_SAMPLES}")
        if not np.isfinite(self.crops).all():
            raise PretrainingError("a crop holds a value that is not a finite number")
        if self.groups is not None and self.groups.shape != (len(self.crops),):
            raise PretrainingError("groups name the patient of each sample")
        if not self.source:
            raise PretrainingError("the card needs the source of the samples")


def pretrain(
    samples: Samples,
    settings: PretrainSettings | None = None,
    start: Weights | None = None,
    progress: Progress | None = None,
) -> Weights:
    """Train a backbone on several tasks at once and keep its features.

    Args:
        samples: crops, targets and where they come from.
        settings: the recipe; the default suits about a thousand samples.
        start: weights to fine-tune (their architecture is used); None starts from `seed`.
        progress: told of each epoch.

    Returns:
        2D weights, rounded as their file is, with a card that holds the recipe, the counts and
        the scores on the held-out groups.

    Raises:
        PretrainingError: the samples cannot be trained on, or training diverged.
    """
    settings = settings or PretrainSettings()
    targets = Targets.of(samples.targets, len(samples.crops))
    training, heldout = split(samples, settings)
    device = choose_device(settings.device, count_cuda_devices()).device
    with _repeatable(settings):
        network = _network(settings, start)
        architecture = network.architecture
        head = nn.Linear(architecture.features, len(TASKS))
        model = nn.Sequential(network, nn.Dropout(settings.dropout), head).to(device)
        loss = _train(model, samples.crops[training], targets.values[training], settings, progress)
        outputs = _predict(model, samples.crops[heldout])
    card = {
        "name": architecture.name,
        "source": samples.source,
        "note": "not to be used on the cohort it was trained on",
        "recipe": {
            "seed": settings.seed,
            "epochs": settings.epochs,
            "batch": settings.batch,
            "learning_rate": settings.learning_rate,
            "weight_decay": settings.weight_decay,
            "dropout": settings.dropout,
            "threads": settings.threads,
            "device": device,
            "torch": str(torch.__version__),
            "started_from_sha256": "" if start is None else start.sha256,
        },
        "crop": list(samples.crops.shape[1:]),
        "samples": {"training": len(training), "held_out": len(heldout)},
        "training_loss": round(loss, 5),
        "held_out_scores": scores(outputs, targets.values[heldout]),
    }
    return weights_of(network, card)


def split(
    samples: Samples, settings: PretrainSettings
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the training and of the held-out samples, no group in both."""
    groups = np.arange(len(samples.crops)) if samples.groups is None else samples.groups
    names = np.unique(groups)
    shuffled = np.random.default_rng(settings.seed).permutation(names)
    kept_back = shuffled[: round(settings.holdout * len(names))]
    heldout = np.isin(groups, kept_back)
    return np.flatnonzero(~heldout), np.flatnonzero(heldout)


def _network(settings: PretrainSettings, start: Weights | None) -> ResNet18:
    architecture = settings.architecture if start is None else start.architecture
    if architecture.volume:
        raise PretrainingError("weights of a model of volumes cannot be tuned on slices")
    network = ResNet18(replace(architecture, dimensions=2), 2)
    if start is None:
        network.initialise(settings.seed)
    else:
        flat = Weights(network.architecture, collapse(start.tensors), start.card, start.sha256)
        load_into(network, flat)
    return network


def _train(
    model: nn.Module,
    crops: NDArray[np.float32],
    targets: NDArray[np.float64],
    settings: PretrainSettings,
    progress: Progress | None,
) -> float:
    """Train in place; the mean loss of the last epoch."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay
    )
    # a last batch of one sample has no variance to normalise by, so the rest of a batch is left
    # out of its epoch; the order changes with each
    batch = min(settings.batch, len(crops))
    steps = len(crops) // batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=steps * settings.epochs, pct_start=0.2
    )
    # not channels_last, which serving uses: its backward pass overran memory in torch 2.13 on
    # networks narrower than 16 channels
    x_all = torch.from_numpy(crops)[:, None]
    y_all = torch.from_numpy(targets).float()
    model.train()
    mean = 0.0
    for epoch in range(1, settings.epochs + 1):
        order = torch.randperm(len(crops), generator=generator)
        total = 0.0
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            x = augment(x_all[chosen], generator).to(device)
            loss = multi_task_loss(model(x), y_all[chosen].to(device))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
            total += loss.item()
        mean = total / steps
        if not np.isfinite(mean):
            raise PretrainingError(f"training diverged in epoch {epoch}: lower the learning rate")
        if progress is not None:
            progress(epoch, settings.epochs, mean)
    return mean


def _predict(model: nn.Module, crops: NDArray[np.float32]) -> NDArray[np.float64]:
    device = next(model.parameters()).device
    model.eval()
    with torch.no_grad():
        rows = [model(torch.from_numpy(crop)[None, None].to(device)).cpu() for crop in crops]
    return torch.cat(rows).double().numpy() if rows else np.zeros((0, len(TASKS)))


@contextmanager
def _repeatable(settings: PretrainSettings) -> Iterator[None]:
    """Seeded, single-algorithm torch; the caller's random state and settings come back after."""
    before = torch.are_deterministic_algorithms_enabled()
    devices = list(range(count_cuda_devices()))
    with torch.random.fork_rng(devices=devices), reproducible(settings.threads):
        torch.manual_seed(settings.seed)
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(mode=before)
