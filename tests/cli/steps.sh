#!/bin/sh
# SPDX-License-Identifier: MIT
#
# steps.sh - what the shell tests of the command have in common, to be read by each: DRIVER TARN FIXTURES TEST runs the
# test in a directory of its own. Exits with 77 where a test cannot be run, and says why.
#
# shellcheck disable=SC2034 # much of this is for others

set -u

tarn=$1
fixtures=$2
test_name=$3
here=$(cd "$(dirname "$0")" && pwd)

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
cd "$scratch" || exit 1

# What the caller's environment says must not matter.
unset LD_PRELOAD TARN_CONF LC_ALL LC_CTYPE LD_LIBRARY_PATH
LANG=C
TERM=xterm
TARN_MALLOC_SO=$fixtures/libstandin.so
export LANG TERM TARN_MALLOC_SO

fail() {
    echo "FAILED: $*"
    for file in out err; do
        [ -f "$scratch/$file" ] && echo "--- $file:" && cat "$scratch/$file"
    done
    exit 1
}

skip() {
    echo "skipped: $*"
    exit 77
}

# run ARG... - runs tarn; leaves $status and the files out and err.
run() {
    status=0
    "$tarn" "$@" >out 2>err || status=$?
}

# run_with NAME=VALUE ARG... - the same with a variable in its environment.
run_with() {
    variable=$1
    shift
    status=0
    env "$variable" "$tarn" "$@" >out 2>err || status=$?
}

expect_status() { [ "$status" -eq "$1" ] || fail "exit status $status instead of $1"; }
expect_out() { [ "$(cat out)" = "$1" ] || fail "standard output is not '$1'"; }
expect_no_err() { [ ! -s err ] || fail "standard error is not empty"; }
expect_err() { grep -qF -e "$1" err || fail "standard error lacks: $1"; }
expect_err_line() { grep -qxF -e "$1" err || fail "standard error lacks the line: $1"; }
expect_err_pattern() { grep -qE -e "$1" err || fail "standard error has no match of: $1"; }
reject_err() { ! grep -qF -e "$1" err || fail "standard error should not have: $1"; }

# json FILE EXPRESSION - the value of a Python expression about the document `d`.
json() { python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$1" "$2"; }
expect_json() {
    value=$(json "$1" "$2") || fail "no valid JSON in $1, or no $2: $(cat "$1")"
    [ "$value" = "$3" ] || fail "in the JSON, $2 is '$value' and not '$3': $(cat "$1")"
}

