"""Languages and a site's own templates: what they change, and what is refused by name."""

import importlib
import json
import pkgutil
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from importlib import resources
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

import models
from models.errors import ModelsError
from node.case import SemanticFinding
from node.config import ReportSettings, load_settings
from node.errors import ConfigurationError
from node.report import build_report
from node.report.tree import children, named, texts, walk
from sr_templates.codes import Code, code
from sr_templates.errors import TemplateError
from sr_templates.influences import influence_words
from sr_templates.templates import languages, load_templates, using
from sr_templates.validation import check_templates
from sr_templates.words import say
from tests.report_fixtures import a_request, a_result, an_image

OTHERS = [language for language in languages() if language != "en"]
BLANK = re.compile(r"{(\w+)}")


@pytest.fixture
def a_site(tmp_path: Path) -> Callable[..., Path]:
    def write(**files: str) -> Path:
        folder = tmp_path / "templates"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / f"{name.replace('__', '.')}.toml").write_text(content, "utf-8")
        return folder

    return write


def sr(settings: ReportSettings, **semantic: SemanticFinding) -> Dataset:
    result = a_result(an_image())
    more = {**result.finding.semantic, **semantic}
    result = replace(result, finding=replace(result.finding, semantic=more))
    written = build_report(replace(a_request(results=(result,)), settings=settings))[0]
    return dcmread(BytesIO(written.data))


def comments(dataset: Dataset) -> list[str]:
    return texts(walk(dataset), code("comment"))


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_says_every_sentence_with_the_blanks_of_the_english_one(language: str) -> None:
    english = load_templates().tables["wording.toml"]
    own = load_templates(language).tables["wording.toml"]
    named_codes = ("label", "meaning", "reason", "parameters", "language")
    for section in english.keys() - set(named_codes):
        for key, sentence in english[section].items():
            said = own[section][key]
            # What is equal in two languages is a form of numbers, never a sentence.
            assert said != sentence or not re.search(r"[a-z]{3}", BLANK.sub("", sentence)), key
            assert set(BLANK.findall(said)) <= set(BLANK.findall(sentence)), key


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_names_every_feature_its_values_and_every_refusal(language: str) -> None:
    templates = load_templates(language).tables
    rows = templates["features.toml"]["feature"]
    words = templates["wording.toml"]
    assert {row["name"] for row in rows} <= set(words["label"])
    assert {name for row in rows for name in row.get("values", {}).values()} <= set(
        words["meaning"]
    )
    assert set(templates["refusals.toml"]) == set(words["reason"])


@pytest.mark.parametrize(
    ("language", "value", "warning", "finding"),
    [
        ("en", "en-US", "SIMULATED MODEL - NOT FOR DIAGNOSIS", "Boundary: Poorly defined"),
        ("de", "de-DE", "SIMULIERTES MODELL - NICHT ZUR DIAGNOSE", "Begrenzung: unscharf"),
        ("zh", "zh-CN", "模拟模型 - 不得用于诊断", "边界:不清晰"),
    ],
)
def test_a_report_is_written_in_the_configured_language(
    language: str, value: str, warning: str, finding: str
) -> None:
    written = sr(ReportSettings(companions=(), language=language))
    (spoken,) = named(children(written), code("language"))
    assert spoken.ConceptCodeSequence[0].CodeValue == value
    assert written.SpecificCharacterSet == "ISO_IR 192"
    assert written.SeriesDescription.startswith(warning)
    assert comments(written)[0].startswith(warning)
    assert any(line.startswith(finding) for line in comments(written))


def test_an_unknown_language_is_a_configuration_error_that_names_those_there() -> None:
    with pytest.raises(ConfigurationError, match="no report language 'xx'; there are en, de, zh"):
        load_settings(report={"language": "xx"})


def refusal_reasons() -> set[str]:
    """Give the code of every error that the models can raise, and of the pipeline's own."""
    for module in pkgutil.walk_packages(models.__path__, "models."):
        if module.name.rpartition(".")[2] in ("errors", "refusals", "values"):
            importlib.import_module(module.name)
    pending, found = [ModelsError], set()
    while pending:
        error = pending.pop()
        pending.extend(error.__subclasses__())
        if error.__module__.split(".")[1] not in ("study", "simulation", "fusion"):
            found.add(error.code)
    source = (resources.files("node.pipeline") / "refusal.py").read_text("utf-8")
    return found | set(re.findall(r'CaseRefusedError\(\s*"([a-z-]+)"', source))


def test_every_refusal_of_models_and_pipeline_has_a_code_and_an_advice() -> None:
    reasons = refusal_reasons()
    tables = load_templates().tables
    assert {"no-calibration", "patient-mismatch", "deep-deadline"} <= reasons
    assert reasons - set(tables["refusals.toml"]) == set()
    assert reasons - set(tables["wording.toml"]["advice"]) == set()


def test_every_radiomics_feature_can_be_said_in_words() -> None:
    names = json.loads((resources.files("models.features.radiomics") / "names.json").read_bytes())
    for language in languages():
        with using(load_templates(language)):
            said = [influence_words(name) for name in names]
        assert not any("_" in words or re.search(r"[a-z][A-Z]", words) for words in said)
        assert len(set(said)) == len(names)


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_names_every_feature_of_the_dictionary(language: str) -> None:
    english = load_templates().tables["influences.toml"]
    file = resources.files("sr_templates") / f"influences.{language}.toml"
    own = tomllib.loads(file.read_text("utf-8"))
    for section in ("clinical", "image", "class", "feature"):
        assert own[section].keys() == english[section].keys(), section


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wavelet-LLL_glcm_JointEntropy", "texture: joint entropy (GLCM), wavelet low-low"),
        ("original_firstorder_Mean", "brightness: mean"),
        ("dl_017", "deep feature 17"),
        ("clinical_flow", "blood flow"),
        ("a_feature_of_a_site", "a_feature_of_a_site"),
    ],
)
def test_a_feature_is_said_in_words(name: str, words: str) -> None:
    assert influence_words(name) == words


