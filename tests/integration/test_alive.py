"""What a container's probe hears: one line of what is wrong, or nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from node.audit import schema
from node.audit.tables import Lease
from node.config import Settings, load_settings
from node.database import open_engine, utc_now
from node.service.alive import signs


@pytest.fixture
def a_listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def a_node(tmp_path: Path, a_listener: int) -> Settings:
    settings = load_settings(
        None,
        node={"data_dir": tmp_path, "port": a_listener, "host": "0.0.0.0", "name": "pod-7"},  # noqa: S104
        web={"port": 1},
    )
    database = open_engine(settings.database_url)
    schema.upgrade(database)
    database.dispose()
    return settings


def beat(settings: Settings, executor: str, role: str, seconds_ago: float) -> None:
    database = open_engine(settings.database_url)
    at = utc_now() - timedelta(seconds=seconds_ago)
    with database.begin() as connection:
        connection.execute(insert(Lease).values(executor_id=executor, role=role, beat_at=at))
    database.dispose()


def test_a_receiver_lives_if_it_listens(a_node: Settings) -> None:
    assert dict(signs(a_node, "receive")) == {"receive": ""}
    nowhere = a_node.model_copy(update={"node": a_node.node.model_copy(update={"port": 1})})
    assert "nobody listens on" in dict(signs(nowhere, "receive"))["receive"]


def test_a_web_that_does_not_answer_is_told(a_node: Settings) -> None:
    assert "does not answer" in dict(signs(a_node, "web"))["web"]


def test_a_worker_lives_if_this_machine_s_lease_is_beaten(a_node: Settings) -> None:
    assert "no process of role work" in dict(signs(a_node, "work"))["work"]
    beat(a_node, "work-pod-8", "work", 1)  # somebody else's
    assert "no process of role work" in dict(signs(a_node, "work"))["work"]
    beat(a_node, "work-pod-7", "work", 100)
    assert "silent for 100 s" in dict(signs(a_node, "work"))["work"]
    database = open_engine(a_node.database_url)
    with database.begin() as connection:
        connection.execute(update(Lease).values(beat_at=utc_now()))
    database.dispose()
    assert dict(signs(a_node, "work")) == {"work": ""}


def test_the_whole_node_names_every_part(a_node: Settings) -> None:
    beat(a_node, "work-1", "work", 1)
    found = dict(signs(a_node, "all"))
    assert set(found) == {"receive", "web", "work", "deliver"}
    assert found["receive"] == found["work"] == ""
    assert found["web"]
    assert found["deliver"]
