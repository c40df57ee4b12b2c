#!/bin/sh
# What the node is made of: dist/sbom.cdx.json (CycloneDX) and dist/licences.txt.
# usage: sbom.sh [FOLDER]
set -eu
cd "$(dirname "$0")/.."
BIN=.venv/bin
out=${1:-dist}
mkdir -p "$out"
$BIN/cyclonedx-py environment --pyproject pyproject.toml --output-format JSON \
    --output-file "$out/sbom.cdx.json" .venv
$BIN/pip-licenses --from=mixed --with-urls --format=plain-vertical >"$out/licences.txt"
$BIN/python -m deploy.licences
