"""Coverage-guided fuzzing of the parsers, with atheris (`pip install -e .[fuzz]`).

    python -m tests.fuzz.guided header --seconds 60

An input that a target cannot take is written to tests/reference/fuzz/TARGET, where it stays as a
test once the bug is mended.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
import tempfile
import warnings
from pathlib import Path

import atheris

_INCLUDED = ["node.receive", "models.imaging", "sr_templates", "pydicom"]
_TABLES = [  # data, which takes a minute to instrument
    *("pydicom._dicom_dict", "pydicom._uid_dict", "pydicom._private_dict"),
    *("pydicom.sr._snomed_dict", "pydicom.sr._concepts_dict", "pydicom.sr._cid_dict"),
]

with atheris.instrument_imports(include=_INCLUDED, exclude=_TABLES):
    from tests.fuzz.seeds import FOUND, seeds
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz one target until the time is over or something is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    target, found = TARGETS[asked.target], FOUND / asked.target
    found.mkdir(parents=True, exist_ok=True)

    def take(data: bytes) -> None:
        try:
            target(data)
        except Exception:
            name = hashlib.sha256(data).hexdigest()[:16]
            (found / name).write_bytes(data)
            raise

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(seeds(asked.target)):
            (Path(corpus) / str(number)).write_bytes(seed)
        options = [
            f"-max_total_time={asked.seconds}",
            f"-seed={asked.seed}",
            *("-max_len=16384", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"),
            f"-artifact_prefix={found}/",
        ]
        atheris.Setup([sys.argv[0], *options, corpus], take)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
