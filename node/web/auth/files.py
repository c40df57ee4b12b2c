"""Script, style and picture files of the pages: for everybody, as they say nothing of patients."""

from __future__ import annotations

from fastapi.staticfiles import StaticFiles

from node.web.auth.needs import PUBLIC


class PublicFiles(StaticFiles):
    """A folder of files that the gate lets everybody read."""

    need = PUBLIC
