"""What every simulated DICOM object of a case says: patient, study, equipment, identifiers.

Nothing depends on the clock: UIDs are derived from the cohort's seed and the case, dates are
fixed, so that two runs write the same bytes.
"""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, generate_uid

from models.simulation.case import SimulatedCase
from models.simulation.settings import vendors

EXAMINED = "20240101"
STARTED = "100000"
SOFTWARE = "1"
_EXAM_YEAR = 2024


def uid_of(case: SimulatedCase, *what: str) -> UID:
    """The UID of one thing of a case: the same for the same seed, case and thing."""
    return UID(generate_uid(entropy_srcs=["CRDL simulation", str(case.seed), case.id, *what]))


def stop_clock(ds: Dataset) -> None:
    """Give what highdicom built the study's date, where it took the clock's or none."""
    for event in ("Content", "Series", "InstanceCreation"):
        setattr(ds, f"{event}Date", EXAMINED)
        setattr(ds, f"{event}Time", STARTED)
    for item in ds.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = EXAMINED + STARTED


def birth_date(case: SimulatedCase) -> str:
    """PatientBirthDate (DA) that makes the patient `age` years old on the day of the study."""
    day = 1 + case.index % 28
    month = 1 + case.index % 12
    had_birthday = (month, day) == (1, 1)
    return f"{_EXAM_YEAR - case.age - (0 if had_birthday else 1):04d}{month:02d}{day:02d}"


def case_header(case: SimulatedCase, sop_class: str, what: str, transfer_syntax: str) -> Dataset:
    """Patient, study, series and equipment modules (PS3.3 C.7) of one US instance.

    Args:
        case: the case.
        sop_class: SOPClassUID.
        what: name of the instance within the case, part of its UID.
        transfer_syntax: TransferSyntaxUID it will be written in.

    Returns:
        A dataset with file meta information, without pixels.
    """
    vendor = vendors()[case.vendor]
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    ds.file_meta.MediaStorageSOPInstanceUID = uid_of(case, what)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = UID(sop_class)
    ds.SOPInstanceUID = uid_of(case, what)
    ds.PatientName = case.patient.name
    ds.PatientID = f"SIM-{case.id}"
    ds.PatientBirthDate = birth_date(case)
    ds.PatientSex = case.sex
    ds.PatientAge = f"{case.age:03d}Y"
    ds.StudyInstanceUID = uid_of(case, "study")
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = EXAMINED
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = STARTED
    ds.StudyID = "1"
    ds.AccessionNumber = f"SIM{case.id}"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "US soft tissue (SIMULATED)"
    ds.SeriesInstanceUID = uid_of(case, "series")
    ds.SeriesNumber = 1
    ds.SeriesDescription = "Soft tissue tumour (SIMULATED)"
    ds.Modality = "US"
    ds.BodyPartExamined = "EXTREMITY"
    ds.Laterality = "L" if case.index % 2 else "R"
    ds.PatientOrientation = ""
    ds.Manufacturer = vendor.manufacturer
    ds.ManufacturerModelName = vendor.model
    ds.SoftwareVersions = SOFTWARE
    ds.InstitutionName = f"Simulated Hospital {case.site}"
    ds.ImageComments = "SIMULATED IMAGE - NOT A PATIENT"
    return ds
