"""Studies cast from moulds: rows with identities, times, seals and numbers of their own.

Ten million rows are cast, so a study's mould is compiled once: for each table the lines of all its
rows are one format string, and for each ledger row so is what its seal covers.
"""

from __future__ import annotations

import hashlib
import random
import secrets
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hmac import digest as hmac_digest
from operator import itemgetter
from typing import Any, Final

from node.audit.seal import NONCE_DIGITS, Sealer, canonical
from node.audit.tables import LEDGERS
from node.bench.record.mould import MARK, NULL, Hole, RowMould, StudyMould

_UID_DIGITS: Final = 38
_SLOWEST: Final = 4.0
_LEDGER_OF: Final = {table.__tablename__: name for name, table in LEDGERS.items()}
_FACTS: Final = ("actor", "event", "subject", "study_instance_uid", "patient_id", "detail")

Values = list[Any]
Proof = tuple[int, bytes]
"""Number and hash of a ledger row, for the chain."""


@dataclass
class Cast:
    """Studies as they are inserted: per table its columns, its lines and its ledger's proofs.

    A line is a row as PostgreSQL's COPY reads it: cells parted by tabs.
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    proofs: dict[str, list[Proof]] = field(default_factory=lambda: defaultdict(list))


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
        self._compiled = [_Compiled.of(mould) for mould in self.moulds]

    def add(self, number: int, cast: Cast) -> None:
        """Add study `number`; a study of one number has always the same UIDs."""
        (compiled,) = self.chance.choices(self._compiled, self.shares)
        mould = compiled.mould
        begun = self.first + timedelta(seconds=number * self.apart_s)
        stretch = self.chance.uniform(0.5, _SLOWEST)
        values: Values = [
            self._value(number, place, hole, mould, begun, stretch)
            for place, hole in enumerate(mould.holes)
        ]
        for row in compiled.ledgers:
            nonce = secrets.token_hex(NONCE_DIGITS // 2)
            facts = row.facts(values)
            mac = hmac_digest(self.sealer.key, (nonce + facts).encode(), "sha256").hex()
            seal = values[row.seal] = nonce + mac
            whole = f'[{values[row.number]},"{seal}",{facts[1:]}'.encode()
            proof = values[row.number], hashlib.sha256(whole).digest()
            cast.proofs[row.ledger].append(proof)
        for table, lines in compiled.lines.items():
            cast.lines[table].append(lines(values))
        cast.columns.update(compiled.columns)

    def _value(
        self,
        number: int,
        place: int,
        hole: Hole,
        mould: StudyMould,
        begun: datetime,
        stretch: float,
    ) -> Any:  # noqa: ANN401 - text or number
        match hole.kind:
            case "time":
                # As SQLite holds it; PostgreSQL reads it as UTC where the session says so.
                moment = begun + timedelta(seconds=float(hole.value) * stretch)
                return moment.isoformat(" ", "microseconds")[:26]
            case "id":
                self._numbers[hole.table] += 1
                return self._numbers[hole.table]
            case "probability":
                low, high = (mould.threshold, 1) if mould.malignant else (0.001, mould.threshold)
                return round(self.chance.uniform(low, high), 15)
            case "seconds":
                return round(float(hole.value) * stretch, 3)
            case "text":
                return f"{hole.value[:3]}{number:09d}"
            case _:
                return _identity(hole, f"{number}/{place}")


@dataclass(frozen=True, slots=True)
class _LedgerRow:
    ledger: str
    facts: Callable[[Values], str]
    seal: int
    number: int


@dataclass(frozen=True, slots=True)
class _Compiled:
    mould: StudyMould
    columns: dict[str, tuple[str, ...]]
    lines: dict[str, Callable[[Values], str]]
    ledgers: tuple[_LedgerRow, ...]

    @classmethod
    def of(cls, mould: StudyMould) -> _Compiled:
        # Every ledger row has a seal of its own, so no two rows share the hole.
        texts: dict[str, str] = defaultdict(str)
        for row in mould.rows:
            texts[row.table] += "\t".join(map(_escaped, row.cells)) + "\n"
        return cls(
            mould,
            {row.table: row.columns for row in mould.rows},
            {table: _form(text) for table, text in texts.items()},
            tuple(_ledger_row(row) for row in mould.rows if row.table in _LEDGER_OF),
        )


def _ledger_row(row: RowMould) -> _LedgerRow:
    cells = dict(zip(row.columns, row.cells, strict=True))
    ledger = _LEDGER_OF[row.table]
    said: Any = (cells[name] for name in _FACTS)
    facts = canonical((int(cells["schema_version"]), ledger, "AT", *said)).decode()
    form = _form(facts)
    at, seal, number = (_place(cells[name]) for name in ("at", "seal", "id"))

    def filled(values: Values) -> str:
        return form(values).replace('"AT"', f'"{values[at].replace(" ", "T")}"', 1)

    return _LedgerRow(ledger, filled, seal, number)


def _identity(hole: Hole, name: str) -> str:
    """Return a UID, UUID or hash that looks drawn by lot and is the same for the same name."""
    digest = hashlib.blake2b(name.encode(), digest_size=32)
    text = digest.hexdigest()
    if hole.kind == "uid":
        digits = int.from_bytes(digest.digest()[:15]) % 10 ** (_UID_DIGITS - 2)
        text = f"{hole.value.rpartition('.')[0]}.{digits + 10 ** (_UID_DIGITS - 1)}"
    elif hole.kind == "uuid":
        text = f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:32]}"
    return text


def _place(cell: str) -> int:
    match = MARK.fullmatch(cell)
    if match is None:
        raise ValueError(f"{cell!r} is no single hole")
    return int(match[1])


def _escaped(cell: str) -> str:
    """Write a cell as COPY reads it."""
    if cell == NULL:
        return r"\N"
    return cell.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n")


def _form(text: str) -> Callable[[Values], str]:
    """Return what fills the marks of a text."""
    pieces = MARK.split(text)
    places = [int(place) for place in pieces[1::2]]
    form = "%s".join(piece.replace("%", "%%") for piece in pieces[::2])
    if not places:
        return lambda _: text
    pick = itemgetter(*places)
    if len(places) == 1:
        return lambda values: form % (pick(values),)
    return lambda values: form % pick(values)


def utc(moment: datetime) -> datetime:
    """Return a time without its zone, in UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None)
