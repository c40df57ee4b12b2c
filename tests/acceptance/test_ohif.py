"""A report in the viewer that radiologists know: OHIF, in a real browser, before a real archive.

The screenshots stay in .tests/ohif for a person to look at.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread
from scipy import ndimage

from tests.acceptance.conftest import SC
from tests.acceptance.studies import SentStudy, a_study
from tests.node_process import a_node
from tests.ohif.browser import Browser, a_browser
from tests.ohif.server import a_viewer, require_viewer
from tests.peers import orthanc, require, storescu

pytestmark = pytest.mark.peers

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
_PICTURES = Path(__file__).parents[2] / ".tests" / "ohif"
_REPORT = "SIMULATED MODEL - NOT FOR DIAGNOSIS - CRDL research report"
_OUTLINE = "SIMULATED MODEL - NOT FOR DIAGNOSIS - CRDL outline"
_SUMMARY = "SIMULATED MODEL - NOT FOR DIAGNOSIS - CRDL research summary"


@dataclass(frozen=True)
class OpenedStudy:
    """A study that a node has answered, open in the viewer."""

    study: SentStudy
    finding: dict[str, Any]
    summary: Dataset
    outline: Dataset
    browser: Browser


@pytest.fixture(scope="module")
def an_opened_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedStudy]:
    require_viewer()
    require("chromium")
    folder = tmp_path_factory.mktemp("ohif")
    with orthanc(folder / "pacs") as pacs:
        study = a_study(folder / "study", 1)
        destination = {
            "name": "pacs",
            "ae_title": pacs.ae_title,
            "host": pacs.host,
            "port": pacs.dicom_port,
            "companions": ["sc", "seg"],
        }
        with a_node(folder / "node", [destination]) as node:
            storescu("127.0.0.1", pacs.dicom_port, study.files, called_ae=pacs.ae_title)
            storescu("127.0.0.1", node.dicom_port, study.files)
            (job,) = node.settled(1)
            (finding,) = node.job(job["id"])["findings"]
        (summary,) = (dcmread(io.BytesIO(file)) for file in pacs.of_class(SC))
        segs = [dcmread(io.BytesIO(file)) for file in pacs.of_class(_SEGMENTATION)]
        (outline,) = (seg for seg in segs if seg.SeriesDescription == _OUTLINE)
        # The archive alone shows the report: the node is gone.
        with a_viewer(pacs.url) as url, a_browser(folder / "browser") as browser:
            browser.open(f"{url}/viewer?StudyInstanceUIDs={study.study_uid}")
            browser.wait_for_text(_REPORT, _SUMMARY, _OUTLINE, "Skip all", timeout_s=90)
            browser.click("Skip all")  # the guided tour
            yield OpenedStudy(study, finding, summary, outline, browser)


def test_the_segmentation_lies_over_the_image(an_opened_study: OpenedStudy) -> None:
    browser = an_opened_study.browser
    browser.click(_OUTLINE, times=2)
    browser.wait_for_text("Do you want to open this Segmentation?")
    browser.click("Yes")
    browser.wait_for("the outline's tint", lambda: _tinted(browser).sum() > 2000)
    browser.screenshot(_PICTURES / "segmentation.png")
    tint, mask = _box(_tinted(browser)), _box(an_opened_study.outline.pixel_array.astype(bool))
    # The viewer scales the image; the shape and its share of the box stay.
    assert tint[0] / tint[1] == pytest.approx(mask[0] / mask[1], rel=0.05)
    assert tint[2] == pytest.approx(mask[2], abs=0.1)


def _tinted(browser: Browser) -> NDArray[np.bool_]:
    """Where the viewer's first segment colour, a cyan, lies over the grey image."""
    picture = np.asarray(Image.open(io.BytesIO(browser.screenshot(_PICTURES / "now.png"))))
    red, green, blue = (picture[..., channel].astype(int) for channel in range(3))
    panel = picture.shape[1] // 4  # the list of series to the left has pictures of its own
    over = (green - red > 45) & (blue - red > 45) & (abs(green - blue) < 40)
    pieces, count = ndimage.label(over[100:, panel:])
    if not count:
        return np.zeros_like(pieces, dtype=bool)
    # buttons and frames of the viewer have a similar colour: the lesion is the largest piece
    return np.asarray(pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]))


def _box(mask: NDArray[np.bool_]) -> tuple[int, int, float]:
    """Height and width of what a mask spans, and the share of that box that it fills."""
    rows, columns = np.nonzero(np.squeeze(mask))
    height, width = int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1
    return height, width, len(rows) / (height * width)


def test_the_report_reads_as_text_with_every_value(an_opened_study: OpenedStudy) -> None:
    browser, finding = an_opened_study.browser, an_opened_study.finding
    browser.click(_REPORT, times=2)
    page = browser.wait_for_text("Oncology Measurement Report", "Border definition")
    browser.screenshot(_PICTURES / "report.png")
    assert "SIMULATED MODEL - NOT FOR DIAGNOSIS - FOR RESEARCH USE ONLY" in page
    assert f"Probability of cancer: {100 * finding['probability']:.2f} %" in page
    assert f"Class at operating point: {finding['class'].capitalize()}" in page
    semantic = {name: feature["value"] for name, feature in finding["semantic"].items()}
    assert f"Diameter: {semantic['maximum_diameter']:.1f} mm" in page
    assert f"Vascularity: Adler grade {semantic['flow_grade']}" in page
    assert f"Border shape: {semantic['morphology'].capitalize()}" in page
    words = {"clear": "Well defined", "unclear": "Poorly defined"}
    assert f"Border definition: {words[semantic['boundary']]}" in page
    words = {"uniform": "Homogeneous", "uneven": "Inhomogeneous"}
    assert f"Echo pattern: {words[semantic['internal_echo']]}" in page


def test_the_summary_is_shown_in_its_own_colours(an_opened_study: OpenedStudy) -> None:
    browser, summary = an_opened_study.browser, an_opened_study.summary.pixel_array
    assert summary.ndim == 3
    strongest = _strong_colours(summary)[:3]  # banner, outline and the like
    browser.click(_SUMMARY, times=2)
    for colour in strongest:
        browser.wait_for(
            f"the summary's colour {colour}", lambda colour=colour: _shown(browser, colour) > 100
        )
    browser.screenshot(_PICTURES / "summary.png")


def _strong_colours(picture: NDArray[np.uint8]) -> list[tuple[int, ...]]:
    """Give the saturated colours of a picture, the most frequent first."""
    colours, counts = np.unique(picture.reshape(-1, 3), axis=0, return_counts=True)
    strong = np.ptp(colours.astype(int), axis=1) > 100
    order = np.argsort(-counts[strong])
    return [tuple(int(part) for part in colours[strong][index]) for index in order]


def _shown(browser: Browser, colour: tuple[int, ...]) -> int:
    """Count the pixels of a colour in what the browser shows."""
    picture = np.asarray(Image.open(io.BytesIO(browser.screenshot(_PICTURES / "now.png"))))
    apart = np.abs(picture[..., :3].astype(int) - colour).max(axis=2)
    return int((apart < 12).sum())
