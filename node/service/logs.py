"""Log lines on stderr: text or JSON, with pseudonyms where a study is meant.

What a line says may go to other machines and other people than the record does. So above `debug` a
UID becomes its pseudonym, and of an error that is not ours only its kind and place are told: its
text may quote the header of a patient's image.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import traceback
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from models.errors import ModelsError
from node.audit.pseudonym import Pseudonyms
from node.audit.seal import Sealer
from node.config import Settings
from node.errors import CrdlError
from sr_templates.errors import TemplateError

_OURS: Final = (CrdlError, ModelsError, TemplateError)
_QUOTING: Final = ("pydicom", "highdicom")  # what they say quotes the values of a header
_FRAMES: Final = 12


@dataclass(frozen=True, slots=True)
class Line:
    """What is told of a record."""

    at: str
    level: str
    logger: str
    message: str
    study: str
    error: dict[str, Any] | None


class _Formatter(logging.Formatter):
    def __init__(self, role: str, pseudonyms: Pseudonyms, *, plain: bool) -> None:
        super().__init__()
        self._role = role
        self._pseudonyms = pseudonyms
        self._plain = plain

    def _line(self, record: logging.LogRecord) -> Line:
        message, study = record.getMessage(), str(getattr(record, "study", ""))
        if not self._plain:
            message = self._pseudonyms.hide(message)
            study = self._pseudonyms.of(study) if study else ""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        error = record.exc_info[1] if record.exc_info else None
        said = None if error is None else self._error(error)
        return Line(at, record.levelname.lower(), record.name, message, study, said)

    def _error(self, error: BaseException) -> dict[str, Any]:
        text = " ".join(str(error).split()) if self._plain or isinstance(error, _OURS) else ""
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        told = {
            "type": type(error).__name__,
            "text": text if self._plain else self._pseudonyms.hide(text),
            "at": [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames],
        }
        cause = error.__cause__
        return told if cause is None else {**told, "cause": type(cause).__name__}


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line = self._line(record)
        told: dict[str, Any] = {
            "time": line.at,
            "level": line.level,
            "logger": line.logger,
            "role": self._role,
            "process": record.process,
            "message": line.message,
        }
        if line.study:
            told["study"] = line.study
        if line.error is not None:
            told["error"] = line.error
        return json.dumps(told, ensure_ascii=False)


class TextFormatter(_Formatter):
    """One line for a person; the place of an error below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        line = self._line(record)
        study = f" ({line.study})" if line.study else ""
        head = f"{line.at} {line.level.upper()} {self._role} {line.logger}: {line.message}{study}"
        if line.error is None:
            return head
        places = "\n".join(f"    {place}" for place in line.error["at"])
        return f"{head}\n  {line.error['type']}: {line.error['text']}\n{places}"


def configure(settings: Settings, role: str) -> None:
    """Make every log line of this process look as `[log]` says."""
    wanted, pseudonyms = settings.log, Pseudonyms(Sealer.from_file(settings.audit_key))
    make = JsonFormatter if wanted.format == "json" else TextFormatter
    plain = wanted.level == "debug"
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(make(role, pseudonyms, plain=plain))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(wanted.level.upper())
    if not plain:
        for name in _QUOTING:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        warnings.simplefilter("ignore")  # those of pydicom quote values, past every logger
    # It would add a handler of its own, with texts of errors.
    dbos = logging.getLogger("dbos")
    dbos.handlers[:] = [handler]
    dbos.propagate = False
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(raised: threading.ExceptHookArgs) -> None:
    """Log what ended a thread as any other error; Python would print its text."""
    if raised.exc_value is not None:
        name = raised.thread.name if raised.thread else "a thread"
        logging.getLogger(__name__).error("%s ended", name, exc_info=raised.exc_value)
