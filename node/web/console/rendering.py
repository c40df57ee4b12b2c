"""Making pages: templates with what every page needs, and errors as pages of their own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.errors import ModelsError
from node.errors import CrdlError
from node.web.auth.forms import CSRF_FIELD
from node.web.auth.identity import Person, Role
from node.web.auth.needs import known
from node.web.console.bundles import standing
from node.web.console.overview import people_needed
from node.web.console.ports import Bureau
from node.web.console.proving import Prover
from node.web.console.words import FILTERS, SAID

HOME: Final = "/console"
_TEMPLATES: Final = Path(__file__).parents[1] / "templates" / "console"


@dataclass(frozen=True)
class Pages:
    """Renders the console's pages."""

    bureau: Bureau
    prover: Prover
    _templates: Jinja2Templates = field(default_factory=lambda: Jinja2Templates(env=_environment()))

    def show(
        self,
        request: Request,
        name: str,
        person: Person | None,
        status: int = HTTPStatus.OK,
        **context: Any,  # noqa: ANN401 - whatever the template shows
    ) -> Response:
        """Return a page; a template whose name begins with `_` is a part of one."""
        shared: dict[str, Any] = {
            "person": person,
            "csrf_field": CSRF_FIELD,
            "csrf": "" if person is None else person.csrf,
            "operator": person is not None and person.may(Role.OPERATOR),
            "admin": person is not None and person.may(Role.ADMIN),
            "ae_title": self.bureau.settings.node.ae_title,
            "home": HOME,
        }
        if not name.startswith("_"):
            shared |= {
                "serving": standing(self.bureau.ports, "serving"),
                "people_needed": people_needed(self.bureau.database),
                "said": SAID.get(request.query_params.get("did", ""), ""),
                "path": request.url.path,
            }
        return self._templates.TemplateResponse(request, f"{name}.html", shared | context, status)

    def route(self) -> type[APIRoute]:
        """Return the class of the console's routes: what a person cannot do is said on a page."""
        show = self.show

        class ConsoleRoute(APIRoute):
            def get_route_handler(
                self,
            ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
                handle = super().get_route_handler()

                async def handled(request: Request) -> Response:
                    try:
                        return await handle(request)
                    except (CrdlError, ModelsError) as error:
                        return show(
                            request, "problem", known(request), _status(request), text=str(error)
                        )

                return handled

        return ConsoleRoute


def done(where: str, did: str) -> Response:
    """Send a person to a page that says what they did; reloading it does nothing again."""
    path, mark, fragment = where.partition("#")
    joint = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{joint}did={did}{mark}{fragment}", HTTPStatus.SEE_OTHER)


def _status(request: Request) -> int:
    return HTTPStatus.CONFLICT if request.method == "POST" else HTTPStatus.BAD_REQUEST


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment
