#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh KIND MACHINE ROOT PAIR SCRATCH - regions where there is no libc. PAIR is the folder of tarn-region.h and
# tarn-region.c; CC the compiler for this machine. Exits with 77 where the machine cannot be had here. KIND is
#
#   sources   compiles each source of src/freestanding.txt alone, and says which symbols all of them together lack
#   pair      compiles the pair, and says which symbols it lacks, or has that do not begin with tarn_
#   run       runs region_run.c on the pair
#   size      prints how large the code is
#
# Nothing is linked but the code under test, so neither headers nor libraries of the machine are needed.

set -eu
kind=$1
machine=$2
root=$3
pair=$4
scratch=$5/$kind-$machine
here=$root/tests/freestanding
cc=${CC:-cc}

is_here() {
    case $(uname -m) in
    "$1") return 0 ;;
    i?86) [ "$1" = i386 ] ;;
    arm*) [ "$1" = arm ] ;;
    x86_64) [ "$1" = i386 ] ;;
    *) return 1 ;;
    esac
}

# What the compiler may leave to its own library.
own_library=
emulator=
case $machine in
x86_64 | i386)
    if ! is_here "$machine"; then
        echo "run.sh: skipped, $machine needs a machine of the x86 family"
        exit 77
    fi
    if [ "$machine" = i386 ]; then
        cc="$cc -m32"
        # Not every 64-bit kernel runs programs of 32 bits.
        if [ "$(uname -m)" = x86_64 ]; then
            emulator=qemu-i386
        fi
    else
        cc="$cc -m64"
    fi
    ;;
aarch64)
    if ! is_here aarch64; then
        cc=aarch64-linux-gnu-gcc
        emulator=qemu-aarch64
    fi
    ;;
aarch64_be)
    cc='aarch64-linux-gnu-gcc -mbig-endian'
    emulator=qemu-aarch64_be
    ;;
# Those with instructions to divide.
arm)
    cc='arm-linux-gnueabihf-gcc -march=armv7ve+fp -marm'
    emulator=qemu-arm
    ;;
thumb)
    cc='arm-linux-gnueabihf-gcc -march=armv7ve+fp -mthumb'
    emulator=qemu-arm
    ;;
armeb)
    cc='arm-linux-gnueabihf-gcc -march=armv7ve+fp -marm -mbig-endian'
    emulator=qemu-armeb
    ;;
cortex-m4)
    cc='arm-linux-gnueabihf-gcc -mcpu=cortex-m4 -mthumb -mfloat-abi=soft'
    ;;
cortex-m0)
    # It neither divides, nor counts zeros, nor jumps by tables.
    cc='arm-linux-gnueabihf-gcc -mcpu=cortex-m0 -mthumb -mfloat-abi=soft'
    own_library='__(aeabi_[a-z]+|clz[sd]i2|ctz[sd]i2|gnu_thumb1_case_[a-z]+)|memcpy|memset'
    ;;
*)
    echo "run.sh: there is no machine '$machine'" >&2
    exit 2
    ;;
esac
for tool in "${cc%% *}" $emulator; do
    if ! command -v "$tool" >/dev/null; then
        echo "run.sh: $tool is missing; tools/setup check installs it" >&2
        exit 1
    fi
done

rm -rf "$scratch"
mkdir -p "$scratch"
flags='-ffreestanding -nostdlib -fno-pic -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror'

# compile OUTPUT FLAG...
compile() {
    output=$1
    shift
    # shellcheck disable=SC2086 # flags are words
    $cc $flags -c -o "$output" "$@"
}

link() {
    # shellcheck disable=SC2086
    $cc -nostdlib "$@"
}

# lacks OBJECT ALLOWED - fails if it lacks other symbols than those.
lacks() {
    missing=$(nm -u "$1" | awk '{ print $NF }' | grep -vxE "${2:-nothing}" || true)
    if [ -n "$missing" ]; then
        echo "run.sh: $1 needs symbols that nobody has:" "$missing" >&2
        exit 1
    fi
}

# sources_at LEVEL ALLOWED
sources_at() {
    objects=
    # shellcheck disable=SC2013 # no name has a space
    for source in $(sed 's/#.*//' "$root/src/freestanding.txt"); do
        object=$scratch/$(echo "$source" | tr / -).o
        compile "$object" -std=c17 "$1" -I"$root/include" -I"$root/src" "$root/src/$source"
        objects="$objects $object"
    done
    # shellcheck disable=SC2086
    link -r -o "$scratch/all$1.o" $objects
    lacks "$scratch/all$1.o" "$2"
}

pair_at() {
    for standard in c11 c17; do
        object=$scratch/$standard$1.o
        compile "$object" -std=$standard "$1" "$pair/tarn-region.c"
        lacks "$object" "$2"
        foreign=$(nm -g --defined-only "$object" | awk '$NF !~ /^tarn_/ { print $NF }')
        if [ -n "$foreign" ]; then
            echo "run.sh: tarn-region.c has symbols that do not begin with tarn_:" "$foreign" >&2
            exit 1
        fi
    done
}

# size_of NAME FLAG... - code and constants of what a program with init, deinit, add, alloc, free and resize links.
size_of() {
    name=$1
    shift
    compile "$scratch/pair.o" -std=c17 -Os -ffunction-sections -fdata-sections "$@" "$pair/tarn-region.c"
    link -static -o "$scratch/linked" "$scratch/pair.o" -Wl,--gc-sections,--unresolved-symbols=ignore-all \
        -Wl,-e,tarn_region_init,-u,tarn_region_deinit,-u,tarn_region_add,-u,tarn_region_alloc,-u,tarn_region_free \
        -Wl,-u,tarn_region_resize
    "$size" -A "$scratch/linked" |
        awk -v name="$name" '$1 ~ /^\.(text|rodata)/ { sum += $2 } END { printf "  %-44s %6d bytes\n", name, sum }'
}

case $kind in
sources)
    sources_at -O2 "$own_library"
    # To save space, compilers may call these for structs.
    sources_at -Os "memcpy|memset${own_library:+|$own_library}"
    ;;
pair)
    pair_at -O2 "$own_library"
    pair_at -Os "memcpy|memset${own_library:+|$own_library}"
    ;;
run)
    for level in -O2 -Os; do
        compile "$scratch/pair.o" -std=c17 $level "$pair/tarn-region.c"
        compile "$scratch/run.o" -std=c17 $level -I"$pair" "$here/region_run.c"
        compile "$scratch/start.o" -std=c17 -O2 "$here/start.c"
        link -static -no-pie -o "$scratch/run$level" "$scratch/start.o" "$scratch/run.o" "$scratch/pair.o"
        $emulator "$scratch/run$level"
    done
    ;;
size)
    size=size
    case $machine in
    aarch64*) size=aarch64-linux-gnu-size ;;
    arm* | thumb | cortex-*) size=arm-linux-gnueabihf-size ;;
    esac
    echo "$machine:"
    inside='-DTARN_REGION_BOOKS=(1 << TARN_BOOKS_INSIDE)'
    size_of 'all policies, books inside and outside'
    size_of 'segregated fit, books inside' '-DTARN_REGION_POLICIES=(1 << TARN_SEGREGATED_FIT)' "$inside"
    size_of 'best fit, books inside' '-DTARN_REGION_POLICIES=(1 << TARN_BEST_FIT)' "$inside"
    size_of 'buddy' '-DTARN_REGION_POLICIES=(1 << TARN_BUDDY)' "$inside"
    ;;
*)
    echo "run.sh: there is no kind '$kind'" >&2
    exit 2
    ;;
esac
