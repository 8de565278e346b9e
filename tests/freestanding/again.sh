#!/bin/sh
# SPDX-License-Identifier: MIT
#
# again.sh PYTHON ROOT PAIR SCRATCH - makes the pair again, from a copy of the tree, in another place and another order of
# Python's hashes, and compares it with the one that the build made.

set -eu
python=$1
root=$2
pair=$3
scratch=$4

rm -rf "$scratch"
mkdir -p "$scratch/tree"
cp -R "$root/include" "$root/src" "$root/tools" "$scratch/tree"
for seed in 1 2; do
    (cd / && PYTHONHASHSEED=$seed "$python" "$scratch/tree/tools/amalgamate" "$scratch/pair")
    for file in tarn-region.h tarn-region.c; do
        cmp "$pair/$file" "$scratch/pair/$file"
    done
done
# Nothing in it may tell where it was made.
if grep -nF -e "$root" -e "$scratch" "$scratch/pair/tarn-region.h" "$scratch/pair/tarn-region.c"; then
    echo "again.sh: the pair names a folder of this machine" >&2
    exit 1
fi
