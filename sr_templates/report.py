"""The content tree of the report: TID 1500 Measurement Report."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from highdicom.sr import ContainerContentItem, ContentItem
from pydicom.dataset import Dataset

from sr_templates import wording
from sr_templates.codes import CodingScheme, schemes
from sr_templates.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from sr_templates.groups import lesion_groups
from sr_templates.items import coded, container, image, text, uid
from sr_templates.templates import current, table
from sr_templates.trend import of_patient
from sr_templates.values import AlgorithmValues, Assessment, ReportValues
from sr_templates.words import say

_TITLES = {"oncology": "oncology_measurement_report", "imaging": "imaging_measurement_report"}


def measurement_report(values: ReportValues) -> ContainerContentItem:
    """Build the root container of TID 1500.

    The words come before the numbers: the order of the rows is not significant in TID 1500, and
    a reader must meet the warning first.
    """
    children = chain(
        _observation_context(values.device_uid),
        (_words(values), _image_library(values), _measurements(values)),
    )
    return container(_TITLES[values.title], children, template="1500", root=True)


def coding_scheme_items() -> list[Dataset]:
    """Return the items that declare the private schemes (PS3.3 section C.12.1)."""
    return [_coding_scheme_item(scheme) for scheme in schemes(current())]


def _coding_scheme_item(declared: CodingScheme) -> Dataset:
    item = Dataset()
    item.CodingSchemeDesignator = declared.designator
    item.CodingSchemeUID = declared.uid
    item.CodingSchemeName = declared.name
    item.CodingSchemeVersion = declared.version
    item.CodingSchemeResponsibleOrganization = declared.responsible
    return item


def _observation_context(device_uid: str) -> Iterator[ContentItem]:
    """TID 1204 language, TID 1002 and 1004 device observer, procedure reported."""
    yield coded("language", table("wording.toml")["language"]["code"], "HAS CONCEPT MOD")
    yield coded("observer_type", "device", "HAS OBS CONTEXT")
    yield uid("device_observer_uid", device_uid, "HAS OBS CONTEXT")
    yield text("device_observer_name", MANUFACTURER, "HAS OBS CONTEXT")
    yield text("device_observer_manufacturer", MANUFACTURER, "HAS OBS CONTEXT")
    yield text("device_observer_model", MANUFACTURER_MODEL_NAME, "HAS OBS CONTEXT")
    yield coded("procedure_reported", "imaging_procedure", "HAS CONCEPT MOD")


def _words(values: ReportValues) -> ContentItem:
    """Row 12: the warning, a sentence a lesion, and what the probability rests on."""
    sentences = [wording.opening(values.algorithm)]
    for lesion in values.lesions:
        sentences.extend((wording.verdict(lesion), *wording.caveats(lesion)))
    sentences.append(wording.prevalence(values.algorithm))
    sentences.extend(map(of_patient, values.priors))
    return container("qualitative_evaluations", (text("comment", line) for line in sentences))


def _image_library(values: ReportValues) -> ContentItem:
    """TID 1600 with one group: every ultrasound image that the report rests on."""
    entries = (image("source_image", reference) for reference in values.images)
    modality = coded("modality", "ultrasound", "HAS ACQ CONTEXT")
    group = container("image_library_group", (modality, *entries))
    return container("image_library", (group,), template="1600")


def _measurements(values: ReportValues) -> ContentItem:
    """Row 6 with the algorithm (row 6b, TID 4019) and the groups of every lesion."""
    groups = chain.from_iterable(lesion_groups(lesion) for lesion in values.lesions)
    return container("imaging_measurements", (*_algorithm(values), *groups))


def _algorithm(values: ReportValues) -> Iterator[ContentItem]:
    algorithm = values.algorithm
    yield text("algorithm_name", algorithm.name, "HAS CONCEPT MOD")
    yield text("algorithm_version", algorithm.version, "HAS CONCEPT MOD")
    yield text("algorithm_manufacturer", MANUFACTURER, "HAS CONCEPT MOD")
    for line in _parameters(algorithm, values):
        yield text("algorithm_parameters", line, "HAS CONCEPT MOD")
    yield coded("algorithm_family", "artificial_intelligence", "HAS CONCEPT MOD")


def _parameters(algorithm: AlgorithmValues, values: ReportValues) -> Iterator[str]:
    """Yield what the probability rests on, numbers to the last digit, one parameter a line."""
    yield _parameter("bundle", bundle=algorithm.bundle_name, version=algorithm.version)
    yield _parameter("bundle_sha256", sha256=algorithm.bundle_sha256)
    yield _parameter("settings_sha256", sha256=algorithm.settings_sha256)
    yield _parameter("population", population=algorithm.population.rstrip("."))
    yield _parameter("prevalence", prevalence=repr(algorithm.prevalence))
    for lesion in values.lesions:
        if isinstance(lesion.verdict, Assessment):
            yield from _assessment_parameters(lesion.name, lesion.verdict)


def _assessment_parameters(lesion: str, found: Assessment) -> Iterator[str]:
    yield _parameter("model", lesion=lesion, model=found.model)
    yield _parameter("threshold", lesion=lesion, threshold=repr(found.threshold))
    if found.prior_shift is not None:
        yield _parameter("prior_shift", lesion=lesion, prevalence=repr(found.prior_shift))
    for feature, contribution in found.influences:
        shown = repr(float(contribution))
        yield _parameter("influence", lesion=lesion, feature=feature, contribution=shown)


def _parameter(sentence: str, **blanks: str) -> str:
    return say("parameters", sentence, **blanks)
