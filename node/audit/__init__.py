"""Audit: work tables with the current state, ledger tables that only grow."""
