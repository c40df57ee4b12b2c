"""The pipeline on files: a finding where it can, a refusal with a code where it cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG4HP41, JPEGBaseline8Bit, generate_uid

from node.config import ModelSettings, Settings
from node.database import utc_now
from node.errors import InputError
from node.pipeline.assess import Pipeline
from node.service.offline import FileAssessment, assess_files, read_instances
from tests.acceptance.studies import SentStudy, a_study


@pytest.fixture(scope="module")
def a_pipeline() -> Pipeline:
    return Pipeline.load(ModelSettings(device="cpu"))


def assess(pipeline: Pipeline, *files: Path) -> FileAssessment:
    instances = read_instances(files)
    (one,) = assess_files(instances, Settings(), pipeline, utc_now())
    return one


def bent(study: SentStudy, which: str, change: Callable[[Dataset], None]) -> SentStudy:
    """Change one file of a study in place."""
    path = study.seg if which == "seg" else study.images[0]
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)
    return study


def without_calibration(image: Dataset) -> None:
    del image.SequenceOfUltrasoundRegions


def of_another_study(image: Dataset) -> None:
    image.StudyInstanceUID = generate_uid()


def of_another_patient(image: Dataset) -> None:
    image.PatientID = "SOMEBODY-ELSE"


def with_broken_pixels(image: Dataset) -> None:
    image.PixelData = image.PixelData[: len(image.PixelData) // 3 & ~1]


def as_a_photograph(image: Dataset) -> None:
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    image.Modality = "OT"


def as_a_video(image: Dataset) -> None:
    image.file_meta.TransferSyntaxUID = MPEG4HP41
    image.PixelData = encapsulate([bytes(1000)])


def emptied(seg: Dataset) -> None:
    seg.PixelData = bytes(len(seg.PixelData))


def of_one_pixel(seg: Dataset) -> None:
    middle = len(seg.PixelData) // 2 + int(seg.Columns) // 16  # inside the calibrated region
    seg.PixelData = bytes(middle) + b"\x01" + bytes(len(seg.PixelData) - middle - 1)


def of_another_size(seg: Dataset) -> None:
    seg.Rows = int(seg.Rows) // 2
    seg.PixelData = seg.PixelData[: len(seg.PixelData) // 2]


@pytest.mark.parametrize(
    ("which", "change", "code"),
    [
        ("image", without_calibration, "no-calibration"),
        ("image", of_another_study, "other-study"),
        ("image", of_another_patient, "patient-mismatch"),
        ("image", with_broken_pixels, "undecodable-pixels"),
        ("image", as_a_photograph, "not-ultrasound"),
        ("image", as_a_video, "video"),
        ("seg", emptied, "empty-mask"),
        ("seg", of_one_pixel, "one-pixel-mask"),
        ("seg", of_another_size, "mask-outside-image"),
    ],
)
def test_what_cannot_be_assessed_is_refused_with_its_code(
    a_pipeline: Pipeline,
    tmp_path: Path,
    which: str,
    change: Callable[[Dataset], None],
    code: str,
) -> None:
    study = bent(a_study(tmp_path, 3, colour=False), which, change)
    assessment = assess(a_pipeline, *study.files)
    (finding,) = assessment.findings
    assert finding.status == "refused"
    assert finding.refusal is not None
    assert finding.refusal.code == code
    assert finding.refusal.text
    assert finding.probability is None
    # Outside the intended use there is no report; inside it a refusal is a report too.
    assert bool(assessment.objects) == (code != "not-ultrasound")


def test_every_photometric_form_of_one_picture_gives_nearly_one_finding(
    a_pipeline: Pipeline, tmp_path: Path
) -> None:
    study = a_study(tmp_path / "plain", 3, colour=False)
    image = dcmread(study.images[0])
    assert image.file_meta.TransferSyntaxUID != JPEGBaseline8Bit
    reference = assess(a_pipeline, *study.files).findings[0]

    def as_grey_in_colour(dataset: Dataset) -> None:
        grey = dataset.pixel_array
        grey = grey if grey.ndim == 2 else grey[..., 0]
        dataset.PhotometricInterpretation = "RGB"
        dataset.SamplesPerPixel = 3
        dataset.PlanarConfiguration = 0
        dataset.PixelData = np.repeat(grey[..., None], 3, axis=2).tobytes()

    bent(study, "image", as_grey_in_colour)
    coloured = assess(a_pipeline, *study.files).findings[0]
    assert coloured.probability == pytest.approx(reference.probability, abs=0.02)
    one, other = reference.semantic, coloured.semantic
    assert one["maximum_diameter"].value == other["maximum_diameter"].value


def test_the_same_files_give_the_same_bytes_of_finding(
    a_pipeline: Pipeline, tmp_path: Path
) -> None:
    study = a_study(tmp_path, 1)
    first, second = (assess(a_pipeline, *study.files).findings[0] for _ in range(2))
    assert first.features_sha256 == second.features_sha256
    assert first.probability == second.probability
    assert first.semantic == second.semantic


def test_flow_is_measured_where_a_mask_lies_on_the_colour_image(
    a_pipeline: Pipeline, tmp_path: Path
) -> None:
    with_doppler = assess(a_pipeline, *a_study(tmp_path / "a", 1).files).findings[0]
    without = assess(a_pipeline, *a_study(tmp_path / "b", 1, colour=False).files).findings[0]
    assert with_doppler.semantic["flow_grade"].provenance == "measured"
    assert without.semantic["flow_grade"].provenance == "not assessed"


def test_a_seg_whose_image_was_not_given_is_an_input_error(
    a_pipeline: Pipeline, tmp_path: Path
) -> None:
    study = a_study(tmp_path, 1, colour=False)
    with pytest.raises(InputError, match="not given"):
        assess(a_pipeline, study.seg)
    with pytest.raises(InputError, match="no segmentation"):
        assess(a_pipeline, *study.images)
