"""What `crdl doctor` looks at: each check says ok, warning or failed, and what to do."""

from __future__ import annotations

import fcntl
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from node.audit.trail import Trail
from node.config import (
    DestinationSettings,
    Settings,
    SourceSettings,
    TlsSettings,
    WebSettings,
    is_loopback,
)
from node.database import read_only
from node.errors import CrdlError
from node.service.check import Check, Verdict
from node.service.checks_machine import check_device, check_permissions
from node.service.checks_record import check_backup, check_clock, check_database, open_current
from node.service.storage import open_blobs
from node.tls import days_left, server_context


def examine(settings: Settings) -> Iterator[Check]:
    """Yield every check; a failing one never hides the others."""
    checks: tuple[tuple[str, Callable[[Settings], Iterator[Check]]], ...] = (
        ("configuration", _configuration),
        ("ports", _ports),
        ("tls", _tls),
        ("disk", _disk),
        ("permissions", check_permissions),
        ("database", check_database),
        ("clock", check_clock),
        ("backup", check_backup),
        ("web", _web),
        ("retention", _retention),
        ("rules", _rules),
        ("destinations", _destinations),
        ("device", check_device),
        ("model", _model),
    )
    for name, check in checks:
        try:
            yield from check(settings)
        except (CrdlError, OSError, SQLAlchemyError) as error:
            yield Check(name, "failed", str(error).splitlines()[0])


def _configuration(settings: Settings) -> Iterator[Check]:
    yield Check("configuration", "ok", f"AE title {settings.node.ae_title}")
    if not settings.node.calling_ae_titles:
        yield Check(
            "configuration",
            "warning",
            "any calling AE title may send; list yours in node.calling_ae_titles",
        )
    if not settings.destination:
        yield Check("configuration", "warning", "no [[destination]]: reports stay in this node")


def _ports(settings: Settings) -> Iterator[Check]:
    for name, host, port in (
        ("dicom", settings.node.host, settings.node.port),
        ("web", settings.web.host, settings.web.port),
    ):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.settimeout(1)
            taken = port != 0 and probe.connect_ex((host, port)) == 0
        if not taken:
            yield Check(f"port {name}", "ok", f"{host}:{port} free")
        elif _is_running(settings):
            yield Check(f"port {name}", "ok", f"{host}:{port} answers: this node runs")
        else:
            yield Check(
                f"port {name}",
                "warning",
                f"{host}:{port} is taken, and no embedded node runs in {settings.node.data_dir}: "
                "by a role of this node, or by another program",
            )


