"""A stored Structured Report as a person reads it: its content tree as headings, lines and tables.

Read from the stored bytes alone, with pydicom, as any viewer would; what the database says of the
case plays no part. So the page shows what the archive got.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from node.errors import InputError

_DEEPEST: Final = 32
_GROUP: Final = ("DCM", "125007")  # Measurement Group, TID 1410
_TRACKING_ID: Final = ("DCM", "112039")
_TRACKING_UID: Final = ("DCM", "112040")
_REGION: Final = ("DCM", "111030")  # Image Region, TID 1410
_PATH: Final = ("DCM", "121055")  # the caliper below a length, TID 300
# What stands in a report for machines: who observed, what it refers to. A viewer folds it away.
_SMALL_PRINT: Final = {"HAS OBS CONTEXT", "HAS CONCEPT MOD", "HAS ACQ CONTEXT"}
_REFERENCES: Final = {"IMAGE", "COMPOSITE", "SCOORD", "SCOORD3D", "UIDREF"}
# What the group that only draws the outline says once more (TID 1410).
_REPEATED: Final = {"Finding", "Finding Site"}

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One content item.

    Attributes:
        name: Its concept.
        value: As a person reads it; "" for a container.
        details: What stands below it.
        small_print: Context and references, folded away.
    """

    name: str
    value: str
    details: tuple[Line, ...] = ()
    small_print: bool = False

    @property
    def told(self) -> tuple[Line, ...]:
        """What stands below it for a person."""
        return tuple(line for line in self.details if not line.small_print)

    @property
    def folded(self) -> tuple[Line, ...]:
        """What stands below it for machines."""
        return tuple(line for line in self.details if line.small_print)


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a measurement group drew, by tracking UID, on one frame.

    Attributes:
        outline: Corner-based image coordinates (PS3.3 section C.18.6.1.1), column and row.
        caliper: The end points of the length, likewise; empty where none was drawn.
    """

    tracking_uid: str
    image: str
    frame: int
    outline: Points
    caliper: Points


@dataclass(frozen=True, slots=True)
class SrPage:
    """A report: heading, facts, content, and what is drawn on the images."""

    title: str
    facts: tuple[tuple[str, str], ...]
    content: tuple[Line, ...]
    drawings: tuple[Drawing, ...]

    def drawing(self, tracking_uid: str, image: str) -> Drawing | None:
        """Return what was drawn of a lesion, by tracking UID, else the only one on that image."""
        for drawing in self.drawings:
            if tracking_uid and drawing.tracking_uid == tracking_uid and drawing.outline:
                return drawing
        alone = [d for d in self.drawings if d.image == image and d.outline]
        return alone[0] if len(alone) == 1 else None


def read_sr(path: Path) -> SrPage:
    """Read a stored report.

    Raises:
        InputError: If it is gone, or cannot be read.
    """
    try:
        return sr_page(dcmread(path))
    except FileNotFoundError as error:
        raise InputError("the file of this report has expired; the archive has it") from error
    except (InvalidDicomError, OSError, ValueError, AttributeError, LookupError) as error:
        raise InputError(f"the stored report cannot be read ({type(error).__name__})") from error


def sr_page(dataset: Dataset) -> SrPage:
    """Turn a report in memory into a page."""
    return SrPage(
        title=_meaning(dataset.ConceptNameCodeSequence[0]),
        facts=tuple(_facts(dataset)),
        content=tuple(_lines(dataset, 0)),
        drawings=tuple(_drawings(dataset)),
    )


def _facts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    yield "Completion", str(dataset.get("CompletionFlag", "")).capitalize()
    yield "Verification", str(dataset.get("VerificationFlag", "")).capitalize()
    if "PreliminaryFlag" in dataset:
        yield "Preliminary", str(dataset.PreliminaryFlag).capitalize()
    day, time = str(dataset.get("ContentDate", "")), str(dataset.get("ContentTime", ""))
    if day:
        yield "Written", f"{day[:4]}-{day[4:6]}-{day[6:8]} {time[:2]}:{time[2:4]}:{time[4:6]}"
    yield "Series", str(dataset.get("SeriesDescription", ""))
    for item in dataset.get("PredecessorDocumentsSequence", ()):
        for series in item.get("ReferencedSeriesSequence", ()):
            for one in series.get("ReferencedSOPSequence", ()):
                yield "Supersedes", str(one.ReferencedSOPInstanceUID)
    yield "SOP Instance UID", str(dataset.SOPInstanceUID)


def _lines(item: Dataset, depth: int) -> Iterator[Line]:
    if depth > _DEEPEST:
        return
    for child in item.get("ContentSequence", ()):
        kind = str(child.get("ValueType", ""))
        related = str(child.get("RelationshipType", ""))
        details = tuple(_lines(child, depth + 1))
        small = related in _SMALL_PRINT or kind in _REFERENCES
        if related == "HAS CONCEPT MOD" and kind == "CODE":
            small = depth == 0  # deeper it says what a value is: maximum, measured, read
        if kind == "CONTAINER":
            small = small or not any(_tells(line) for line in details)
        yield Line(_name(child), _value(child, kind), details, small)


def _tells(line: Line) -> bool:
    """Whether a person learns something from it that its neighbours do not say."""
    return not line.small_print and line.name not in _REPEATED


def _name(item: Dataset) -> str:
    names = item.get("ConceptNameCodeSequence", ())
    name = _meaning(names[0]) if names else ""
    if _concept(item) == _GROUP:
        tracked = [str(i.TextValue) for i in item.get("ContentSequence", ()) if _tracks(i)]
        return ": ".join([name, *tracked[:1]])
    return name


def _tracks(item: Dataset) -> bool:
    return _concept(item) == _TRACKING_ID and "TextValue" in item


def _meaning(code: Dataset) -> str:
    return str(code.get("CodeMeaning", "") or code.get("CodeValue", ""))


def _value(item: Dataset, kind: str) -> str:
    read = _VALUES.get(kind)
    return "" if read is None else read(item)


def _text(keyword: str) -> Callable[[Dataset], str]:
    return lambda item: str(item.get(keyword, ""))


def _coded(item: Dataset) -> str:
    codes = item.get("ConceptCodeSequence", ())
    return _meaning(codes[0]) if codes else ""


def _named(item: Dataset) -> str:
    return str(item.get("PersonName", "")).replace("^", " ").strip()


def _drawn(item: Dataset) -> str:
    numbers = 3 if item.ValueType == "SCOORD3D" else 2
    count = len(item.get("GraphicData", ())) // numbers
    return f"{str(item.get('GraphicType', '')).lower()} of {count} points"


def _referred(item: Dataset) -> str:
    references = item.get("ReferencedSOPSequence", ())
    return _reference(references[0]) if references else ""


def _number(item: Dataset) -> str:
    measured = item.get("MeasuredValueSequence", ())
    if not measured:
        qualifiers = item.get("NumericValueQualifierCodeSequence", ())
        return _meaning(qualifiers[0]) if qualifiers else "no value"
    units = measured[0].get("MeasurementUnitsCodeSequence", ())
    unit = str(units[0].get("CodeValue", "")) if units else ""
    unit = {"1": "", "{ratio}": ""}.get(unit, unit)
    return f"{measured[0].NumericValue} {unit}".strip()


def _reference(reference: Dataset) -> str:
    frames = reference.get("ReferencedFrameNumber")
    of = f", frame {frames}" if frames is not None else ""
    segment = reference.get("ReferencedSegmentNumber")
    of += f", segment {segment}" if segment is not None else ""
    return f"{reference.get('ReferencedSOPInstanceUID', '')}{of}"


def _drawings(dataset: Dataset) -> Iterator[Drawing]:
    """Yield what each lesion's groups drew; outline and caliper stand in two groups of one UID."""
    found: dict[str, dict[str, tuple[str, int, Points]]] = {}
    for number, group in enumerate(_walk(dataset)):
        if _concept(group) != _GROUP:
            continue
        items = list(_walk(group))
        uid = next((str(i.UID) for i in items if _concept(i) == _TRACKING_UID), f"group {number}")
        for item in items:
            if item.get("ValueType") == "SCOORD" and _concept(item) in {_REGION, _PATH}:
                part = "outline" if _concept(item) == _REGION else "caliper"
                found.setdefault(uid, {}).setdefault(part, _shape(item))
    for uid, parts in found.items():
        image, frame, _ = parts.get("outline") or parts["caliper"]
        outline, caliper = (parts.get(part, ("", 1, ()))[2] for part in ("outline", "caliper"))
        yield Drawing(uid, image, frame, outline, caliper)


