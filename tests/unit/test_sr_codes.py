"""The code tables against PS3.16 as pydicom carries it, and against their own rules."""

import pytest
from pydicom.sr.codedict import codes as standard

from sr_templates.codes import Code, code, private_scheme, refusal_code
from sr_templates.errors import TemplateError
from sr_templates.features import features
from sr_templates.items import concept
from sr_templates.templates import table

ROWS = table("codes.toml")["codes"]
# Not in the dictionary: language and modality codes, UMLS and UCUM live outside PS3.16's lists.
KNOWN = {name: row for name, row in ROWS.items() if row["scheme"] in ("DCM", "SCT")}


@pytest.fixture(scope="module")
def the_standard() -> set[tuple[str, str, str]]:
    return {
        (entry.scheme_designator, entry.value, entry.meaning.lower())
        for collection in (standard.DCM, standard.SCT)
        for entry in collection.concepts.values()
    }


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_standard_code_has_the_meaning_that_ps3_16_gives_it(
    name: str, the_standard: set[tuple[str, str, str]]
) -> None:
    row = KNOWN[name]
    assert (row["scheme"], row["value"], row["meaning"].lower()) in the_standard


def test_no_code_is_written_twice() -> None:
    pairs = [(row["scheme"], row["value"]) for row in ROWS.values()]
    assert len(set(pairs)) == len(pairs)


def test_every_code_cites_where_it_is_defined() -> None:
    assert all(row["source"] for row in ROWS.values())


def test_private_codes_fit_a_short_string_and_belong_to_the_declared_scheme() -> None:
    private = [row for row in ROWS.values() if row["scheme"].startswith("99")]
    assert {row["scheme"] for row in private} == {private_scheme().designator}
    assert all(len(row["value"]) <= 16 for row in private)
    assert all(len(refusal_code(reason).value) <= 16 for reason in table("refusals.toml"))


def test_a_listed_refusal_has_its_own_code() -> None:
    assert refusal_code("no-calibration") == Code(
        "99CRDL", "NO-CALIBRATION", "No spatial calibration of the image"
    )


def test_an_unlisted_refusal_still_has_a_code() -> None:
    unlisted = refusal_code("something-nobody-foresaw")
    assert unlisted.meaning == "Something nobody foresaw"
    assert concept(unlisted).LongCodeValue == "SOMETHING-NOBODY-FORESAW"


def test_a_refusal_without_a_reason_is_refused() -> None:
    with pytest.raises(TemplateError, match="needs a reason"):
        refusal_code("")


def test_an_unknown_code_is_named() -> None:
    with pytest.raises(TemplateError, match="no_such_code"):
        code("no_such_code")


def test_a_code_without_meaning_is_refused() -> None:
    with pytest.raises(TemplateError, match="meaning"):
        Code("DCM", "111047", "")


def test_every_semantic_feature_has_a_row_with_its_two_classes() -> None:
    rows = {row.name: row for row in features()}
    assert set(rows) == {
        "maximum_diameter",
        "flow_grade",
        "morphology",
        "boundary",
        "internal_echo",
    }
    assert rows["boundary"].answer("unclear").meaning == "Poorly defined"
    assert rows["flow_grade"].answer(None).value == "111374"


def test_an_unknown_class_of_a_feature_is_refused() -> None:
    boundary = next(row for row in features() if row.name == "boundary")
    with pytest.raises(TemplateError, match="blurred"):
        boundary.answer("blurred")
