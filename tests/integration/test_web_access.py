"""Every route and every kind of caller; logging in and out as a browser does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from node.audit.tables import LEDGERS
from node.audit.verify import verify
from node.config import load_settings
from node.errors import ConfigurationError
from node.jobs.dbos_engine import DbosEnqueuer
from node.jobs.outcomes import Kept
from node.service.compose import lay_foundation
from node.service.console import bureau
from node.service.worklist import worklist
from node.web.auth.identity import Person, Role, Scope
from node.web.auth.rules import Rule, rules
from node.web.console.router import console_router
from node.web.outcomes import outcome_router
from node.web.workitems import workitem_router
from tests.web_fixtures import PASSWORD, Web, a_web_in

# What everybody relies on, whatever else is added: the least role and the token scopes.
PROMISED = {
    ("GET", "/livez"): (None, set()),
    ("GET", "/readyz"): (None, set()),
    ("GET", "/login"): (None, set()),
    ("POST", "/login"): (None, set()),
    ("POST", "/logout"): (Role.VIEWER, {Scope.READ}),
    ("GET", "/metrics"): (Role.VIEWER, {Scope.METRICS}),
    ("GET", "/api/jobs"): (Role.VIEWER, {Scope.READ}),
    ("GET", "/dicom-web/studies"): (Role.VIEWER, {Scope.READ}),
    ("GET", "/dicom-web/studies/{study}"): (Role.VIEWER, {Scope.READ}),
    ("GET", "/dicom-web/studies/{study}/metadata"): (Role.VIEWER, {Scope.READ}),
    ("POST", "/dicom-web/studies"): (Role.OPERATOR, {Scope.STOW}),
    ("POST", "/dicom-web/studies/{study}"): (Role.OPERATOR, {Scope.STOW}),
    ("POST", "/outcomes"): (Role.OPERATOR, {Scope.OUTCOMES}),
}
REFUSED = {401, 403}


@pytest.fixture(scope="module")
def a_staffed_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    settings = load_settings(node={"data_dir": folder}, worklist={"serve": True})
    with (
        closing(lay_foundation(settings, "web")) as foundation,
        closing(DbosEnqueuer(foundation.database)) as enqueuer,
        worklist(foundation) as managed,
        a_web_in(folder, web={"requests_per_minute": 0}) as web,
    ):
        assert managed is not None
        web.app.include_router(workitem_router(managed))
        web.app.include_router(outcome_router(lambda said, _: [Kept("new", "", "")] * len(said)))
        web.app.include_router(console_router(bureau(foundation, enqueuer)))
        web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
        yield web


@pytest.fixture(scope="module")
def callers(a_staffed_web: Web) -> dict[str, tuple[dict[str, str], Person | None]]:
    """Headers of each kind of caller, and who the gate should take them for."""
    web, found = a_staffed_web, {}
    found["anonymous"] = ({}, None)
    found["a wrong cookie"] = ({"cookie": "crdl=nonsense"}, None)
    found["a wrong token"] = ({"authorization": "Bearer crdl_nonsense"}, None)
    found["a password in a header"] = ({"authorization": "Basic YWRhOnBhc3N3b3Jk"}, None)
    for role in Role:
        secret = web.session(f"the {role}", role)
        person = web.door.sessions.person(secret)
        assert person is not None
        found[role.value] = ({"cookie": f"crdl={secret}", "x-csrf-token": person.csrf}, person)
    expired = web.session("gone", Role.ADMIN)
    web.change("UPDATE web_session SET seen_at = '2020-01-01 00:00:00' WHERE name = 'gone'")
    found["an expired session"] = ({"cookie": f"crdl={expired}"}, None)
    web.door.accounts.add("dora", Role.ADMIN, PASSWORD)
    number = next(one.id for one in web.door.accounts.everyone() if one.name == "dora")
    disabled = web.session("dora", Role.ADMIN, number)
    web.change("UPDATE user_account SET disabled = 1 WHERE name = 'dora'")
    found["a disabled user"] = ({"cookie": f"crdl={disabled}"}, None)
    for scope in Scope:
        secret = web.token(f"with-{scope}", scope)
        person = web.door.tokens.person(secret)
        assert person is not None
        found[f"token {scope}"] = ({"authorization": f"Bearer {secret}"}, person)
    revoked = web.token("revoked", Scope.ADMIN)
    web.door.tokens.revoke("revoked")
    found["a revoked token"] = ({"authorization": f"Bearer {revoked}"}, None)
    return found


def asked(rule: Rule) -> list[tuple[str, str]]:
    """Methods and a path for each rule; a mounted folder is asked for a file."""
    path = re.sub(r"\{[^}]+\}", "1", rule.path) + ("/login.css" if rule.files else "")
    return [(method, path) for method in rule.methods or {"GET"}]


def test_every_route_lets_in_whom_it_declares_and_nobody_else(
    a_staffed_web: Web, callers: dict[str, tuple[dict[str, str], Person | None]]
) -> None:
    wrong, tried = [], 0
    for rule in rules(a_staffed_web.app):
        assert rule.need is not None, f"{rule.path} declares no need"
        for method, path in asked(rule):
            for name, (headers, person) in callers.items():
                if path == "/logout":
                    continue  # it ends the session that the next route is asked with
                a_staffed_web.cookies = {}
                answer = a_staffed_web.ask(method, path, headers=headers)
                let_in = answer.status_code not in REFUSED and answer.status_code < 500
                tried += 1
                if let_in != rule.need.admits(person):
                    wrong.append((method, path, name, answer.status_code))
    assert not wrong
    assert tried > 25 * len(callers)


def test_the_routes_that_others_rely_on_need_what_is_promised(a_staffed_web: Web) -> None:
    found = {
        (method, rule.path): (rule.need.role, set(rule.need.scopes) - {Scope.ADMIN})
        for rule in rules(a_staffed_web.app)
        for method in rule.methods
        if rule.need is not None
    }
    assert {key: found[key] for key in PROMISED} == PROMISED


def test_nothing_is_for_everybody_but_health_login_and_our_files(a_staffed_web: Web) -> None:
    every = rules(a_staffed_web.app)
    public = {rule.path for rule in every if rule.need and not rule.need.role and not rule.files}
    assert public == {"/livez", "/readyz", "/login"}
    assert all(rule.path.startswith("/static") for rule in every if rule.files)


def test_whatever_changes_something_needs_more_than_a_viewer(a_staffed_web: Web) -> None:
    viewers = {
        (method, rule.path)
        for rule in rules(a_staffed_web.app)
        for method in rule.methods - {"GET", "HEAD"}
        if rule.need and rule.need.role is Role.VIEWER
    }
    assert viewers == {("POST", "/logout")}


@pytest.fixture
def a_web(tmp_path: Path) -> Iterator[Web]:
    with a_web_in(tmp_path) as web:
        yield web


@pytest.fixture
def a_web_with_ada(a_web: Web) -> Web:
    a_web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
    return a_web


def test_without_users_everybody_on_this_machine_is_let_in_until_one_is_added(a_web: Web) -> None:
    assert a_web.get("/api/jobs").status_code == 200
    assert a_web.get("/api/jobs", authorization="Bearer nonsense").status_code == 401
    a_web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
    assert a_web.get("/api/jobs").status_code == 401
    a_web.door.accounts.set_disabled("ada", disabled=True)
    assert a_web.get("/api/jobs").status_code == 401, "disabling the last user opens nothing"


def test_with_users_the_web_may_listen_beyond_this_machine(tmp_path: Path) -> None:
    beyond = {"host": "192.0.2.1"}
    with pytest.raises(ConfigurationError, match="crdl users add"), a_web_in(tmp_path, web=beyond):
        pass
    with a_web_in(tmp_path) as web:
        web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
    with a_web_in(tmp_path, web=beyond) as web:
        web.base = "http://node.hospital.example"
        assert web.get("/livez").status_code == 200
        assert web.get("/api/jobs").status_code == 401
        web.log_in("ada")
        assert web.get("/api/jobs").status_code == 200


def test_a_person_logs_in_works_and_logs_out(a_web_with_ada: Web) -> None:
    web = a_web_with_ada
    page = web.get("/api/jobs?limit=1", accept="text/html")
    assert (page.status_code, page.headers["location"]) == (
        303,
        "/login?next=%2Fapi%2Fjobs%3Flimit%3D1",
    )
    form = web.get(page.headers["location"])
    assert 'value="/api/jobs?limit=1"' in form.text
    assert "<script" not in form.text
    wrong = web.log_in("ada", "not the password")
    assert (wrong.status_code, wrong.headers.get("set-cookie")) == (401, None)
    right = web.log_in("ada")
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert cookie.startswith("crdl=")
    for part in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert part in cookie
    assert "Max-Age" not in cookie, "it ends with the browser"
    assert web.get("/api/jobs").status_code == 200
    assert web.get("/login?next=/metrics").headers["location"] == "/metrics"
    assert web.ask("POST", "/logout").status_code == 403, "without the page's token"
    before = dict(web.cookies)
    left = web.ask("POST", "/logout", form={"csrf_token": web.csrf()})
    assert (left.status_code, left.headers["location"], web.cookies) == (303, "/login", {})
    web.cookies = before
    assert web.get("/api/jobs").status_code == 401, "the session is gone, not only the cookie"
    assert web.ledger()[1:] == [
        ("web", "login-failed", "ada"),
        ("person:ada", "login", "ada"),
        ("person:ada", "refused", "/logout"),
        ("person:ada", "logout", "ada"),
        ("web", "refused", "/api/jobs"),
    ]


def test_under_https_the_cookie_is_bound_to_the_host(tmp_path: Path) -> None:
    with a_web_in(tmp_path, web={"public_url": "https://node.example"}) as web:
        web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
        entered = web.log_in("ada")
        cookie = entered.headers["set-cookie"]
        assert cookie.startswith("__Host-crdl=")
        assert "Secure" in cookie
        assert "Domain" not in cookie
        assert web.get("/api/jobs").status_code == 200
        assert "max-age" in web.get("/livez").headers["strict-transport-security"]
        web.base = "https://evil.example"
        assert web.get("/livez").status_code == 400


def test_a_login_makes_a_new_session_and_ends_the_one_before(a_web_with_ada: Web) -> None:
    web = a_web_with_ada
    web.log_in("ada")
    before = dict(web.cookies)
    again = web.ask(
        "POST", "/login", form={"name": "ada", "password": PASSWORD, "csrf_token": web.csrf()}
    )
    assert again.status_code == 303
    assert web.cookies != before
    web.cookies = before
    assert web.get("/api/jobs").status_code == 401


@pytest.mark.parametrize("how", ["header", "field"])
def test_a_change_carries_the_token_of_its_page(a_web_with_ada: Web, how: str) -> None:
    web = a_web_with_ada
    web.app.include_router(outcome_router(lambda said, _: [Kept("new", "", "")] * len(said)))
    web.log_in("ada")
    csrf = web.csrf()
    body, kind = b'[{"patient_id": "P", "malignant": 0}]', {"content-type": "application/json"}
    if how == "header":
        assert web.ask("POST", "/outcomes", content=body, headers=kind).status_code == 403
        other = {**kind, "x-csrf-token": "0" * 64}
        assert web.ask("POST", "/outcomes", content=body, headers=other).status_code == 403
        right = {**kind, "x-csrf-token": csrf}
        assert web.ask("POST", "/outcomes", content=body, headers=right).status_code == 200
        return
    assert web.ask("POST", "/logout", form={"csrf_token": "0" * 64}).status_code == 403
    assert web.ask("POST", "/logout", form={"csrf_token": csrf}).status_code == 303


def test_a_token_needs_no_page(a_web_with_ada: Web) -> None:
    web = a_web_with_ada
    said = []
    web.app.include_router(outcome_router(lambda rows, who: said.append(who) or []))
    secret = web.token("pathology", Scope.OUTCOMES)
    headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
    body = b'[{"patient_id": "P", "malignant": 0}]'
    assert web.ask("POST", "/outcomes", content=body, headers=headers).status_code == 200
    assert said == ["person:token/pathology"]


def test_guessing_is_slowed_for_an_address_and_not_for_others(a_web_with_ada: Web) -> None:
    web = a_web_with_ada
    codes = [web.log_in(f"guess{number}", "a wrong password").status_code for number in range(16)]
    assert codes[:10] == [401] * 10
    assert 429 in codes
    web.address = "192.0.2.6"
    assert web.log_in("ada").status_code == 303


def test_a_client_that_asks_too_often_is_told_when_to_come_back(tmp_path: Path) -> None:
    with a_web_in(tmp_path, web={"requests_per_minute": 40}) as web:
        web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
        secret = web.token("busy", Scope.READ)
        other = web.token("calm", Scope.READ)
        answers = [web.get("/api/jobs", authorization=f"Bearer {secret}") for _ in range(12)]
        assert [one.status_code for one in answers[:10]] == [200] * 10
        assert answers[-1].status_code == 429
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert web.get("/api/jobs", authorization=f"Bearer {other}").status_code == 200
        events = [row for row in web.ledger("event, subject, actor") if row[0] == "refused"]
        assert events == [("refused", "/api/jobs", "person:token/busy")], "once, not each time"


def test_readiness_gives_its_reasons_to_those_who_may_see_them(a_web_with_ada: Web) -> None:
    web = a_web_with_ada
    assert web.get("/readyz").json() == {"status": "ready"}
    secret = web.token("watch", Scope.READ)
    assert "checks" in web.get("/readyz", authorization=f"Bearer {secret}").json()


def test_who_looked_and_what_they_searched_for_stands_in_the_record(a_web_with_ada: Web) -> None:
    web = a_web_with_ada
    web.log_in("ada")
    assert web.get("/dicom-web/studies?PatientName=Doe*").status_code == 204
    for part in ("", "/metadata", "/series"):
        web.get(f"/dicom-web/studies/1.2.3{part}")
    web.address = "192.0.2.77"
    web.cookies = {}
    assert web.get("/dicom-web/studies/1.2.3").status_code == 401
    rows = web.ledger("actor, event, subject, study_instance_uid, detail")[2:]
    assert [row[:4] for row in rows] == [
        ("person:ada", "searched", "/dicom-web/studies", ""),
        ("person:ada", "seen", "/dicom-web/studies/{study}", "1.2.3"),
        ("web", "refused", "/dicom-web/studies/{study}", ""),
    ]
    assert '"query":"PatientName=Doe*"' in rows[0][4]


def test_the_record_of_access_is_sealed_and_proven_like_any_other(a_web_with_ada: Web) -> None:
    web = a_web_with_ada
    web.log_in("ada")
    assert "access" in LEDGERS
    web.change("DROP TRIGGER ledger_access_no_update")
    web.change("UPDATE ledger_access SET actor = 'person:eve' WHERE event = 'login'")
    sealer = web.door.accounts.trail.sealer
    assert sealer is not None
    report = verify(web.database, sealer)
    # Not chained yet: a row whose seal does not fit was put there by somebody without the key.
    assert [(fault.where, fault.kind) for fault in report.faults] == [("access", "inserted")]
