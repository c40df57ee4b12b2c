"""Senders that ask for too much: each is told so, and the record of it stays small."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from node.config import LimitSettings
from node.receive.coalescing import MOST_KEYS, WINDOW_S, Coalescer
from node.receive.limits import Rate, Turnstile, peer_of
from tests.receive_fixtures import Desk, an_associate_request, an_ultrasound, listening, written
from tests.receive_peers import (
    a_fragment,
    a_store_command,
    associate,
    send,
)
from tests.waiting import wait_for

TRANSIENT_CONGESTION = b"\x02\x03\x01"  # PS3.8 table 9-21
TRANSIENT_LIMIT = b"\x02\x03\x02"


def rejection(connection: socket.socket) -> bytes:
    """Return result, source and diagnostic of the A-ASSOCIATE-RJ that comes."""
    connection.settimeout(5)
    answer = connection.recv(10)
    assert answer[0] == 3, answer
    return answer[7:10]


def is_cut_off(connection: socket.socket, piece: Callable[[], bytes]) -> bool:
    """Send 16 MB at most; say whether the other side ends it before."""
    try:
        for _ in range(1000):
            connection.sendall(piece())
            time.sleep(0.001)
    except OSError:
        return True
    return False


def is_served(address: tuple[str, int], calling: str = "TEST") -> bool:
    """Say whether an association is accepted, and release it."""
    association = associate(address, calling=calling)
    if not association.is_established:
        return False
    association.release()
    return True


def rejections(desk: Desk) -> list[str]:
    return [
        row[0]
        for row in desk.rows(
            "SELECT json_extract(detail, '$.reason') FROM ledger_association "
            "WHERE event = 'rejected' ORDER BY id"
        )
    ]


def test_one_connection_too_many_is_told_so_and_the_next_is_served_after_one_ends(
    a_desk_with: Callable[..., Desk],
) -> None:
    desk = a_desk_with(limits={"maximum_connections": 4, "maximum_connections_per_peer": 3})
    with listening(desk) as address, ExitStack() as open_:
        silent = [open_.enter_context(socket.create_connection(address)) for _ in range(3)]
        with socket.create_connection(address) as late:
            late.sendall(an_associate_request())
            assert rejection(late) == TRANSIENT_LIMIT
        silent[0].close()
        wait_for(lambda: is_served(address))
        wait_for(lambda: rejections(desk))
    assert "it has 3 connections open" in rejections(desk)


def test_an_association_beyond_the_limit_is_rejected(a_desk_with: Callable[..., Desk]) -> None:
    desk = a_desk_with(limits={"maximum_associations": 2})
    with listening(desk) as address:
        first, second = associate(address), associate(address)
        with socket.create_connection(address) as late:
            late.sendall(an_associate_request())
            assert rejection(late) == TRANSIENT_LIMIT
        first.release()
        wait_for(lambda: is_served(address))
        second.release()
    assert "2 associations are open" in rejections(desk)


def test_silent_connections_take_no_place_from_associations(
    a_desk_with: Callable[..., Desk],
) -> None:
    desk = a_desk_with(limits={"maximum_associations": 1})
    with listening(desk) as address, ExitStack() as open_:
        for _ in range(10):
            open_.enter_context(socket.create_connection(address))
        assert is_served(address)


def test_a_caller_that_asks_too_often_is_slowed_and_another_title_is_not(
    a_desk_with: Callable[..., Desk],
) -> None:
    desk = a_desk_with(limits={"associations_per_minute": 3})
    with listening(desk) as address:
        for _ in range(3):
            associate(address).release()
        with socket.create_connection(address) as fourth:
            fourth.sendall(an_associate_request(calling="TEST"))
            assert rejection(fourth) == TRANSIENT_CONGESTION
        assert is_served(address, "OTHER")


def test_an_address_that_connects_too_often_is_shown_out(
    a_desk_with: Callable[..., Desk],
) -> None:
    desk = a_desk_with(limits={"connections_per_minute": 5})
    with listening(desk) as address:
        for _ in range(5):
            socket.create_connection(address).close()
        with socket.create_connection(address) as sixth:
            assert rejection(sixth) == TRANSIENT_LIMIT


def test_a_flood_of_rejections_makes_two_rows_not_thousands(
    a_desk_with: Callable[..., Desk],
) -> None:
    desk = a_desk_with(limits={"connections_per_minute": 1})
    with listening(desk) as address:
        for _ in range(300):
            socket.create_connection(address).close()
        with socket.create_connection(address) as last:
            last.settimeout(5)
            assert last.recv(100) in (b"", b"\x03\0\0\0\0\x04\0\x02\x03\x02")
    rows = desk.rows(
        "SELECT json_extract(detail, '$.times') FROM ledger_association "
        "WHERE event = 'rejected' ORDER BY id"
    )
    assert [row[0] for row in rows] == [None, 299]


def test_an_instance_that_is_too_large_is_refused_and_the_next_one_taken(
    a_desk_with: Callable[..., Desk], tmp_path: Path
) -> None:
    desk = a_desk_with(limits={"maximum_instance_mib": 1})
    large = an_ultrasound(Rows=1024, Columns=1100, PixelData=bytes(1024 * 1100))
    with listening(desk) as address:
        association = associate(address)
        assert send(association, written(tmp_path, large)) == 0xC413
        assert send(association, written(tmp_path, an_ultrasound())) == 0x0000
        association.release()
    assert desk.events() == ["refused", "received"]
    assert desk.spooled() == []
    (reason,) = desk.rows(
        "SELECT json_extract(detail, '$.reason') FROM ledger_instance WHERE event = 'refused'"
    )
    assert reason == ("the instance is larger than 1 MiB",)


def test_a_data_set_without_end_is_cut_off(a_desk_with: Callable[..., Desk]) -> None:
    desk = a_desk_with(limits={"maximum_instance_mib": 1})
    with listening(desk) as address, socket.create_connection(address) as connection:
        connection.sendall(an_associate_request())
        connection.settimeout(5)
        connection.recv(4096)
        connection.sendall(a_store_command("1.2.3.4.5"))
        assert is_cut_off(connection, lambda: a_fragment(bytes(16000), last=False))
        wait_for(lambda: not desk.spooled())
        wait_for(lambda: desk.rows("SELECT 1 FROM ledger_association WHERE event = 'aborted'"))
    (row,) = desk.rows(
        "SELECT json_extract(detail, '$.reason') FROM ledger_association WHERE event = 'aborted'"
    )
    assert row == ("a data set goes on without end",)


def test_who_says_nothing_after_connecting_is_dropped(a_desk_with: Callable[..., Desk]) -> None:
    desk = a_desk_with(limits={"request_s": 0.5})
    with listening(desk) as address, socket.create_connection(address) as silent:
        silent.settimeout(6)
        assert silent.recv(100)[:1] in (b"", b"\x07")  # closed, or an A-ABORT first


def test_an_association_on_which_nothing_happens_ends(a_desk_with: Callable[..., Desk]) -> None:
    desk = a_desk_with(limits={"idle_s": 0.5})
    with listening(desk) as address, socket.create_connection(address) as silent:
        silent.sendall(an_associate_request())
        silent.settimeout(6)
        assert silent.recv(4096)[:1] == b"\x02"
        assert silent.recv(100)[:1] in (b"", b"\x07")
        wait_for(lambda: desk.rows("SELECT 1 FROM ledger_association WHERE event = 'aborted'"))


def test_a_flood_of_refused_instances_is_counted(
    a_desk_with: Callable[..., Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.receive.refusals._ROWS_A_MINUTE", 3)
    desk = a_desk_with()
    with listening(desk) as address, socket.create_connection(address) as connection:
        connection.settimeout(5)
        connection.sendall(an_associate_request())
        connection.recv(4096)
        for number in range(8):
            connection.sendall(
                a_store_command(f"1.2.3.{number}") + a_fragment(b"\0" * 100, last=True)
            )
            answer = connection.recv(4096)
            assert struct.pack("<H", 0xC000) in answer
    desk.inbox.close()
    rows = desk.rows("SELECT json_extract(detail, '$.times') FROM ledger_instance ORDER BY id")
    assert [row[0] for row in rows] == [None, None, None, 5]


class AClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_rate_gives_a_minutes_worth_at_once_and_then_what_time_brings() -> None:
    clock = AClock()
    rate = Rate(60, clock)
    assert [rate.take("a") for _ in range(61)] == [True] * 60 + [False]
    assert rate.take("b")
    clock.now += 2
    assert [rate.take("a") for _ in range(3)] == [True, True, False]


def test_a_rate_remembers_a_bounded_number_of_peers() -> None:
    rate = Rate(1, AClock())
    for number in range(10_000):
        rate.take(str(number))
    assert len(rate._left) == 4096


def test_addresses_of_one_ipv6_network_are_one_peer() -> None:
    assert peer_of("2001:db8::1") == peer_of("2001:db8::ffff:1") != peer_of("2001:db8:0:1::1")
    assert peer_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert peer_of("fe80::1%eth0") == peer_of("fe80::2")


def test_a_turnstile_counts_connections_of_all_peers_together() -> None:
    turnstile = Turnstile(LimitSettings(maximum_connections=2, maximum_connections_per_peer=2))
    assert [turnstile.enter(a) for a in ("10.0.0.1", "10.0.0.2")] == ["", ""]
    assert turnstile.enter("10.0.0.3") == "2 connections are open"
    turnstile.leave("10.0.0.1")
    assert turnstile.enter("10.0.0.3") == ""


def test_notes_are_bounded_whatever_the_number_of_peers() -> None:
    clock = AClock()
    coalescer: Coalescer[str] = Coalescer("rest", clock=clock)
    noted = sum(coalescer.note(f"10.0.{n >> 8}.{n & 255}") for n in range(5000))
    assert noted == MOST_KEYS + 1
    assert coalescer.due() == []
    clock.now += WINDOW_S
    assert coalescer.due() == [("rest", 5000 - MOST_KEYS - 1)]
    assert coalescer.note("10.0.0.1")
