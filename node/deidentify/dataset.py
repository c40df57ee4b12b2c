"""One data set de-identified in place, sequences included."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from pydicom import DataElement, Dataset
from pydicom._uid_dict import UID_dictionary
from pydicom.multival import MultiValue

from node.deidentify.profile import CODES, act_for
from node.deidentify.pseudonyms import Pseudonyms

Dates = Literal["shift", "remove"]

_TEXT: Final = frozenset({"LO", "LT", "SH", "ST", "UC", "UT", "PN", "AE", "CS", "UR"})
_DUMMY_TEXT: Final = "REMOVED"
_DUMMY_DATE: Final = "19000101"
_OLDEST_YEARS: Final = 90  # older patients are few enough to be known by their age
_WORD: Final = re.compile(r"[^\W_]{3,}")  # shorter parts of a name are in every text
_SIMULATED: Final = "SIMULATED"
#: Values of these name a person, a place or an order; nothing else may repeat them.
_NAMES: Final = frozenset({"PN", "LO", "SH", "ST", "LT", "UT", "UC"})


@dataclass(frozen=True, slots=True)
class Method:
    """How instances are de-identified.

    Attributes:
        dates: Moved back by days that differ from patient to patient, or taken out.
    """

    pseudonyms: Pseudonyms
    dates: Dates = "shift"

    @property
    def codes(self) -> tuple[str, ...]:
        """The code values of CID 7050 that describe it."""
        return tuple(code for code in CODES if code != "113107" or self.dates == "shift")


def identifiers(dataset: Dataset) -> frozenset[str]:
    """Return what must not be found in a de-identified file: UIDs and identifying text.

    Text are the values of every attribute that the profile removes or empties, and the parts of
    persons' names, in lower case; a part of fewer than three letters is none. What marks a
    simulated image is none either: it is written into the file again.
    """
    found: set[str] = set()
    for element in dataset.iterall():
        act = act_for(element.tag)
        if act in {"keep", "clean"} and element.VR != "UI":
            continue
        for value in _values(element):
            if element.VR == "UI" and _is_own(value):
                found.add(value)
            elif element.VR == "PN":
                found |= {word.lower() for word in _WORD.findall(value)}
            elif element.VR in _NAMES and act != "keep" and len(value.strip()) > 3:
                found.add(value.strip().lower())
    return frozenset(found - {_SIMULATED.lower()} if _is_simulated(dataset) else found)


def _is_simulated(dataset: Dataset) -> bool:
    return _SIMULATED in str(dataset.get("ImageComments") or "").upper()


def deidentify(dataset: Dataset, method: Method) -> None:
    """De-identify a data set in place; the pixel data is another matter.

    Args:
        dataset: A US image or a SEG; its file meta information is to be written anew.
        method: How.
    """
    patient = (
        str(dataset.get("PatientID") or "") + "\0" + str(dataset.get("IssuerOfPatientID") or "")
    )
    simulated = _is_simulated(dataset)
    names = identifiers(dataset)
    pseudonym = method.pseudonyms.name("patient", patient)
    _treat(dataset, method, patient)
    _blank_repeated(dataset, names)
    dataset.PatientID = dataset.PatientName = pseudonym
    dataset.PatientBirthDate = ""
    age = str(dataset.get("PatientAge") or "")
    if age[-1:] == "Y" and age[:-1].isdigit() and int(age[:-1]) > _OLDEST_YEARS:
        dataset.PatientAge = f"{_OLDEST_YEARS:03d}Y"
    dataset.PatientIdentityRemoved = "YES"
    dataset.LongitudinalTemporalInformationModified = (
        "MODIFIED" if method.dates == "shift" else "REMOVED"
    )
    dataset.DeidentificationMethod = "PS3.15 annex E; pixels outside ultrasound regions blanked"
    dataset.DeidentificationMethodCodeSequence = [_code(code) for code in method.codes]
    if simulated:  # what is no patient must stay known as such
        dataset.ImageComments = _SIMULATED


def _code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", CODES[value]
    return item


def _treat(dataset: Dataset, method: Method, patient: str) -> None:
    for element in list(dataset):
        act = act_for(element.tag)
        if act == "remove":
            del dataset[element.tag]
        elif element.VR in {"DA", "DT"}:
            _date(element, act, method, patient)
        elif element.VR == "TM" and act != "keep":
            _time(element, act, method)
        elif element.VR == "SQ":
            _sequence(dataset, element, act, method, patient)
        elif element.VR == "UI":
            _uids(element, method)
        elif act == "empty":
            element.value = None if element.VR not in _TEXT else ""
        elif act == "dummy":
            element.value = _DUMMY_TEXT if element.VR in _TEXT else _zero(element)


def _sequence(
    dataset: Dataset, element: DataElement, act: str, method: Method, patient: str
) -> None:
    if act in {"empty", "dummy"}:
        del dataset[element.tag]
        if element.keyword == "AcquisitionContextSequence":  # required, may be empty
            dataset.add_new(element.tag, "SQ", [])
        return
    for item in element.value:
        _treat(item, method, patient)


def _date(element: DataElement, act: str, method: Method, patient: str) -> None:
    if method.dates == "shift" and element.keyword != "PatientBirthDate":
        moved = [method.pseudonyms.moved(value, patient) for value in _values(element)]
        element.value = moved[0] if len(moved) == 1 else moved
    else:
        element.value = _DUMMY_DATE if act == "dummy" else ""


def _time(element: DataElement, act: str, method: Method) -> None:
    if method.dates == "remove":
        element.value = "" if act == "empty" else "000000"


def _uids(element: DataElement, method: Method) -> None:
    given = _values(element)
    new = [method.pseudonyms.uid(value) if _is_own(value) else value for value in given]
    element.value = new[0] if len(new) == 1 else new


def _is_own(uid: str) -> bool:
    """Tell whether a UID names something of a patient or site, not of the standard."""
    return bool(uid) and uid not in UID_dictionary and not uid.startswith("1.2.840.10008.")


def _zero(element: DataElement) -> object:
    if element.VR in {"DS", "IS"}:
        return "0"
    if element.VR in {"OB", "OW", "UN", "OF", "OD"}:
        return b""
    return "000D" if element.VR == "AS" else 0


def _blank_repeated(dataset: Dataset, names: frozenset[str]) -> None:
    """Blank text, of any attribute, that repeats what was removed elsewhere."""
    words = frozenset(name for name in names if not name.replace(".", "").isdigit())
    for element in list(dataset.iterall()):
        if element.VR not in _TEXT or is_a_word_of_the_standard(element):
            continue
        text = " ".join(_values(element)).lower()
        if text and any(found_in(text, word) for word in words):
            element.value = _DUMMY_TEXT


def is_a_word_of_the_standard(element: DataElement) -> bool:
    """Tell whether a value is one of the words that the standard defines for it.

    Content Label (0070,0080) is a code string, too, but people and programs choose it.
    """
    return element.VR == "CS" and element.keyword != "ContentLabel"


def found_in(text: str, word: str) -> bool:
    """Tell whether a word stands in a text, not only as a part of a longer word."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def _values(element: DataElement) -> list[str]:
    value: Any = element.value
    many = list(value) if isinstance(value, MultiValue | list | tuple) else [value]
    return [str(one) for one in many if one not in {None, ""}] if element.VR != "SQ" else []


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """Yield every element but pixel data, those in sequences too."""
    for element in dataset.iterall():
        if element.VR != "SQ" and element.keyword != "PixelData":
            yield element
