"""Measurements and trials of whole nodes beside real peers: what `crdl bench` runs.

A layer of its own between the commands and the service: it starts nodes as an admin does and asks
them from outside, and nothing that serves may come to depend on it.
"""
