"""Unified Procedure Steps (PS3.4 annex CC): our own worklist, and work for those of others."""
