"""A cohort is measured alike wherever joblib sends its cases."""

from pathlib import Path

import numpy as np
import pytest

from models.features.extract import FeatureSettings
from models.parallel import BackendError
from models.simulation import write_cohort
from models.study.cohort import read_cohort
from models.study.features import measure_cohort


@pytest.fixture(scope="module")
def a_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cohort")
    write_cohort(3, 42, folder, jobs=1)
    return folder


def test_threads_measure_a_cohort_as_one_process_does(a_cohort: Path) -> None:
    cases, settings = read_cohort(a_cohort), FeatureSettings()
    told: list[int] = []
    here, _ = measure_cohort(cases, settings, None)
    there, left_out = measure_cohort(
        cases, settings, None, jobs=2, backend="threading", progress=lambda n, _: told.append(n)
    )
    assert len(there) == 3
    assert not left_out
    assert told == [1, 2, 3]
    for one, other in zip(here, there, strict=True):
        assert one.case == other.case
        assert np.array_equal(one.radiomics, other.radiomics, equal_nan=True)
        assert one.measurements == other.measurements


def test_a_cohort_is_not_measured_on_a_backend_that_is_not_there(a_cohort: Path) -> None:
    with pytest.raises(BackendError, match="nowhere"):
        measure_cohort(read_cohort(a_cohort), FeatureSettings(), None, backend="nowhere")
