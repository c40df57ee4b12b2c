"""The state machine of a Unified Procedure Step, against table CC.1.1-2 of PS3.4, cell by cell."""

from __future__ import annotations

import pytest
from pydicom import Dataset

from node.worklist import states
from node.worklist.attributes import check_new, matches, meets

RIGHT, OTHER = "2.25.1", "2.25.2"
# state: SCHEDULED, IN PROGRESS, COMPLETED, CANCELED
TABLE = {
    ("IN PROGRESS", True): (0x0000, 0xC302, 0xC300, 0xC300),
    ("IN PROGRESS", False): (0xC301, 0xC301, 0xC301, 0xC301),
    ("SCHEDULED", True): (0xC303, 0xC303, 0xC303, 0xC303),
    ("SCHEDULED", False): (0xC303, 0xC303, 0xC303, 0xC303),
    ("COMPLETED", True): (0xC310, 0x0000, 0xB306, 0xC300),
    ("COMPLETED", False): (0xC301, 0xC301, 0xC301, 0xC301),
    ("CANCELED", True): (0xC310, 0x0000, 0xC300, 0xB304),
    ("CANCELED", False): (0xC301, 0xC301, 0xC301, 0xC301),
}


@pytest.mark.parametrize(("wanted", "correct"), list(TABLE))
def test_each_cell_of_the_table_is_as_the_standard_has_it(wanted: str, correct: bool) -> None:
    for state, status in zip(states.STATES, TABLE[wanted, correct], strict=True):
        lock = "" if state == "SCHEDULED" else RIGHT
        given = RIGHT if correct else "" if state == "SCHEDULED" else OTHER
        assert states.may_change(state, wanted, given, lock, complete=True) == status, state


@pytest.mark.parametrize("wanted", ["COMPLETED", "CANCELED"])
def test_a_final_state_has_requirements(wanted: str) -> None:
    answer = states.may_change("IN PROGRESS", wanted, RIGHT, RIGHT, complete=False)
    assert answer == 0xC304


def test_a_state_that_is_none_is_refused() -> None:
    assert states.may_change("SCHEDULED", "DONE", RIGHT, "", complete=True) == 0x0106


@pytest.mark.parametrize(
    ("state", "given", "status"),
    [
        ("SCHEDULED", "", 0x0000),
        ("SCHEDULED", RIGHT, 0xC301),
        ("IN PROGRESS", RIGHT, 0x0000),
        ("IN PROGRESS", OTHER, 0xC301),
        ("IN PROGRESS", "", 0xC301),
        ("COMPLETED", RIGHT, 0xC300),
        ("CANCELED", RIGHT, 0xC300),
    ],
)
def test_only_who_claimed_a_workitem_sets_its_attributes(
    state: str, given: str, status: int
) -> None:
    lock = "" if state == "SCHEDULED" else RIGHT
    assert states.may_update(state, given, lock) == status


@pytest.mark.parametrize(
    ("state", "status"), list(zip(states.STATES, (0, 0, 0xC311, 0xB304), strict=True))
)
def test_who_may_be_cancelled(state: str, status: int) -> None:
    assert states.may_cancel(state) == status


def a_workitem(**elements: object) -> Dataset:
    dataset = Dataset()
    values: dict[str, object] = {
        "ProcedureStepState": "SCHEDULED",
        "ScheduledProcedureStepPriority": "MEDIUM",
        "ProcedureStepLabel": "Score a lesion",
        "ScheduledProcedureStepStartDateTime": "20260102120000",
        "InputReadinessState": "READY",
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
    }
    for keyword, value in (values | elements).items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 0x0000),
        ({"ProcedureStepState": "IN PROGRESS"}, 0xC309),
        ({"TransactionUID": RIGHT}, 0x0106),
        ({"ProcedureStepLabel": ""}, 0x0120),
        ({"ScheduledProcedureStepPriority": "SOON"}, 0x0106),
        ({"InputReadinessState": "PERHAPS"}, 0x0106),
    ],
)
def test_a_new_workitem_has_what_it_needs(change: dict[str, object], status: int) -> None:
    assert check_new(a_workitem(**change))[0] == status


def test_what_completes_a_workitem() -> None:
    performed = Dataset()
    performed.PerformedProcedureStepStartDateTime = "20260102120000"
    performed.PerformedProcedureStepEndDateTime = "20260102120100"
    performed.PerformedWorkitemCodeSequence = [Dataset()]
    item = a_workitem(UnifiedProcedureStepPerformedProcedureSequence=[performed])
    assert not meets(item, "COMPLETED")
    performed.OutputInformationSequence = []
    assert meets(item, "COMPLETED")
    assert not meets(item, "CANCELED")


@pytest.mark.parametrize(
    ("keys", "matched"),
    [
        ({"ProcedureStepLabel": "Score*"}, True),
        ({"ProcedureStepLabel": "score*"}, False),
        ({"PatientName": "doe^*"}, True),
        ({"PatientID": "P?"}, True),
        ({"PatientID": ""}, True),
        ({"PatientID": "P2"}, False),
        ({"ScheduledProcedureStepStartDateTime": "20260102-20260102"}, True),
        ({"ScheduledProcedureStepStartDateTime": "20260103-"}, False),
        ({"ScheduledProcedureStepStartDateTime": "-20260101"}, False),
        ({"AccessionNumber": "1"}, False),
    ],
)
def test_a_query_matches_as_in_the_query_service(keys: dict[str, str], matched: bool) -> None:
    wanted = Dataset()
    for keyword, value in keys.items():
        setattr(wanted, keyword, value)
    assert matches(a_workitem(), wanted) == matched


def test_a_query_looks_into_sequences() -> None:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "110005", "DCM"
    item = a_workitem(ScheduledWorkitemCodeSequence=[code])
    for value, matched in (("110005", True), ("110006", False), ("", True)):
        wanted, keys = Dataset(), Dataset()
        wanted.CodeValue = value
        keys.ScheduledWorkitemCodeSequence = [wanted]
        assert matches(item, keys) == matched
