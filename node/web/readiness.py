"""Whether the node can do its work: each check is a question with one line for an answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from node.blobs import BlobStore
from node.config import Settings
from node.database import read_only

Check = Callable[[], str]


def standard_checks(settings: Settings, engine: Engine, blobs: BlobStore) -> Mapping[str, Check]:
    """Return the checks by name; each returns "" if all is well, else what is wrong."""

    def database() -> str:
        try:
            with read_only(engine) as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            return f"the database does not answer ({type(error).__name__})"
        return ""

    def store() -> str:
        try:
            with blobs.writer() as file:
                file.write(b"ready?")
        except OSError as error:
            return f"the blob store cannot be written: {error.strerror}"
        return ""

    def disk() -> str:
        minimum = settings.node.minimum_free_mib
        free = blobs.free_bytes() >> 20
        return "" if free >= minimum else f"{free} MiB are free, {minimum} are needed"

    return {"database": database, "store": store, "disk": disk}