AREA = """
[[feature]]
name = "area"
label = "Area"
kind = "number"
concept = "area"
unit = "square_millimeter"
decimals = 0
"""
AREA_CODES = """
[codes.area]
scheme = "SCT"
value = "42798000"
meaning = "Area"

[codes.square_millimeter]
scheme = "UCUM"
value = "mm2"
meaning = "mm2"
"""


def test_a_site_adds_its_own_measurement_without_code(a_site: Callable[..., Path]) -> None:
    folder = a_site(features=AREA, codes=AREA_CODES)
    settings = ReportSettings(companions=(), templates=folder)
    written = sr(settings, area=SemanticFinding(412.3, "mm2", "measured", None))
    (area,) = named(walk(written), Code("SCT", "42798000", "Area"))
    measured = area.MeasuredValueSequence[0]
    assert (str(measured.NumericValue), measured.FloatingPointValue) == ("412", 412.3)
    assert measured.MeasurementUnitsCodeSequence[0].CodeValue == "mm2"
    assert "Area: 412 mm2 (measured from the image)" in comments(written)


def test_a_site_declares_its_own_coding_scheme(a_site: Callable[..., Path]) -> None:
    own = AREA_CODES.replace('"SCT"', '"99SITE"')
    with pytest.raises(
        TemplateError, match=r"codes.toml: \[codes.area\]: declare \[schemes.99SITE\]"
    ):
        check_templates("en", a_site(codes=own))
    declared = (
        '[schemes.99SITE]\nuid = "2.25.5"\nname = "Ours"\nversion = "1"\nresponsible = "We"\n'
    )
    folder = a_site(codes=own + declared)
    load_templates.cache_clear()
    written = sr(ReportSettings(companions=(), templates=folder))
    schemes = [item.CodingSchemeDesignator for item in written.CodingSchemeIdentificationSequence]
    assert schemes == ["99CRDL", "99SITE"]


def test_a_site_rewords_one_sentence_and_keeps_the_others(a_site: Callable[..., Path]) -> None:
    folder = a_site(wording='[lesion]\nmodel = "Model: {model}."\n')
    said = comments(sr(ReportSettings(companions=(), templates=folder)))
    assert "Model: CRDL." in said
    assert "Boundary: Poorly defined (measured from the image, confidence 83 %)" in said


def test_a_site_adds_a_language_and_the_rest_is_said_in_english(
    a_site: Callable[..., Path],
) -> None:
    folder = a_site(wording__fr='[lesion]\nmodel = "Répondu par le modèle {model}."\n')
    assert languages(folder) == ("en", "de", "fr", "zh")
    said = comments(sr(ReportSettings(companions=(), language="fr", templates=folder)))
    assert "Répondu par le modèle CRDL." in said
    assert any(line.startswith("Boundary: Poorly defined") for line in said)


@pytest.mark.parametrize(
    ("files", "what"),
    [
        ({"wording": '[lesion]\nmodle = "x"\n'}, r"wording.toml: \[lesion\] has no modle"),
        ({"wording": '[lesions]\nmodel = "x"\n'}, r"wording.toml: \[lesions\] is no section"),
        ({"wording": '[lesion]\nmodel = "{who}"\n'}, r"\[lesion\] model: nothing fills in {who}"),
        ({"wording": '[lesion]\nmodel = "{model"\n'}, r"wording.toml: \[lesion\] model: "),
        ({"wording": "[lesion]\nmodel = 3\n"}, r"wording.toml: \[lesion\] model: must be text"),
        ({"wording": "model ="}, "wording.toml: "),
        ({"wordings": ""}, "wordings.toml: no report reads it"),
        ({"codes": '[codes.area]\nscheme = "SCT"\n'}, r"codes.toml: \[codes.area\] needs 'value'"),
        ({"features": AREA}, "features.toml: area: codes.toml has no code 'area'"),
        ({"features": AREA + "colour = 1\n", "codes": AREA_CODES}, "features.toml: area: .*colour"),
        ({"features": '[[feature]]\nlabel = "x"\n'}, "features.toml: a feature has no name"),
        ({"refusals": 'video = { value = "" }\n'}, "refusals.toml: video: "),
        (
            {"wording": '[series]\nreport = "A report with a name that is far too long for it"\n'},
            r"wording.toml: \[series\] report: over 64 characters",
        ),
    ],
)
def test_a_template_that_does_not_fit_is_named_by_file_and_key(
    files: dict[str, str], what: str, a_site: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigurationError, match=what):
        load_settings(report={"templates": a_site(**files)})


def test_a_folder_that_is_not_there_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder of report templates"):
        load_settings(report={"templates": tmp_path / "absent"})


def test_a_picture_is_drawn_in_english_where_the_type_lacks_the_letters() -> None:
    result = a_result(an_image())
    request = a_request(results=(replace(result, case=replace(result.case, label="")),))
    drawn = {}
    for language in ("en", "de", "zh"):
        settings = ReportSettings(language=language)
        written = build_report(replace(request, settings=settings))[1]
        drawn[language] = dcmread(BytesIO(written.data))
    assert drawn["zh"].PixelData == drawn["en"].PixelData
    assert drawn["zh"].SeriesDescription.startswith("模拟模型")
    assert drawn["de"].PixelData != drawn["en"].PixelData


def test_a_set_of_templates_holds_only_as_long_as_it_is_in_use() -> None:
    with using(load_templates("de")):
        assert say("class", "benign") == "benigne"
    assert say("class", "benign") == "benign"
