"""The reading form: the image beside the features that a radiologist says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from node.errors import InputError, JobError
from node.jobs.reading_form import LONGEST_MM, SHORTEST_MM, FormReading
from node.web.auth.forms import form_of
from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console.pages.studies import study_path
from node.web.console.rendering import HOME, Pages, done
from node.web.console.study import study_page
from node.web.console.study_values import Lesion, Look
from sr_templates.codes import code
from sr_templates.features import features

Operator = Annotated[Person, Depends(needs(Role.OPERATOR))]
Form = Annotated[dict[str, str], Depends(form_of)]


@dataclass(frozen=True, slots=True)
class Field:
    """One feature on the form.

    Attributes:
        choices: (value, words); empty for a length in mm.
        measured: What the node says of it now, for a person; "" if nothing.
    """

    name: str
    label: str
    choices: tuple[tuple[str, str], ...]
    measured: Any
    value: str


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau = pages.bureau

    def shown(job: int, case: str, study: str) -> tuple[Look, Lesion]:
        page = study_page(bureau.database, bureau.blobs, study)
        for look in page.looks if page is not None else ():
            for lesion in look.lesions:
                if look.latest.job == job and lesion.case.name == case:
                    return look, lesion
        raise JobError("this case is not the latest look at its lesion any more; open its study")

    @router.get("/reading")
    def form(request: Request, person: Operator, job: int, case: str, study: str) -> Response:
        look, lesion = shown(job, case, study)
        return pages.show(
            request,
            "reading",
            person,
            look=look,
            lesion=lesion,
            study=study,
            fields=_fields(lesion, {}),
            reader=person.name,
            problem="",
            shortest=SHORTEST_MM,
            longest=LONGEST_MM,
        )

    @router.post("/reading")
    def read(request: Request, person: Operator, form: Form) -> Response:
        if not bureau.settings.reading.accept:
            raise InputError("readings are not accepted here: [reading] accept is false")
        study = form.get("study", "")
        try:
            reading = _reading(form)
        except InputError as error:
            look, lesion = shown(_number(form.get("job", "")), form.get("case", ""), study)
            return pages.show(
                request,
                "reading",
                person,
                422,
                look=look,
                lesion=lesion,
                study=study,
                fields=_fields(lesion, form),
                reader=form.get("reader", ""),
                problem=str(error),
                shortest=SHORTEST_MM,
                longest=LONGEST_MM,
            )
        bureau.reading_desk(person).leave(reading)
        return done(study_path(study), "read")

    return router


def _fields(lesion: Lesion, form: dict[str, str]) -> tuple[Field, ...]:
    semantic = (lesion.finding or {}).get("semantic", {})
    return tuple(
        Field(
            feature.name,
            feature.label,
            tuple((value, code(name).meaning) for value, name in feature.values.items()),
            semantic.get(feature.name),
            form.get(feature.name, ""),
        )
        for feature in features()
    )


def _reading(form: dict[str, str]) -> FormReading:
    values: dict[str, float | str] = {}
    for feature in features():
        said = form.get(feature.name, "").strip()
        if said:
            values[feature.name] = said if feature.kind == "code" else _length(feature.label, said)
    return FormReading(
        _number(form.get("job", "")), form.get("case", ""), form.get("reader", ""), values
    )


def _length(label: str, said: str) -> float:
    try:
        return float(said.replace(",", "."))
    except ValueError as error:
        raise InputError(f"{label} is a number of millimetres, not {said!r}") from error


def _number(said: str) -> int:
    if not said.isdecimal():
        raise InputError("this form belongs to no job; open the study again")
    return int(said)
