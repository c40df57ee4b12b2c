"""The files of one SEG, each read and decoded once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from models.imaging.decoders import DECODER_FAILURES
from models.imaging.errors import PixelBudgetError, UndecodablePixelsError, one_line
from models.imaging.masks import SegmentMask, read_masks
from models.imaging.read import Frame, read_frame
from node.case import FrameReference, InstanceHeader
from node.errors import PipelineError
from node.jobs.stages import StoredInstance

MAXIMUM_FILE_BYTES: Final = 1 << 30
"""A file is in memory as a whole while its case is assessed."""


class CaseFiles:
    """The files of one SEG, each decoded once."""

    def __init__(self, instances: Mapping[str, StoredInstance]) -> None:
        self._instances = instances
        self._datasets: dict[str, Dataset] = {}
        self._masks: dict[str, tuple[SegmentMask, ...]] = {}

    def header(self, uid: str) -> InstanceHeader:
        """Return the header of an instance."""
        return self._stored(uid).header

    def dataset(self, uid: str) -> Dataset:
        """Return an instance with its pixels.

        Raises:
            PipelineError: If the acknowledged file is gone or cannot be read any more.
            ImagingError: If it is too large or too damaged to be read at all.
        """
        if uid not in self._datasets:
            path = self._stored(uid).path
            try:
                if (size := path.stat().st_size) > MAXIMUM_FILE_BYTES:
                    raise PixelBudgetError(
                        f"The file has {size >> 20} MiB, {MAXIMUM_FILE_BYTES >> 20} are read"
                    )
                self._datasets[uid] = dcmread(path)
            except (InvalidDicomError, OSError) as error:
                raise PipelineError(f"instance {uid} cannot be read back: {error}") from error
            except DECODER_FAILURES as error:
                raise UndecodablePixelsError(
                    f"The file cannot be read: {one_line(error)}"
                ) from error
        return self._datasets[uid]

    def masks(self, seg_uid: str) -> tuple[SegmentMask, ...]:
        """Return the masks of a SEG, one a segment and frame."""
        if seg_uid not in self._masks:
            self._masks[seg_uid] = read_masks(self.dataset(seg_uid))
        return self._masks[seg_uid]

    def frame(self, reference: FrameReference) -> Frame:
        """Return one decoded frame."""
        return read_frame(self.dataset(reference.sop_instance_uid), reference.frame_number)

    def _stored(self, uid: str) -> StoredInstance:
        try:
            return self._instances[uid]
        except KeyError as error:
            raise PipelineError(f"instance {uid} is not here any more") from error
