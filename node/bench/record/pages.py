"""What the web asks of the database, page by page and scrape, as `crdl bench audit` times it.

Files are not read: a cast record has none. What a page does besides asking the database, such as
rendering an image or fitting a curve, does not grow with the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sqlalchemy import Engine, select

from node.audit.tables import Study
from node.blobs import BlobStore
from node.config import Settings
from node.database import read_only
from node.web.console.audit_search import chain_state, search
from node.web.console.bundles import activations
from node.web.console.failures import SHELVES, refused_instances, shelf
from node.web.console.overview import overview
from node.web.console.studies import Page, Search, find_studies
from node.web.console.study import study_page
from node.web.console.timeline import timeline
from node.web.metrics import exposition

Ask = Callable[[str, str], int]
"""Takes a study and its patient, gives how many rows came back."""
_STATES: Final = ("done", "refused", "dead")


def pages(database: Engine) -> Iterator[tuple[str, Ask]]:
    """Yield the console's pages: a name, and what opens the page of a study or patient."""
    settings = Settings()
    with TemporaryDirectory(prefix="crdl-pages-") as folder:
        blobs = BlobStore(Path(folder), "bench")
        yield "console, overview", lambda *_: _one(overview(database, blobs, settings))
        yield "console, studies", lambda *_: _rows(find_studies(database, Search()))
        yield (
            "console, studies, the second page",
            lambda *_: _rows(
                find_studies(database, Search(after=find_studies(database, Search()).next))
            ),
        )
        yield (
            "console, studies of a patient",
            lambda _, patient: _rows(find_studies(database, Search(patient=patient))),
        )
        yield (
            "console, studies by a name's beginning",
            lambda study, _: _rows(
                find_studies(database, Search(patient=_name(database, study)[:4]))
            ),
        )
        for state in _STATES:
            yield (
                f"console, studies, {state}",
                lambda *_, state=state: _rows(find_studies(database, Search(state=state))),
            )
        yield "console, a study", lambda study, _: _one(study_page(database, blobs, study))
        yield "console, a study's timeline", lambda study, _: len(timeline(database, study).rows)
        for name in SHELVES:
            yield f"console, {name}", lambda *_, name=name: len(shelf(database, name).failures)
        yield "console, refused instances", lambda *_: len(refused_instances(database))
        yield "console, activations", lambda *_: len(activations(database))
        yield "console, audit, newest", lambda *_: len(search(database, {}).rows)
        yield (
            "console, audit, a patient",
            lambda _, patient: len(search(database, {"patient": patient}).rows),
        )
        yield "console, audit, the chain", lambda *_: _one(chain_state(database))
        yield "the metrics, one scrape", lambda *_: len(exposition(database, blobs).splitlines())


def _rows(page: Page) -> int:
    return len(page.studies)


def _one(page: object) -> int:
    return 0 if page is None else 1


def _name(database: Engine, study: str) -> str:
    with read_only(database) as connection:
        query = select(Study.patient_name).where(Study.study_instance_uid == study)
        return str(connection.scalar(query) or "Simulated")
