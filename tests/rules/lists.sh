#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lists.sh ROOT - checks that every source in src/ and cli/ is named in the build list of its folder: a file that is
# not would not be built, and nobody would notice.

set -eu
cd "$1"
status=0
for folder in src cli; do
    if ! [ -f "$folder/CMakeLists.txt" ]; then
        continue
    fi
    for source in $(find "$folder" -name '*.c' | sort); do
        name=${source#"$folder"/}
        if ! sed 's/#.*//' "$folder/CMakeLists.txt" | tr -s ' ()"' '\n' | grep -qxF "$name"; then
            echo "lists.sh: $source is not in $folder/CMakeLists.txt" >&2
            status=1
        fi
    done
done
exit $status
