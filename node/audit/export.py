"""The record as a file, streamed, for any question.

CSV, JSON Lines and Parquet hold every row; `ndjson` holds FHIR AuditEvents and `atna` DICOM audit
messages, one a line, of those rows for which DICOM has a message.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Engine

from node.audit.atna import Message, message
from node.audit.fhir import audit_event
from node.audit.query import Question, ask_all
from node.errors import InputError

Format = Literal["csv", "jsonl", "parquet", "ndjson", "atna"]
COLUMNS = ("ledger", "id", "at", "actor", "event", "subject", "study", "patient", "detail")
_BATCH = 5000


def export(
    database: Engine, question: Question, path: Path, form: Format, source: str = "CRDL"
) -> int:
    """Write every row that answers, oldest first; return how many were written.

    The file appears under its name only when it is whole.

    Args:
        database: Of the ledgers.
        question: Its `limit` plays no part: an export is complete.
        path: Must not exist.
        form: Parquet needs the package pyarrow.
        source: Who reports in FHIR and DICOM messages: the node's AE title.

    Raises:
        InputError: The file exists or cannot be written, or pyarrow is not installed.
    """
    if path.exists():
        raise InputError(f"{path} exists: an export never overwrites")
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    rows = ask_all(database, replace(question, limit=0), _BATCH)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if form in _MESSAGES:
            count = _messages(rows, partial, source, _MESSAGES[form])
        else:
            count = _WRITERS[form](rows, partial)
        partial.rename(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"detail": json.dumps(row["detail"], sort_keys=True, ensure_ascii=False)}


def _csv(batches: Iterator[Sequence[dict[str, Any]]], path: Path) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for rows in batches:
            writer.writerows(map(_flat, rows))
            count += len(rows)
    return count


def _jsonl(batches: Iterator[Sequence[dict[str, Any]]], path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for rows in batches:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            count += len(rows)
    return count


def _parquet(batches: Iterator[Sequence[dict[str, Any]]], path: Path) -> int:
    try:
        import pyarrow as pa  # noqa: PLC0415 - an optional package
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'crdl-node[parquet]'") from error
    columns = [(name, pa.int64() if name == "id" else pa.string()) for name in COLUMNS]
    count = 0
    with pq.ParquetWriter(path, pa.schema(columns)) as writer:
        for rows in batches:
            writer.write_table(pa.Table.from_pylist([*map(_flat, rows)], schema=pa.schema(columns)))
            count += len(rows)
    return count


def _messages(
    batches: Iterator[Sequence[dict[str, Any]]],
    path: Path,
    source: str,
    write: Callable[[Message], bytes],
) -> int:
    count = 0
    with path.open("wb") as file:
        for rows in batches:
            for row in rows:
                said = message(row, source)
                if said is not None:
                    file.write(write(said).replace(b"\n", b" ") + b"\n")
                    count += 1
    return count


def _fhir(said: Message) -> bytes:
    return json.dumps(audit_event(said), ensure_ascii=False).encode()


_MESSAGES: dict[str, Callable[[Message], bytes]] = {"ndjson": _fhir, "atna": Message.to_xml}
_WRITERS = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
