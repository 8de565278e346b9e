#!/bin/sh
# SPDX-License-Identifier: MIT
#
# headers.sh ROOT COMPILER LANGUAGE STANDARD - compiles each public header of the tree alone, twice in one file; those of
# C++ (.hpp) as C++ only.

set -eu
cd "$1"
compiler=$2
language=$3
standard=$4

status=0
set -- include/tarn/*.h
if [ "$language" = c++ ]; then
    set -- "$@" include/tarn/*.hpp
fi
for header in "$@"; do
    name=${header#include/}
    if ! printf '#include "%s"\n#include "%s"\nint here_is_something;\n' "$name" "$name" |
        "$compiler" -x "$language" -std="$standard" -pedantic-errors -Wall -Wextra -Wshadow -Wconversion -Werror \
            -Iinclude -fsyntax-only -; then
        echo "headers.sh: $name does not stand alone in $standard ($compiler)" >&2
        status=1
    fi
done
exit $status
