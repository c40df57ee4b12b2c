"""Outcomes as they come: tables, HL7 v2 results; what is not clear is never guessed."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import ConfigurationError, InputError
from node.jobs.outcome_table import outcomes_from_csv, outcomes_from_json
from node.jobs.outcomes import Kept, OutcomeSaid
from node.service.hl7 import MllpListener, answer_to
from node.service.hl7_results import Hl7Error, WrongTypeError, outcomes_of
from node.web.auth.gate import Gate
from node.web.auth.identity import LOCAL
from node.web.outcomes import outcome_router

HEAD = "MSH|^~\\&|LAB|HOSP|CRDL|NODE|20260102||ORU^R01^ORU_R01|42|P|2.5.1"
PATIENT = "PID|1||P1^^^HOSP^MR~X9^^^OTHER"
ORDER = "OBR|1||F77|22637-3^Report^LN|||20260101080000|||||||||||A55"


def a_result(
    value: str, *, status: str = "F", kind: str = "CWE", code: str = "22637-3^D^LN"
) -> str:
    return f"OBX|1|{kind}|{code}||{value}||||||{status}"


def a_message(*segments: str) -> str:
    return "\r".join([HEAD, *(segments or (PATIENT, ORDER, a_result("86049000^x^SCT"))), ""])


@pytest.mark.parametrize(
    ("result", "malignant"),
    [
        (a_result("86049000^Malignant neoplasm^SCT"), True),
        (a_result("3898006^Benign neoplasm^SNM3"), False),
        (a_result("8850/3^Liposarcoma^ICDO3"), True),
        (a_result("M-8850/0^Lipoma^ICD-O-3"), False),
        (a_result("8850/1^Atypical lipomatous tumour^ICDO3"), None),
        (a_result("Malignant", kind="ST"), True),
        (a_result("no evidence of malignancy", kind="TX"), None),
        (a_result("not malignant", kind="TX"), None),
        (a_result("86049000^x^SCT", status="P"), None),
        (a_result("86049000^x^SCT", status="D"), None),
        (a_result("86049000^x^MYSYSTEM"), None),
        (a_result("86049000^x^SCT~3898006^y^SCT"), None),
        (a_result("", kind="TX"), None),
    ],
)
def test_a_result_means_what_its_code_says_and_nothing_else(
    result: str, malignant: bool | None
) -> None:
    (said,) = outcomes_of(a_message(PATIENT, ORDER, result))
    assert said.malignant is malignant
    assert (said.patient_id, said.accession_number) == ("P1", "")
    assert said.detail["placer_field"] == "A55"
    assert said.observed_at == "2026-01-01"


def test_a_correction_has_the_source_of_what_it_corrects() -> None:
    first, again = (
        outcomes_of(a_message(PATIENT, ORDER, a_result(value, status=status)))[0]
        for value, status in (("8850/0^x^ICDO3", "F"), ("8850/3^x^ICDO3", "C"))
    )
    assert first.source == again.source
    assert (first.malignant, again.malignant) == (False, True)


def test_the_dicom_study_of_a_result_is_used() -> None:
    study = a_result("1.2.3.4", kind="ST", code="113014^DICOM Study^DCM")
    (said,) = outcomes_of(a_message(PATIENT, ORDER, study, a_result("Benign", kind="ST")))
    assert said.study_instance_uid == "1.2.3.4"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (a_message(), "AA"),
        (a_message().replace("ORU^R01^ORU_R01", "ADT^A01^ADT_A01"), "AR"),
        (a_message(ORDER, a_result("Benign")), "AE"),
        (a_message(PATIENT, ORDER, a_result("x", code="718-7^Haemoglobin^LN")), "AE"),
        ("nothing", "AE"),
    ],
    ids=["result", "admission", "no patient", "no diagnosis", "no HL7"],
)
def test_every_message_is_acknowledged_as_it_deserves(message: str, code: str) -> None:
    answer = answer_to(message.encode(), lambda said: [Kept("new", "", "")] * len(said))
    head, verdict, _ = answer.split("\r")
    assert verdict.startswith(f"MSA|{code}|")
    if message.startswith("MSH"):
        assert verdict.split("|")[2] == "42"
        assert head.split("|")[2:6] == ["CRDL", "NODE", "LAB", "HOSP"]


@settings(max_examples=30, deadline=None)
@given(st.text(max_size=300))
def test_no_text_breaks_the_listener(text: str) -> None:
    for message in (text, HEAD + "\r" + text, a_message(PATIENT, ORDER, a_result(text))):
        assert "\rMSA|" in answer_to(message.encode("utf-8", "replace"), lambda said: [])


@contextmanager
def a_listener() -> Iterator[tuple[int, list[OutcomeSaid]]]:
    taken: list[OutcomeSaid] = []

    def take(said: Sequence[OutcomeSaid]) -> list[Kept]:
        taken.extend(said)
        return [Kept("new", "", "") for _ in said]

    with MllpListener("127.0.0.1", 0, take) as listener:
        thread = threading.Thread(target=listener.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield listener.server_address[1], taken
        finally:
            listener.shutdown()
            thread.join()


def test_several_messages_come_over_one_connection_whatever_the_packets() -> None:
    with a_listener() as (port, taken), socket.create_connection(("127.0.0.1", port), 5) as line:
        for _ in range(2):
            frame = b"\x0b" + a_message().encode() + b"\x1c\r"
            for start in range(0, len(frame), 40):
                line.sendall(frame[start : start + 40])
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                piece = line.recv(4096)
                assert piece, "the listener has closed the connection"
                answer += piece
            assert b"MSA|AA|42" in answer
    assert len(taken) == 2


def test_bytes_that_are_no_frame_end_the_connection() -> None:
    with a_listener() as (port, taken), socket.create_connection(("127.0.0.1", port), 5) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert line.recv(100) == b""
    assert not taken


def test_the_listener_is_for_this_machine_only() -> None:
    with pytest.raises(ConfigurationError, match="elsewhere"):
        MllpListener("0.0.0.0", 0, lambda said: [])  # noqa: S104 - that is the point


def test_a_wrong_type_is_told_from_a_wrong_message() -> None:
    with pytest.raises(WrongTypeError):
        outcomes_of(a_message().replace("ORU^R01^ORU_R01", "ORM^O01"))
    with pytest.raises(Hl7Error):
        outcomes_of("")


def test_a_table_is_read_with_what_it_has() -> None:
    first, second = outcomes_from_csv(
        "\ufeffpatient_id,accession,tracking,malignant,date\nP1,,1.2,1,20260102\n,A7,,,\n"
    )
    assert (first.malignant, first.tracking_uid, first.observed_at) == (True, "1.2", "2026-01-02")
    assert (second.malignant, second.accession_number) == (None, "A7")
    assert outcomes_from_json({"patient_id": "P1", "malignant": True, "tracking": "1.2"})[
        0
    ].source == (first.source)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("patient_id,malignent\nP,1\n", "no column 'malignent'"),
        ("patient_id\nP\n", "malignant is missing"),
        ("patient_id,malignant\nP,yes\n", "line 2: malignant"),
        ("patient_id,malignant\nP,1\n,0\n", "line 3: give patient_id"),
        ("patient_id,malignant,date\nP,1,tomorrow\n", "line 2: the date"),
        ("patient_id,malignant\nP,1,3\n", "line 2: more cells"),
        ("patient_id,malignant\n", "1 to"),
        ("", "malignant is missing"),
    ],
)
def test_a_wrong_table_is_refused_by_its_first_wrong_line(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        outcomes_from_csv(text)


def test_http_takes_json_and_csv_and_nothing_else() -> None:
    taken: list[OutcomeSaid] = []

    def take(said: Sequence[OutcomeSaid], actor: str) -> list[Kept]:
        assert actor == "person:local"
        taken.extend(said)
        return [Kept("new", "c#1", "") for _ in said]

    app = FastAPI()
    app.add_middleware(Gate, application=app, identify=lambda _: LOCAL)
    app.include_router(outcome_router(take))

    def post(content: str, kind: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
                headers = {"content-type": kind}
                return await client.post("/outcomes", content=content, headers=headers)

        return asyncio.run(asked())

    posted = post('[{"patient_id": "P", "malignant": 0}]', "application/json")
    assert posted.json() == {"outcomes": [{"standing": "new", "case": "c#1"}]}
    assert post("study,malignant\n1.2,1\n", "text/csv; charset=utf-8").is_success
    assert [said.malignant for said in taken] == [False, True]
    # What a page of another site may send without asking first.
    assert post("study,malignant\n1.2,1\n", "text/plain").status_code == 415
    broken = post("{", "application/json")
    assert broken.json() == {"error": "the body cannot be read (JSONDecodeError)"}
    assert post("malignant\n1\n", "text/csv").status_code == 400
    assert len(taken) == 2
