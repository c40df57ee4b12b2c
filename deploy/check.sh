#!/bin/sh
# All checks of `make test`: style, types, import contract, tests with real peers.
set -eu
cd "$(dirname "$0")/.."
BIN=.venv/bin
export OMP_NUM_THREADS=1
$BIN/ruff check .
$BIN/ruff format --check .
$BIN/mypy
$BIN/lint-imports
# Tests of the first two kinds share the cores, a file to each; those that kill nodes and watch the
# clock have the machine to themselves.
$BIN/python -m pytest tests/unit tests/reference tests/integration -n 2 --dist loadfile
exec $BIN/python -m pytest tests/acceptance
