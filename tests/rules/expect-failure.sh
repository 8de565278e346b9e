#!/bin/sh
# SPDX-License-Identifier: MIT
#
# expect-failure.sh MESSAGE... -- COMMAND... - passes if the command fails and prints every message.

set -u
messages=$(mktemp)
output=$(mktemp)
trap 'rm -f "$messages" "$output"' EXIT
while [ "$1" != -- ]; do
    printf '%s\n' "$1" >>"$messages"
    shift
done
shift

if "$@" >"$output" 2>&1; then
    echo "expect-failure.sh: this should have failed: $*" >&2
    exit 1
fi
status=0
while IFS= read -r message; do
    if ! grep -qF -e "$message" "$output"; then
        echo "expect-failure.sh: it did not say: $message" >&2
        status=1
    fi
done <"$messages"
if [ $status -ne 0 ]; then
    cat "$output" >&2
fi
exit $status
