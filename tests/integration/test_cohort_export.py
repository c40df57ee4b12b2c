"""A cohort exported from the node's archive: nobody can be named, and the study reads it."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, get_frame
from sqlalchemy import insert, select

from models.features.extract import FeatureSettings
from models.simulation.case import simulate_case
from models.simulation.cohort import write_case
from models.study.cohort import read_cohort
from models.study.features import measure_case
from node.audit.tables import FindingRow, Job, LedgerInstance, LedgerSystem
from node.audit.trail import Trail
from node.config import Settings
from node.database import utc_now
from node.deidentify.dataset import Method, deidentify
from node.deidentify.instance import IdentifierLeftError, _require_clean, deidentified
from node.deidentify.pixels import BurnedInError, blank_outside
from node.deidentify.pseudonyms import Pseudonyms
from node.errors import ConfigurationError, InputError
from node.jobs.outcomes import OutcomeSaid, keep_outcomes
from node.jobs.pairing import Pairer
from node.receive.parser import HeaderParser
from node.service.cohort import Wish, condition, export_cohort
from node.service.compose import compose
from tests.peers import require
from tests.receive_fixtures import Desk, a_desk_in

SECRETS = ("Winterfeld", "MRN-0815", "ACC-4711", "Sankt-Elsewhere", "Doctor-Whom", "Oakroad-12")
KEY = Pseudonyms(bytes(range(32)))


class Deaf:
    """An engine that nobody listens to."""

    def enqueue(self, *_: object) -> None:
        """Forget a task."""


def name_somebody(path: Path) -> None:
    """Put identifiers wherever machines and people leave them."""
    dataset = dcmread(path)
    family, number, accession, clinic, doctor, street = SECRETS
    dataset.PatientName = f"{family}^Änne"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientID = f"{number}-{dataset.PatientID}"
    dataset.OtherPatientIDs = number
    dataset.PatientAddress = street
    dataset.AccessionNumber = accession
    dataset.InstitutionName = clinic
    dataset.StationName = "US-ROOM-9"
    dataset.ReferringPhysicianName = f"{doctor}^X"
    dataset.StudyDescription = f"{family} left thigh"
    dataset.SeriesDescription = accession
    dataset.Manufacturer = dataset.get("Manufacturer") or "Scanner"
    dataset.SoftwareVersions = f"licensed to {clinic}"  # in no table: told by what is removed
    request = Dataset()
    request.RequestedProcedureDescription = f"look at {family}"
    request.AccessionNumber = accession
    dataset.RequestAttributesSequence = [request]
    block = dataset.private_block(0x0011, "SOMEBODY", create=True)
    block.add_new(1, "LO", family)
    if dataset.Modality == "SEG":
        dataset.ContentCreatorName = doctor
        dataset.ContentLabel = family.upper()
        dataset.SegmentSequence[0].SegmentLabel = f"mass of {family}"
        dataset.SegmentSequence[0].SegmentDescription = number
    elif dataset.file_meta.TransferSyntaxUID.is_compressed:
        first = get_frame(dataset.PixelData, 0)
        note = f"{family} was here".encode()
        marked = first[:2] + b"\xff\xfe" + (len(note) + 2).to_bytes(2) + note + first[2:]
        frames = [marked] if int(dataset.get("NumberOfFrames") or 1) == 1 else None
        if frames:
            dataset.PixelData = encapsulate(frames)
    dataset.save_as(path)


@dataclass
class Archive:
    """A node's archive with labelled lesions, and the files that they came from."""

    desk: Desk
    source: Path
    rows: list[dict[str, Any]]

    def export(self, out: Path, wish: Wish | None = None) -> Any:
        trail = Trail("person:test")
        return export_cohort(self.desk.engine, self.desk.blobs, trail, KEY, out, wish or Wish())


@pytest.fixture(scope="module")
def an_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    folder = tmp_path_factory.mktemp("cohort")
    source = folder / "source"
    rows = []
    with HeaderParser() as parser:
        desk = a_desk_in(folder / "node", parser)
        for index, site in ((1, 1), (2, 1), (3, 1), (1, 2)):
            case = simulate_case(index, 11, site)
            rows.append(write_case(case, source / case.id) | {"site": site})
        stages = compose(Settings())
        pairer = Pairer(desk.engine, Trail("test"), Deaf(), stages, desk.blobs)
        for row in rows:
            for column in ("grey", "colour", "reader1_seg"):
                path = source / str(row[column])
                name_somebody(path)
                accepted = desk.inbox.accept(desk.spool(path.read_bytes()), "US1@10.0.0.1")
                pairer(accepted.instance_id)
        _assess(desk)
        _tell(desk, rows, source)
    yield Archive(desk, source, rows)
    desk.engine.dispose()


