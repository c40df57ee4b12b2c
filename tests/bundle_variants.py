"""Bundles that differ from the shipped one in a known way, for what happens when bundles change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.bundle import SHIPPED, Bundle
from models.bundles.description import DESCRIPTION
from models.bundles.manifest import write_manifest


def variant(folder: Path, change: Callable[[dict[str, Any]], None] | None = None) -> Bundle:
    """Copy the shipped bundle under the folder's name; change its description."""
    shutil.copytree(SHIPPED / "simulated", folder)
    data = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    data["name"] = folder.name
    if change is not None:
        change(data)
    (folder / DESCRIPTION).write_text(json.dumps(data), encoding="utf-8")
    write_manifest(folder)
    return Bundle.load(folder)


def that_calls_everything_malignant(data: dict[str, Any]) -> None:
    """Put every model's operating point near zero."""
    for model in data["models"]:
        model["threshold"] = 1e-9
