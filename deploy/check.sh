#!/bin/sh
# All checks of `make test`: style, types, import contract, tests with real peers.
set -eu
cd "$(dirname "$0")/.."
BIN=.venv/bin
$BIN/ruff check .
$BIN/ruff format --check .
$BIN/mypy
$BIN/lint-imports
exec $BIN/python -m pytest
