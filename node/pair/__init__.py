"""Pair: which frame each segment was drawn on, and whether all is here. Pure decisions."""
