#!/bin/sh
# SPDX-License-Identifier: MIT
#
# web/test/modules.sh - runs web/modules with a stand-in for npm: it has to be called once however many ask at a time,
# again after a failure and for other versions, and a failure has to leave nothing that looks complete.

set -eu
web=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/bin" "$scratch/web"
cp "$web/modules" "$web/package.json" "$web/package-lock.json" "$web/.npmrc" "$scratch/web"
cat >"$scratch/bin/npm" <<END
#!/bin/sh
echo "\$*" >>"$scratch/calls"
[ ! -e "$scratch/offline" ] || { echo "npm: no way to the registry"; exit 1; }
sleep 0.3
mkdir node_modules
END
chmod +x "$scratch/bin/npm"
PATH=$scratch/bin:$PATH

fault() {
    echo "modules.sh: $1" >&2
    exit 1
}
calls() { wc -l <"$scratch/calls"; }

: >"$scratch/calls"
: >"$scratch/offline"
if "$scratch/web/modules" "$scratch/folder" build >"$scratch/out" 2>&1; then
    fault "it passed without a registry"
fi
grep -q 'npm: no way to the registry' "$scratch/out" || fault "it did not show what npm said"
grep -q -e '-DTARN_REPORT_PAGE=OFF' "$scratch/out" || fault "it did not say how to do without"

rm "$scratch/offline"
"$scratch/web/modules" "$scratch/folder" build >"$scratch/first" &
"$scratch/web/modules" "$scratch/folder" build >"$scratch/second"
wait $!
[ "$(calls)" -eq 2 ] || fault "two at a time called npm $(($(calls) - 1)) times"
cmp -s "$scratch/first" "$scratch/second" || fault "two at a time got different folders"
[ -d "$(cat "$scratch/first")/node_modules" ] || fault "what it printed has no node_modules"
grep -q -e '--omit=dev' "$scratch/calls" || fault "for building it fetched what only tests need"

"$scratch/web/modules" "$scratch/folder" test >"$scratch/third"
[ "$(calls)" -eq 3 ] || fault "the tests' libraries were not fetched"
echo >>"$scratch/web/package-lock.json"
"$scratch/web/modules" "$scratch/folder" build >"$scratch/fourth"
[ "$(calls)" -eq 4 ] || fault "other versions were not fetched"
