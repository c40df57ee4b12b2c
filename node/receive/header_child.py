"""The child process that reads what is received: a question a line in, an answer a line out.

A question is what is wanted, `header` or `content_hash`, and a path; the answer is that, or a
reason why not.

Started by `parser` as `python -m node.receive.header_child`; it ends when its input does, so it
never outlives the receiver.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Final

from node.errors import IntakeError
from node.receive.header import read_content_hash, read_header

HEADER_MEMORY_BYTES: Final = 512 << 20


def main() -> None:
    """Answer until the input ends."""
    _limit_memory()
    warnings.simplefilter("ignore")  # pydicom comments on every odd value, and values are private
    # Only our own lines may leave on the pipe, whatever a library prints.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    sys.stdout = sys.stderr
    gc.collect()
    gc.freeze()  # all that is loaded by now is no garbage
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        wanted, path = json.loads(line)
        print(_answer(wanted, Path(path)), file=answers, flush=True)


def _answer(wanted: str, path: Path) -> str:
    try:
        if wanted == "header":
            return json.dumps({wanted: read_header(path).to_json()})
        return json.dumps({wanted: read_content_hash(path)})
    except IntakeError as error:
        return json.dumps({"error": str(error)})


def _limit_memory() -> None:
    """Allow `HEADER_MEMORY_BYTES` of address space beyond what the interpreter has taken."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    limit = pages * resource.getpagesize() + HEADER_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
