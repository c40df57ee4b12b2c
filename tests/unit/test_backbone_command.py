"""The commands of the backbone: pretraining from a file of crops, and the benchmark."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from models.backbone.__main__ import main
from models.backbone.architecture import SLIM
from models.backbone.benchmark import compare, table
from models.backbone.weights import load_weights


@pytest.fixture
def a_file_of_crops(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    path = tmp_path / "crops.npz"
    crops = rng.standard_normal((12, 32, 32)).astype(np.float32)
    np.savez(path, crops=crops, label=np.arange(12) % 2.0, groups=np.arange(12) // 2)
    return path


def test_pretraining_writes_weights_that_load_and_prints_their_hash(
    a_file_of_crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "w.safetensors"
    common = ["--samples", str(a_file_of_crops), "--source", "noise", "--epochs", "1"]
    common += ["--batch", "4", "--device", "cpu", "--threads", "1"]
    assert main([*common, "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["sha256"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert load_weights(out, printed["sha256"]).card["source"] == "noise"

    assert main([*common, "--out", str(tmp_path / "tuned"), "--start", str(out)]) == 0
    tuned = json.loads(capsys.readouterr().out)
    assert tuned["card"]["recipe"]["started_from_sha256"] == printed["sha256"]


def test_a_file_without_crops_is_one_line_and_exit_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "x.npz", label=np.zeros(9))
    np.save(tmp_path / "y.npy", np.zeros(9))
    arguments = ["--samples", str(tmp_path / "x.npz"), "--source", "s", "--out", "nowhere"]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "holds no crops" in error
    assert error.count("\n") == 1
    assert main(["--samples", str(tmp_path / "y.npy"), *arguments[2:]]) == 1
    assert "no .npz file" in capsys.readouterr().err


def test_the_benchmark_measures_both_forms_and_their_difference() -> None:
    row = compare(SLIM, size=32, rounds=1, threads=1)
    assert row.difference <= 1e-6 < row.largest
    assert row.volume_ms > 0.0 < row.runner_ms
    assert row.form in table([row])
