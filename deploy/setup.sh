#!/bin/sh
# Set up everything that `make demo` (runtime) or `make test` (test) needs. A second run needs no
# downloads: each step leaves a stamp in the virtual environment.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3)}
PIP="$VENV/bin/python -m pip --quiet --disable-pip-version-check"

runtime() {
    [ -x "$VENV/bin/python" ] || "$PYTHON" -m venv "$VENV"
    # torch first and pinned: an open range would take a build with gigabytes of CUDA packages.
    # For CUDA, install the torch build of your driver into .venv before; it is kept.
    "$VENV/bin/python" -c "import torch" 2>/dev/null || $PIP install torch==2.13.0
    $PIP install --constraint deploy/constraints.txt --editable .
    # Compile the kernels now, so that the first case of a worker is not late.
    "$VENV/bin/python" -m models.features.radiomics.warmup
    touch "$VENV/.ready"
}

debian() {
    missing=$(sed 's/#.*//' deploy/debian-packages.txt | while read -r package; do
        [ -z "$package" ] || dpkg -s "$package" >/dev/null 2>&1 || printf '%s ' "$package"
    done)
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get -qq update
        # shellcheck disable=SC2086 # a list of packages
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing
    else
        echo "without root these peers are skipped by name: $missing" >&2
    fi
}

# What npm ships for the tests, in a folder of its own. Without npm or network the tests of NAME are
# skipped by name: from_npm NAME VERSION WAY PACKAGE..., the way being packed or installed.
from_npm() {
    name=$1 version=$2 way=$3
    shift 3
    folder="$VENV/$name-$version"
    [ ! -f "$folder/.ready" ] || return 0
    mkdir -p "$folder"
    if command -v npm >/dev/null && "$way" "$folder" "$@"; then
        touch "$folder/.ready"
    else
        echo "npm cannot fetch $name: its tests are skipped by name" >&2
    fi
}

packed() (
    cd "$1" && npm pack --silent "$2" >/dev/null && tar -xzf ./*.tgz --exclude '*.map' && rm ./*.tgz
)

installed() {
    into=$1
    shift
    npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix "$into" "$@" \
        >/dev/null
}

# Their versions are named again where they are used: tests/ohif/server.py, tests/oidc/peer.py and
# tests/acceptance/test_console.py.
npm_peers() {
    from_npm ohif 3.13.2 packed @ohif/app@3.13.2
    from_npm axe-core 4.14.1 packed axe-core@4.14.1
    from_npm oidc-provider 9.13.3 installed \
        oidc-provider@9.13.3 koa@3.3.0 jose@6.2.18 debug@4.4.3
}

# The S3-compatible server of the tests, in an environment of its own: botocore wants an older
# python-dateutil than we have. Without network its tests are skipped by name.
s3() {
    version=5.2.5
    folder="$VENV/s3"
    [ ! -x "$folder/bin/moto_server" ] || return 0
    "$PYTHON" -m venv "$folder"
    "$folder/bin/python" -m pip --quiet --disable-pip-version-check install "moto[server]==$version" \
        || echo "moto cannot be installed: the tests with an object store are skipped by name" >&2
}

case "${1:-runtime}" in
    runtime) runtime ;;
    test)
        if command -v dpkg >/dev/null; then debian; fi
        $PIP install --constraint deploy/constraints.txt --editable '.[dev]'
        npm_peers
        s3
        touch "$VENV/.ready-test"
        ;;
    *) echo "usage: setup.sh runtime|test" >&2; exit 2 ;;
esac
