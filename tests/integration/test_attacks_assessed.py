"""What was stored but is not as it should be: assessed and reported all the same, or refused.

Never an exception, which would cost the case its report.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread

from node.config import ModelSettings, Settings
from node.database import utc_now
from node.pipeline.assess import Pipeline
from node.service.offline import assess_files, read_instances
from tests.acceptance.studies import a_study
from tests.attacks import element, spliced_into

ASSESSED = ""
UNREADABLE = "undecodable-pixels"

ATTACKS = {
    "a birth date of zeros": (0x00100030, b"DA", b"00000000", ASSESSED),
    "a birth date in words": (0x00100030, b"DA", b"in April, I think ", ASSESSED),
    "a birth date as a number": (0x00100030, b"FD", bytes(8), ASSESSED),
    "a study date in words": (0x00080020, b"DA", b"yesterday ", ASSESSED),
    "a name that is no UTF-8": (0x00100010, b"PN", b"\xff\xfe\xc0^\xf5 ", ASSESSED),
    "a name of 60,000 letters": (0x00100010, b"PN", b"A" * 60000, ASSESSED),
    "a name that is a sequence": (0x00100010, b"SQ", b"", ASSESSED),
    "a character set that does not exist": (0x00080005, b"CS", b"ISO_IR 999", ASSESSED),
    "a broken escape sequence": (0x00080090, b"PN", b"\x1b$B\x1b(", ASSESSED),
    "control characters": (0x00081030, b"LO", b"a\0b\x1b\x07\\c", ASSESSED),
    "an age in words": (0x00101010, b"AS", b"old?", ASSESSED),
    "a weight in words": (0x00101030, b"DS", b"heavy!", ASSESSED),
    "rows in words": (0x00280010, b"LO", b"many", UNREADABLE),
    "no rows": (0x00280010, b"US", b"", UNREADABLE),
    "two numbers of rows": (0x00280010, b"US", b"\1\0\2\0", UNREADABLE),
    "seven bits": (0x00280100, b"US", b"\7\0", UNREADABLE),
    "an unknown photometric interpretation": (0x00280004, b"CS", b"PURPLE", UNREADABLE),
    "nine samples a pixel": (0x00280002, b"US", b"\x09\0", UNREADABLE),
    "frames in words": (0x00280008, b"IS", b"many", UNREADABLE),
    "65,535 rows": (0x00280010, b"US", b"\xff\xff", "image-too-large"),
    "regions that are text": (0x00186011, b"LO", b"region", UNREADABLE),
}


@pytest.fixture(scope="module")
def a_pipeline() -> Pipeline:
    return Pipeline.load(ModelSettings(device="cpu"))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_strange_header_costs_no_case_its_report(
    a_pipeline: Pipeline, tmp_path: Path, name: str
) -> None:
    tag, vr, value, code = ATTACKS[name]
    study = a_study(tmp_path, 3, colour=False)
    spliced_into(study.images[0], tag, element(tag, vr, value))
    instances = read_instances(study.files)
    (one,) = assess_files(instances, Settings(), a_pipeline, utc_now())
    (finding,) = one.findings
    assert (finding.refusal.code if finding.refusal else ASSESSED) == code
    assert one.objects[0].kind == "sr"
    report = dcmread(BytesIO(one.objects[0].data))
    assert report.StudyInstanceUID == study.study_uid
