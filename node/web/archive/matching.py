"""QIDO-RS queries and their attribute matching (PS3.4 section C.2.2.2). Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.multival import MultiValue

from node.errors import InputError

MOST_RESULTS = 1000
DEFAULT_RESULTS = 100
_RANGES = frozenset({"DA", "TM", "DT"})
_WILD = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})


@dataclass(frozen=True, slots=True)
class Query:
    """A search.

    Attributes:
        conditions: Values by DICOM keyword; an empty value admits everything.
        include: Keywords asked for beside those that are always given.
        everything: All attributes are asked for.
        limit: Results at most.
        offset: Results to leave out at the beginning.
    """

    conditions: Mapping[str, str]
    include: tuple[str, ...] = ()
    everything: bool = False
    limit: int = DEFAULT_RESULTS
    offset: int = 0

    def values(self, keyword: str) -> tuple[str, ...]:
        """Return the list of UIDs or values of a condition that has no wildcard."""
        text = self.conditions.get(keyword, "")
        if not text or re.search(r"[*?]", text):
            return ()
        return tuple(part for part in re.split(r"[\\,]", text) if part)


def parse_query(parameters: Iterable[tuple[str, str]]) -> Query:
    """Read the query parameters of a URL (PS3.18 section 8.3.4).

    Raises:
        InputError: A parameter is no attribute, or a number is none.
    """
    conditions: dict[str, str] = {}
    include: list[str] = []
    numbers = {"limit": DEFAULT_RESULTS, "offset": 0}
    for name, value in parameters:
        if name == "includefield":
            include += [part for part in value.split(",") if part]
        elif name in numbers:
            numbers[name] = _number(name, value)
        elif name != "fuzzymatching":  # exact matching answers a fuzzy query too, with less
            conditions[_keyword(name)] = value
    everything = "all" in include
    return Query(
        conditions,
        tuple(_keyword(name) for name in include if name != "all"),
        everything,
        min(numbers["limit"], MOST_RESULTS),
        numbers["offset"],
    )


def _number(name: str, value: str) -> int:
    if not value.isdecimal():
        raise InputError(f"{name}={value}: a whole number from 0 is needed")
    return int(value)


def _keyword(name: str) -> str:
    if re.fullmatch(r"[0-9A-Fa-f]{8}", name):
        keyword = keyword_for_tag(int(name, 16))
    else:
        keyword = name if tag_for_keyword(name) is not None else ""
    if not keyword:
        raise InputError(f"{name} is no attribute of the DICOM dictionary")
    return keyword


def matches(dataset: Dataset, query: Query) -> bool:
    """Say whether a dataset fits every condition."""
    return all(
        not wanted or _fits(dataset.get(keyword), wanted, dictionary_VR(keyword))
        for keyword, wanted in query.conditions.items()
    )


def _fits(value: object, wanted: str, vr: str) -> bool:
    if value is None or value == "":
        return wanted == "*"
    values = value if isinstance(value, MultiValue | list | tuple) else [value]
    return any(_fits_one(str(one), wanted, vr) for one in values)


def _fits_one(value: str, wanted: str, vr: str) -> bool:
    if vr == "UI":
        return value in re.split(r"[\\,]", wanted)
    if vr in _RANGES and "-" in wanted:
        first, last = wanted.split("-", 1)
        return (not first or value >= first) and (not last or value[: len(last)] <= last)
    if vr in _WILD:
        same_case = vr != "PN"  # names match whatever their case (PS3.4 section C.2.2.2.1)
        left, right = (value, wanted) if same_case else (value.casefold(), wanted.casefold())
        # brackets are no wildcards in DICOM
        return fnmatch.fnmatchcase(left, re.sub(r"\[", "[[]", right))
    return value.strip() == wanted.strip()
