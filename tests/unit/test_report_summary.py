"""The summary picture: what must be drawn is there, and is still there at half the size."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset

from node.case import SemanticFinding
from node.report import ReportRequest, build_report
from node.report.fonts import font, printable, shortened, wrapped
from node.report.frame_panel import CALIPER_COLOUR, OUTLINE_COLOUR
from node.report.summary import SIZE
from tests.report_fixtures import a_request, a_result, an_image

BANNER = (242, 179, 61)
MALIGNANT = (232, 84, 88)
BENIGN = (74, 182, 128)


def picture_of(request: ReportRequest) -> Dataset:
    return dcmread(BytesIO(build_report(request)[1].data))


def count(pixels: NDArray[np.uint8], colour: tuple[int, int, int], tolerance: int = 0) -> int:
    distance = np.abs(pixels.astype(int) - np.array(colour)).max(axis=2)
    return int((distance <= tolerance).sum())


@pytest.fixture(scope="module")
def an_assessed_picture() -> NDArray[np.uint8]:
    return picture_of(a_request()).pixel_array


@pytest.fixture(scope="module")
def a_refused_picture() -> NDArray[np.uint8]:
    image = an_image()
    return picture_of(a_request(image, (a_result(image, refused=True),))).pixel_array


def test_outline_and_caliper_are_drawn_in_their_colours(
    an_assessed_picture: NDArray[np.uint8], a_refused_picture: NDArray[np.uint8]
) -> None:
    assert count(an_assessed_picture, OUTLINE_COLOUR) > 500
    assert count(an_assessed_picture, CALIPER_COLOUR) > 200
    assert count(a_refused_picture, OUTLINE_COLOUR) == 0


def test_the_outline_lies_where_the_lesion_lies(an_assessed_picture: NDArray[np.uint8]) -> None:
    drawn = np.argwhere((an_assessed_picture == OUTLINE_COLOUR).all(axis=2))
    inside = an_assessed_picture[
        drawn[:, 0].min() + 20 : drawn[:, 0].max() - 20, SIZE // 2 - 40 : SIZE // 2 + 40
    ]
    around = an_assessed_picture[70 : drawn[:, 0].min() - 10, SIZE // 2 - 40 : SIZE // 2 + 40]
    assert drawn[:, 1].mean() == pytest.approx(SIZE / 2, abs=4)
    assert np.median(inside) < 0.6 * np.median(around)


def test_outline_and_banner_survive_at_512_pixels(an_assessed_picture: NDArray[np.uint8]) -> None:
    small = Image.fromarray(an_assessed_picture).resize((512, 512), Image.Resampling.BILINEAR)
    pixels = np.asarray(small)
    assert count(pixels, OUTLINE_COLOUR, tolerance=60) > 300
    banner = pixels[:28]
    assert count(banner, BANNER, tolerance=8) > 8000
    assert (banner.max(axis=2) < 90).sum() > 700


def test_every_pixel_of_type_is_at_least_20_pixels_high(
    an_assessed_picture: NDArray[np.uint8],
) -> None:
    footer = an_assessed_picture[970:]
    lit = np.flatnonzero((footer.max(axis=2) > 120).any(axis=1))
    assert lit.max() - lit.min() + 1 >= 16


def test_the_class_has_its_colour(an_assessed_picture: NDArray[np.uint8]) -> None:
    result = a_result(an_image())
    benign = replace(result.finding, probability=0.2, malignancy="benign")
    pixels = picture_of(a_request(results=(replace(result, finding=benign),))).pixel_array
    assert count(an_assessed_picture, MALIGNANT) > 2000
    assert count(an_assessed_picture, BENIGN) == 0
    assert count(pixels, BENIGN) > 2000
    assert count(pixels, MALIGNANT) == 0


def test_the_bar_is_as_long_as_the_probability() -> None:
    lengths = []
    for probability in (0.5, 1.0):
        result = a_result(an_image())
        finding = replace(result.finding, probability=probability)
        pixels = picture_of(a_request(results=(replace(result, finding=finding),))).pixel_array
        lit = (pixels[725:741, :412] == MALIGNANT).all(axis=2)
        lengths.append(int(lit.sum(axis=1).max()))
    assert lengths[0] / lengths[1] == pytest.approx(0.5, abs=0.05)


def test_a_refusal_shows_no_class(a_refused_picture: NDArray[np.uint8]) -> None:
    assert count(a_refused_picture, MALIGNANT) == 0
    assert count(a_refused_picture, BENIGN) == 0
    assert count(a_refused_picture[536:], BANNER) > 1000  # "Not assessed"


def test_a_frame_that_cannot_be_decoded_still_gives_a_page() -> None:
    result = a_result(an_image(), refused=True)
    blind = replace(result, evidence=replace(result.evidence, picture=None))
    dataset = picture_of(a_request(results=(blind,)))
    assert (dataset.Rows, dataset.Columns) == (SIZE, SIZE)


def test_no_identity_is_drawn_and_burned_in_follows_the_frame() -> None:
    image = an_image()
    assert picture_of(a_request(image)).BurnedInAnnotation == "NO"
    image.BurnedInAnnotation = "YES"
    assert picture_of(a_request(image)).BurnedInAnnotation == "YES"
    other = an_image()
    other.PatientName = "Somebody^Else"
    other.BurnedInAnnotation = "YES"
    same = picture_of(a_request(other)).PixelData == picture_of(a_request(image)).PixelData
    assert same


def test_the_picture_names_its_source_frame() -> None:
    dataset = picture_of(a_request(an_image(frames=4)))
    (source,) = dataset.SourceImageSequence
    assert (source.ReferencedSOPInstanceUID, source.ReferencedFrameNumber) == ("2.25.2001", 3)


def test_a_label_that_cannot_be_printed_is_replaced_by_the_number() -> None:
    result = a_result(an_image())
    plain = replace(result, case=replace(result.case, label=""))
    foreign = replace(result, case=replace(result.case, label="腫瘤"))
    drawn = [picture_of(a_request(results=(each,))).PixelData for each in (plain, foreign)]
    assert drawn[0] == drawn[1]


def test_a_feature_that_was_not_assessed_changes_the_table(
    an_assessed_picture: NDArray[np.uint8],
) -> None:
    result = a_result(an_image())
    silent = {**result.finding.semantic, "flow_grade": SemanticFinding(None, "", "not assessed")}
    finding = replace(result.finding, semantic=silent)
    pixels = picture_of(a_request(results=(replace(result, finding=finding),))).pixel_array
    changed = (pixels != an_assessed_picture).any(axis=2)
    rows = np.flatnonzero(changed.any(axis=1))
    assert changed[:, :412].sum() == 0
    assert rows.max() - rows.min() < 44


def test_a_long_line_is_cut_with_an_ellipsis() -> None:
    type_ = font(22)
    cut = shortened("a very long line indeed", 120, type_)
    assert cut.endswith("…")
    assert type_.getlength(cut) <= 120


def test_a_text_is_broken_at_its_spaces_and_the_last_line_is_cut() -> None:
    type_ = font(22)
    lines = wrapped("one two three four five six seven eight nine ten", 120, type_, 2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert all(type_.getlength(line) <= 120 for line in lines)


def test_the_type_prints_cyrillic_and_knows_that_it_lacks_chinese() -> None:
    assert printable("Опухоль 1")
    assert not printable("腫瘤")
