"""`crdl assess` and `crdl features`: the pipeline on files, no network."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from node.cli.output import ConfigOption, JsonOption, print_json
from node.config import load_settings
from node.database import utc_now


class FeatureSetName(StrEnum):
    """Which radiomics features."""

    FULL851 = "full851"
    WELLPOSED479 = "wellposed479"


class EngineName(StrEnum):
    """Who computes them."""

    FUSED = "fused"
    PYRADIOMICS = "pyradiomics"


def assess(
    files: Annotated[list[Path], typer.Argument(help="US images and SEGs, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the SRs, companions and findings.json.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Assess every SEG among the files. A refusal is an answer: it exits 0."""
    from node.pipeline.assess import Pipeline  # noqa: PLC0415 - torch on demand
    from node.service.offline import assess_files, read_instances  # noqa: PLC0415

    settings = load_settings(config)
    instances = read_instances(files)
    done = assess_files(instances, settings, Pipeline.load(settings.model), utc_now())
    out.mkdir(parents=True, exist_ok=True)
    findings = [finding.to_json() for one in done for finding in one.findings]
    for one in done:
        for thing in one.objects:
            name = f"{one.seg.header.sop_instance_uid}_{thing.kind}.dcm"
            (out / name).write_bytes(thing.data)
    console = Console(file=(out / "findings.json").open("w", encoding="utf-8"), width=200)
    console.print_json(data=findings)
    console.file.close()
    if as_json:
        print_json(findings)
        return
    for finding in findings:
        if finding["status"] == "refused":
            refusal = finding["refusal"]
            print(f"{finding['case']}: not assessed ({refusal['code']}): {refusal['text']}")
        else:
            print(
                f"{finding['case']}: {finding['class']}, probability {finding['probability']:.3f} "
                f"(threshold {finding['threshold']:.3f}, {finding['model']})"
            )
    print(f"written to {out}")


def features(
    files: Annotated[list[Path], typer.Argument(help="IMAGE and SEG, or one CASE.npz.")],
    feature_set: Annotated[
        FeatureSetName, typer.Option("--set", help="Radiomics features.")
    ] = FeatureSetName.WELLPOSED479,
    engine: Annotated[
        EngineName, typer.Option(help="Ours, or pyradiomics itself.")
    ] = EngineName.FUSED,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the features of one lesion: radiomics, deep and semantic, with the settings."""
    from node.service.measuring import features_of_arrays, features_of_files  # noqa: PLC0415

    if len(files) == 1 and files[0].suffix == ".npz":
        measured = features_of_arrays(files[0], feature_set.value, engine.value)
    else:
        settings = load_settings(config).model
        measured = features_of_files(files, feature_set.value, engine.value, settings)
    if as_json:
        print_json(measured)
        return
    for name, value in measured["radiomics"].items():
        print(f"{name}\t{value!r}")
    for name, feature in measured.get("semantic", {}).items():
        print(f"{name}\t{feature['value']}\t{feature['provenance']}")
