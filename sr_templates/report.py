"""The content tree of the report: TID 1500 Measurement Report."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from highdicom.sr import ContainerContentItem, ContentItem
from pydicom.dataset import Dataset

from sr_templates import wording
from sr_templates.codes import private_scheme
from sr_templates.equipment import MANUFACTURER, MANUFACTURER_MODEL_NAME
from sr_templates.groups import lesion_groups
from sr_templates.items import coded, container, image, text, uid
from sr_templates.values import AlgorithmValues, Assessment, ReportValues

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


def coding_scheme_item() -> Dataset:
    """Return the item that declares our private scheme (PS3.3 section C.12.1)."""
    declared = private_scheme()
    item = Dataset()
    item.CodingSchemeDesignator = declared.designator
    item.CodingSchemeUID = declared.uid
    item.CodingSchemeName = declared.name
    item.CodingSchemeVersion = declared.version
    item.CodingSchemeResponsibleOrganization = declared.responsible
    return item


def _observation_context(device_uid: str) -> Iterator[ContentItem]:
    """TID 1204 language, TID 1002 and 1004 device observer, procedure reported."""
    yield coded("language", "english", "HAS CONCEPT MOD")
    yield coded("observer_type", "device", "HAS OBS CONTEXT")
    yield uid("device_observer_uid", device_uid, "HAS OBS CONTEXT")
    yield text("device_observer_name", MANUFACTURER, "HAS OBS CONTEXT")
    yield text("device_observer_manufacturer", MANUFACTURER, "HAS OBS CONTEXT")
    yield text("device_observer_model", MANUFACTURER_MODEL_NAME, "HAS OBS CONTEXT")
    yield coded("procedure_reported", "imaging_procedure", "HAS CONCEPT MOD")


def _words(values: ReportValues) -> ContentItem:
    """Row 12: the warning, a sentence a lesion, and what the probability rests on."""
    sentences = [wording.opening(values.algorithm)]
    sentences.extend(wording.verdict(lesion) for lesion in values.lesions)
    sentences.append(wording.prevalence(values.algorithm))
    sentences.extend(filter(None, map(wording.prior_shift, values.lesions)))
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
    yield f"bundle: {algorithm.bundle_name} {algorithm.version}"
    yield f"bundle SHA-256: {algorithm.bundle_sha256}"
    yield f"feature settings SHA-256: {algorithm.settings_sha256}"
    yield f"training data: {algorithm.population.rstrip('.')}"
    yield f"training prevalence: {algorithm.prevalence!r}"
    for lesion in values.lesions:
        if isinstance(lesion.verdict, Assessment):
            yield f"{lesion.name}: model {lesion.verdict.model}"
            yield f"{lesion.name}: threshold {lesion.verdict.threshold!r}"
