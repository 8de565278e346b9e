#!/bin/sh
# SPDX-License-Identifier: MIT
#
# rooms.sh ROOT - checks that README.md and docs/architecture.md name every room of src/, and none that does not exist.

set -eu
cd "$1"
status=0
for document in README.md docs/architecture.md; do
    if ! [ -f "$document" ]; then
        echo "rooms.sh: there is no $document" >&2
        status=1
        continue
    fi
    named=$(grep -oE 'src/[a-z]+/' "$document" | sort -u)
    for room in src/*/; do
        case "
$named
" in
        *"
$room
"*) ;;
        *)
            echo "rooms.sh: $document does not name the room $room" >&2
            status=1
            ;;
        esac
    done
    for room in $named; do
        if ! [ -d "$room" ]; then
            echo "rooms.sh: $document names the room $room, which does not exist" >&2
            status=1
        fi
    done
done
exit $status
