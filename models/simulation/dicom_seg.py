"""A reader's contours as one DICOM SEG (PS3.3 A.51).

Two segments with the same tracking UID: the tumour on the grey image and on the colour image.
Each has one frame, derived from its own image.
"""

from copy import deepcopy

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from models.simulation.case import SimulatedCase
from models.simulation.dicom_header import SOFTWARE, stop_clock, uid_of
from models.simulation.readers import Reading
from models.simulation.settings import vendors

TRACKING_ID = "Soft tissue tumour 1"


def _segment(case: SimulatedCase, number: int, label: str) -> hd.seg.SegmentDescription:
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Mass,
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        tracking_uid=hd.UID(uid_of(case, "tumour")),
        tracking_id=TRACKING_ID,
    )


def reader_segmentation(
    case: SimulatedCase, reading: Reading, grey: Dataset, colour: Dataset, look: int = 1
) -> Dataset:
    """One reader's SEG over the two stills.

    Args:
        case: the case.
        reading: the reader's masks, screen-sized.
        grey: the B-mode instance the first segment lies on.
        colour: the colour-flow instance the second segment lies on.
        look: 2 for what the reader drew again two weeks later.

    Returns:
        A BINARY segmentation of two frames; the same bytes for the same case.
    """
    who = f"reader{reading.reader}" + ("" if look == 1 else "-again")
    masks = np.stack([reading.mask, reading.colour_mask], axis=-1).astype(np.uint8)
    seg = hd.seg.Segmentation(
        source_images=[grey],
        pixel_array=masks[None],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _segment(case, 1, "Tumour on B-mode"),
            _segment(case, 2, "Tumour on colour flow"),
        ],
        series_instance_uid=uid_of(case, who, "series"),
        series_number=100 * look + reading.reader,
        sop_instance_uid=uid_of(case, who),
        instance_number=1,
        manufacturer=vendors()[case.vendor].manufacturer,
        manufacturer_model_name="Simulated reading station",
        software_versions=SOFTWARE,
        device_serial_number=str(reading.reader),
        content_label=f"READER{reading.reader}",
        content_description=f"SIMULATED contours of reader {reading.reader}",
        content_creator_name=f"Simulated^Reader{reading.reader}",
        series_description=f"Contours of reader {reading.reader} (SIMULATED)",
    )
    _derive_second_frame(seg, colour)
    _without_clock(case, who, seg)
    return seg


def grey_segmentation(case: SimulatedCase, reading: Reading, grey: Dataset) -> Dataset:
    """One reader's SEG over the grey still alone: one segment, one frame."""
    return hd.seg.Segmentation(
        source_images=[grey],
        pixel_array=reading.mask[None, :, :, None].astype(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_segment(case, 1, "Tumour on B-mode")],
        series_instance_uid=uid_of(case, "grey only", "series"),
        series_number=100 + reading.reader,
        sop_instance_uid=uid_of(case, "grey only"),
        instance_number=1,
        manufacturer=vendors()[case.vendor].manufacturer,
        manufacturer_model_name="Simulated reading station",
        software_versions=SOFTWARE,
        device_serial_number=str(reading.reader),
        content_label=f"READER{reading.reader}",
    )


def _derive_second_frame(seg: Dataset, colour: Dataset) -> None:
    """Say that the second frame was drawn on the colour image.

    highdicom takes one source image where there is no frame of reference, as in ultrasound, and
    derives every frame from it.
    """
    frame = seg.PerFrameFunctionalGroupsSequence[1]
    # both frames hold one and the same item until now
    frame.DerivationImageSequence = deepcopy(frame.DerivationImageSequence)
    source = frame.DerivationImageSequence[0].SourceImageSequence[0]
    source.ReferencedSOPClassUID = colour.SOPClassUID
    source.ReferencedSOPInstanceUID = colour.SOPInstanceUID
    reference = Dataset()
    reference.ReferencedSOPClassUID = colour.SOPClassUID
    reference.ReferencedSOPInstanceUID = colour.SOPInstanceUID
    seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence.append(reference)
    seg.SourceImageSequence.append(reference)
    # PS3.3 C.7.6.1: type 2C without an image orientation in space
    seg.PatientOrientation = ""


def _without_clock(case: SimulatedCase, who: str, seg: Dataset) -> None:
    """Replace the times and the random UID that highdicom puts in."""
    stop_clock(seg)
    organization = uid_of(case, who, "dimensions")
    for item in seg.DimensionOrganizationSequence:
        item.DimensionOrganizationUID = organization
    for item in seg.DimensionIndexSequence:
        item.DimensionOrganizationUID = organization
