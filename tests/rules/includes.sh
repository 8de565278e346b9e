#!/bin/sh
# SPDX-License-Identifier: MIT
#
# includes.sh ROOT - checks every source of the tree at ROOT against includes.txt.

set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$1"

folders=
for folder in src include cli examples; do
    if [ -d "$folder" ]; then
        folders="$folders $folder"
    fi
done
# shellcheck disable=SC2086 # folders and files have no spaces in their names
files=$(find $folders -name '*.[ch]' -o -name '*.hpp' | sort)
if [ -z "$files" ]; then
    echo "includes.sh: there are no sources under $1" >&2
    exit 1
fi
# shellcheck disable=SC2086
exec awk -f "$here/includes.awk" "$here/includes.txt" $files
