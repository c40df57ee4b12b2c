"""HL7 v2: pathology results over MLLP."""

from __future__ import annotations

import threading
from functools import partial

from node.errors import ConfigurationError
from node.jobs.outcomes import keep_outcomes
from node.service.compose import Foundation
from node.service.hl7 import MllpListener
from node.service.roles.ready import announce


def run(foundation: Foundation, stop: threading.Event) -> None:
    """Listen for HL7 messages until told to stop."""
    reading = foundation.settings.reading
    if not reading.mllp_port:
        raise ConfigurationError("reading.mllp_port is 0: name the port to listen on for HL7")
    take = partial(keep_outcomes, foundation.database, foundation.trail)
    with MllpListener(reading.mllp_host, reading.mllp_port, take) as listener:
        thread = threading.Thread(target=listener.serve_forever)
        thread.start()
        host, port = listener.server_address[:2]
        announce(mllp=f"{host!s}:{port}")
        stop.wait()
        listener.shutdown()
        thread.join()
