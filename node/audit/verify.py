"""Proving the record: every row against the chain, every link against the one before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, select, text

from node.audit.chain import GENESIS, link_hash, numbers
from node.audit.digest import HASH_BYTES, digests
from node.audit.rows import TIME, LedgerRow, rows_numbered
from node.audit.seal import Sealer
from node.audit.tables import LEDGERS, ChainLink
from node.database import read_only, utc_now
from node.errors import InputError

MOST_FAULTS = 100

Kind = Literal["altered", "missing", "inserted", "repeated", "broken link", "other head"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is not as it was written.

    Attributes:
        where: A ledger, or `chain`.
        number: Of the row, or the position of the link.
    """

    kind: Kind
    where: str
    number: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found.

    Attributes:
        links: In the chain.
        rows: Chained rows that were compared.
        unchained: Rows with a valid seal that no link holds yet; before the first link also those
            from before there were seals.
        oldest_unchained_s: Age of the oldest of them, seconds; 0 without one.
        head: SHA-256 of the last link.
        faults: The first ones, in the order of the ledgers.
        unsealed: Rows of either kind from before there were seals: the chain fixes them since the
            upgrade, and nothing proves them before it.
    """

    links: int
    rows: int
    unchained: int
    oldest_unchained_s: float
    head: str
    faults: tuple[Fault, ...]
    unsealed: int = 0

    @property
    def intact(self) -> bool:
        """Nothing was altered, removed or added."""
        return not self.faults


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain at some time, signed: kept elsewhere, it shows a chain cut short."""

    position: int
    sha256: str
    made_at: str
    signature: str

    @property
    def statement(self) -> str:
        """What the signature covers."""
        return f"{self.position} {self.sha256} {self.made_at}"

    def to_line(self) -> str:
        """Return one line of JSON."""
        names = ("position", "sha256", "made_at", "signature")
        return json.dumps({name: getattr(self, name) for name in names})


def signed_head(database: Engine, sealer: Sealer) -> Head | None:
    """Return the end of the chain, None if nothing is chained yet."""
    with read_only(database) as connection:
        last = connection.execute(
            select(ChainLink.position, ChainLink.sha256, ChainLink.made_at)
            .order_by(ChainLink.position.desc())
            .limit(1)
        ).one_or_none()
    if last is None:
        return None
    unsigned = Head(last.position, last.sha256, last.made_at.isoformat(), "")
    signature = sealer.sign(unsigned.statement)
    return Head(unsigned.position, unsigned.sha256, unsigned.made_at, signature)


def read_heads(path: Path) -> tuple[Head, ...]:
    """Read a file of heads, one a line.

    Raises:
        InputError: It cannot be read or a line is no head.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return tuple(Head(**json.loads(line)) for line in lines if line.strip())
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is no file of chain heads: {error}") from error


def verify(
    database: Engine, sealer: Sealer, heads: Sequence[Head] = (), processes: int = 1
) -> Verification:
    """Compare every ledger row with the chain and the chain with itself.

    Args:
        database: Read only; rows that are written meanwhile count as unchained.
        sealer: With the audit key.
        heads: Ends of the chain that were kept elsewhere.
        processes: How many hash the rows of a large ledger.
    """
    faults: list[Fault] = []
    with read_only(database) as connection:
        _stay(connection)
        links = _Links.read(connection, sealer, faults)
        faults += links.compare(heads, sealer)
        rows = unchained = unsealed = 0
        oldest = ""
        for ledger in LEDGERS:
            seen = _compare(connection, ledger, links, sealer, faults, processes)
            rows += seen.rows
            unchained += seen.unchained
            unsealed += seen.unsealed
            oldest = min(filter(None, (oldest, seen.oldest)), default="")
    age = 0.0
    if oldest:
        age = (utc_now() - datetime.strptime(oldest, TIME).replace(tzinfo=UTC)).total_seconds()
    first = tuple(faults[:MOST_FAULTS])
    return Verification(links.count, rows, unchained, age, links.head, first, unsealed)


def _stay(connection: Connection) -> None:
    """Let the transaction be idle while others hash a large ledger; it holds no lock."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))


