"""A reading among files: the report that `crdl assess` makes rests on it, as in service."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.simulation.case import simulate_case
from models.simulation.cohort import write_case
from node.config import Settings
from node.database import utc_now
from node.pipeline.assess import Pipeline
from node.service.offline import assess_files, read_instances


@pytest.fixture(scope="module")
def a_case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("case")
    write_case(simulate_case(1, 1), folder, readings=True)
    return folder


@pytest.fixture(scope="module")
def a_pipeline() -> Pipeline:
    return Pipeline.load(Settings().model)


def semantics(folder: Path, pipeline: Pipeline, *names: str, accept: bool = True) -> dict[str, str]:
    settings = Settings(reading={"accept": accept})  # type: ignore[arg-type]
    paths = [folder / f"{name}.dcm" for name in ("grey", "colour", *names)]
    (made,) = assess_files(read_instances(paths), settings, pipeline, utc_now())
    (finding,) = made.findings
    assert finding.status == "assessed"
    return {name: feature.provenance for name, feature in finding.semantic.items()}


def test_what_a_person_read_counts_and_the_rest_is_measured(
    a_case: Path, a_pipeline: Pipeline
) -> None:
    own = semantics(a_case, a_pipeline, "seg-reader1", "reading-reader1")
    assert set(own.values()) == {"read"}
    assert len(own) == 5


def test_without_a_reading_everything_is_measured(a_case: Path, a_pipeline: Pipeline) -> None:
    assert set(semantics(a_case, a_pipeline, "seg-reader1").values()) == {"measured"}


def test_a_reading_of_a_seg_that_is_not_here_counts_by_its_tracking_uid(
    a_case: Path, a_pipeline: Pipeline
) -> None:
    found = semantics(a_case, a_pipeline, "seg-reader1", "reading-reader2")
    assert set(found.values()) == {"read"}


def test_a_node_that_accepts_no_reading_measures_all(a_case: Path, a_pipeline: Pipeline) -> None:
    found = semantics(a_case, a_pipeline, "seg-reader1", "reading-reader1", accept=False)
    assert set(found.values()) == {"measured"}
