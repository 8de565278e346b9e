#!/bin/sh
# SPDX-License-Identifier: MIT
#
# needs.sh LIBRARY SONAME static-tls|dynamic-tls|any-tls - checks what the dynamic linker will make of a library: its name, that
# it needs nothing but libc (and the dynamic linker, for thread-local storage), how it finds its thread-local
# variables, and that its code needs no relocation.

set -eu
library=$1
soname=$2
tls=$3
status=0
fault() {
    echo "$(basename "$library"): $1" >&2
    status=1
}

dynamic=$(readelf -dW "$library")
found=$(printf '%s\n' "$dynamic" | sed -n 's/.*(SONAME).*\[\(.*\)\].*/\1/p')
if [ "$found" != "$soname" ]; then
    fault "its SONAME is '$found' and should be '$soname'"
fi
for needed in $(printf '%s\n' "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p'); do
    case $needed in
    libc.so.* | ld-linux*.so.*) ;;
    *) fault "it needs $needed, and should need libc alone" ;;
    esac
done
case $dynamic in
*TEXTREL*) fault "its code has relocations, so that every process gets a copy of its own" ;;
esac
case $tls:$dynamic in
static-tls:*STATIC_TLS*) ;;
static-tls:*) fault "its thread-local variables are not initial-exec" ;;
dynamic-tls:*STATIC_TLS*) fault "its thread-local variables are initial-exec: dlopen may fail" ;;
esac
exit $status
