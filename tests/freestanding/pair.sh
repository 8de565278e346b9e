#!/bin/sh
# SPDX-License-Identifier: MIT
#
# pair.sh COMPILER PAIR - compiles tarn-region.c without a warning as people would who have a libc too, and its header
# alone, twice in one file, also as C++.

set -eu
compiler=$1
pair=$2
warnings='-pedantic-errors -Wall -Wextra -Werror'

for standard in c11 c17; do
    for level in -O0 -O2 -Os; do
        # shellcheck disable=SC2086 # flags are words
        "$compiler" -std=$standard $level $warnings -c -o /dev/null "$pair/tarn-region.c"
    done
done
for language in 'c c11' 'c++ c++17'; do
    # shellcheck disable=SC2086
    printf '#include "tarn-region.h"\n#include "tarn-region.h"\nint here_is_something;\n' |
        "$compiler" -x ${language% *} -std=${language#* } $warnings -Wshadow -Wconversion -I"$pair" -fsyntax-only -
done
