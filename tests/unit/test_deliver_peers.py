"""A peer that is missing is told by name, and is a failure where everything must be there."""

from __future__ import annotations

import pytest

from tests.peers import free_ports, require


def test_a_missing_peer_skips_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="the peer no-such-archive is missing"):
        require("no-such-archive")


def test_a_missing_peer_fails_where_everything_must_be_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="the peer no-such-archive is missing"):
        require("no-such-archive")


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(20))) == 20
