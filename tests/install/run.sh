#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh KIND ROOT BUILD SCRATCH - does what a stranger would: installs the tree that was built in BUILD, moves it
# (a package is built in one place and unpacked in another), and builds and runs a program against it.
# KIND is files, pkg-config, find-package, add-subdirectory or FetchContent.

set -eu
kind=$1
root=$2
build=$3
scratch=$4/$kind

rm -rf "$scratch"
mkdir -p "$scratch"

install_tree() {
    cmake --install "$build" --prefix "$scratch/built" >"$scratch/install.log"
    mv "$scratch/built" "$scratch/prefix"
    libdir=$(dirname "$(find "$scratch/prefix" -name libtarn.a)")
}

# outside SOURCE OPTION... - configures, builds and tests an outside project.
outside() {
    source=$1
    shift
    cmake -S "$source" -B "$scratch/outside" -G Ninja -DCMAKE_BUILD_TYPE=Release "$@" >"$scratch/configure.log"
    cmake --build "$scratch/outside" -j 2 >"$scratch/build.log" || { cat "$scratch/build.log" >&2; exit 1; }
    ctest --test-dir "$scratch/outside" --output-on-failure --no-tests=error
}

case $kind in
files)
    install_tree
    status=0
    while read -r file; do
        if ! [ -s "$scratch/prefix/$file" ] && ! [ -s "$libdir/$file" ]; then
            echo "not installed: $file" >&2
            status=1
        fi
    done <"$root/tests/install/files.txt"
    for header in "$root"/include/tarn/*.h "$root"/include/tarn/*.hpp; do
        if ! cmp "$header" "$scratch/prefix/include/tarn/$(basename "$header")"; then
            status=1
        fi
    done
    # Nothing that was installed may remember where it was built, debug information aside.
    if grep -rIl -e "$build" -e "$root" -e "$scratch/built" "$scratch/prefix" >&2; then
        echo "these installed files name the build tree" >&2
        status=1
    fi
    "$scratch/prefix/bin/tarn" --version || status=1
    exit $status
    ;;
pkg-config)
    install_tree
    export PKG_CONFIG_PATH="$libdir/pkgconfig"
    # shellcheck disable=SC2046 # flags are words
    cc -Wall -Werror -o "$scratch/shared" "$root/tests/install/consumer.c" $(pkg-config --cflags --libs tarn)
    readelf -d "$scratch/shared" | grep -q 'NEEDED.*\[libtarn\.so\.0\]'
    LD_LIBRARY_PATH=$libdir "$scratch/shared"
    # shellcheck disable=SC2046
    cc -Wall -Werror -o "$scratch/static" "$root/tests/install/consumer.c" $(pkg-config --cflags tarn) \
        -L"$libdir" -l:libtarn.a -pthread
    "$scratch/static"
    # shellcheck disable=SC2046
    c++ -std=c++17 -Wall -Werror -o "$scratch/cxx" "$root/tests/install/consumer.cc" $(pkg-config --cflags --libs tarn)
    LD_LIBRARY_PATH=$libdir "$scratch/cxx"
    ;;
find-package)
    install_tree
    cp -R "$root/tests/install" "$scratch/source"
    outside "$scratch/source/find-package" -DCMAKE_PREFIX_PATH="$scratch/prefix"
    ;;
add-subdirectory | FetchContent)
    cp -R "$root/tests/install" "$scratch/source"
    outside "$scratch/source/add-subdirectory" -DTARN_SOURCE="$root" -DHOW="$kind"
    ;;
*)
    echo "run.sh: there is no kind '$kind'" >&2
    exit 2
    ;;
esac
