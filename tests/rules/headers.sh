#!/bin/sh
# SPDX-License-Identifier: MIT
#
# headers.sh ROOT COMPILER LANGUAGE STANDARD - compiles each public header of the tree alone, twice in one file.

set -eu
cd "$1"
compiler=$2
language=$3
standard=$4

status=0
for header in include/tarn/*.h; do
    name=${header#include/}
    if ! printf '#include "%s"\n#include "%s"\nint here_is_something;\n' "$name" "$name" |
        "$compiler" -x "$language" -std="$standard" -pedantic-errors -Wall -Wextra -Wshadow -Wconversion -Werror \
            -Iinclude -fsyntax-only -; then
        echo "headers.sh: $name does not stand alone in $standard ($compiler)" >&2
        status=1
    fi
done
exit $status