def _is_running(settings: Settings) -> bool:
    """Say whether an embedded node holds the data folder."""
    try:
        with (settings.node.data_dir / "node.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _tls(settings: Settings) -> Iterator[Check]:
    sides: tuple[tuple[str, TlsSettings | WebSettings, Path | None, str], ...] = (
        ("tls", settings.tls, settings.tls.ca, "DICOM is not encrypted; set [tls]"),
        ("tls web", settings.web, None, "the web is not encrypted; set [web]"),
    )
    for name, files, ca, missing in sides:
        if files.certificate is None or files.key is None:
            verdict: Verdict = "ok" if files is settings.web else "warning"
            yield Check(name, verdict, f"{missing} certificate and key")
            continue
        server_context(files, ca)
        days = days_left(files.certificate)
        verdict = "ok" if days > 30 else "warning" if days >= 0 else "failed"
        yield Check(name, verdict, f"certificate valid for {days} days")
        if files.key.stat().st_mode & 0o077:
            yield Check(name, "warning", f"others may read {files.key}; chmod 600 it")


def _disk(settings: Settings) -> Iterator[Check]:
    store = open_blobs(settings)
    store.delete(store.put(b"crdl doctor").sha256)
    free_mib = store.free_bytes() // (1 << 20)
    verdict: Verdict = "ok" if free_mib > 4 * settings.node.minimum_free_mib else "warning"
    if free_mib < settings.node.minimum_free_mib:
        verdict = "failed"
    where = settings.node.data_dir
    yield Check("disk", verdict, f"{free_mib} MiB free in {where}, which is writable")


def _web(settings: Settings) -> Iterator[Check]:
    from node.web.auth.door import has_users  # noqa: PLC0415 - the web stack on demand

    web, database = settings.web, open_current(settings)
    users = False
    if database is not None:
        users = has_users(database)
        database.dispose()
    here, logins = is_loopback(web.host), users or bool(settings.oidc.issuer)
    if not logins:
        rule = "nobody logs in: everybody on this machine is an admin; `crdl users add` ends that"
        reach = "and it would listen beyond this machine, which it refuses"
        yield Check("web", "warning" if here else "failed", rule if here else f"{rule}; {reach}")
        return
    ways = [*(["users"] if users else []), *([settings.oidc.label] if settings.oidc.issuer else [])]
    yield Check("web", "ok", f"everybody logs in, by {' and '.join(ways)}")
    if web.certificate is not None or web.public_url.startswith("https://"):
        where = web.public_url or f"https://{web.host}:{web.port}"
        yield Check("web", "ok", f"HTTPS at {where}, cookies secure and bound to the host")
    elif here:
        yield Check("web", "ok", "plain HTTP, which stays on this machine; cookies are not secure")
    else:
        yield Check(
            "web",
            "warning",
            "passwords and patients travel unencrypted and cookies are not secure: "
            "name web.certificate and web.key, or an HTTPS proxy as web.public_url",
        )


def _retention(settings: Settings) -> Iterator[Check]:
    from node.jobs.retention import Keeper, Terms  # noqa: PLC0415 - on demand
    from node.jobs.retention_size import held_bytes  # noqa: PLC0415 - same

    days = settings.retention
    database = open_current(settings)
    if database is None:
        return
    terms = Terms(days.unreferenced_days, days.proven_days)
    blobs = open_blobs(settings)
    due = Keeper(database, Trail("doctor"), blobs, terms).due()
    held = held_bytes(database)
    database.dispose()
    if 0 < days.maximum_bytes < held:
        yield Check(
            "retention",
            "warning",
            f"{held >> 20} MiB are held, {days.maximum_bytes >> 20} should be: what is left is "
            "undelivered, in use or younger than a day",
        )
    yield Check(
        "retention",
        "ok",
        f"would expire now: {due.jobs} reports proven for {days.proven_days} days, "
        f"{due.instances} instances ({due.size // (1 << 20)} MiB) that no case has used for "
        f"{days.unreferenced_days} days",
    )


def _rules(settings: Settings) -> Iterator[Check]:
    from node.service.routing import check_bundles, rulebook  # noqa: PLC0415 - bundles on demand

    if settings.rules.file is None:
        return
    book = rulebook(settings)
    check_bundles(book, settings.rules.file)
    yield Check("rules", "ok", f"{len(book.rules)} routing rules in {settings.rules.file}")


def _destinations(settings: Settings) -> Iterator[Check]:
    from node.deliver.echo import echo  # noqa: PLC0415 - pynetdicom on demand

    named: list[tuple[str, DestinationSettings | SourceSettings]]
    named = [(f"destination {one.name}", one) for one in settings.destination]
    for name, peer in [*named, *((f"source {one.name}", one) for one in settings.source)]:
        try:
            milliseconds = echo(peer, settings)
        except CrdlError as error:
            yield Check(name, "failed", str(error))
        else:
            yield Check(name, "ok", f"answered in {milliseconds:.0f} ms")


def _model(settings: Settings) -> Iterator[Check]:
    from models.errors import ModelsError  # noqa: PLC0415 - torch on demand
    from node.service.activation import ROLES, Choice, chosen, load  # noqa: PLC0415

    database = open_current(settings)
    if database is None:
        named = {"serving": settings.model.bundle, "shadow": settings.model.shadow}
        choices = {role: Choice(named[role]) for role in ROLES}
    else:
        with read_only(database) as connection:
            choices = {role: chosen(connection, role, settings.model) for role in ROLES}
        database.dispose()
    for role, choice in choices.items():
        if not choice.bundle:
            continue
        name = "model" if role == "serving" else "model shadow"
        try:
            pipeline = load(choice, settings.model)
        except (CrdlError, ModelsError) as error:
            yield Check(name, "failed", str(error))
            continue
        bundle = pipeline.bundle
        by = f", activated by {choice.activated_by}" if choice.activated_by else ""
        yield Check(
            name,
            "warning" if bundle.simulated else "ok",
            f"bundle {bundle.name} {bundle.version} ({bundle.sha256[:12]}) on {pipeline.device}{by}"
            + (": SIMULATED, NOT FOR DIAGNOSIS" if bundle.simulated else ""),
        )
