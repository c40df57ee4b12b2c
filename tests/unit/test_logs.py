"""Log lines say what happened, and above debug nothing that names a patient or a study."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from node.audit.pseudonym import PSEUDONYM, Pseudonyms
from node.audit.seal import Sealer
from node.errors import DeliveryError
from node.service.logs import JsonFormatter, TextFormatter

SEALER = Sealer(b"k" * 32)
WHO = Pseudonyms(SEALER)
STUDY = "1.2.840.113619.2.5.1762583153"


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    """Raise and catch, so that the error has a place."""
    try:
        raise error from cause  # noqa: TRY301 - to give it a place is the point
    except Exception as caught:  # noqa: BLE001 - whatever was given
        return caught


def a_line(
    message: str, *, plain: bool = False, study: str = "", error: Exception | None = None
) -> str:
    info = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("node.jobs", logging.INFO, "x.py", 1, message, (), info)
    if study:
        record.study = study
    return JsonFormatter("work", WHO, plain=plain).format(record)


def test_a_study_is_a_pseudonym_that_only_the_key_gives() -> None:
    line = json.loads(a_line("job 7 becomes queued", study=STUDY))
    assert line["study"] == WHO.of(STUDY)
    assert PSEUDONYM.fullmatch(line["study"])
    assert Pseudonyms(Sealer(b"x" * 32)).of(STUDY) != line["study"]
    assert (line["level"], line["role"], line["logger"]) == ("info", "work", "node.jobs")
    assert line["time"].endswith("+00:00")


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        (f"study {STUDY} is here", STUDY),
        (f"{STUDY}/2 failed", STUDY),
        (f"case {STUDY}#1.", STUDY),
        (
            "2.25.329800735698586629295641978511506172918",
            "2.25.329800735698586629295641978511506172918",
        ),
    ],
)
def test_a_uid_anywhere_in_a_line_is_hidden(text: str, hidden: str) -> None:
    assert hidden not in a_line(text)
    assert WHO.of(hidden) in a_line(text)


@pytest.mark.parametrize(
    "text", ["listening on 127.0.0.1:8042", "from 0.0.0.0", "version 1.26.4", "2.5 s", "2026.11.28"]
)
def test_what_is_no_uid_stays(text: str) -> None:
    assert json.loads(a_line(text))["message"] == text


def test_the_text_of_a_foreign_error_is_not_told_and_that_of_ours_is() -> None:
    foreign = raised(ValueError("invalid value for PatientName: 'Doe^Jane'"))
    line = a_line("job 7 failed", error=foreign)
    assert "Doe" not in line
    told = json.loads(line)["error"]
    assert told["type"] == "ValueError"
    assert told["at"][-1].startswith("test_logs.py:")
    ours = raised(DeliveryError(f"pacs does not take {STUDY}"), cause=foreign)
    line = a_line("delivery failed", error=ours)
    assert json.loads(line)["error"]["text"] == f"pacs does not take {WHO.of(STUDY)}"
    assert json.loads(line)["error"]["cause"] == "ValueError"
    assert "Doe" not in line


def test_debug_shows_what_is_there() -> None:
    assert STUDY in a_line(f"study {STUDY}", plain=True)


def test_a_line_is_one_line_and_text_says_the_same() -> None:
    assert "\n" not in a_line("two\nlines")
    record = logging.LogRecord("node.jobs", logging.WARNING, "x.py", 1, f"no {STUDY}", (), None)
    line = TextFormatter("work", WHO, plain=False).format(record)
    assert line.endswith(f" WARNING work node.jobs: no {WHO.of(STUDY)}")


def test_a_pseudonym_leads_back_for_who_has_the_key(tmp_path: Path) -> None:
    sealer = Sealer.from_file(tmp_path / "audit.key")
    again = Sealer.from_file(tmp_path / "audit.key")
    assert Pseudonyms(sealer).of(STUDY) == Pseudonyms(again).of(STUDY)
