"""A reader's reading as a Structured Report (PS3.16 TID 1500), as a viewer exports one.

One measurement group (TID 1410) on the reader's own SEG: maximum diameter, vascularity, border
shape, border definition and echo pattern, under the tracking UID of the SEG. The observer is the
simulated reader, a person.
"""

from collections.abc import Mapping

import highdicom as hd
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from models.simulation.case import SimulatedCase
from models.simulation.dicom_header import SOFTWARE, stop_clock, uid_of
from models.simulation.dicom_seg import TRACKING_ID
from models.simulation.readers import Reading, SemanticRead
from models.simulation.settings import reading_codes, vendors

GREY_SEGMENT = 1
"""Segment of the reader's SEG that lies on the B-mode image; its only frame has this number too."""


def _code(row: Mapping[str, str]) -> sr.CodedConcept:
    return sr.CodedConcept(row["value"], row["scheme"], row["meaning"])


def reader_report(
    case: SimulatedCase, reading: Reading, grey: Dataset, colour: Dataset, seg: Dataset
) -> Dataset:
    """One reader's semantic features as a Comprehensive SR.

    Args:
        case: the case.
        reading: what the reader read.
        grey: the B-mode instance that was read.
        colour: the colour-flow instance that was read.
        seg: the same reader's segmentation.

    Returns:
        A complete, unverified report; the same bytes for the same case.
    """
    who = f"reader{reading.reader}"
    content = sr.MeasurementReport(
        observation_context=_observer(case, reading),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[_group(case, reading.semantics, grey, seg)],
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=[grey, colour],
    )
    report = sr.ComprehensiveSR(
        evidence=[grey, colour, seg],
        content=content[0],
        series_instance_uid=uid_of(case, who, "reading series"),
        series_number=200 + reading.reader,
        sop_instance_uid=uid_of(case, who, "reading"),
        instance_number=1,
        manufacturer=vendors()[case.vendor].manufacturer,
        manufacturer_model_name="Simulated reading station",
        software_versions=SOFTWARE,
        device_serial_number=str(reading.reader),
        series_description=f"Reading of reader {reading.reader} (SIMULATED)",
        is_complete=True,
    )
    report.SpecificCharacterSet = "ISO_IR 192"
    report.CodingSchemeIdentificationSequence = [_private_scheme()]
    _repair(report)
    stop_clock(report)
    return report


def _observer(case: SimulatedCase, reading: Reading) -> sr.ObservationContext:
    """TID 1002 and 1003: the reader is a person of the case's hospital."""
    person = sr.PersonObserverIdentifyingAttributes(
        name=f"Simulated^Reader{reading.reader}",
        organization_name=f"Simulated Hospital {case.site}",
    )
    return sr.ObservationContext(
        observer_person_context=sr.ObserverContext(codes.DCM.Person, person)
    )


def _group(
    case: SimulatedCase, read: SemanticRead, grey: Dataset, seg: Dataset
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    diameter = reading_codes()["diameter"]
    return sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(hd.UID(uid_of(case, "tumour")), TRACKING_ID),
        referenced_segment=sr.ReferencedSegmentationFrame(
            seg.SOPClassUID,
            seg.SOPInstanceUID,
            frame_number=GREY_SEGMENT,
            segment_number=GREY_SEGMENT,
            source_image=sr.SourceImageForSegmentation(grey.SOPClassUID, grey.SOPInstanceUID),
        ),
        finding_type=codes.SCT.Mass,
        finding_sites=[sr.FindingSite(codes.SCT.SoftTissue)],
        measurements=[
            sr.Measurement(
                _code(diameter["concept"]),
                read.diameter_mm,
                _code(diameter["unit"]),
                derivation=_code(diameter["derivation"]),
            )
        ],
        qualitative_evaluations=[
            sr.QualitativeEvaluation(
                _code(row["concept"]), _code(row["yes" if getattr(read, name) else "no"])
            )
            for name, row in reading_codes()["evaluations"].items()
        ],
    )


def _private_scheme() -> Dataset:
    """Declares the private codes (PS3.3 C.12.1, Coding Scheme Identification Sequence)."""
    scheme = reading_codes()["private_scheme"]
    item = Dataset()
    item.CodingSchemeDesignator = scheme["designator"]
    item.CodingSchemeUID = scheme["uid"]
    item.CodingSchemeName = scheme["name"]
    item.CodingSchemeVersion = scheme["version"]
    item.CodingSchemeResponsibleOrganization = scheme["responsible"]
    return item


def _repair(item: Dataset) -> None:
    """Mend what highdicom writes, from the root down.

    Viewers drop the concept names of a CONTINUOUS container. A reference takes a frame number or
    a segment number, not both (PS3.3 table 10-3).
    """
    if item.ValueType == "CONTAINER":
        item.ContinuityOfContent = "SEPARATE"
    for reference in item.get("ReferencedSOPSequence", ()):
        if "ReferencedFrameNumber" in reference and "ReferencedSegmentNumber" in reference:
            del reference.ReferencedSegmentNumber
    for child in item.get("ContentSequence", ()):
        _repair(child)
