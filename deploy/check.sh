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
# Units share the cores; tests that start servers and kill them have the machine to themselves.
$BIN/python -m pytest tests/unit tests/reference -n 2 --dist loadfile
exec $BIN/python -m pytest tests/integration tests/acceptance
