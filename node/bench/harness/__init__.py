"""Nodes and peers as processes, for tests, the demonstration and the benches alike.

Everything listens on the loopback on free ports and is stopped by its own process id.
"""

from node.bench.harness.dcmtk import StoreScp, storescp, storescu
from node.bench.harness.node_process import (
    RunningNode,
    a_node,
    as_destination,
    crdl,
    start,
    write_config,
)
from node.bench.harness.orthanc import Orthanc, orthanc
from node.bench.harness.ports import free_ports
from node.bench.harness.postgres import Postgres, postgres
from node.bench.harness.programs import HarnessError, MissingPeerError, find

__all__ = [
    "HarnessError",
    "MissingPeerError",
    "Orthanc",
    "Postgres",
    "RunningNode",
    "StoreScp",
    "a_node",
    "as_destination",
    "crdl",
    "find",
    "free_ports",
    "orthanc",
    "postgres",
    "start",
    "storescp",
    "storescu",
    "write_config",
]
