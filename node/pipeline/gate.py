"""The intended-use gate: what may be assessed at all. Pure; it stands before everything.

Only ultrasound of eligible body parts, and only segments that can be a soft-tissue mass; anything
else is audited and makes no report.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from node.case import InstanceHeader, Pairing, SegmentHeader
from node.config import IntendedUseSettings

_AGE_UNITS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}  # PS3.5 section 6.2, AS


@cache
def _shipped() -> Mapping[str, Any]:
    return tomllib.loads(files(__package__).joinpath("intended_use.toml").read_text("utf-8"))


@dataclass(frozen=True, slots=True)
class Gate:
    """The intended use of this node.

    Attributes:
        denied: Category and type codes, `scheme:value`, that are no soft-tissue mass.
        body_parts: Eligible Body Part Examined values; empty admits all.
        minimum_age_years: Younger patients are not eligible; an unknown age is.
    """

    denied: frozenset[str]
    body_parts: frozenset[str]
    minimum_age_years: int

    @classmethod
    def of(cls, settings: IntendedUseSettings) -> Gate:
        """Build the gate from the settings, with the shipped lists where they are silent."""
        denied: Iterable[str] | None = settings.denied_segment_codes
        parts: Iterable[str] | None = settings.body_parts
        if denied is None:
            denied = (row["code"] for row in _shipped()["denied_segment_codes"])
        if parts is None:
            parts = _shipped()["body_parts"]
        return cls(
            frozenset(denied),
            frozenset(_plain(part) for part in parts),
            settings.minimum_age_years,
        )

    def admit_segments(self, seg: InstanceHeader) -> InstanceHeader:
        """Return the SEG with only those segments that can be a soft-tissue mass."""
        return replace(seg, segments=tuple(s for s in seg.segments if not self._denied(s)))

    def reason_against(self, image: InstanceHeader) -> str:
        """Return why an image is outside the intended use; "" if it is inside."""
        if not is_ultrasound(image):
            return f"not-ultrasound: modality {image.modality or 'unknown'}"
        part = _plain(image.body_part_examined)
        if part and self.body_parts and part not in self.body_parts:
            return f"body-part: {image.body_part_examined} is outside the intended use"
        age = _age_years(image.patient_age)
        if age is not None and age < self.minimum_age_years:
            return f"age: under {self.minimum_age_years} years"
        return ""

    def judge(self, pairing: Pairing, images: Mapping[str, InstanceHeader]) -> Pairing:
        """Turn a pairing that is ready into `ineligible` where no case is inside the use."""
        if pairing.state != "ready":
            return pairing
        reasons = {
            case.name: self.reason_against(images[case.sources[0].sop_instance_uid])
            for case in pairing.cases
        }
        inside = tuple(case for case in pairing.cases if not reasons[case.name])
        if not inside:
            return Pairing("ineligible", reason=next(iter(reasons.values())))
        return replace(pairing, cases=inside)

    def _denied(self, segment: SegmentHeader) -> bool:
        codes = (segment.category, segment.type)
        return any(f"{code.scheme}:{code.value}" in self.denied for code in codes if code)


def is_ultrasound(image: InstanceHeader) -> bool:
    """Tell whether an instance is an ultrasound image, by SOP class or by modality."""
    return image.modality == "US" or image.sop_class_uid in _shipped()["ultrasound_sop_classes"]


def _plain(part: str) -> str:
    return "".join(part.upper().split()).replace("_", "")


def _age_years(text: str) -> float | None:
    number, unit = text[:-1], text[-1:]
    return int(number) * _AGE_UNITS[unit] if number.isdigit() and unit in _AGE_UNITS else None