def _assess(desk: Desk) -> None:
    """Note a finding a case, as an assessment does."""
    with desk.engine.begin() as connection:
        for job in connection.execute(select(Job.id, Job.cases)).all():
            for case in job.cases["cases"]:
                finding = {
                    "case": case["name"],
                    "status": "assessed",
                    "probability": 0.5,
                    "class": "benign",
                    "refusal": None,
                    "semantic": {"maximum_diameter": {"value": 20.0}},
                }
                connection.execute(
                    insert(FindingRow).values(
                        job_id=job.id,
                        case_name=case["name"],
                        status="assessed",
                        probability=0.5,
                        malignancy="benign",
                        bundle_sha256="0" * 64,
                        finding=finding,
                        created_at=utc_now(),
                    )
                )


def _tell(desk: Desk, rows: list[dict[str, Any]], source: Path) -> None:
    said = []
    for row in rows:
        study = str(dcmread(source / str(row["grey"])).StudyInstanceUID)
        malignant = bool(row["label"])
        said.append(
            OutcomeSaid("pathology", f"csv:{study}"[:80], malignant, study_instance_uid=study)
        )
    keep_outcomes(desk.engine, Trail("person:test"), said)


def exported_bytes(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def an_export(an_archive: Archive, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "cohort"
    done = an_archive.export(out)
    assert (done.cases, done.left_out) == (len(an_archive.rows), {})
    return out


def test_no_identifier_of_the_source_is_in_any_byte(an_archive: Archive, an_export: Path) -> None:
    forbidden = {secret.lower() for secret in SECRETS} | {"us-room-9", "änne"}
    for row in an_archive.rows:
        for column in ("grey", "colour", "reader1_seg"):
            dataset = dcmread(an_archive.source / str(row[column]))
            for element in dataset.iterall():
                if element.VR == "UI" and not str(element.value).startswith("1.2.840.10008"):
                    forbidden.add(str(element.value))
            forbidden |= {str(dataset.PatientID).lower(), str(dataset.StudyDate)}
    forbidden -= {""}
    for path, data in exported_bytes(an_export).items():
        plain = data.lower()
        found = [one for one in forbidden if one.encode() in plain]
        assert not found, f"{path.name}: {found}"


def test_the_labels_are_those_of_the_outcomes(an_archive: Archive, an_export: Path) -> None:
    rows = list(csv.DictReader((an_export / "clinical.csv").open()))
    assert sorted(int(row["label"]) for row in rows) == sorted(
        int(row["label"]) for row in an_archive.rows
    )
    assert {row["sex"] for row in rows} <= {"M", "F", ""}
    assert all(row["vendor"] and row["age"] for row in rows)


def test_what_is_measured_is_what_the_source_gives(an_archive: Archive, an_export: Path) -> None:
    """Blanking the margins and new UIDs change no number of a lesion."""
    table = an_archive.source / "clinical.csv"
    with table.open("w", newline="") as handle:
        names = ("id", "label", "grey", "colour", "reader1_seg")
        writer = csv.DictWriter(handle, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(an_archive.rows)
    ours = {KEY.name("case", _case_name(an_archive, row)): row["id"] for row in an_archive.rows}
    sources = {case.id: case for case in read_cohort(an_archive.source)}
    for case in read_cohort(an_export)[:2]:
        before = measure_case(sources[ours[case.id]], FeatureSettings(), None)
        after = measure_case(case, FeatureSettings(), None)
        np.testing.assert_array_equal(before.radiomics, after.radiomics)
        assert before.measurements == after.measurements
        assert before.simulated
        assert after.simulated


def _case_name(archive: Archive, row: dict[str, Any]) -> str:
    return f"{dcmread(archive.source / str(row['reader1_seg'])).SOPInstanceUID}#1"


def test_images_and_segs_still_refer_to_each_other(an_export: Path) -> None:
    for folder in (path for path in an_export.iterdir() if path.is_dir()):
        grey, seg = dcmread(folder / "grey.dcm"), dcmread(folder / "seg-reader1.dcm")
        referenced = {
            str(element.value)
            for element in seg.iterall()
            if element.keyword == "ReferencedSOPInstanceUID"
        }
        assert str(grey.SOPInstanceUID) in referenced
        assert (grey.StudyInstanceUID, grey.PatientID) == (seg.StudyInstanceUID, seg.PatientID)
        assert grey.PatientIdentityRemoved == "YES"
        codes = {item.CodeValue for item in grey.DeidentificationMethodCodeSequence}
        assert codes == {"113100", "113101", "113107", "113108"}


def test_the_margins_are_black_and_the_ultrasound_is_not(an_export: Path) -> None:
    for path in an_export.rglob("grey.dcm"):
        dataset = dcmread(path)
        (region,) = dataset.SequenceOfUltrasoundRegions
        pixels = dataset.pixel_array.copy()
        rows = slice(region.RegionLocationMinY0, region.RegionLocationMaxY1 + 1)
        columns = slice(region.RegionLocationMinX0, region.RegionLocationMaxX1 + 1)
        assert pixels[rows, columns].any()
        pixels[rows, columns] = 0
        assert not pixels.any()


@pytest.mark.peers
def test_dciodvfy_finds_no_error(an_export: Path) -> None:
    checker = require("dciodvfy")
    for path in sorted(an_export.rglob("*.dcm"))[:6]:
        said = subprocess.run(
            [checker, "-new", str(path)], capture_output=True, text=True, check=False
        )
        errors = [line for line in said.stderr.splitlines() if line.startswith("Error")]
        assert not errors, f"{path.name}: {errors}"


def test_the_same_key_gives_the_same_export_and_another_one_another(
    an_archive: Archive, an_export: Path, tmp_path: Path
) -> None:
    an_archive.export(tmp_path / "again")
    files = {path.relative_to(an_export) for path in an_export.rglob("*.dcm")}
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (an_export / name).read_bytes()
    assert KEY.uid("1.2.3") != Pseudonyms(bytes(32)).uid("1.2.3")


def test_the_export_is_audited_and_its_pseudonyms_are_not(
    an_archive: Archive, an_export: Path
) -> None:
    with an_archive.desk.engine.connect() as connection:
        (note, *_) = connection.scalars(
            select(LedgerSystem.detail).where(LedgerSystem.event == "cohort-exported")
        ).all()
        given = connection.scalars(
            select(LedgerInstance.subject).where(LedgerInstance.event == "exported")
        ).all()
        everything = json.dumps(
            [str(one) for one in connection.execute(select(LedgerInstance.detail)).all()]
        )
    assert note["cases"] == len(an_archive.rows)
    assert note["key"] == KEY.fingerprint
    assert len(set(given)) == 3 * len(an_archive.rows)
    assert not any(path.name in everything for path in an_export.iterdir() if path.is_dir())


@pytest.mark.parametrize(
    ("where", "left"),
    [("sender=US2", 0), ("sender=us*|qa", 4), ("probability=0.4..", 4), ("lesion_size_mm=30..", 0)],
)
def test_only_what_was_asked_for_is_exported(
    an_archive: Archive, tmp_path: Path, where: str, left: int
) -> None:
    wish = Wish(where=(condition(where),))
    if left:
        assert an_archive.export(tmp_path / "out", wish).cases == left
        return
    with pytest.raises(InputError, match="nothing to export: not "):
        an_archive.export(tmp_path / "out", wish)


def test_dates_are_taken_out_where_that_is_wished(an_archive: Archive, tmp_path: Path) -> None:
    path = an_archive.source / str(an_archive.rows[0]["grey"])
    _, shifted = deidentified(path, Method(KEY))
    _, removed = deidentified(path, Method(KEY, "remove"))
    assert 1 <= KEY.days("p") <= 3650
    assert len(shifted.StudyDate) == 8
    assert shifted.StudyDate < dcmread(path).StudyDate
    assert removed.StudyDate == ""
    assert removed.LongitudinalTemporalInformationModified == "REMOVED"
    del tmp_path


def test_an_image_without_regions_is_left_out(an_archive: Archive) -> None:
    dataset = dcmread(an_archive.source / str(an_archive.rows[0]["grey"]))
    del dataset.SequenceOfUltrasoundRegions
    with pytest.raises(BurnedInError):
        blank_outside(dataset)
    dataset.BurnedInAnnotation = "NO"
    blank_outside(dataset)


def test_a_file_that_still_names_somebody_is_not_given_out(an_archive: Archive) -> None:
    path = an_archive.source / str(an_archive.rows[0]["reader1_seg"])
    with pytest.raises(IdentifierLeftError, match=r"SegmentDescription|PatientID|PatientName"):
        _require_clean(path.read_bytes(), frozenset({SECRETS[1].lower()}))


def test_the_oldest_are_not_told_from_each_other() -> None:
    dataset = Dataset()
    dataset.PatientID, dataset.PatientAge = "P", "097Y"
    deidentify(dataset, Method(KEY))
    assert dataset.PatientAge == "090Y"


def test_a_key_is_made_once_and_a_weak_one_is_refused(tmp_path: Path) -> None:
    first = Pseudonyms.from_file(tmp_path / "key")
    assert Pseudonyms.from_file(tmp_path / "key") == first
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError):
        Pseudonyms(b"short")


def test_a_folder_that_holds_something_is_not_written_into(
    an_archive: Archive, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text("here")
    with pytest.raises(InputError, match="is not empty"):
        an_archive.export(tmp_path)
