"""What goes with the SR: each object says what was assessed, the same bytes every time."""

import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from models.imaging.masks import read_masks
from node.config import ReportSettings
from node.report import ReportCheckError, ReportObject, ReportRequest, build_report
from node.report.companions.check import check_companion
from node.report.companions.references import Reference
from node.report.companions.rejection_note import rejection_note
from tests.peers import require
from tests.report_fixtures import a_picture, a_request, a_result, a_uid, an_ellipse, an_image

ALL = ("sc", "pdf", "seg", "gsps", "ko")


def calibrated(image: Dataset) -> Dataset:
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
    region.RegionLocationMinX0 = region.RegionLocationMinY0 = 0
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 399, 299
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3
    region.PhysicalDeltaX, region.PhysicalDeltaY = 0.02, 0.03
    image.SequenceOfUltrasoundRegions = [region]
    return image


def grey() -> Dataset:
    image = an_image()
    image.PhotometricInterpretation, image.SamplesPerPixel = "MONOCHROME2", 1
    del image.PlanarConfiguration
    image.PixelData = a_picture()[..., 0].tobytes()
    return image


def a_full_request(image: Dataset | None = None) -> ReportRequest:
    shown = calibrated(an_image() if image is None else image)
    result = a_result(shown)
    masks = {result.case.name: an_ellipse()[0]}
    settings = ReportSettings(companions=ALL)
    return a_request(shown, (result,), masks=masks, settings=settings)


def objects_of(request: ReportRequest) -> dict[str, Dataset]:
    return {one.kind: dcmread(BytesIO(one.data)) for one in build_report(request)}


@pytest.fixture(scope="module")
def a_report() -> tuple[ReportObject, ...]:
    return build_report(a_full_request())


@pytest.fixture(scope="module")
def the_objects(a_report: tuple[ReportObject, ...]) -> dict[str, Dataset]:
    return {one.kind: dcmread(BytesIO(one.data)) for one in a_report}


def test_the_same_request_gives_the_same_bytes(a_report: tuple[ReportObject, ...]) -> None:
    again = build_report(a_full_request())
    assert [one.data for one in again] == [one.data for one in a_report]
    assert [one.kind for one in a_report] == ["sr", *ALL]


def test_every_object_stands_in_the_patients_study(the_objects: dict[str, Dataset]) -> None:
    for dataset in the_objects.values():
        assert dataset.StudyInstanceUID == "2.25.1001"
        assert (dataset.PatientID, str(dataset.PatientName)) == ("ST-0001", "Müller^Jörg")
    assert len({one.SOPInstanceUID for one in the_objects.values()}) == len(the_objects)
    assert len({one.SeriesInstanceUID for one in the_objects.values()}) == len(the_objects)


def test_only_what_is_wanted_is_built() -> None:
    request = a_full_request()
    few = replace(request, settings=ReportSettings(companions=("ko",)))
    assert list(objects_of(few)) == ["sr", "ko"]


def test_the_seg_holds_the_mask_under_the_lesions_tracking_uid(
    the_objects: dict[str, Dataset],
) -> None:
    seg = the_objects["seg"]
    (mask,) = read_masks(seg)
    assert np.array_equal(mask.mask, an_ellipse()[0])
    assert mask.source == ("2.25.2001", 1)
    assert seg.SegmentSequence[0].TrackingUID == "2.25.3001"


def test_the_seg_is_placed_in_space_by_the_ultrasound_region(
    the_objects: dict[str, Dataset],
) -> None:
    seg = the_objects["seg"]
    (shared,) = seg.SharedFunctionalGroupsSequence  # where OHIF looks for the scale
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == pytest.approx([0.3, 0.2])
    assert "PixelMeasuresSequence" not in seg.PerFrameFunctionalGroupsSequence[0]
    assert seg.FrameOfReferenceUID == a_uid("frame-of-reference-1")
    assert "Synthetic" in seg.ImageComments


def test_without_a_scale_there_is_no_seg() -> None:
    image = an_image()
    result = a_result(image)
    masks = {result.case.name: an_ellipse()[0]}
    settings = ReportSettings(companions=("seg",))
    request = a_request(image, (result,), masks=masks, settings=settings)
    assert list(objects_of(request)) == ["sr"]


def test_a_clip_is_referred_to_by_its_frame() -> None:
    found = objects_of(a_full_request(an_image(frames=4)))
    source = found["seg"].PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0]
    assert source.SourceImageSequence[0].ReferencedFrameNumber == 3
    (series,) = found["gsps"].ReferencedSeriesSequence
    assert series.ReferencedImageSequence[0].ReferencedFrameNumber == 3


