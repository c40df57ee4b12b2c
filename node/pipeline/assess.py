"""From paired files to findings: read, measure, score; a refusal wherever that is not possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from models.backbone.batcher import MicroBatcher
from models.backbone.runner import DeepRunner
from models.bundle import Bundle, Score
from models.errors import ModelsError
from models.features.clinical import ClinicalInput
from models.features.extract import Extraction, FeatureSettings, View, extract_features
from models.features.feature_set import FeatureSet
from models.features.semantic.values import DIAMETER
from models.imaging.boxes import whole
from models.imaging.geometry import PixelGeometry
from models.imaging.read import Frame
from node.case import (
    BundleIdentity,
    Case,
    CaseResult,
    Finding,
    InstanceHeader,
    Reading,
    SemanticFinding,
)
from node.config import ModelSettings
from node.errors import InputError
from node.jobs.stages import StoredInstance
from node.pipeline.abstention import abstention_of
from node.pipeline.files import CaseFiles
from node.pipeline.refusal import CaseRefusedError, refusal_of
from node.pipeline.sight import Sight, doppler_of, evidence_of, frame_of, look


@dataclass(frozen=True)
class Measured:
    """A case's result with the features that it rests on; None where none could be measured."""

    result: CaseResult
    clinical: ClinicalInput
    extraction: Extraction | None


