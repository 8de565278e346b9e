#!/bin/sh
# SPDX-License-Identifier: MIT
#
# cxx_by.sh ROOT LIBRARY COMPILER SOURCE FLAG... - builds the test program SOURCE with another compiler than the one that
# the tree is built with, against the static library, and runs it.

set -eu
root=$1
library=$2
compiler=$3
source=$4
shift 4

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# shellcheck disable=SC2046 # flags are words
"$compiler" -Wall -Wextra -Wshadow -Wconversion -Werror -O1 "$@" -I"$root/include" -I"$root/src" -I"$root/tests" \
    -o "$scratch/program" "$root/tests/unit/$source" "$library" $(pkg-config --cflags --libs cmocka) -pthread
"$scratch/program"
