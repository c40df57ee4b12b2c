"""Unified Procedure Steps (PS3.4 annex CC): the node's own worklist, and work taken from others'."""
