"""A second bundle scores what the first has scored: for the audit, never for a report.

Features are shared where both bundles measure alike; only the thresholds of the semantic classes
are then applied anew. Otherwise the shadow measures by itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from models.errors import ModelsError
from models.features.clinical import clinical_vector
from models.features.extract import FeatureSettings
from models.features.feature_set import FeatureSet
from models.features.semantic import SemanticThresholds, classify, merge_reading
from node.case import BundleIdentity, Finding
from node.jobs.stages import StoredInstance
from node.pipeline.assess import Measured, Pipeline
from node.pipeline.refusal import refusal_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shadowed:
    """What the shadow said: a finding a case, or why it said nothing."""

    findings: tuple[Finding, ...] = ()
    failure: str = ""


def heard(
    shadow: Callable[[], Pipeline | None],
    measured: Sequence[Measured],
    served: FeatureSettings,
    instances: Mapping[str, StoredInstance],
) -> Shadowed:
    """Score the cases of a SEG with the shadow bundle; whatever fails is its own affair.

    Args:
        shadow: Gives the pipeline that shadows now; None where none does.
        measured: What the serving bundle made of the cases.
        served: How the serving bundle's features were measured.
        instances: The files, for a shadow that measures otherwise.
    """
    try:
        pipeline = shadow()
        if pipeline is None:
            return Shadowed()
        if alike(pipeline.settings, served):
            return Shadowed(tuple(_rescored(pipeline, one) for one in measured))
        cases = [one.result.case for one in measured]
        return Shadowed(tuple(result.finding for result in pipeline.assess(cases, instances)))
    except Exception as error:  # noqa: BLE001 - the worker boundary: the report goes on
        _log.exception("the shadow bundle failed")
        return Shadowed(failure=f"{type(error).__name__}: {error}")


def alike(one: FeatureSettings, other: FeatureSettings) -> bool:
    """Tell whether two settings measure the same numbers, thresholds of classes aside."""
    unset = SemanticThresholds()
    return replace(one, semantic=unset) == replace(other, semantic=unset)


def _rescored(pipeline: Pipeline, one: Measured) -> Finding:
    served, extraction = one.result.finding, one.extraction
    identity = BundleIdentity(pipeline.bundle.name, pipeline.bundle.version, pipeline.bundle.sha256)
    if extraction is None:
        return replace(served, bundle=identity)  # refused before any bundle was asked
    start = time.perf_counter()
    semantic = classify(extraction.measurements, pipeline.settings.semantic)
    reading = one.result.case.reading
    if reading is not None:
        semantic = merge_reading(semantic, reading.semantic)
    features = FeatureSet(
        radiomics=extraction.features.radiomics,
        deep=extraction.features.deep,
        clinical=clinical_vector(one.clinical, semantic),
        semantic=tuple(semantic.values()),
    )
    try:
        score = pipeline.score(features)
    except ModelsError as error:
        return _refused(served, identity, error)
    return replace(
        served,
        status="assessed",
        probability=score.probability,
        malignancy=None if score.abstains else score.malignancy,
        threshold=score.threshold,
        model=score.model,
        fallback_reason=score.fallback_reason,
        refusal=None,
        features_sha256=features.sha256,
        bundle=identity,
        timings_ms={"score": 1000 * (time.perf_counter() - start)},
    )


def _refused(served: Finding, identity: BundleIdentity, error: ModelsError) -> Finding:
    return replace(
        served,
        status="refused",
        probability=None,
        malignancy=None,
        threshold=None,
        model=None,
        fallback_reason="",
        refusal=refusal_of(error),
        features_sha256="",
        bundle=identity,
        timings_ms={},
    )
