"""From paired files to findings: read, measure, score; a refusal wherever that is not possible."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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
from models.imaging.errors import ImagingError
from models.imaging.geometry import PixelGeometry, pixel_geometry
from models.imaging.masks import SegmentMask, largest_frame
from models.imaging.read import Frame
from node.case import (
    BundleIdentity,
    Case,
    CaseResult,
    Evidence,
    Finding,
    FrameReference,
    InstanceHeader,
    Reading,
    SemanticFinding,
)
from node.config import ModelSettings
from node.errors import InputError, PipelineError
from node.jobs.stages import StoredInstance
from node.pipeline.abstention import abstention_of
from node.pipeline.files import CaseFiles
from node.pipeline.outline import outline_of
from node.pipeline.refusal import CaseRefusedError, refusal_of, require_kinship


@dataclass
class _Sight:
    """What was seen of a case so far: a refusal still shows all of it."""

    frame: FrameReference | None = None
    mask: SegmentMask | None = None
    picture: NDArray[np.uint8] | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note the milliseconds of a stage."""
        start = time.perf_counter()
        yield
        self.timings_ms[stage] = 1000 * (time.perf_counter() - start)


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
        files, sight = CaseFiles(instances), _Sight()
        try:
            view, doppler = _look(case, files, sight), _doppler(case, files)
        except CaseRefusedError as error:
            raise InputError(str(error)) from error
        clinical = _clinical(files.header(_frame_of(sight).sop_instance_uid))
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
        sight = _Sight()
        clinical, extraction = ClinicalInput(), None
        try:
            with sight.timed("read"):
                view = _look(case, files, sight)
                doppler = _doppler(case, files)
                clinical = _clinical(files.header(_frame_of(sight).sop_instance_uid))
            extraction = self._extract(view, clinical, self.settings, doppler, case.reading)
            sight.timings_ms.update(extraction.timings_ms)
            with sight.timed("score"):
                score = self.score(extraction.features)
        except (ModelsError, CaseRefusedError) as error:
            return Measured(self._refused(case, sight, error), clinical, extraction)
        return Measured(self._assessed(case, sight, extraction, score), clinical, extraction)

    def _assessed(
        self, case: Case, sight: _Sight, extraction: Extraction, score: Score
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
        evidence = _evidence(case, sight, ends, score, self.prior)
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
        self, case: Case, sight: _Sight, error: ModelsError | CaseRefusedError
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
        return CaseResult(case, finding, _evidence(case, sight, None, None, self.prior))

    def _identity(self) -> BundleIdentity:
        return BundleIdentity(self.bundle.name, self.bundle.version, self.bundle.sha256)


def _look(case: Case, files: CaseFiles, sight: _Sight) -> View:
    """Choose the frame with the largest area, decode it and find its scale."""
    drawn = [
        mask
        for mask in files.masks(case.seg_uid)
        if mask.source is None or FrameReference(*mask.source) in case.sources
    ]
    sight.frame = case.sources[0]
    sight.mask = largest_frame(drawn, case.segment_number)
    if sight.mask.source is not None:
        sight.frame = FrameReference(*sight.mask.source)
    uid = sight.frame.sop_instance_uid
    require_kinship(files.header(case.seg_uid), files.header(uid))
    frame = files.frame(sight.frame)
    sight.picture = _picture(frame)
    geometry = pixel_geometry(files.dataset(uid), sight.mask.mask)
    return View(frame, sight.mask.mask, geometry)


def _doppler(case: Case, files: CaseFiles) -> View | None:
    """Return the lesion as outlined on a colour image; a mask is never copied to one."""
    best: SegmentMask | None = None
    for seg_uid, segment_number, reference in case.doppler:
        for mask in files.masks(seg_uid):
            if mask.segment_number != segment_number or mask.source is None:
                continue
            if FrameReference(*mask.source) == reference and (
                best is None or mask.area > best.area
            ):
                best = mask
    if best is None or best.source is None or best.area == 0:
        return None
    reference = FrameReference(*best.source)
    dataset = files.dataset(reference.sop_instance_uid)
    try:
        return View(files.frame(reference), best.mask, pixel_geometry(dataset, best.mask))
    except ImagingError:
        return None  # the grey image is assessed all the same


def _diameter_ends(case: Case, extraction: Extraction) -> NDArray[np.float64] | None:
    """Return where the measured diameter ends; one that was read ends we know not where."""
    if case.reading is not None and DIAMETER in case.reading.semantic:
        return None
    return np.array(extraction.measurements.diameter_ends)[:, ::-1]


def _clinical(image: InstanceHeader) -> ClinicalInput:
    return ClinicalInput.from_header(
        image.patient_age, image.patient_birth_date, image.study_date, image.patient_sex
    )


def _frame_of(sight: _Sight) -> FrameReference:
    if sight.frame is None:
        raise PipelineError("no frame was chosen")
    return sight.frame


def _picture(frame: Frame) -> NDArray[np.uint8]:
    """Return the frame as eight-bit RGB, for a person to see."""
    pixels = frame.eight_bit()
    return pixels if frame.is_colour else np.repeat(pixels[..., None], 3, axis=2)


def _evidence(
    case: Case,
    sight: _Sight,
    diameter: NDArray[np.float64] | None,
    score: Score | None,
    prior: float | None,
) -> Evidence:
    # An image that could not be decoded is none to draw on: its raster may be anything.
    fits = (
        sight.mask is not None
        and sight.picture is not None
        and sight.mask.mask.shape == sight.picture.shape[:2]
    )
    return Evidence(
        frame=sight.frame,
        seg_frame_number=None if sight.mask is None else sight.mask.frame_number,
        outline=outline_of(sight.mask.mask) if sight.mask and fits else np.empty((0, 2)),
        diameter=diameter,
        picture=sight.picture,
        sensitivity=None if score is None else score.sensitivity,
        specificity=None if score is None else score.specificity,
        influences=() if score is None else score.contributions,
        out_of_distribution=score is not None and score.out_of_distribution,
        prior_shift=prior,
        inferred=case.inferred,
    )
