#!/bin/sh
# SPDX-License-Identifier: MIT
#
# expect.sh TOOL SOURCE PROGRAM - runs the program, which AddressSanitizer is in or Valgrind's memcheck watches. Each
# regular expression of the source's "TOOL: ..." comments has to match a line of the report, or, where it says "clean",
# nothing may be reported. "Environment: NAME=VALUE" is set first.

set -u
tool=$1
source=$2
program=$3

folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
sed -n "s,^/\* $tool: \(.*\) \*/\$,\1,p" "$source" >"$folder/expected"
if [ ! -s "$folder/expected" ]; then
    echo "$source says nothing about what to expect of $tool" >&2
    exit 1
fi
setting=$(sed -n 's,^/\* Environment: \(.*\) \*/$,\1,p' "$source")
if [ -n "$setting" ]; then
    # shellcheck disable=SC2163 # the value is NAME=VALUE
    export "$setting"
fi

case $tool in
AddressSanitizer)
    ASAN_OPTIONS=abort_on_error=0:exitcode=99:detect_leaks=1 "$program" >"$folder/out" 2>"$folder/err"
    ;;
Memcheck)
    valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite "$program" \
        >"$folder/out" 2>"$folder/err"
    ;;
esac
status=$?

fail() {
    echo "$1; it ended with $status and wrote:" >&2
    cat "$folder/out" "$folder/err" >&2
    exit 1
}

if [ "$(cat "$folder/expected")" = clean ]; then
    [ "$status" -eq 0 ] || fail "$tool reports what is no fault"
    exit 0
fi
[ "$status" -eq 99 ] || fail "$tool reports nothing"
while read -r expected; do
    grep -Eq "$expected" "$folder/err" || fail "no line of $tool's report is: $expected"
done <"$folder/expected"
