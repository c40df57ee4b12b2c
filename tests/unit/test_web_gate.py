"""The gate lets in as a route declares, and refuses a route that declares nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request

from node.web.auth.files import PublicFiles
from node.web.auth.gate import Gate
from node.web.auth.headers import SecurityHeaders
from node.web.auth.identity import Person, Role, Scope
from node.web.auth.needs import PUBLIC, needs
from node.web.auth.rules import rules

PEOPLE: dict[str, Person | None] = {
    "nobody": None,
    "viewer": Person("vera", Role.VIEWER, "session"),
    "operator": Person("otto", Role.OPERATOR, "oidc"),
    "admin": Person("ada", Role.ADMIN, "loopback"),
    "reading token": Person("t", Role.VIEWER, "token", frozenset({Scope.READ})),
    "storing token": Person("t", Role.OPERATOR, "token", frozenset({Scope.STOW})),
    "admin token": Person("t", Role.ADMIN, "token", frozenset({Scope.ADMIN})),
}
OPEN = {
    "/public": set(PEOPLE),
    "/files/one.css": set(PEOPLE),
    "/view": {"viewer", "operator", "admin", "reading token", "admin token"},
    "/store": {"operator", "admin", "storing token", "admin token"},
    "/rule": {"admin", "admin token"},
    "/forgotten": set(),
    "/contradictory": set(),
}


@pytest.fixture
def an_application(tmp_path: Path) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(
        Gate, application=app, identify=lambda request: PEOPLE[request.headers["who"]]
    )
    app.add_middleware(SecurityHeaders)
    (tmp_path / "one.css").write_text("p {}")
    app.mount("/files", PublicFiles(directory=tmp_path))
    router = APIRouter(dependencies=[Depends(needs(Role.VIEWER))])

    @router.api_route("/view", methods=["GET", "POST"])
    def view() -> str:
        return "seen"

    @router.get("/contradictory", dependencies=[Depends(needs(Role.ADMIN))])
    def contradictory() -> str:
        return "seen"

    @app.get("/public")
    def public(person: Annotated[Person | None, Depends(PUBLIC)]) -> str:
        return person.name if person else "nobody"

    @app.get("/store", dependencies=[Depends(needs(Role.OPERATOR, Scope.STOW))])
    def store() -> str:
        return "stored"

    @app.get("/rule")
    def rule(person: Annotated[Person, Depends(needs(Role.ADMIN))]) -> str:
        return person.name

    @app.get("/forgotten")
    def forgotten(request: Request) -> str:
        return request.method

    app.include_router(router)
    return app


@pytest.fixture
def a_browser(an_application: FastAPI) -> Iterator[httpx.Client]:
    with httpx.Client(transport=Served(an_application), base_url="http://node") as client:
        yield client


class Served(httpx.BaseTransport):
    """The application without a socket; each request runs to its end."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        import asyncio  # noqa: PLC0415 - one loop a request

        async def ask() -> httpx.Response:
            answer = await self._transport.handle_async_request(request)
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=await answer.aread()
            )

        return asyncio.run(ask())


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("path", OPEN)
def test_a_route_admits_whom_it_declares(a_browser: httpx.Client, path: str, who: str) -> None:
    status = a_browser.get(path, headers={"who": who}).status_code
    needless = path in {"/forgotten", "/contradictory"}
    refused = 401 if who == "nobody" and not needless else 403
    assert status == (200 if who in OPEN[path] else refused)


def test_the_handler_gets_the_person(a_browser: httpx.Client) -> None:
    assert a_browser.get("/public", headers={"who": "viewer"}).json() == "vera"
    assert a_browser.get("/rule", headers={"who": "admin"}).json() == "ada"


def test_a_browser_is_sent_to_the_login_and_back(a_browser: httpx.Client) -> None:
    page = {"who": "nobody", "accept": "text/html,*/*"}
    answer = a_browser.get("/view?a=b&c=d", headers=page)
    assert (answer.status_code, answer.headers["location"]) == (
        303,
        "/login?next=%2Fview%3Fa%3Db%26c%3Dd",
    )
    part = a_browser.get("/view", headers={"who": "nobody", "hx-request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (401, "/login")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://node"}, 200),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin", "origin": "http://node"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://node"}, 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(
    a_browser: httpx.Client, headers: dict[str, str], status: int
) -> None:
    assert a_browser.post("/view", headers={"who": "admin", **headers}).status_code == status


def test_what_is_not_there_is_said_to_everybody(a_browser: httpx.Client) -> None:
    assert a_browser.get("/nowhere", headers={"who": "nobody"}).status_code == 404
    assert a_browser.delete("/view", headers={"who": "nobody"}).status_code == 405


def test_every_answer_limits_what_the_browser_may_do(a_browser: httpx.Client) -> None:
    for path, who in (("/public", "viewer"), ("/rule", "nobody"), ("/nowhere", "nobody")):
        headers = a_browser.get(path, headers={"who": who}).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_a_handler_behind_no_gate_lets_nobody_in() -> None:
    app = FastAPI()

    @app.get("/rule", dependencies=[Depends(needs(Role.ADMIN))])
    def rule() -> str:
        return "seen"

    with httpx.Client(transport=Served(app), base_url="http://node") as client:
        assert client.get("/rule").status_code == 403
    assert [rule.need for rule in rules(app) if rule.path == "/rule"] == [needs(Role.ADMIN)]


@pytest.mark.parametrize("low", Role)
@pytest.mark.parametrize("high", Role)
def test_roles_include_those_before_them(low: Role, high: Role) -> None:
    order = [Role.VIEWER, Role.OPERATOR, Role.ADMIN]
    assert high.covers(low) == (order.index(high) >= order.index(low))