def _shape(item: Dataset) -> tuple[str, int, Points]:
    image, frame = "", 1
    for child in item.get("ContentSequence", ()):
        for reference in child.get("ReferencedSOPSequence", ()):
            image = str(reference.ReferencedSOPInstanceUID)
            frame = int(_first(reference.get("ReferencedFrameNumber", 1)))
    numbers: Sequence[Any] = item.get("GraphicData", ())
    pairs = zip(numbers[0::2], numbers[1::2], strict=False)
    return image, frame, tuple((float(x), float(y)) for x, y in pairs)


def _first(value: Any) -> Any:  # noqa: ANN401 - one value or several
    return value if isinstance(value, int | str) else next(iter(value), 1)


def _concept(item: Dataset) -> tuple[str, str]:
    names = item.get("ConceptNameCodeSequence", ())
    if not names:
        return "", ""
    return str(names[0].get("CodingSchemeDesignator", "")), str(names[0].get("CodeValue", ""))


def _walk(item: Dataset, depth: int = 0) -> Iterator[Dataset]:
    if depth > _DEEPEST:
        return
    for child in item.get("ContentSequence", ()):
        yield child
        yield from _walk(child, depth + 1)


_VALUES: Final[dict[str, Callable[[Dataset], str]]] = {
    "TEXT": _text("TextValue"),
    "NUM": _number,
    "CODE": _coded,
    "PNAME": _named,
    "UIDREF": _text("UID"),
    "DATE": _text("Date"),
    "TIME": _text("Time"),
    "DATETIME": _text("DateTime"),
    "SCOORD": _drawn,
    "SCOORD3D": _drawn,
    "IMAGE": _referred,
    "COMPOSITE": _referred,
}
"""How each value type (PS3.3 section C.17.3.2.1) is written; a container has no value."""
