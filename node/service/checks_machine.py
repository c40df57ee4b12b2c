"""The doctor on the machine: who may read what, and what the model runs on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from node.config import Settings
from node.service.check import Check, Verdict

_SECRET = ("key", "key_password_file", "passphrase_file", "client_secret_file", "url_file")


def check_permissions(settings: Settings) -> Iterator[Check]:
    """Say whether others on this machine may read patients, keys or passphrases."""
    data = settings.node.data_dir
    if data.is_dir():
        found = data.stat()
        if found.st_mode & stat.S_IRWXO:
            yield Check("permissions", "warning", f"others may enter {data}; chmod o= {data}")
        if found.st_uid != os.geteuid():
            yield Check(
                "permissions",
                "warning",
                f"{data} belongs to another user than runs this; run doctor as the node's user",
            )
    for path in _secrets(settings):
        mode = path.stat().st_mode if path.is_file() else 0
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            # The audit key proves the record: who can read it can forge it. A group of the node's
            # own is fine (Kubernetes mounts secrets so), everybody is not.
            fatal = path == settings.audit_key and mode & stat.S_IRWXO
            verdict: Verdict = "failed" if fatal else "warning"
            yield Check("permissions", verdict, f"others may read {path}; chmod 600 {path}")
        elif path.exists() and not os.access(path, os.R_OK):
            yield Check("permissions", "failed", f"{path} cannot be read by this user")
    if os.geteuid() == 0:
        yield Check("permissions", "warning", "this runs as root; give the node a user of its own")
    else:
        yield Check("permissions", "ok", f"user {os.geteuid()}, not root")


def _secrets(settings: Settings) -> list[Path]:
    found = [settings.audit_key]
    for name in Settings.model_fields:
        section = getattr(settings, name)
        if isinstance(section, BaseModel):
            found += [value for key, value in section if key in _SECRET and isinstance(value, Path)]
    return found


def check_device(settings: Settings) -> Iterator[Check]:
    """Say which devices there are, and whether the one that is asked for is among them."""
    import torch  # noqa: PLC0415 - only the doctor and the worker load it

    from models.backbone.device import (  # noqa: PLC0415 - same
        choose_device,
        count_cuda_devices,
        make_visible,
    )

    asked, number = make_visible(settings.model.device), count_cuda_devices()
    choice = choose_device(asked, number)
    for index in range(number):
        free, total = torch.cuda.mem_get_info(index)
        yield Check(
            "device",
            "ok" if free > total // 10 else "warning",
            f"cuda:{index} {torch.cuda.get_device_name(index)}, "
            f"{free >> 20} of {total >> 20} MiB free",
        )
    if choice.reason:
        yield Check("device", "failed", f"{choice.reason}: set [model] device to what there is")
    elif number and asked == "cpu":
        yield Check("device", "warning", f"{number} CUDA devices are left idle by device = cpu")
    else:
        threads = torch.get_num_threads()
        yield Check("device", "ok", f"{asked} is {choice.device}, {threads} threads for the CPU")
    if choice.device != "cpu":
        yield _numerics(settings, choice.device)


def _numerics(settings: Settings, device: str) -> Check:
    """Compare the deep features of a reference case on the device with those of the CPU."""
    from models.backbone.agreement import TOLERANCE, disagreement  # noqa: PLC0415 - torch
    from models.backbone.weights import load_weights  # noqa: PLC0415 - torch
    from models.bundle import Bundle  # noqa: PLC0415 - torch

    bundle = Bundle.load(settings.model.bundle)
    if bundle.backbone is None:
        return Check("numerics", "ok", "the bundle has no deep model to compare")
    found = disagreement(load_weights(bundle.backbone, bundle.backbone_sha256), device)
    if found.fallback_reason:
        return Check("numerics", "failed", f"{device} did not answer: {found.fallback_reason}")
    verdict: Verdict = "ok" if found.relative <= TOLERANCE else "failed"
    return Check(
        "numerics",
        verdict,
        f"{device} differs from the CPU by {found.relative:.1e} of the largest feature "
        f"(at most {TOLERANCE:.0e})",
    )