@dataclass(frozen=True)
class Pipeline:
    """A warm model of one process.

    Attributes:
        settings: How the bundle's features are measured.
        runner: The warm backbone, None where the bundle has no deep model.
        prior: Prevalence to shift the probability to; None keeps the training prevalence.
        tolerated_error: Share of wrong classes above which no class is given; None gives one
            always.
    """

    bundle: Bundle
    settings: FeatureSettings
    runner: MicroBatcher | None
    prior: float | None = None
    tolerated_error: float | None = None

    @classmethod
    def load(cls, settings: ModelSettings, batch_s: float = 0.0) -> Pipeline:
        """Load and check the bundle, warm the backbone.

        Args:
            settings: Which bundle on which device.
            batch_s: Seconds that a case waits for others of other threads to share its batch.

        Raises:
            ModelsError: If the bundle or its weights do not hold what they should.
        """
        bundle = Bundle.load(settings.bundle)
        if settings.tolerated_error is not None:
            bundle.require_abstention(settings.tolerated_error)
        runner = None
        if bundle.backbone is not None:
            warm = DeepRunner.from_file(
                bundle.backbone, device=settings.device, sha256=bundle.backbone_sha256
            )
            runner = MicroBatcher(warm, batch_s)
        wanted = FeatureSettings.from_dict(bundle.description.settings)
        return cls(bundle, wanted, runner, settings.prior, settings.tolerated_error)

    @property
    def device(self) -> str:
        """Where the backbone runs; `none` without one."""
        return "none" if self.runner is None else self.runner.device

    def warm_up(self) -> None:
        """Assess a made-up disc once, so that the first case does not pay for loading kernels."""
        rows, columns = np.ogrid[:160, :200]
        disc = (rows - 80) ** 2 + (columns - 100) ** 2 < 40**2
        speckle = np.random.default_rng(0).integers(0, 255, disc.shape, dtype=np.uint8)
        geometry = PixelGeometry((0.2, 0.2), whole(disc.shape), "pixel spacing")
        view = View(Frame(speckle), disc, geometry)
        extraction = extract_features(view, ClinicalInput(), self.settings, self.runner)
        self.bundle.score(extraction.features)

    def assess(
        self, cases: Sequence[Case], instances: Mapping[str, StoredInstance]
    ) -> tuple[CaseResult, ...]:
        """Assess every case of a SEG; each ends in a finding, if only a refusal.

        Args:
            cases: What pairing made of the SEG.
            instances: The SEGs and images that the cases refer to, by SOP Instance UID.

        Raises:
            PipelineError: If a file that was acknowledged cannot be read as DICOM any more.
        """
        return tuple(one.result for one in self.assess_measured(cases, instances))

    def assess_measured(
        self, cases: Sequence[Case], instances: Mapping[str, StoredInstance]
    ) -> tuple[Measured, ...]:
        """Assess as `assess` does, and keep the features for another bundle to score."""
        files = CaseFiles(instances)
        return tuple(self._assess(case, files) for case in cases)

    def score(self, features: FeatureSet) -> Score:
        """Score features as this process is configured: prevalence and tolerated error."""
        return self.bundle.score(features, self.prior, self.tolerated_error)

    def measure(
        self, case: Case, instances: Mapping[str, StoredInstance], settings: FeatureSettings
    ) -> Extraction:
        """Measure one case without scoring it.

        Raises:
            ModelsError: If it cannot be measured.
            InputError: If the mask does not belong to the image.
        """
        files, sight = CaseFiles(instances), Sight()
        try:
            view, doppler = look(case, files, sight), doppler_of(case, files)
        except CaseRefusedError as error:
            raise InputError(str(error)) from error
        clinical = _clinical(files.header(frame_of(sight).sop_instance_uid))
        return self._extract(view, clinical, settings, doppler, case.reading)

    def _extract(
        self,
        view: View,
        clinical: ClinicalInput,
        settings: FeatureSettings,
        doppler: View | None,
        reading: Reading | None,
    ) -> Extraction:
        """Measure; what was read counts instead of what was measured.

        A colour image that cannot be used leaves the flow not assessed.
        """
        read = None if reading is None else reading.semantic
        measure = partial(extract_features, view, clinical, settings, self.runner, reading=read)
        try:
            return measure(doppler=doppler)
        except ModelsError:
            if doppler is None:
                raise
            return measure()

    def _assess(self, case: Case, files: CaseFiles) -> Measured:
        sight = Sight()
        clinical, extraction = ClinicalInput(), None
        try:
            with sight.timed("read"):
                view = look(case, files, sight)
                doppler = doppler_of(case, files)
                clinical = _clinical(files.header(frame_of(sight).sop_instance_uid))
            extraction = self._extract(view, clinical, self.settings, doppler, case.reading)
            sight.timings_ms.update(extraction.timings_ms)
            with sight.timed("score"):
                score = self.score(extraction.features)
        except (ModelsError, CaseRefusedError) as error:
            return Measured(self._refused(case, sight, error), clinical, extraction)
        return Measured(self._assessed(case, sight, extraction, score), clinical, extraction)

    def _assessed(
        self, case: Case, sight: Sight, extraction: Extraction, score: Score
    ) -> CaseResult:
        finding = Finding(
            case=case.name,
            status="assessed",
            probability=score.probability,
            malignancy=None if score.abstains else score.malignancy,
            threshold=score.threshold,
            model=score.model,
            fallback_reason=score.fallback_reason,
            refusal=None,
            semantic={
                feature.name: SemanticFinding(
                    feature.value, feature.unit, feature.provenance, feature.confidence
                )
                for feature in extraction.features.semantic
            },
            features_sha256=extraction.features.sha256,
            bundle=self._identity(),
            device=extraction.device,
            timings_ms=sight.timings_ms,
        )
        ends = _diameter_ends(case, extraction)
        evidence = evidence_of(case, sight, ends, score, self.prior)
        evidence = replace(
            evidence,
            device_note=extraction.device_note,
            abstention=abstention_of(score, self.tolerated_error),
            inputs=self._inputs(score, extraction.features),
        )
        return CaseResult(case, finding, evidence)

    def _inputs(self, score: Score, features: FeatureSet) -> dict[str, float]:
        """Return what the answering model saw, for the monitoring of drift."""
        values = features.values
        names = next(m.model.names for m in self.bundle.models if m.entry.name == score.model)
        return {name: float(value) for name in names if (value := values[name]) is not None}

    def _refused(
        self, case: Case, sight: Sight, error: ModelsError | CaseRefusedError
    ) -> CaseResult:
        finding = Finding(
            case=case.name,
            status="refused",
            probability=None,
            malignancy=None,
            threshold=None,
            model=None,
            fallback_reason="",
            refusal=refusal_of(error),
            semantic={},
            features_sha256="",
            bundle=self._identity(),
            device=self.device,
            timings_ms=sight.timings_ms,
        )
        return CaseResult(case, finding, evidence_of(case, sight, None, None, self.prior))

    def _identity(self) -> BundleIdentity:
        return BundleIdentity(self.bundle.name, self.bundle.version, self.bundle.sha256)


def _diameter_ends(case: Case, extraction: Extraction) -> NDArray[np.float64] | None:
    """Return where the measured diameter ends; one that was read ends we know not where."""
    if case.reading is not None and DIAMETER in case.reading.semantic:
        return None
    return np.array(extraction.measurements.diameter_ends)[:, ::-1]


def _clinical(image: InstanceHeader) -> ClinicalInput:
    return ClinicalInput.from_header(
        image.patient_age, image.patient_birth_date, image.study_date, image.patient_sex
    )
