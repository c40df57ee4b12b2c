"""From an HL7 v2 ORU^R01 message to outcomes: what is coded is understood, the rest is kept."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from hl7apy.core import Segment
from hl7apy.exceptions import HL7apyException
from hl7apy.parser import parse_message

from node.errors import InputError
from node.jobs.outcomes import OutcomeSaid, source_of

_ICDO: Final = re.compile(r"(?:M-?)?\d{4}/(\d)")
_STAMP: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")
_LONGEST: Final = 200  # characters of a value that are kept for the audit


class Hl7Error(InputError):
    """A message cannot be taken in; the text goes back in its acknowledgement."""


class WrongTypeError(Hl7Error):
    """The message is no ORU^R01."""


@cache
def table() -> Mapping[str, Any]:
    """Return hl7_results.toml."""
    return tomllib.loads(files(__package__).joinpath("hl7_results.toml").read_text("utf-8"))


def outcomes_of(message: str) -> tuple[OutcomeSaid, ...]:
    """Read the outcomes of a message.

    An observation that says what a lesion is gives one outcome; it is malignant, benign, or
    unclear (None) where its value is not in hl7_results.toml or it is not final.

    Args:
        message: Segments, parted by carriage returns.

    Raises:
        WrongTypeError: It is another message.
        Hl7Error: It is no HL7, names no patient, or holds no such observation.
    """
    try:
        parsed = parse_message(message, find_groups=False)
        segments = list(parsed.children)
    except (HL7apyException, ValueError, IndexError, KeyError, AttributeError) as error:
        raise Hl7Error(f"the message cannot be read ({type(error).__name__})") from error
    header = segments[0]
    kind = _components(header, "msh_9")
    if kind[:2] != ["ORU", "R01"]:
        raise WrongTypeError(f"only ORU^R01 is taken in, not {'^'.join(kind[:2]) or 'nothing'}")
    found = tuple(_outcomes(segments))
    if not found:
        raise Hl7Error("no observation says what the lesion is: see hl7_results.toml")
    return found


def _outcomes(segments: list[Segment]) -> Iterator[OutcomeSaid]:
    sender = _components(segments[0], "msh_4")[0] or _components(segments[0], "msh_3")[0]
    patient = accession = order = observed = ""
    studies = [
        _components(s, "obx_5")[0]
        for s in segments
        if s.name == "OBX" and _code(_components(s, "obx_3")) in table()["studies"]
    ]
    for segment in segments:
        if segment.name == "PID":
            patient = _components(segment, "pid_3")[0]
        elif segment.name == "OBR":
            order = _components(segment, "obr_3")[0] or _components(segment, "obr_2")[0]
            accession = _components(segment, "obr_18")[0]
            observed = _components(segment, "obr_7")[0]
        elif segment.name == "OBX" and _is_diagnosis(segment):
            if not patient:
                raise Hl7Error("PID-3 names no patient")
            if len(patient) > 64:
                raise Hl7Error("PID-3 is longer than a Patient ID may be")
            stamp = _components(segment, "obx_14")[0] or observed
            number = _components(segment, "obx_1")[0]
            code = _code(_components(segment, "obx_3"))
            yield OutcomeSaid(
                kind="pathology",
                source=source_of("hl7", sender, patient, order, code, number),
                malignant=_meaning(segment),
                observed_at=_date(stamp),
                patient_id=patient,
                study_instance_uid=studies[0][:64] if len(studies) == 1 else "",
                detail={
                    "sender": sender,
                    "order": order,
                    # A laboratory's own number more often than the imaging study's: not used.
                    "placer_field": accession[:64],
                    "observation": code,
                    "status": _components(segment, "obx_11")[0],
                    "value": _whole(segment, "obx_5")[:_LONGEST],
                },
            )


def _is_diagnosis(segment: Segment) -> bool:
    return _code(_components(segment, "obx_3")) in table()["observations"]


def _meaning(segment: Segment) -> bool | None:
    rows = table()
    if _components(segment, "obx_11")[0] not in rows["final"]:
        return None
    value = _components(segment, "obx_5")
    code = _code(value)
    if code in rows["codes"]:
        return bool(rows["codes"][code])
    if code.startswith("ICDO:") and (found := _ICDO.fullmatch(value[0])):
        behaviour = rows["behaviour"].get(found[1])
        return None if behaviour is None else bool(behaviour)
    if len(value) == 1:
        word = rows["words"].get(value[0].strip().casefold())
        return None if word is None else bool(word)
    return None


def _code(components: list[str]) -> str:
    system = table()["systems"].get(components[2], "") if len(components) > 2 else ""
    return f"{system}:{components[0]}" if system else ""


def _components(segment: Segment, field: str) -> list[str]:
    """Return the components of a field's only repetition; one empty text for anything else."""
    whole = _whole(segment, field)
    if "~" in whole and field != "pid_3":
        return [""]  # several answers to one question are none
    return whole.partition("~")[0].split("^")


def _whole(segment: Segment, field: str) -> str:
    try:
        return "~".join(str(repetition.to_er7()) for repetition in getattr(segment, field))
    except (HL7apyException, AttributeError, IndexError):
        return ""


def _date(stamp: str) -> str:
    found = _STAMP.match(stamp)
    return "-".join(found.groups()) if found else ""
