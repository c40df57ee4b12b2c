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

# The OHIF viewer, as npm ships it. Without npm or network its test is skipped by name.
ohif() {
    version=3.13.2 # tests/ohif/server.py names the same
    folder="$VENV/ohif-$version"
    [ ! -f "$folder/.ready" ] || return 0
    command -v npm >/dev/null || { echo "without npm the OHIF test is skipped by name" >&2; return 0; }
    mkdir -p "$folder"
    if (cd "$folder" && npm pack --silent "@ohif/app@$version" >/dev/null \
        && tar -xzf "ohif-app-$version.tgz" --exclude '*.map' && rm "ohif-app-$version.tgz"); then
        touch "$folder/.ready"
    else
        echo "npm cannot fetch OHIF: its test is skipped by name" >&2
    fi
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

# The OpenID provider that logins are tested against. Without npm its test is skipped by name.
oidc() {
    version=9.13.3 # tests/oidc/peer.py names the same
    folder="$VENV/oidc-provider-$version"
    [ ! -f "$folder/.ready" ] || return 0
    command -v npm >/dev/null || { echo "without npm the OpenID test is skipped by name" >&2; return 0; }
    mkdir -p "$folder"
    if npm install --silent --no-audit --no-fund --no-save --ignore-scripts --prefix "$folder" \
        "oidc-provider@$version" koa@3.3.0 jose@6.2.18 debug@4.4.3 >/dev/null; then
        touch "$folder/.ready"
    else
        echo "npm cannot fetch oidc-provider: its test is skipped by name" >&2
    fi
}

# axe-core looks for accessibility faults; without npm or network its tests are skipped by name.
axe() {
    version=4.14.1 # tests/acceptance/test_console.py names the same
    folder="$VENV/axe-core-$version"
    [ ! -f "$folder/.ready" ] || return 0
    command -v npm >/dev/null || { echo "without npm the axe tests are skipped by name" >&2; return 0; }
    mkdir -p "$folder"
    if (cd "$folder" && npm pack --silent "axe-core@$version" >/dev/null \
        && tar -xzf "axe-core-$version.tgz" && rm "axe-core-$version.tgz"); then
        touch "$folder/.ready"
    else
        echo "npm cannot fetch axe-core: its tests are skipped by name" >&2
    fi
}

case "${1:-runtime}" in
    runtime) runtime ;;
    test)
        if command -v dpkg >/dev/null; then debian; fi
        $PIP install --constraint deploy/constraints.txt --editable '.[dev]'
        ohif
        axe
        oidc
        s3
        touch "$VENV/.ready-test"
        ;;
    *) echo "usage: setup.sh runtime|test" >&2; exit 2 ;;
esac
