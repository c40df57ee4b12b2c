#!/bin/sh
# Install the node into /opt/crdl and its units, without starting anything.
# usage: install.sh WHEEL [ROOT]      ROOT is for images and tests; empty is this machine
set -eu
wheel=$1
root=${2:-}
here=$(cd "$(dirname "$0")" && pwd)
PYTHON=${PYTHON:-$(command -v python3.11 || command -v python3)}

[ -x "$root/opt/crdl/bin/python" ] || "$PYTHON" -m venv "$root/opt/crdl"
"$root/opt/crdl/bin/python" -m pip install --quiet \
    --constraint "$here/../constraints.txt" "$wheel"
install -d -m 0755 "$root/etc/systemd/system" "$root/usr/lib/sysusers.d" "$root/usr/share/doc/crdl"
install -d -m 0750 "$root/etc/crdl"
install -m 0644 "$here"/*.service "$here"/*.target "$here"/*.timer "$root/etc/systemd/system/"
install -m 0644 "$here/crdl.sysusers" "$root/usr/lib/sysusers.d/crdl.conf"
install -m 0644 "$here/../RUNBOOK.md" "$root/usr/share/doc/crdl/"
[ -e "$root/etc/crdl/node.toml" ] || install -m 0640 "$here/../node.example.toml" "$root/etc/crdl/node.toml"
if [ -z "$root" ]; then
    systemd-sysusers
    chgrp -R crdl /etc/crdl
    systemctl daemon-reload
fi
echo "installed; edit $root/etc/crdl/node.toml, then: systemctl enable --now crdl-node.service"
