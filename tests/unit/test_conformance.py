"""deploy/CONFORMANCE.md against the code: every table, in both directions."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import get_args

import pytest
from pydicom import dcmread
from pydicom.uid import UID

from node.config import Companion, ReportSettings, Settings
from node.deidentify import profile
from node.deliver import commitment, dimse, query, retrieve_dimse
from node.receive import scp, statuses
from node.report import build_report
from node.worklist import availability, performed, states, teller
from node.worklist.scp import UpsService
from node.worklist.worklist import Worklist
from sr_templates.codes import codes, private_scheme
from sr_templates.templates import load_templates
from tests.report_fixtures import a_request

STATEMENT = (Path(__file__).parents[2] / "deploy" / "CONFORMANCE.md").read_text("utf-8")
CONTEXTS = tomllib.loads((files("node.receive") / "contexts.toml").read_text("utf-8"))


def rows(table: str) -> list[list[str]]:
    """Give the rows of the table below `<!-- table: NAME -->`, without its two head lines."""
    (body,) = re.findall(rf"<!-- table: {re.escape(table)} -->\n+((?:\|.*\n)+)", STATEMENT)
    lines = body.splitlines()[2:]
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]


def pairs(table: str) -> dict[str, str]:
    """Give the first two columns of a table; a key that stands twice is an error."""
    found = [(row[0], row[1]) for row in rows(table)]
    assert len(dict(found)) == len(found), f"{table} says something twice"
    return dict(found)


def test_the_accepted_sop_classes_are_those_of_the_receiver() -> None:
    assert pairs("storage scp") == CONTEXTS["storage"]


def test_the_accepted_transfer_syntaxes_are_those_of_the_receiver() -> None:
    assert pairs("transfer syntaxes") == CONTEXTS["transfer_syntax"] | CONTEXTS["deflated"]


def test_the_other_services_are_those_of_the_code() -> None:
    assert set(pairs("other services")) == {
        scp._VERIFICATION,
        dimse._STUDY_ROOT_FIND,
        query.GET,
        retrieve_dimse.MOVE,
        commitment.PUSH_MODEL,
        *UpsService(Worklist.__new__(Worklist)).syntaxes,
        teller.EVENT,
        performed.MPPS,
        availability.IAN,
    }


def test_the_statuses_are_those_that_the_receiver_answers() -> None:
    answered = {
        f"0x{value:04X}"
        for name, value in vars(statuses).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, int)
    }
    assert set(pairs("c-store statuses")) == answered


def test_every_private_code_is_listed_with_its_meaning() -> None:
    templates = load_templates()
    scheme = private_scheme().designator
    private = {one.value: one.meaning for one in codes(templates).values() if one.scheme == scheme}
    refusals = {row["value"]: row["meaning"] for row in templates.tables["refusals.toml"].values()}
    assert pairs("private codes") == private
    assert pairs("refusal codes") == refusals


def test_the_private_scheme_is_declared_as_in_every_report() -> None:
    scheme = private_scheme()
    assert f"`{scheme.designator}`" in STATEMENT
    assert f"`{scheme.uid}`" in STATEMENT


@pytest.fixture(scope="module")
def created() -> dict[str, set[str]]:
    """The SOP classes by kind, of reports with every companion."""
    kinds = get_args(Companion)
    found: dict[str, set[str]] = {}
    for sop_class in ("comprehensive3d", "comprehensive"):
        settings = ReportSettings(sop_class=sop_class, companions=kinds)
        for one in build_report(replace(a_request(), settings=settings)):
            uid = str(dcmread(BytesIO(one.data)).SOPClassUID)
            found.setdefault(str(one.kind).rstrip("-0123456789"), set()).add(uid)
    return found


def test_every_object_that_the_node_creates_is_listed(created: dict[str, set[str]]) -> None:
    listed: dict[str, set[str]] = {}
    for kind, uid, *_ in rows("created instances"):
        listed.setdefault(kind, set()).add(uid)
    assert listed.keys() == {"sr", *get_args(Companion), "note"}
    for kind, uids in created.items():
        assert uids <= listed[kind], kind
    for uid in set().union(*listed.values()):
        assert UID(uid).type == "SOP Class", uid


def test_the_names_of_all_uids_are_those_of_the_standard() -> None:
    for kind, uid, name, *_ in rows("created instances"):
        assert UID(uid).name == name, kind


def test_every_setting_is_listed_and_no_other() -> None:
    listed = {row[0] for row in rows("parameters")}
    settings = set()
    for section, value in Settings.model_fields.items():
        kind = value.annotation
        fields = getattr(kind, "model_fields", None) or get_args(kind)[0].model_fields
        name = f"[[{section}]]" if section in {"destination", "source"} else f"[{section}]"
        settings |= {f"{name} {key}" for key in fields}
    assert listed == settings


def test_the_options_of_de_identification_are_those_of_the_code() -> None:
    assert pairs("de-identification") == profile.CODES


def test_the_statuses_of_workitems_are_those_of_the_code() -> None:
    assert pairs("ups statuses") == {
        f"0x{status:04X}": meaning for status, meaning in states.MEANINGS.items()
    }


def test_every_listed_service_has_its_name() -> None:
    for uid, name in pairs("other services").items():
        assert UID(uid).name.removesuffix(" SOP Class") == name.removesuffix(" SOP Class")
