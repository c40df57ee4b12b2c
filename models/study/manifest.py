"""The manifest of a study: what was run on what, and every model's figures, as plain JSON.

Nothing in it depends on the clock, the machine's speed or the number of processes: two runs with
one seed on the same files give the same bytes.
"""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from models.fusion.settings import FusionSettings
from models.study.material import Material
from models.study.results import Mode, ModelResult, Performance
from models.study.roster import Roster

FORMAT = "crdl-study-1"
_PACKAGES = (
    "crdl-node", "numpy", "scipy", "scikit-learn", "statsmodels", "pandas", "pingouin",
    "pyradiomics-bhklab", "torch", "neuroHarmonize",
)  # fmt: skip
_SHARES = ("accuracy", "sensitivity", "specificity", "ppv", "npv")


def manifest(
    material: Material,
    results: Mapping[Mode, Sequence[ModelResult]],
    plan: Roster,
    fusion: FusionSettings,
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """Describe a study.

    Args:
        material: What it was computed from.
        results: The models by mode; `models` are those of the first mode.
        plan: Which models there are and why others are not.
        fusion: The fixed choices.
        asked: What the caller asked for: title, mode, seed and options.
    """
    shown = next(iter(results))
    modes = {mode: {m.name: _model(m) for m in models} for mode, models in results.items()}
    cohorts = {"training": material.training, "external": material.external}
    data = {
        "format": FORMAT,
        **asked,
        "mode_of_models": shown,
        "simulated": material.simulated,
        "models": modes[shown],
        "absent": dict(plan.absent),
        "modes": {mode: {"models": found} for mode, found in modes.items() if mode != shown},
        "cohorts": {
            name: {
                "cases": len(cohort.table.ids),
                "malignant": int(cohort.table.labels.sum()),
                "patients": len(set(cohort.table.patients)),
                "intermediate": int(cohort.intermediate.sum()),
            }
            for name, cohort in cohorts.items()
            if cohort is not None
        },
        "features": len(material.training.table.names),
        "dropped": {why: list(names) for why, names in material.dropped.items()},
        "flow": [
            {
                "box": step.title,
                "remaining": dict(step.remaining),
                "excluded": {why: list(ids) for why, ids in step.excluded.items()},
            }
            for step in material.flow
        ],
        "settings": {"fusion": fusion.to_dict(), "features": dict(material.settings)},
        "inputs": dict(sorted(material.inputs.items())),
        "versions": versions(),
    }
    found: dict[str, Any] = _plain(data)
    return found


def manifest_json(data: Mapping[str, Any]) -> str:
    """Return a manifest as it is written: models in the paper's order, no NaN."""
    return json.dumps(data, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def figures(found: Performance) -> dict[str, Any]:
    """Return a performance as plain values; intervals are [low, high] at 95 %."""
    calibration = found.calibration
    return {
        "cases": len(found.ids),
        "malignant": int(found.labels.sum()),
        "auc": found.auc.value,
        "auc_ci": found.auc.interval,
        "auc_ci_bootstrap": found.auc_bootstrap.interval,
        "threshold": found.threshold,
        **{name: getattr(found, name).value for name in _SHARES},
        **{f"{name}_ci": getattr(found, name).interval for name in _SHARES},
        "brier": calibration.brier,
        "calibration_slope": calibration.slope.value,
        "calibration_intercept": calibration.intercept.value,
        "calibration_ici": calibration.ici,
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _model(model: ModelResult) -> dict[str, Any]:
    return {
        "title": model.title,
        "cross_validated": figures(model.cross_validated),
        "external": None if model.external is None else figures(model.external),
        "selected": dict(model.selected),
        "note": model.note,
    }


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON is any nesting
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
