#!/bin/sh
# SPDX-License-Identifier: MIT
#
# exports.sh LIBRARY HEADERS [NAMES [HEADER...]] - checks that the shared library exports what the headers in the folder
# HEADERS (all of them, those named, or "none") declare and what the file NAMES lists, all of it and nothing else.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
library=$1
headers=$2
names=${3:-/dev/null}
if [ $# -lt 3 ]; then shift $#; else shift 3; fi
[ $# -gt 0 ] || set -- "$headers"/*.h

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
status=0

if [ "$1" = none ]; then
    : >"$scratch/api"
else
    awk -f "$here/declared.awk" "$@" >"$scratch/api" || status=1
    if ! [ -s "$scratch/api" ]; then
        echo "exports.sh: no declarations found in $headers" >&2
        exit 1
    fi
fi
{ cat "$scratch/api" && sed -e '/^#/d' -e '/^$/d' "$names"; } | sort -u >"$scratch/declared"
# A version node is an absolute symbol of its own; a name carries its version after an @.
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort -u >"$scratch/exported"

comm -13 "$scratch/declared" "$scratch/exported" >"$scratch/undeclared"
comm -23 "$scratch/declared" "$scratch/exported" >"$scratch/missing"
if [ -s "$scratch/undeclared" ]; then
    sed "s|^|$(basename "$library") exports what no public header declares: |" "$scratch/undeclared" >&2
    status=1
fi
if [ -s "$scratch/missing" ]; then
    sed "s|^|$(basename "$library") does not export what is declared: |" "$scratch/missing" >&2
    status=1
fi
exit $status
