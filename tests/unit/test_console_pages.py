"""What the console's pages say: words, plots, configuration, and a report read as a person does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from pydicom import dcmread

from node.config import load_settings
from node.errors import InputError
from node.jobs.reading_form import FormReading
from node.report.build import build_report
from node.web.console.configuration import sections, shown
from node.web.console.plots import Bar, Deviation, Dot, bars, deviations, dots, nice, sparkline
from node.web.console.questions import ready_questions
from node.web.console.sr_page import Line, SrPage, read_sr, sr_page
from node.web.console.words import day, duration, exactly, person_name, short, size
from tests.report_fixtures import a_request

RUNBOOK = (Path(__file__).parents[2] / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "\u2013"),
        (0.0124, "12 ms"),
        (3.44, "3.4 s"),
        (59.4, "59 s"),
        (125, "2 min 5 s"),
        (12000, "3 h 20 min"),
        (400000, "4 d"),
    ],
)
def test_a_duration_is_told_in_the_units_that_matter(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_names_dates_sizes_and_identifiers_are_written_for_people() -> None:
    assert person_name("Doe^Jane^M^Dr") == "Doe, Jane M"
    assert person_name("=\u738b^\u5c0f") == "\u738b, \u5c0f"
    assert person_name("") == ""
    assert day("20260131") == "2026-01-31"
    assert day("unknown") == "unknown"
    assert size(12 << 20) == "12 MiB"
    assert short("1.2.840.113619.2.55.3") == "\u202613619.2.55.3"
    assert short("0123456789abcdef") == "0123456789ab\u2026"
    assert exactly(datetime(2026, 1, 31, 8, 30, 0, 45_000, UTC)) == "2026-01-31 08:30:00.045"


def test_a_plot_is_well_formed_and_holds_no_text_that_could_do_anything() -> None:
    evil = '<script>alert("x")</script>'
    drawn = [
        bars(evil, [Bar(evil, (1.0, 2.0), evil)], ("bar", "refused")),
        sparkline(evil, [Bar(evil, (0.0,), evil)]),
        dots(evil, [Dot(evil, 0.8, 0.7, 0.9, evil)]),
        deviations(evil, [Deviation(evil, -0.4, marked=True, title=evil)]),
    ]
    for svg in drawn:
        root = ET.fromstring(str(svg))  # noqa: S314 - our own
        assert root.get("aria-label") == evil
        assert not [one for one in root.iter() if one.tag == "script"]
        assert "style=" not in svg


@pytest.mark.parametrize(
    ("value", "above"), [(0, 0), (0.3, 0.4), (1, 1), (7, 10), (21, 25), (39, 40), (101, 200)]
)
def test_an_axis_ends_at_a_round_number(value: float, above: float) -> None:
    assert nice(value) == pytest.approx(above)


def test_the_configuration_never_shows_what_is_secret(tmp_path: Path) -> None:
    settings = load_settings(
        node={"data_dir": tmp_path},
        database={"url": "postgresql+psycopg://crdl:hush@db.example/crdl"},
        notify={"webhook": "https://chat.example/hook/hush"},
        destination=[
            {"name": "web", "protocol": "dicomweb", "url": "https://me:hush@pacs.example/dicom-web"}
        ],
    )
    found = {s.name: {one.key: one for one in s.settings} for s in sections(settings)}
    assert not [
        one.value for keys in found.values() for one in keys.values() if "hush" in one.value
    ]
    assert found["[database]"]["url"].value == "postgresql+psycopg://crdl:***@db.example/crdl"
    assert found["[database]"]["url"].changed
    assert not found["[node]"]["ae_title"].changed
    assert found["[[destination]] 1"]["url"].value == "https://pacs.example/dicom-web"
    assert shown("client_secret", "hush") == "set, not shown"
    assert shown("client_secret", "") == "not set"


@pytest.fixture(scope="module")
def a_report_page() -> SrPage:
    (sr, *_) = build_report(a_request())
    return sr_page(dcmread(BytesIO(sr.data)))


def _every(lines: tuple[Line, ...]) -> list[Line]:
    return [one for line in lines for one in (line, *_every(line.details))]


def test_a_report_reads_as_text_with_its_numbers_and_units(a_report_page: SrPage) -> None:
    told = {line.name: line.value for line in _every(a_report_page.content) if line.value}
    assert a_report_page.title == "Oncology Measurement Report"
    assert told["Probability of cancer"].endswith(" %")
    assert told["Diameter"].endswith(" mm")
    facts = dict(a_report_page.facts)
    assert (facts["Verification"], facts["Preliminary"]) == ("Unverified", "Preliminary")


def test_what_is_for_machines_is_folded_away(a_report_page: SrPage) -> None:
    shown_first = [line.name for line in a_report_page.content if not line.small_print]
    assert shown_first == ["Qualitative Evaluations", "Imaging Measurements"]
    lines = _every(a_report_page.content)
    assert all(line.small_print for line in lines if line.name == "Algorithm Parameters")
    assert any(line.name.startswith("Measurement Group: ") for line in lines)


def test_the_outline_and_the_caliper_come_from_the_report(a_report_page: SrPage) -> None:
    (drawing,) = [one for one in a_report_page.drawings if one.outline]
    assert len(drawing.outline) > 3
    assert len(drawing.caliper) == 2
    assert a_report_page.drawing(drawing.tracking_uid, "") == drawing
    assert a_report_page.drawing("", drawing.image) == drawing
    assert a_report_page.drawing("", "1.2.3") is None


def test_a_report_that_is_gone_or_damaged_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expired"):
        read_sr(tmp_path / "gone")
    (tmp_path / "damaged").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        read_sr(tmp_path / "damaged")


def test_the_ready_questions_are_those_of_the_runbook() -> None:
    printed = re.findall(r"\*\*(\d+)\. ([^*]+)\*\*\n\n```sql\n(.*?)```", RUNBOOK, flags=re.DOTALL)
    asked = []
    for question in ready_questions():
        sql = question.sql
        for name, example in question.examples.items():
            sql = sql.replace(f":{name}", f"'{example}'")
        asked.append((str(question.number), question.title, sql))
    assert asked == printed


@pytest.mark.parametrize(
    ("features", "reason"),
    [
        ({}, "at least one"),
        ({"colour": "red"}, "no feature"),
        ({"morphology": "round"}, "Morphology has no value"),
        ({"maximum_diameter": 5000.0}, "length from"),
        ({"maximum_diameter": float("nan")}, "length from"),
        ({"maximum_diameter": "wide"}, "length from"),
    ],
)
def test_a_reading_that_says_nothing_true_is_refused(
    features: dict[str, float | str], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        FormReading(1, "1.2#1", "Doe", features)
    with pytest.raises(InputError, match="who read"):
        FormReading(1, "1.2#1", " ", {"morphology": "regular"})
