"""Ledger rows as digests: what proving a record of millions of rows needs of each, and no more.

The rows are read by the driver itself and hashed as they come, without an object a row; several
processes may share the ranges of a large ledger.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from orjson import dumps
from sqlalchemy import Connection, Engine, func, select

from node.audit.rows import selection
from node.audit.seal import NONCE_DIGITS
from node.audit.tables import LEDGERS
from node.database import open_engine, read_only

HASH_BYTES: Final = 32
_RANGE: Final = 20_000  # row numbers


@dataclass(frozen=True, slots=True)
class Digests:
    """Some rows of one ledger in order.

    Attributes:
        ids: Their numbers, (rows,).
        hashes: SHA-256 of each, (rows,) of 32 bytes.
        nonces: Of the seals, (sealed rows,): no two rows carry the same.
        sealed: Which carry a seal, (rows,).
    """

    ids: NDArray[np.int64]
    hashes: NDArray[np.void]
    nonces: NDArray[np.uint64]
    sealed: NDArray[np.bool_]


def digests(database: Engine, ledger: str, processes: int = 1) -> Iterator[Digests]:
    """Yield the digests of a whole ledger, in order.

    Args:
        database: Read only.
        ledger: One of `LEDGERS`.
        processes: How many hash at once; more than one read on connections of their own, so rows
            that are written meanwhile may be among them or not.
    """
    with read_only(database) as connection:
        table = LEDGERS[ledger]
        first = connection.scalar(select(func.min(table.id))) or 0
        last = connection.scalar(select(func.max(table.id))) or 0
        starts = range(first - 1, last, _RANGE)
        if processes == 1 or len(starts) < processes:
            for start in starts:
                yield _range(connection, ledger, start)
            return
    url = database.url.render_as_string(hide_password=False)
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=_open, initargs=(url,)
    ) as pool:
        yield from pool.map(partial(_shared, ledger), starts)


_opened: list[Engine] = []


def _open(url: str) -> None:
    _opened[:] = [open_engine(url)]


def _shared(ledger: str, start: int) -> Digests:
    with read_only(_opened[0]) as connection:
        return _range(connection, ledger, start)


def _range(connection: Connection, ledger: str, start: int) -> Digests:
    """Digest the rows numbered above `start`, up to the range's end."""
    driver: Any = connection.connection.driver_connection
    table = LEDGERS[ledger]
    query = (
        selection(connection, ledger, named=True)
        .where(table.id > start, table.id <= start + _RANGE)
        .order_by(table.id)
    )
    compiled = query.compile(connection, compile_kwargs={"literal_binds": True})
    cursor = driver.cursor()
    try:
        rows: Sequence[tuple[Any, ...]] = cursor.execute(str(compiled)).fetchall()
    finally:
        cursor.close()
    hashes = b"".join([sha256(dumps(row)).digest() for row in rows])
    sealed = np.array([len(row[1]) > NONCE_DIGITS for row in rows], dtype=bool)
    return Digests(
        ids=np.array([row[0] for row in rows], dtype=np.int64),
        hashes=np.frombuffer(hashes, dtype=f"V{HASH_BYTES}"),
        nonces=_nonces([row[1] for row in rows]),
        sealed=sealed,
    )


def _nonces(seals: Sequence[str]) -> NDArray[np.uint64]:
    """Return the nonces of seals; what is no seal of ours is reported as inserted or altered."""
    try:
        digits = "".join([seal[:NONCE_DIGITS] for seal in seals if len(seal) > NONCE_DIGITS])
        return np.frombuffer(bytes.fromhex(digits), dtype=">u8").astype(np.uint64)
    except ValueError:
        return np.empty(0, dtype=np.uint64)
