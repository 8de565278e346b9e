#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lists.sh ROOT - checks that every source in src/, cli/ and web/src/ is named in the build list of its folder: a file
# that is not would not be built, or not anew when it changes, and nobody would notice.

set -eu
cd "$1"
status=0
for folder in src cli web; do
    if ! [ -f "$folder/CMakeLists.txt" ]; then
        continue
    fi
    for source in $(find "$folder" -name '*.c' -o -path 'web/src/*' -type f | sort); do
        name=${source#"$folder"/}
        if ! sed 's/#.*//' "$folder/CMakeLists.txt" | tr -s ' ()"' '\n' | grep -qxF "$name"; then
            echo "lists.sh: $source is not in $folder/CMakeLists.txt" >&2
            status=1
        fi
    done
done
exit $status