@dataclass
class _Links:
    """The chain in memory: 40 bytes a row."""

    count: int
    head: str
    sha256s: list[str]
    ids: dict[str, NDArray[np.int64]]
    hashes: dict[str, NDArray[np.void]]

    @classmethod
    def read(cls, connection: Connection, sealer: Sealer, faults: list[Fault]) -> _Links:
        ids: dict[str, list[NDArray[np.int64]]] = {name: [] for name in LEDGERS}
        hashes: dict[str, list[NDArray[np.void]]] = {name: [] for name in LEDGERS}
        previous, sha256s = GENESIS, []
        query = select(ChainLink.__table__).order_by(ChainLink.position)
        for place, link in enumerate(connection.execute(query.execution_options(yield_per=50)), 1):
            wanted = link_hash(place, previous, link.ledger, link.row_ids, link.row_hashes)
            fits = (
                link.position == place
                and link.previous_sha256 == previous
                and link.sha256 == wanted
                and sealer.signed(link.sha256, link.seal)
                and link.ledger in ids
                and len(link.row_hashes) == HASH_BYTES * len(link.row_ids) // 8
            )
            if not fits:
                faults.append(Fault("broken link", "chain", place))
                break  # nothing after it can be trusted
            ids[link.ledger].append(numbers(link.row_ids))
            hashes[link.ledger].append(_hashes(link.row_hashes))
            sha256s.append(link.sha256)
            previous = link.sha256
        return cls(
            count=len(sha256s),
            head=previous,
            sha256s=sha256s,
            ids={name: _joined(parts, np.int64) for name, parts in ids.items()},
            hashes={name: _joined(parts, f"V{HASH_BYTES}") for name, parts in hashes.items()},
        )

    def compare(self, heads: Sequence[Head], sealer: Sealer) -> Iterator[Fault]:
        for head in heads:
            known = 0 < head.position <= self.count
            same = known and self.sha256s[head.position - 1] == head.sha256
            if not (same and sealer.signed(head.statement, head.signature)):
                yield Fault("other head", "chain", head.position, f"kept: {head.sha256}")


@dataclass
class _Seen:
    """What one ledger held; `adoptable`: a row without a seal is still from before the seals."""

    adoptable: bool
    rows: int = 0
    unchained: int = 0
    unsealed: int = 0
    oldest: str = ""


def _compare(
    connection: Connection,
    ledger: str,
    links: _Links,
    sealer: Sealer,
    faults: list[Fault],
    processes: int,
) -> _Seen:
    ids, hashes = links.ids[ledger], links.hashes[ledger]
    if (ids[1:] < ids[:-1]).any():
        order = np.argsort(ids, kind="stable")
        ids, hashes = ids[order], hashes[order]
    twice = ids[1:][ids[1:] == ids[:-1]]
    faults += [Fault("repeated", ledger, int(number), "in the chain") for number in twice]
    there = np.zeros(len(ids), dtype=bool)
    nonces: list[NDArray[np.uint64]] = []
    seen = _Seen(adoptable=links.count == 0)
    for found in digests(connection.engine, ledger, processes):
        place = np.minimum(np.searchsorted(ids, found.ids), max(len(ids) - 1, 0))
        chained = ids[place] == found.ids if len(ids) else np.zeros(len(found.ids), dtype=bool)
        there[place[chained]] = True
        if len(ids):
            altered = chained & (found.hashes != hashes[place])
            faults += [Fault("altered", ledger, int(number)) for number in found.ids[altered]]
        seen.rows += int(chained.sum())
        seen.unsealed += len(found.ids) - len(found.nonces)
        loose = found.ids[~chained].tolist()
        for row in rows_numbered(connection, ledger, loose):
            _judge_unchained(row, ledger, sealer, seen, faults)
        nonces.append(found.nonces)
    faults += [Fault("missing", ledger, int(number)) for number in ids[~there]]
    every = np.sort(_joined(nonces, np.uint64))
    if (every[1:] == every[:-1]).any():
        faults.append(Fault("repeated", ledger, 0, "two rows carry the same seal"))
    return seen


def _judge_unchained(
    row: LedgerRow, ledger: str, sealer: Sealer, seen: _Seen, faults: list[Fault]
) -> None:
    seen.adoptable = seen.adoptable and not row.seal
    if not seen.adoptable and not sealer.fits(row.seal, row.facts):
        seen.unsealed -= not row.seal
        faults.append(Fault("inserted", ledger, row.id, "no process of the node wrote it"))
        return
    seen.unchained += 1
    seen.oldest = min(filter(None, (seen.oldest, row.facts[2])))


def _hashes(content: bytes) -> NDArray[np.void]:
    return np.frombuffer(content, dtype=f"V{HASH_BYTES}")


def _joined(parts: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:  # noqa: ANN401 - numpy's
    return np.concatenate(parts) if parts else np.empty(0, dtype=dtype)
