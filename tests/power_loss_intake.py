"""One instance is taken over, for a trace: `python -m tests.power_loss_intake FOLDER`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from node.receive.parser import HeaderParser
from tests.receive_fixtures import a_desk_in, an_ultrasound, encoded


def main(folder: Path) -> None:
    with HeaderParser() as parser:
        desk = a_desk_in(folder, parser)
        spooled = desk.spool(encoded(an_ultrasound()))
        os.write(1, b"arrived\n")
        desk.inbox.accept(spooled, "MODALITY@127.0.0.1")
        os.write(1, b"acknowledged\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