def test_the_presentation_state_draws_outline_and_caliper_where_they_were_measured(
    the_objects: dict[str, Dataset],
) -> None:
    (annotation,) = the_objects["gsps"].GraphicAnnotationSequence
    outline, caliper = (
        np.array(one.GraphicData).reshape(-1, 2) for one in annotation.GraphicObjectSequence
    )
    assert outline == pytest.approx(an_ellipse()[1] + 0.5, abs=1e-3)
    assert caliper == pytest.approx(np.array([[280.5, 150.5], [120.5, 150.5]]), abs=1e-3)
    assert annotation.TextObjectSequence[0].UnformattedTextValue == "32.0 mm"


@pytest.mark.parametrize(("image", "name"), [(an_image, "Color"), (grey, "Grayscale")])
def test_the_kind_of_presentation_state_follows_the_image(image: object, name: str) -> None:
    made = objects_of(a_full_request(image()))["gsps"]  # type: ignore[operator]
    assert made.SOPClassUID.name.startswith(name)


def test_the_key_objects_are_the_image_and_the_report(the_objects: dict[str, Dataset]) -> None:
    items = the_objects["ko"].ContentSequence[1:]
    chosen = {(i.ValueType, i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID) for i in items}
    assert chosen == {("IMAGE", "2.25.2001"), ("COMPOSITE", a_uid("sr"))}


def test_the_pdf_embeds_its_type_and_runs_no_script(the_objects: dict[str, Dataset]) -> None:
    document = the_objects["pdf"].EncapsulatedDocument
    assert document.startswith(b"%PDF-")
    assert b"/FontFile2" in document
    assert b"/JavaScript" not in document


def test_a_companion_that_says_something_else_is_not_sent(
    a_report: tuple[ReportObject, ...],
) -> None:
    request = a_full_request()
    other = replace(request, masks={name: ~mask for name, mask in request.masks.items()})
    seg = next(one for one in a_report if one.kind == "seg")
    check_companion(seg, request)
    with pytest.raises(ReportCheckError, match="the mask of segment 1"):
        check_companion(seg, other)


@pytest.mark.peers
@pytest.mark.parametrize("image", [an_image, grey, lambda: an_image(frames=4)])
def test_dciodvfy_finds_no_error_in_any_object(image: object, tmp_path: Path) -> None:
    program = require("dciodvfy")
    report = build_report(a_full_request(image()))  # type: ignore[operator]
    note = a_note(report[0], "withdrawn")
    for name, data in [*((one.kind, one.data) for one in report), ("note", note)]:
        file = tmp_path / f"{name}.dcm"
        file.write_bytes(data)
        done = subprocess.run([program, "-new", file], capture_output=True, text=True, check=False)
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        assert errors == [], name


@pytest.mark.peers
def test_dcmtk_finds_the_presentation_state_of_a_grey_image_sound(tmp_path: Path) -> None:
    program = require("dcmpschk")
    file = tmp_path / "gsps.dcm"
    made = build_report(a_full_request(grey()))
    file.write_bytes(next(one for one in made if one.kind == "gsps").data)
    done = subprocess.run([program, file], capture_output=True, text=True, check=False)
    assert "Test passed." in done.stdout + done.stderr


def a_note(report: ReportObject, kind: str) -> bytes:
    reference = Reference(report.sop_class_uid, report.sop_instance_uid, report.series_instance_uid)
    when = datetime(2025, 9, 11, 8, 0, 0, tzinfo=UTC)
    return rejection_note(
        dcmread(BytesIO(report.data)), [reference], kind, "wrong side", ("2.25.7", "2.25.8"), when
    )


@pytest.mark.parametrize(("kind", "code"), [("superseded", "113001"), ("withdrawn", "113037")])
def test_a_rejection_note_names_report_and_reason_under_its_title(
    a_report: tuple[ReportObject, ...], kind: str, code: str
) -> None:
    note = dcmread(BytesIO(a_note(a_report[0], kind)))
    text, item = note.ContentSequence
    assert note.ConceptNameCodeSequence[0].CodeValue == code
    assert text.TextValue == "wrong side"
    assert item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == a_uid("sr")
    assert (note.PatientID, note.StudyInstanceUID) == ("ST-0001", "2.25.1001")


def test_a_language_without_glyphs_is_drawn_in_english() -> None:
    english = a_full_request()
    chinese = replace(english, settings=ReportSettings(companions=("sc",), language="zh"))
    drawn = [objects_of(one)["sc"].pixel_array for one in (english, chinese)]
    differing = np.flatnonzero((drawn[0] != drawn[1]).any(axis=(1, 2)))
    # The lesion's name was spoken in Chinese and falls back on its number: one line of type.
    assert differing.max() - differing.min() < 40
