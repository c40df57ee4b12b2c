"""The chain: background batches that fix committed ledger rows in their order, for ever.

Rows are numbered before they are committed, so numbers become visible out of order on PostgreSQL
and a number that was rolled back never does. A chainer therefore remembers the numbers it has
passed over and looks for them again for an hour. Any number of processes may run a chainer; the
database's lock lets one at a time write.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, insert, select

from node.audit.rows import LedgerRow, rows_after, rows_numbered
from node.audit.seal import Sealer, canonical
from node.audit.tables import LEDGERS, ChainLink
from node.database import lock, read_only, utc_now

ROWS_A_LINK = 5000
PASS_S = 5.0
GAP_S = 3600.0
GENESIS = "0" * 64
_log = logging.getLogger(__name__)


def link_hash(position: int, previous: str, ledger: str, ids: bytes, hashes: bytes) -> str:
    """Return the SHA-256 of a link, hexadecimal: it rests on the link before it."""
    head = canonical((position, previous, ledger, len(ids) // 8))
    return hashlib.sha256(head + ids + hashes).hexdigest()


def numbers(link_ids: bytes) -> NDArray[np.int64]:
    """Return the row numbers of a link, (rows,) in its order."""
    return np.frombuffer(link_ids, dtype="<i8").astype(np.int64)


@dataclass
class _Frontier:
    """How far one ledger is chained: up to `top`, except for the `gaps` (number: since when)."""

    top: int = 0
    gaps: dict[int, float] = field(default_factory=dict)

    def take(self, ids: Sequence[int], now: float) -> None:
        """Note that these rows are chained."""
        for number in ids:
            if number > self.top:
                self.gaps.update(dict.fromkeys(range(self.top + 1, number), now))
                self.top = number
            else:
                self.gaps.pop(number, None)

    def pass_over(self, ids: Sequence[int], now: float) -> None:
        """Note rows that cannot be chained now, so that those after them are."""
        self.take(ids, now)
        self.gaps.update(dict.fromkeys(ids, now))

    def forget(self, now: float) -> None:
        """Give up numbers that were never committed."""
        self.gaps = {number: since for number, since in self.gaps.items() if now - since < GAP_S}


@dataclass
class Chainer:
    """Appends links for rows that were committed since the last pass.

    A row whose seal does not fit is left out: `verify` reports it as inserted. Only the first
    pass of all takes rows without a seal: they are from before there were seals.
    """

    database: Engine
    sealer: Sealer
    _position: int = 0
    _adopting: bool = False
    _frontiers: dict[str, _Frontier] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._frontiers = {name: _Frontier() for name in LEDGERS}

    def advance(self) -> int:
        """Chain everything that is committed; return how many rows that was."""
        with read_only(self.database) as connection:
            self._catch_up(connection)
            self._adopting = self._position == 0
            if not any(self._fresh(connection, name) for name in LEDGERS):
                return 0
        chained = 0
        for name in LEDGERS:
            while True:
                with self.database.begin() as connection:
                    lock(connection, "chain")
                    self._catch_up(connection)
                    rows = self._fresh(connection, name)
                    if rows:
                        self._append(connection, name, rows)
                if rows:
                    chained += len(rows)
                if len(rows) < ROWS_A_LINK:
                    break
        return chained

    def _catch_up(self, connection: Connection) -> None:
        """Take over what other chainers have linked since."""
        now = time.monotonic()
        links = connection.execute(
            select(ChainLink.position, ChainLink.ledger, ChainLink.row_ids)
            .where(ChainLink.position > self._position)
            .order_by(ChainLink.position)
        )
        for link in links:
            self._frontiers[link.ledger].take(numbers(link.row_ids).tolist(), now)
            self._position = link.position
        for frontier in self._frontiers.values():
            frontier.forget(now)

    def _fresh(self, connection: Connection, ledger: str) -> list[LedgerRow]:
        frontier = self._frontiers[ledger]
        late = rows_numbered(connection, ledger, sorted(frontier.gaps))
        rows = [row for row in late if self._ours(row)]
        while len(rows) < ROWS_A_LINK:
            found = rows_after(connection, ledger, frontier.top, ROWS_A_LINK - len(rows))
            bad = [row.id for row in found if not self._ours(row)]
            rows += [row for row in found if self._ours(row)]
            if not bad or rows:
                break
            frontier.pass_over(bad, time.monotonic())
        return rows[:ROWS_A_LINK]

    def _ours(self, row: LedgerRow) -> bool:
        return self.sealer.fits(row.seal, row.facts) or (self._adopting and not row.seal)

    def _append(self, connection: Connection, ledger: str, rows: Sequence[LedgerRow]) -> None:
        previous = connection.execute(
            select(ChainLink.position, ChainLink.sha256)
            .order_by(ChainLink.position.desc())
            .limit(1)
        ).one_or_none()
        position = 1 if previous is None else previous.position + 1
        before = GENESIS if previous is None else previous.sha256
        ids = np.array([row.id for row in rows], dtype="<i8").tobytes()
        hashes = b"".join(row.hash for row in rows)
        sha256 = link_hash(position, before, ledger, ids, hashes)
        connection.execute(
            insert(ChainLink).values(
                position=position,
                ledger=ledger,
                row_ids=ids,
                row_hashes=hashes,
                previous_sha256=before,
                sha256=sha256,
                seal=self.sealer.sign(sha256),
                made_at=utc_now(),
            )
        )


def start_chainer(
    database: Engine, sealer: Sealer, after_pass: Callable[[], None] | None = None
) -> Callable[[], None]:
    """Chain in a background thread every few seconds; returns what stops it, after a last pass.

    Args:
        database: Of the ledgers.
        sealer: With the audit key.
        after_pass: Called after every pass that chained something.
    """
    chainer, stop = Chainer(database, sealer), threading.Event()

    def passes() -> Iterator[None]:
        yield
        while not stop.wait(PASS_S):
            yield
        yield  # what was written while we were told to stop

    def run() -> None:
        for _ in passes():
            try:
                if chainer.advance() and after_pass is not None:
                    after_pass()
            except Exception:  # noqa: BLE001 - the thread's boundary: the next pass tries again
                _log.exception("the audit could not be chained")

    thread = threading.Thread(target=run, name="chainer", daemon=True)
    thread.start()

    def finish() -> None:
        stop.set()
        thread.join(timeout=30)

    return finish
