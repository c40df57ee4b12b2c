"""A research cohort from the node's own archive: de-identified, labelled, and audited."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine

from node.audit.trail import Trail
from node.blobs import BlobStore
from node.database import utc_now
from node.deidentify.dataset import Dates, Method
from node.deidentify.instance import deidentified
from node.deidentify.profile import CODES, EDITION
from node.deidentify.pseudonyms import Pseudonyms
from node.errors import InputError
from node.jobs.labelled import LabelledLesion, export_rows, labelled_lesions
from node.route.fields import fields
from node.route.rules import Condition

TABLE: Final = "clinical.csv"
MANIFEST: Final = "export.json"
_READ: Final = {  # column -> feature and the class that is 1 (models/study/cohort.py)
    "reader1_flow": ("flow_grade", "2-3"),
    "reader1_morphology": ("morphology", "irregular"),
    "reader1_boundary": ("boundary", "unclear"),
    "reader1_echo": ("internal_echo", "uneven"),
}
_COLUMNS: Final = (
    *("id", "patient", "site", "cohort", "vendor", "label", "age", "sex"),
    *("grey", "colour", "reader1_seg", *_READ),
)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is exported, and how.

    Attributes:
        since: Assessed from then on.
        until: Assessed before then.
        where: All have to be met.
        site: Written into the table; "" says nothing.
        external: The cohort is for validation, not for training.
    """

    since: datetime | None = None
    until: datetime | None = None
    where: tuple[Condition, ...] = ()
    dates: Dates = "shift"
    site: str = ""
    external: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of it: cases in the table, and why others are not in it (reason: how many)."""

    cases: int
    malignant: int
    patients: int
    left_out: dict[str, int]


def condition(text: str) -> Condition:
    """Read `field=pattern`, `field=min..max` or `field=true` as a condition of a rule.

    Raises:
        InputError: If it is none.
    """
    name, equals, value = text.partition("=")
    field = fields().get(name.strip())
    if field is None or not equals:
        raise InputError(f"--where {text!r}: write FIELD=VALUE; crdl rules fields lists the fields")
    if field.kind == "text":
        return Condition(field, patterns=tuple(one.strip().lower() for one in value.split("|")))
    if field.kind == "flag" and value in {"true", "false"}:
        return Condition(field, flag=value == "true")
    low, dots, high = value.partition("..")
    try:
        bounds = [float(one) if one else None for one in (low, high if dots else low)]
    except ValueError as error:
        raise InputError(
            f"--where {text!r}: {name} is a range such as 18..65, or a flag"
        ) from error
    return Condition(field, minimum=bounds[0], maximum=bounds[1])


def export_cohort(
    database: Engine,
    blobs: BlobStore,
    trail: Trail,
    pseudonyms: Pseudonyms,
    out: Path,
    wish: Wish,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Write a folder that `crdl models study --cohort` reads.

    Args:
        database: The node's.
        blobs: Its archive.
        trail: Whose actor is the person that exports.
        pseudonyms: The same key gives the same names and UIDs again.
        out: A folder that is not there yet, or is empty.
        wish: Which lesions, and how.
        progress: Called with lesions done and lesions in all.

    Raises:
        InputError: If the folder holds something, or no lesion can be exported.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out} is not empty: name a new folder")
    out.mkdir(parents=True, exist_ok=True)
    method = Method(pseudonyms, wish.dates)
    found = labelled_lesions(database, blobs, wish.since, wish.until)
    rows, given, left_out = [], [], dict[str, int]()
    for number, lesion in enumerate(found, 1):
        reason = _unfit(lesion, wish)
        if not reason:
            try:
                rows.append(_write(lesion, method, out, wish))
                given.append(lesion)
            except InputError as error:
                reason = str(error)
        if reason:
            left_out[reason] = left_out.get(reason, 0) + 1
        if progress is not None:
            progress(number, len(found))
    if not rows:
        why = "; ".join(left_out) or "no lesion has an outcome: crdl outcomes import"
        raise InputError(f"nothing to export: {why}")
    with (out / TABLE).open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    done = Exported(
        len(rows),
        sum(row["label"] for row in rows),
        len({row["patient"] for row in rows}),
        left_out,
    )
    facts = _facts(done, method, wish)
    (out / MANIFEST).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    _audit(database, trail, given, facts, out)
    return done


def _unfit(lesion: LabelledLesion, wish: Wish) -> str:
    """Say why a lesion is not exported; "" if it is."""
    values = lesion.facts.values
    unmet = [one for one in wish.where if not one.met_by(values.get(one.field.name, ()))]
    if unmet:
        return f"not {unmet[0]}"
    if lesion.seg is None or lesion.grey is None:
        return "its files have expired"
    if not (lesion.seg.path.is_file() and lesion.grey.path.is_file()):
        return "its files are not in the archive"
    if lesion.lesions > 1:  # a row of the table has one SEG, of which one lesion is read
        return "its SEG outlines several lesions"
    if lesion.case.inferred or not any(s.sources for s in lesion.seg.header.segments):
        return "its SEG names no image"
    return ""


def _write(lesion: LabelledLesion, method: Method, out: Path, wish: Wish) -> dict[str, Any]:
    name = method.pseudonyms.name("case", lesion.case.name)
    folder = out / name
    made: dict[str, str] = {}
    files = {}
    for what, kept in (
        ("grey", lesion.grey),
        ("seg-reader1", lesion.seg),
        ("colour", lesion.colour),
    ):
        if kept is not None and kept.path.is_file():
            files[what], dataset = deidentified(kept.path, method)
            if what == "grey":
                made = {key: str(dataset.get(word) or "") for key, word in _HEADER.items()}
    folder.mkdir()
    for what, data in files.items():
        (folder / f"{what}.dcm").write_bytes(data)
    age = made.get("age", "")
    read = {} if lesion.case.reading is None else lesion.case.reading.semantic
    patient = f"{lesion.patient_id}\0{lesion.issuer}"
    return {
        "id": name,
        "patient": method.pseudonyms.name("patient", patient),
        "site": wish.site,
        "cohort": "external" if wish.external else "training",
        "vendor": made.get("vendor", ""),
        "label": int(lesion.malignant),
        "age": int(age[:-1]) if age[-1:] == "Y" and age[:-1].isdigit() else "",
        "sex": made["sex"] if made.get("sex") in {"M", "F"} else "",
        "grey": f"{name}/grey.dcm",
        "colour": f"{name}/colour.dcm" if "colour" in files else "",
        "reader1_seg": f"{name}/seg-reader1.dcm",
        **{
            column: int(read[feature] == one) if feature in read else ""
            for column, (feature, one) in _READ.items()
        },
    }


_HEADER: Final = {"age": "PatientAge", "sex": "PatientSex", "vendor": "Manufacturer"}


def _facts(done: Exported, method: Method, wish: Wish) -> dict[str, Any]:
    return {
        "cases": done.cases,
        "malignant": done.malignant,
        "patients": done.patients,
        "left_out": done.left_out,
        "profile": f"PS3.15 annex E, edition {EDITION}",
        "options": {code: CODES[code] for code in method.codes},
        "dates": wish.dates,
        "pixels": "outside the ultrasound regions blanked; calipers and notes inside them are left",
        "key": method.pseudonyms.fingerprint,
        "where": [str(one) for one in wish.where],
        "exported_at": utc_now().isoformat(timespec="seconds"),
    }


def _audit(
    database: Engine,
    trail: Trail,
    given: Sequence[LabelledLesion],
    facts: dict[str, Any],
    out: Path,
) -> None:
    """Note what left the node and who took it; never which pseudonym it got."""
    with database.begin() as connection:
        trail.record(connection, "system", "cohort-exported", "cohort", facts | {"out": str(out)})
        for uid, study, patient in export_rows(given):
            trail.record(
                connection,
                "instance",
                "exported",
                uid,
                {"by": trail.actor, "profile": facts["profile"], "deidentified": True},
                study=study,
                patient=patient,
            )
