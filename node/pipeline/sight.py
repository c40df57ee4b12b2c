"""What is seen of a case: the frame that was drawn on, its picture and scale, the Doppler image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.bundle import Score
from models.features.extract import View
from models.imaging.errors import ImagingError
from models.imaging.geometry import pixel_geometry
from models.imaging.masks import SegmentMask, largest_frame
from models.imaging.read import Frame
from node.case import Case, Evidence, FrameReference
from node.errors import PipelineError
from node.pipeline.files import CaseFiles
from node.pipeline.outline import outline_of
from node.pipeline.refusal import require_kinship


@dataclass
class Sight:
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


def look(case: Case, files: CaseFiles, sight: Sight) -> View:
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


def doppler_of(case: Case, files: CaseFiles) -> View | None:
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


def frame_of(sight: Sight) -> FrameReference:
    """Return the frame that was chosen.

    Raises:
        PipelineError: If none was: `look` comes first.
    """
    if sight.frame is None:
        raise PipelineError("no frame was chosen")
    return sight.frame


def _picture(frame: Frame) -> NDArray[np.uint8]:
    """Return the frame as eight-bit RGB, for a person to see."""
    pixels = frame.eight_bit()
    return pixels if frame.is_colour else np.repeat(pixels[..., None], 3, axis=2)


def evidence_of(
    case: Case,
    sight: Sight,
    diameter: NDArray[np.float64] | None,
    score: Score | None,
    prior: float | None,
) -> Evidence:
    """Return what a report shows beside the finding.

    Args:
        case: Whose.
        sight: What was seen of it; of a refused case as far as that came.
        diameter: Both ends of the caliper, (2, 2) as column and row; None without one.
        score: None for a refusal.
        prior: The prevalence that the probability was shifted to, if any.
    """
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
