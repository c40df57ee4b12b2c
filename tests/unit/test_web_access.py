"""Users, sessions, tokens and limits: what is kept, what counts, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select

from node.audit.tables import ApiToken, UserAccount, WebSession
from node.config import load_settings
from node.database import utc_now
from node.errors import AccessError, ConfigurationError
from node.service.checks import _web as examine_web
from node.web.auth import passwords
from node.web.auth.accounts import FREE_FAILURES, lock_s
from node.web.auth.credentials import kept
from node.web.auth.identity import Person, Role, Scope
from node.web.auth.limits import Limiter
from node.web.auth.login import local_path
from node.web.auth.refusals import Refusals
from node.web.auth.sessions import Terms
from node.web.auth.sights import Look, Sights
from tests.web_fixtures import PASSWORD, Web, a_web_in

WRONG = "a sentence that is not the one"


@pytest.fixture
def a_web(tmp_path: Path) -> Iterator[Web]:
    with a_web_in(tmp_path) as web:
        yield web


@pytest.fixture
def a_user(a_web: Web) -> str:
    a_web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
    return "ada"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "at least 12"),
        ("x" * 300, "at most 256"),
        ("abababababababab", "different"),
        ("my name is ADA today", "name"),
    ],
)
def test_a_weak_password_is_refused_with_a_reason(password: str, reason: str) -> None:
    with pytest.raises(AccessError, match=reason) as caught:
        passwords.require_good("ada", password)
    assert password not in str(caught.value)


def test_a_password_is_kept_as_argon2id_and_nothing_else(a_web: Web, a_user: str) -> None:
    with a_web.database.connect() as connection:
        row = connection.execute(select(UserAccount)).one()
    assert row.name == a_user
    assert row.password_hash.startswith("$argon2id$v=19$")
    assert PASSWORD not in str(tuple(row))


def test_a_hash_costs_what_rfc_9106_recommends() -> None:
    kept_password = passwords.hashed(PASSWORD)
    assert kept_password.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert passwords.fits(kept_password, PASSWORD)
    assert not passwords.fits(kept_password, WRONG)
    assert not passwords.outdated(kept_password)
    assert passwords.outdated(PasswordHasher(1, 8, 1).hash(PASSWORD))


def test_a_hash_with_other_parameters_is_made_anew_at_the_next_login(a_web: Web) -> None:
    a_web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
    before = PasswordHasher(2, 16, 1).hash(PASSWORD)
    a_web.change(f"UPDATE user_account SET password_hash = '{before}'")
    assert a_web.door.accounts.tried("ada", PASSWORD, "") is not None
    with a_web.database.connect() as connection:
        after = connection.scalar(select(UserAccount.password_hash))
    assert after not in {None, before}
    assert not passwords.outdated(str(after))
    assert passwords.fits(str(after), PASSWORD)


def test_the_right_password_opens_and_a_wrong_one_is_recorded(a_web: Web, a_user: str) -> None:
    opened = a_web.door.accounts.tried(a_user, PASSWORD, "192.0.2.5")
    assert opened is not None
    assert opened.role is Role.ADMIN
    assert a_web.door.accounts.tried(a_user, WRONG, "192.0.2.5") is None
    assert a_web.door.accounts.tried("nobody", WRONG, "192.0.2.5") is None
    actor, event, subject, detail = a_web.ledger("actor, event, subject, detail")[-1]
    assert (actor, event, subject) == ("web", "login-failed", "nobody")
    assert '"address":"192.0.2.5"' in detail
    assert WRONG not in str(a_web.ledger("*"))


def test_wrong_passwords_lock_the_account_longer_each_time(a_web: Web, a_user: str) -> None:
    accounts = a_web.door.accounts
    for _ in range(FREE_FAILURES + 1):
        assert accounts.tried(a_user, WRONG, "") is None
    assert accounts.tried(a_user, PASSWORD, "") is None, "locked: the right one does not help"
    (ada,) = accounts.everyone()
    assert ada.locked_until is not None
    assert ada.failures == FREE_FAILURES + 1
    a_web.change("UPDATE user_account SET locked_until = '2020-01-01 00:00:00.000000'")
    assert accounts.tried(a_user, PASSWORD, "") is not None
    assert accounts.everyone()[0].failures == 0
    waits = [lock_s(failures) for failures in range(12)]
    assert waits[: FREE_FAILURES + 2] == [0, 0, 0, 0, 0, 30]
    assert waits[6:] == [60, 120, 240, 480, 900, 900]


def test_a_name_is_one_persons_for_ever(a_web: Web, a_user: str) -> None:
    a_web.door.accounts.set_disabled(a_user, disabled=True)
    with pytest.raises(AccessError, match="already"):
        a_web.door.accounts.add(a_user, Role.VIEWER, PASSWORD)
    assert a_web.door.accounts.tried(a_user, PASSWORD, "") is None
    a_web.door.accounts.set_disabled(a_user, disabled=False)
    assert a_web.door.accounts.tried(a_user, PASSWORD, "") is not None
    for name in ("", "a b", "a/b", "token/x", "x" * 65):
        with pytest.raises(AccessError, match="user name"):
            a_web.door.accounts.add(name, Role.VIEWER, PASSWORD)


def test_a_new_password_ends_the_sessions_and_a_new_role_does_not(a_web: Web, a_user: str) -> None:
    number = a_web.door.accounts.everyone()[0].id
    secret = a_web.session(a_user, Role.ADMIN, number)
    a_web.door.accounts.set_role(a_user, Role.VIEWER)
    person = a_web.door.sessions.person(secret)
    assert person is not None
    assert person.role is Role.VIEWER
    a_web.door.accounts.set_password(a_user, PASSWORD + "!")
    assert a_web.door.sessions.person(secret) is None
    assert a_web.door.accounts.tried(a_user, PASSWORD, "") is None
    assert [event for _, event, _ in a_web.ledger()][:4] == [
        "user-added",
        "login",
        "role-changed",
        "password-changed",
    ]
    for change in (
        lambda: a_web.door.accounts.set_password("eve", PASSWORD),
        lambda: a_web.door.accounts.set_role("eve", Role.VIEWER),
        lambda: a_web.door.accounts.set_disabled("eve", disabled=True),
    ):
        with pytest.raises(AccessError, match="no user"):
            change()


def test_a_session_is_kept_as_a_hash_and_ends_by_itself(a_web: Web) -> None:
    secret = a_web.session("olga", Role.OPERATOR)
    with a_web.database.connect() as connection:
        row = connection.execute(select(WebSession)).one()
    assert row.id_sha256 == kept(secret)
    assert secret not in str(tuple(row))
    assert a_web.door.sessions.person(secret) is not None
    assert a_web.door.sessions.person(secret + "x") is None
    past = (utc_now() - timedelta(minutes=31)).strftime("%Y-%m-%d %H:%M:%S.%f")
    a_web.change(f"UPDATE web_session SET seen_at = '{past}'")
    assert a_web.door.sessions.person(secret) is None
    a_web.session("vera", Role.VIEWER)  # the next login sweeps
    logout = [row for row in a_web.ledger("event, subject, detail") if row[0] == "logout"]
    assert [(event, subject) for event, subject, _ in logout] == [("logout", "olga")]
    assert '"reason":"expired"' in logout[0][2]


def test_a_session_does_not_outlive_its_hours_however_busy() -> None:
    terms = Terms(timedelta(minutes=30), timedelta(hours=12))
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert terms.alive(noon, noon + timedelta(hours=11.9), noon + timedelta(hours=11.95))
    assert not terms.alive(noon, noon + timedelta(hours=11.9), noon + timedelta(hours=12))
    with pytest.raises(ValueError, match="idle"):
        Terms(timedelta(hours=2), timedelta(hours=1))


def test_a_token_is_shown_once_kept_as_a_hash_and_can_be_revoked(a_web: Web) -> None:
    secret = a_web.token("gateway", Scope.STOW, Scope.READ)
    assert secret.startswith("crdl_")
    with a_web.database.connect() as connection:
        row = connection.execute(select(ApiToken)).one()
    assert secret not in str(tuple(row))
    person = a_web.door.tokens.person(secret)
    assert person == Person("gateway", Role.OPERATOR, "token", frozenset({Scope.STOW, Scope.READ}))
    assert person.actor == "person:token/gateway"
    (listed,) = a_web.door.tokens.all()
    assert (listed.standing, listed.scopes) == ("active", (Scope.READ, Scope.STOW))
    assert listed.used_at is not None
    a_web.door.tokens.revoke("gateway")
    assert a_web.door.tokens.person(secret) is None
    assert a_web.door.tokens.all()[0].standing == "revoked"
    with pytest.raises(AccessError, match="no token"):
        a_web.door.tokens.revoke("gateway")
    with pytest.raises(AccessError, match="names are used once"):
        a_web.token("gateway", Scope.READ)
    assert secret not in str(a_web.ledger("*"))


def test_a_token_ends_when_it_says(a_web: Web) -> None:
    secret = a_web.token("short", Scope.READ)
    a_web.change("UPDATE api_token SET expires_at = '2020-01-01 00:00:00.000000'")
    assert a_web.door.tokens.person(secret) is None
    assert a_web.door.tokens.all()[0].standing == "expired"
    for scopes, days, reason in (((), 1, "scope"), ((Scope.READ,), -1, "expired")):
        with pytest.raises(AccessError, match=reason):
            a_web.token("other", *scopes, days=days)


def test_a_limit_lets_a_burst_pass_and_then_the_rate() -> None:
    now = [0.0]
    limiter = Limiter(per_minute=60, burst=3, clock=lambda: now[0])
    assert [limiter.wait_s("a") for _ in range(4)] == [0, 0, 0, 1]
    assert limiter.wait_s("b") == 0
    now[0] = 1.0
    assert [limiter.wait_s("a") for _ in range(2)] == [0, 1]
    now[0] = 3600.0
    assert [limiter.wait_s("a") for _ in range(4)] == [0, 0, 0, 1]
    assert Limiter(0, 1).wait_s("a") == 0


def test_a_limit_remembers_no_more_keys_than_it_may() -> None:
    limiter = Limiter(per_minute=1, burst=1, keys=10)
    for number in range(1000):
        limiter.wait_s(str(number))
    assert len(limiter._buckets) == 10


def test_a_flood_of_refusals_is_a_few_rows_with_a_count(a_web: Web) -> None:
    now = [100.0]
    refusals = Refusals(a_web.database, a_web.door.accounts.trail, clock=lambda: now[0])
    for _ in range(50):
        refusals.note(None, "192.0.2.9", ("GET", "/api/jobs"), 401, "log in")
    now[0] = 161.0
    refusals.note(None, "192.0.2.9", ("GET", "/api/jobs"), 401, "log in")
    rows = a_web.ledger("event, subject, detail")
    assert [row[:2] for row in rows] == [("refused", "/api/jobs")] * 2
    assert '"repeated":0' in rows[0][2]
    assert '"repeated":49' in rows[1][2]
    for number in range(2000):  # invented addresses
        refusals.note(None, f"10.0.{number // 256}.{number % 256}", ("GET", "/"), 401, "log in")
    assert len(a_web.ledger()) <= 2 + 600


@pytest.mark.parametrize(
    ("where", "goes"),
    [
        ("/studies/1.2?x=y", "/studies/1.2?x=y"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: b", "/"),
        ("", "/"),
        ("/" + "a" * 2000, "/"),
    ],
)
def test_a_login_leads_nowhere_but_into_the_node(where: str, goes: str) -> None:
    assert local_path(where) == goes


def test_settings_of_a_login_hold_together() -> None:
    with pytest.raises(ConfigurationError, match="idle_minutes"):
        load_settings(web={"idle_minutes": 120, "session_hours": 1})
    provider = {"issuer": "http://127.0.0.1:1", "client_id": "crdl", "viewers": ["all"]}
    with pytest.raises(ConfigurationError, match="public_url"):
        load_settings(oidc=provider)
    with pytest.raises(ConfigurationError, match="together"):
        load_settings(oidc={"issuer": "http://127.0.0.1:1"})
    with pytest.raises(ConfigurationError, match="claim values"):
        load_settings(oidc={"issuer": "http://127.0.0.1:1", "client_id": "crdl"})


def test_a_look_is_a_study_or_a_search_and_nothing_else() -> None:
    frames = "/dicom-web/studies/{study}/series/{series}"
    assert Look.of(frames, {"study": "1.2", "series": "1.3"}, "") == Look(frames, "1.2", "")
    assert Look.of("/console/studies/{uid}", {"uid": "1.2"}, "") is None, "recorded by the console"
    search = Look.of("/dicom-web/studies", {}, "PatientName=Doe*")
    assert search == Look("/dicom-web/studies", "", "PatientName=Doe*")
    assert Look.of("/metrics", {}, "") is None
    assert Look.of(frames, {"study": "../etc"}, "") is None


def test_a_viewer_that_asks_for_every_frame_is_one_row_in_ten_minutes(a_web: Web) -> None:
    now = [0.0]
    sights = Sights(a_web.database, a_web.door.accounts.trail, clock=lambda: now[0])
    vera, otto = (Person(name, Role.VIEWER, "session") for name in ("vera", "otto"))
    look = Look("/dicom-web/studies/{study}", "1.2.3", "")
    for person in (vera, vera, otto):
        sights.note(person, "192.0.2.5", look)
    now[0] = 601.0
    sights.note(vera, "192.0.2.5", look)
    rows = a_web.ledger("actor, event, study_instance_uid")
    assert rows == [
        ("person:vera", "seen", "1.2.3"),
        ("person:otto", "seen", "1.2.3"),
        ("person:vera", "seen", "1.2.3"),
    ]


def test_the_doctor_says_who_logs_in_and_whether_it_is_safe(tmp_path: Path, a_web: Web) -> None:
    def said(**web: object) -> list[tuple[str, str]]:
        settings = load_settings(node={"data_dir": tmp_path}, web=web)
        return [(check.verdict, check.text) for check in examine_web(settings)]

    ((verdict, text),) = said()
    assert (verdict, "nobody logs in" in text) == ("warning", True)
    assert said(host="192.0.2.1")[0][0] == "failed"
    a_web.door.accounts.add("ada", Role.ADMIN, PASSWORD)
    assert [verdict for verdict, _ in said()] == ["ok", "ok"]
    assert [verdict for verdict, _ in said(host="192.0.2.1")] == ["ok", "warning"]
    assert "secure" in said(host="192.0.2.1", public_url="https://node.example")[1][1]
