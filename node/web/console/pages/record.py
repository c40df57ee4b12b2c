"""The record as a whole: proving it, and taking it away as a file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Final, cast, get_args

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import StreamingResponse

from node.audit.export import Format, export
from node.database import utc_now
from node.errors import InputError
from node.web.auth.forms import form_of
from node.web.auth.identity import Person, Role
from node.web.auth.needs import needs
from node.web.console.audit_search import FIELDS, chain_state, question_of
from node.web.console.ports import Bureau
from node.web.console.rendering import HOME, Pages, done

Viewer = Annotated[Person, Depends(needs(Role.VIEWER))]
Operator = Annotated[Person, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Person, Depends(needs(Role.ADMIN))]
Form = Annotated[dict[str, str], Depends(form_of)]
_CHUNK: Final = 1 << 20
_MEDIA: Final = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
    "ndjson": "application/fhir+ndjson",
    "atna": "text/plain; charset=utf-8",
}


def routes(pages: Pages) -> APIRouter:
    """Make the routes."""
    router = APIRouter(prefix=HOME, route_class=pages.route())
    bureau, prover = pages.bureau, pages.prover

    @router.get("/audit/chain")
    def chain(request: Request, person: Viewer) -> Response:
        state = chain_state(bureau.database)
        return pages.show(request, "_chain", person, chain=state, proving=prover.busy)

    @router.post("/audit/prove")
    def prove(person: Operator, form: Form) -> Response:
        del form
        begun = prover.start(bureau.trail(person))
        return done(f"{HOME}/audit#proof", "proving" if begun else "busy")

    @router.post("/audit/export")
    def export_(person: Admin, form: Form) -> Response:
        wanted = form.get("form", "csv")
        if wanted not in get_args(Format):
            raise InputError(f"an export is {', '.join(get_args(Format))}")
        name = f"audit-{utc_now():%Y%m%dT%H%M%SZ}.{wanted}"
        file = _exported(bureau, person, form, cast("Format", wanted), name)
        return StreamingResponse(
            _chunks(file),
            media_type=_MEDIA[wanted],
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return router


def _exported(
    bureau: Bureau, person: Person, form: dict[str, str], wanted: Format, name: str
) -> BinaryIO:
    """Write the file, then its ledger row, and give the file open and nameless."""
    asked = {field: form[field] for field in FIELDS if form.get(field)}
    folder = Path(tempfile.mkdtemp(prefix="export-", dir=bureau.blobs.spool))
    path = folder / name
    try:
        source = bureau.settings.node.ae_title
        count = export(bureau.database, question_of(form), path, wanted, source)
        with bureau.database.begin() as connection:
            bureau.trail(person).record(
                connection,
                "system",
                "exported",
                "audit",
                {"rows": count, "form": wanted, "file": name, "question": asked},
            )
        return path.open("rb")
    finally:
        path.unlink(missing_ok=True)  # an open file is read to its end all the same
        folder.rmdir()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(_CHUNK):
            yield chunk
