"""Key Object Selection Documents (PS3.3 section A.35.4, PS3.16 TID 2010)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, KeyObjectSelectionDocumentStorage

from node.report.companions.references import (
    Reference,
    add_companion_series,
    coded,
    documents,
    evidence,
    image_of,
    instance_item,
)
from node.report.document import SOP_CLASSES
from node.report.header import patient_and_study
from node.report.request import ReportRequest
from node.report.translate import report_values

_COMPOSITE: Final = ("SR Storage", "PDF Storage", "Presentation State Storage")


def key_object(request: ReportRequest) -> Iterator[Dataset]:
    """Build the selection of the assessed frames and the report; none without a frame.

    Images of another study are left out: a selection of one study names that study's objects.
    """
    sources = [lesion.source for lesion in report_values(request).lesions]
    study = request.seg.StudyInstanceUID
    frames = [
        image_of(request, source.sop_instance_uid, source.frame_number)
        for source in dict.fromkeys(sources)
        if source is not None and request.images[source.sop_instance_uid].StudyInstanceUID == study
    ]
    if not frames:
        return
    sop_class = SOP_CLASSES[request.settings.sop_class]
    report = Reference(sop_class, request.uids("sr"), request.uids("sr-series"))
    dataset = patient_and_study(request)
    dataset.SOPInstanceUID = request.uids("ko")
    add_companion_series(dataset, request, "ko")
    dataset.InstanceNumber = request.generation
    fill_selection(dataset, "of_interest", documents()["text"]["ko"], [*frames, report])
    yield dataset


def fill_selection(
    dataset: Dataset, title: str, description: str, references: Iterable[Reference]
) -> None:
    """Complete a key object selection document.

    Args:
        dataset: With patient, study, series, equipment and SOP Instance UID.
        title: Name of the document title in documents.toml (PS3.16 CID 7010).
        description: Key Object Description, in plain words.
        references: What is selected, all of the dataset's study.
    """
    chosen = list(references)
    dataset.SOPClassUID = KeyObjectSelectionDocumentStorage
    dataset.Modality = "KO"
    dataset.ReferencedPerformedProcedureStepSequence = Sequence()
    dataset.CurrentRequestedProcedureEvidenceSequence = evidence(dataset.StudyInstanceUID, chosen)
    dataset.ValueType = "CONTAINER"
    dataset.ConceptNameCodeSequence = Sequence([coded(title)])
    dataset.ContinuityOfContent = "SEPARATE"
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "2010"
    dataset.ContentTemplateSequence = Sequence([template])
    text = Dataset()
    text.RelationshipType, text.ValueType = "CONTAINS", "TEXT"
    text.ConceptNameCodeSequence = Sequence([coded("description")])
    text.TextValue = description
    dataset.ContentSequence = Sequence([text, *(_selected(one) for one in chosen)])


def _selected(reference: Reference) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    composite = UID(reference.sop_class_uid).name.endswith(_COMPOSITE)
    item.ValueType = "COMPOSITE" if composite else "IMAGE"
    item.ReferencedSOPSequence = Sequence([instance_item(reference)])
    return item
