#!/bin/sh
# Make the secrets of compose.yaml, once; those that are there stay as they are.
# usage: prepare.sh [FOLDER]
set -eu
folder=${1:-$(dirname "$0")/secrets}
# The folder keeps others out; the files in it are read by the users within the containers.
mkdir -p "$folder"
chmod 0700 "$folder"

secret() {
    [ ! -s "$folder/$1" ] || return 0
    printf '%s' "$2" >"$folder/$1"
    chmod 0644 "$folder/$1"
}

random() {
    od -A n -t x1 -N 24 /dev/urandom | tr -d ' \n'
}

secret database-password "$(random)"
secret database-url "postgresql+psycopg://crdl:$(cat "$folder/database-password")@postgres/crdl"
secret backup-passphrase "$(random)"
secret grafana-password "$(random)"
# Without a token Prometheus is refused; crdl tokens create makes it once the node runs.
secret metrics-token "none-yet"
echo "secrets in $folder: keep a copy of backup-passphrase elsewhere"
