"""The node as a process tree: the harness's, under the name that tests import."""

from __future__ import annotations

from node.bench.harness import RunningNode, a_node, crdl, start, write_config

__all__ = ["RunningNode", "a_node", "crdl", "start", "write_config"]
