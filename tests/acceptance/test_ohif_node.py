"""OHIF opens a study straight from the node: QIDO-RS and WADO-RS of our own, and no archive.

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
from PIL import Image

from tests.acceptance.studies import a_study
from tests.node_process import a_node
from tests.ohif.browser import Browser, a_browser
from tests.ohif.server import a_viewer, require_viewer
from tests.peers import require, storescu

pytestmark = [pytest.mark.peers, pytest.mark.bench]

_PICTURES = Path(__file__).parents[2] / ".tests" / "ohif"
_IMAGE = "Soft tissue tumour (SIMULATED)"
_OUTLINE = "Contours of reader 1 (SIMULATED)"
_REPORT = "SIMULATED MODEL - NOT FOR DIAGNOSIS - CRDL research report"
_SUMMARY = "SIMULATED MODEL - NOT FOR DIAGNOSIS - CRDL research summary"


@dataclass(frozen=True)
class OpenedStudy:
    """A study that the node holds, open in the viewer."""

    browser: Browser
    viewer: str
    finding: dict[str, Any]


@pytest.fixture(scope="module")
def an_opened_study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenedStudy]:
    require_viewer()
    require("chromium")
    folder = tmp_path_factory.mktemp("ohif-node")
    study = a_study(folder / "study", 1, PatientName="Miller^Anna", PatientID="P-1001")
    with a_node(folder / "node", []) as node:
        storescu("127.0.0.1", node.dicom_port, study.files)
        (job,) = node.settled(1, timeout_s=180)
        (finding,) = node.job(job["id"])["findings"]
        with a_viewer(node.web) as url, a_browser(folder / "browser") as browser:
            browser.open(f"{url}/viewer?StudyInstanceUIDs={study.study_uid}")
            browser.wait_for_text(_IMAGE, _OUTLINE, _REPORT, _SUMMARY, "Skip all", timeout_s=180)
            browser.click("Skip all")  # the guided tour
            yield OpenedStudy(browser, url, finding)


def test_every_series_is_offered_our_own_report_too(an_opened_study: OpenedStudy) -> None:
    text = an_opened_study.browser.text()
    assert [one for one in (_IMAGE, _OUTLINE, _REPORT, _SUMMARY) if one not in text] == []
    an_opened_study.browser.screenshot(_PICTURES / "node-series.png")


def test_the_image_is_drawn_from_the_frames_that_the_node_sends(
    an_opened_study: OpenedStudy,
) -> None:
    browser = an_opened_study.browser
    browser.click(_IMAGE, times=2)
    browser.wait_for("the speckle of the image", lambda: _speckle(browser) > 20, timeout_s=120)
    browser.screenshot(_PICTURES / "node-image.png")


def _speckle(browser: Browser) -> float:
    """How much the middle of the window varies: a black or plain viewport does not."""
    picture = Image.open(io.BytesIO(browser.screenshot(_PICTURES / "now.png"))).convert("L")
    values = np.asarray(picture, dtype=float)
    rows, columns = values.shape
    middle = values[rows // 3 : 2 * rows // 3, 2 * columns // 5 : 3 * columns // 5]
    return float(middle.std())


def test_the_report_is_read_from_the_node(an_opened_study: OpenedStudy) -> None:
    browser = an_opened_study.browser
    browser.click(_REPORT, times=2)
    page = browser.wait_for_text("Oncology Measurement Report", "Border definition", timeout_s=120)
    browser.screenshot(_PICTURES / "node-report.png")
    probability = 100 * an_opened_study.finding["probability"]
    assert f"Probability of cancer: {probability:.2f} %" in page


def test_the_list_of_studies_finds_the_patient(an_opened_study: OpenedStudy) -> None:
    browser = an_opened_study.browser
    browser.open(f"{an_opened_study.viewer}/?patientName=Miller")
    browser.wait_for_text("P-1001", timeout_s=120)
    browser.screenshot(_PICTURES / "node-list.png")
