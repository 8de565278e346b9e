#!/bin/sh
# SPDX-License-Identifier: MIT
#
# malloc_expect.sh SOURCE LIBRARY PROGRAM - runs the program on the library; it has to be aborted with exactly the
# line that its source's "Expect:" comment describes, and the line has to name the pointer that the program blames.

set -u
source=$1
library=$2
program=$3

expected=$(sed -n 's,^/\* Expect: \(.*\) \*/$,\1,p' "$source")
if [ -z "$expected" ]; then
    echo "$source says nothing about what to expect" >&2
    exit 1
fi
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT

# shellcheck disable=SC3045 # every shell that is sh somewhere has it
ulimit -c 0
# The shell's own remark about the signal goes elsewhere.
(LD_PRELOAD=$library exec "$program" >"$folder/out" 2>"$folder/err") 2>/dev/null
status=$?
if [ "$status" -ne 134 ]; then # 128 + SIGABRT
    echo "ended with status $status instead of SIGABRT; wrote:" >&2
    cat "$folder/out" "$folder/err" >&2
    exit 1
fi
if [ "$(wc -l <"$folder/err")" -ne 1 ] || ! grep -Eqx "$expected" "$folder/err"; then
    echo "expected: $expected" >&2
    echo "wrote:    $(cat "$folder/err")" >&2
    exit 1
fi
blamed=$(sed -n 's/^blamed //p' "$folder/out")
if [ -n "$blamed" ] && ! grep -Fq "block $blamed)" "$folder/err"; then
    echo "the bug is at $blamed, but the line is: $(cat "$folder/err")" >&2
    exit 1
fi
