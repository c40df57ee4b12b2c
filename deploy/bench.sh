#!/bin/sh
# Every measurement behind a published figure, and the slow tests. Takes long; wants an idle machine.
set -eu
cd "$(dirname "$0")/.."
BIN=.venv/bin
export OMP_NUM_THREADS=1
$BIN/crdl bench radiomics --rivals data/bench/rivals
$BIN/crdl bench backbone
$BIN/crdl bench assess
$BIN/crdl bench ingest
$BIN/crdl bench latency
$BIN/crdl bench soak
$BIN/crdl bench kill
$BIN/crdl bench freeze
$BIN/python -m models.study.permuted --seeds 10
$BIN/python -m models.simulation.realism --cases 60
$BIN/python -m tests.fuzz.wire --objects 10000
exec $BIN/python -m pytest -m bench
