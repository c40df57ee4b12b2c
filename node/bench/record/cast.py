"""Studies cast from moulds: rows with identities, times, seals and numbers of their own."""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from node.audit.seal import Facts, Sealer, row_hash
from node.audit.tables import LEDGERS
from node.bench.record.mould import Hole, RowMould, StudyMould

_UID_DIGITS: Final = 38
_SLOWEST: Final = 4.0
_LEDGER_OF: Final = {table.__tablename__: name for name, table in LEDGERS.items()}
_FACTS: Final = ("actor", "event", "subject", "study_instance_uid", "patient_id", "detail")

Cells = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class CastRow:
    """A row to insert; `proof` is the number and hash of a ledger row, for the chain."""

    table: str
    columns: tuple[str, ...]
    cells: Cells
    proof: tuple[int, bytes] | None


@dataclass
class Caster:
    """Casts study after study.

    Attributes:
        sealer: Seals the ledger rows, as the node's own processes do.
        numbers: The last number of each table that counts.
        first: When the first study arrives.
        apart_s: Seconds from one study to the next.
    """

    sealer: Sealer
    moulds: Sequence[StudyMould]
    shares: Sequence[float]
    numbers: dict[str, int]
    first: datetime
    apart_s: float
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - no secret

    def __post_init__(self) -> None:
        self._numbers: defaultdict[str, int] = defaultdict(int, self.numbers)

    def study(self, number: int) -> list[CastRow]:
        """Return all rows of study `number`; a study of one number has always the same UIDs."""
        mould = self.chance.choices(self.moulds, self.shares)[0]
        values = [self._value(number, place, hole, mould) for place, hole in enumerate(mould.holes)]
        begun = self.first + timedelta(seconds=number * self.apart_s)
        stretch = self.chance.uniform(0.5, _SLOWEST)
        return [self._row(row, values, begun, stretch) for row in mould.rows]

    def _value(self, number: int, place: int, hole: Hole, mould: StudyMould) -> Any:  # noqa: ANN401 - a cell
        if hole.kind == "id":
            self._numbers[hole.table] += 1
            return self._numbers[hole.table]
        if hole.kind == "probability":
            low, high = (mould.threshold, 1) if mould.malignant else (0, mould.threshold)
            return round(self.chance.uniform(low, high), 15)
        digest = hashlib.blake2b(f"{number}/{place}".encode(), digest_size=32)
        if hole.kind == "hash":
            return digest.hexdigest()
        if hole.kind == "uid":
            root = hole.value.rpartition(".")[0]
            digits = int.from_bytes(digest.digest()[:16]) % 10 ** (_UID_DIGITS - 1)
            return f"{root}.{digits + 10 ** (_UID_DIGITS - 1)}"
        if hole.kind == "uuid":
            text = digest.hexdigest()
            return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:32]}"
        return f"{hole.value[:3]}{number:09d}"

    def _row(
        self, row: RowMould, values: Sequence[Any], begun: datetime, stretch: float
    ) -> CastRow:
        cells: list[Any] = [
            _text(begun + timedelta(seconds=cell * stretch))
            if isinstance(cell, float)
            else cell(values)
            for cell in row.cells
        ]
        if row.table == "job" and "total_s" in row.columns:
            place = row.columns.index("total_s")
            if cells[place] is not None:
                cells[place] = round(cells[place] * stretch, 3)
        ledger = _LEDGER_OF.get(row.table)
        if ledger is None:
            return CastRow(row.table, row.columns, tuple(cells), None)
        place_of = {name: place for place, name in enumerate(row.columns)}
        at = cells[place_of["at"]].replace(" ", "T")
        said: Any = (cells[place_of[name]] for name in _FACTS)
        facts: Facts = (cells[place_of["schema_version"]], ledger, at, *said)
        seal = self.sealer.seal(facts)
        cells[place_of["seal"]] = seal
        number = cells[place_of["id"]]
        proof = number, row_hash(number, seal, facts)
        return CastRow(row.table, row.columns, tuple(cells), proof)


def _text(moment: datetime) -> str:
    """Write a time as SQLite holds it; PostgreSQL reads it as UTC where the session says so."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
