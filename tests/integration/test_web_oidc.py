"""Logging in at a real OpenID provider: who comes back, with which role, and who does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from node.web.auth.identity import Role
from node.web.auth.rules import rules
from tests.oidc.peer import RunningProvider, a_provider
from tests.web_fixtures import PASSWORD, Web, a_web_in

PUBLIC_URL = "http://127.0.0.1:8042"
BACK = f"{PUBLIC_URL}/login/oidc/back"
SECRET = "of the client, as long as the provider wants it"  # noqa: S105 - of a test's client
GROUPS = {"ada": ["staff", "pacs-admins"], "otto": ["sonographers"], "eve": ["staff"]}
CLIENTS = [
    {"client_id": "crdl", "client_secret": SECRET, "redirect_uris": [BACK]},
    {
        "client_id": "crdl-public",
        "token_endpoint_auth_method": "none",
        "redirect_uris": [BACK],
    },
]


@pytest.fixture(scope="module")
def a_running_provider() -> Iterator[RunningProvider]:
    with a_provider(CLIENTS, GROUPS) as provider:
        yield provider


@contextmanager
def a_web_with(provider: RunningProvider, folder: Path, **oidc: Any) -> Iterator[Web]:
    secret = folder / "client-secret"
    secret.write_text(f"{SECRET}\n")
    section = {
        "issuer": provider.issuer,
        "client_id": "crdl",
        "client_secret_file": secret,
        "admins": ["pacs-admins"],
        "operators": ["sonographers"],
        "label": "Hospital login",
        **oidc,
    }
    with a_web_in(folder, web={"public_url": PUBLIC_URL}, oidc=section) as web:
        yield web


@pytest.fixture
def a_web(a_running_provider: RunningProvider, tmp_path: Path) -> Iterator[Web]:
    with a_web_with(a_running_provider, tmp_path) as web:
        yield web


def through(provider: RunningProvider, web: Web, name: str, where: str = "/") -> str:
    """Begin a login and pass the provider as somebody; return the path that the browser ends at."""
    begun = web.get(f"/login/oidc?next={where}")
    assert begun.status_code == 303, begun.text
    end = urlsplit(provider.approved(begun.headers["location"], name, BACK))
    return f"{end.path}?{end.query}"


@pytest.mark.parametrize(("name", "role"), [("ada", Role.ADMIN), ("otto", Role.OPERATOR)])
def test_a_group_at_the_provider_is_a_role_here(
    a_running_provider: RunningProvider, a_web: Web, name: str, role: Role
) -> None:
    web = a_web
    assert web.get("/api/jobs").status_code == 401, "with a provider everybody logs in"
    assert "Hospital login" in web.get("/login?next=/metrics").text
    back = web.get(through(a_running_provider, web, name, "/metrics"))
    assert (back.status_code, back.headers["location"]) == (303, "/metrics")
    assert list(web.cookies) == ["crdl"], "the login's own cookie is gone"
    person = web.door.sessions.person(web.cookies["crdl"])
    assert person is not None
    assert (person.name, person.role, person.via) == (name, role, "oidc")
    assert web.get("/metrics").status_code == 200
    assert web.ask("POST", "/logout").status_code == 403, "a page's token is needed as ever"
    actor, event, subject, detail = web.ledger("actor, event, subject, detail")[-2]
    assert (actor, event, subject) == (f"person:{name}", "login", name)
    assert '"by":"oidc"' in detail


def test_what_the_browser_carries_to_the_provider_is_a_challenge_and_no_secret(
    a_web: Web,
) -> None:
    asked = parse_qs(urlsplit(a_web.get("/login/oidc").headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    assert asked["redirect_uri"] == [BACK]
    assert len(asked["state"][0]) == len(asked["nonce"][0]) == 43
    assert SECRET not in str(asked)


def test_the_ways_to_the_provider_and_back_are_for_everybody(a_web: Web) -> None:
    public = {rule.path for rule in rules(a_web.app) if rule.need and not rule.need.role}
    assert {"/login/oidc", "/login/oidc/back"} <= public


def test_a_login_that_is_over_is_not_taken_twice(
    a_running_provider: RunningProvider, a_web: Web
) -> None:
    path = through(a_running_provider, a_web, "ada")
    assert a_web.get(path).status_code == 303
    again = a_web.get(path)
    assert again.status_code == 401
    assert "is over" in again.text


def test_another_browser_does_not_end_a_login(
    a_running_provider: RunningProvider, a_web: Web
) -> None:
    path = through(a_running_provider, a_web, "ada")
    a_web.cookies = {}
    assert "another browser" in a_web.get(path).text
    assert a_web.cookies == {}
    assert a_web.ledger()[-1] == ("web", "login-failed", "unknown")


def test_a_late_login_and_one_that_was_never_begun_are_refused(
    a_running_provider: RunningProvider, a_web: Web
) -> None:
    path = through(a_running_provider, a_web, "ada")
    a_web.change("UPDATE oidc_login SET begun_at = '2020-01-01 00:00:00.000000'")
    assert "took too long" in a_web.get(path).text
    assert "not begun here" in a_web.get("/login/oidc/back?code=x&state=y").text


def test_somebody_without_a_role_here_is_refused_and_recorded(
    a_running_provider: RunningProvider, a_web: Web
) -> None:
    answer = a_web.get(through(a_running_provider, a_web, "eve"))
    assert answer.status_code == 401
    assert "gives no role here" in answer.text
    detail = a_web.ledger("detail")[-1][0]
    assert "gives no role here" in detail
    assert a_web.get("/api/jobs").status_code == 401


def test_a_name_is_one_person_also_across_the_ways_in(
    a_running_provider: RunningProvider, a_web: Web
) -> None:
    a_web.door.accounts.add("ada", Role.VIEWER, PASSWORD)
    assert "local user" in a_web.get(through(a_running_provider, a_web, "ada")).text


def test_a_person_who_says_no_at_the_provider_is_told_so(a_web: Web) -> None:
    begun = a_web.get("/login/oidc")
    state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
    answer = a_web.get(f"/login/oidc/back?error=access_denied&state={state}")
    assert answer.status_code == 401
    assert "access_denied" in answer.text


def test_a_public_client_needs_no_secret(
    a_running_provider: RunningProvider, tmp_path: Path
) -> None:
    asked = {"client_id": "crdl-public", "client_secret_file": ""}
    with a_web_with(a_running_provider, tmp_path, **asked) as web:
        assert web.get(through(a_running_provider, web, "ada")).status_code == 303


def test_a_wrong_client_secret_lets_nobody_in(
    a_running_provider: RunningProvider, tmp_path: Path
) -> None:
    with a_web_with(a_running_provider, tmp_path) as web:
        (tmp_path / "client-secret").write_text("another")
        answer = web.get(through(a_running_provider, web, "ada"))
        assert (answer.status_code, "answers 401" in answer.text) == (401, True)


def test_claims_count_where_the_provider_puts_them_into_the_token(tmp_path: Path) -> None:
    with (
        a_provider(CLIENTS, GROUPS, userinfo=False) as provider,
        a_web_with(provider, tmp_path) as web,
    ):
        assert web.get(through(provider, web, "ada")).status_code == 303


def test_a_provider_that_is_away_or_another_is_said_in_one_line(
    a_running_provider: RunningProvider, tmp_path: Path
) -> None:
    away = RunningProvider("http://127.0.0.1:9")
    with a_web_with(away, tmp_path) as web:
        answer = web.get("/login/oidc")
        assert (answer.status_code, "does not answer" in answer.text) == (401, True)
    other = RunningProvider(a_running_provider.issuer.replace("127.0.0.1", "localhost"))
    with a_web_with(other, tmp_path) as web:
        assert "another issuer" in web.get("/login/oidc").text
