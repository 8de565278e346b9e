#!/bin/sh
# SPDX-License-Identifier: MIT
#
# setup.sh KIND ROOT - runs tools/setup on a machine made of a folder: PATH holds nothing but the few tools that the script
# itself uses, and stand-ins for apt-get, sudo and the like that write down how they were called.

set -eu
kind=$1
setup=$2/tools/setup

machine=$(mktemp -d)
trap 'rm -rf "$machine"' EXIT
mkdir "$machine/bin"
calls=$machine/calls
: >"$calls"
for tool in sh cat sed tail tr mktemp rm env printf find; do
    ln -s "$(command -v $tool)" "$machine/bin/$tool"
done

# stand_in NAME [LINE...] - a program that notes its call and then does what the lines say.
stand_in() {
    name=$1
    shift
    {
        echo '#!/bin/sh'
        echo "echo \"$name \$*\" >>'$calls'"
        printf '%s\n' "$@"
    } >"$machine/bin/$name"
    chmod +x "$machine/bin/$name"
}

# A whole machine has these; each kind leaves out what it is about. /usr/sbin is real, so what would be put there is not.
for tool in cc ninja npm sqlite3 tee; do
    stand_in $tool
done
stand_in cmake 'echo "cmake version 3.25.1"'
stand_in node 'echo v18.19.0'
stand_in chmod
stand_in id 'echo 0'
stand_in dpkg

# run OPTION... - runs set-up; its output and its status are kept.
run() {
    status=0
    PATH=$machine/bin "$machine/bin/sh" "$setup" "$@" >"$machine/output" 2>&1 </dev/null || status=$?
}
fault() {
    echo "setup.sh: $1" >&2
    echo "--- output, status $status:" >&2
    cat "$machine/output" >&2
    echo "--- calls:" >&2
    cat "$calls" >&2
    exit 1
}
says() { grep -qF -e "$1" "$machine/output" || fault "it did not say: $1"; }
called() { grep -qF -e "$1" "$calls" || fault "it did not call: $1"; }
not_called() { ! grep -qF -e "$1" "$calls" || fault "it called: $1"; }

# What an install brings: the tools that the package is for.
brings_cmake='case "$*" in *install*cmake*) printf "#!/bin/sh\necho cmake version 3.25.1\n" >"'$machine'/bin/cmake"; /bin/chmod +x "'$machine'/bin/cmake" ;; esac'

case $kind in
silent)
    stand_in apt-get
    run run
    [ $status -eq 0 ] || fault 'it failed although nothing was missing'
    [ ! -s "$machine/output" ] || fault 'it was not silent'
    not_called apt-get
    ;;
installs)
    rm "$machine/bin/cmake" "$machine/bin/sqlite3"
    stand_in apt-get "$brings_cmake" ": >'$machine/bin/sqlite3'; /bin/chmod +x '$machine/bin/sqlite3'"
    run run
    [ $status -eq 0 ] || fault 'it failed'
    says 'installing cmake sqlite3'
    called 'apt-get -q -y -o DPkg::Lock::Timeout=600 install --no-install-recommends cmake sqlite3'
    not_called 'update'
    ;;
refreshes)
    rm "$machine/bin/cmake"
    # The lists are stale: nothing installs before an update.
    stand_in apt-get "case \"\$*\" in *update*) : >'$machine/fresh' ;; *) [ -e '$machine/fresh' ] || exit 100 ;; esac" \
        "$brings_cmake"
    run run
    [ $status -eq 0 ] || fault 'it failed'
    called 'update'
    ;;
uninstallable)
    rm "$machine/bin/cmake"
    stand_in apt-get 'echo "E: Unable to locate package cmake"; exit 100'
    run run
    [ $status -ne 0 ] || fault 'it passed although nothing could be installed'
    says 'E: Unable to locate package cmake'
    says 'apt-get could not install: cmake'
    ;;
too-old)
    stand_in cmake 'echo "cmake version 3.18.4"'
    stand_in apt-get
    run run
    [ $status -ne 0 ] || fault 'it was content with an old cmake'
    says 'cmake has to be 3.25 or newer'
    ;;
old-node)
    stand_in node 'echo v16.20.2'
    stand_in apt-get
    run run
    [ $status -ne 0 ] || fault 'it was content with an old node'
    says 'node 18 or newer'
    called 'install --no-install-recommends nodejs'
    ;;
no-debian)
    rm "$machine/bin/dpkg" "$machine/bin/cmake" "$machine/bin/ninja"
    run run
    [ $status -ne 0 ] || fault 'it passed although nothing could be installed'
    says 'this machine is no Debian'
    says '    cmake ninja-build'
    ;;
no-root)
    rm "$machine/bin/cmake"
    stand_in apt-get
    stand_in id 'echo 1000'
    run run
    [ $status -ne 0 ] || fault 'it passed although nothing could be installed'
    says 'needs root or sudo'
    says '    apt-get install cmake'
    not_called apt-get
    ;;
sudo)
    rm "$machine/bin/cmake"
    stand_in apt-get "$brings_cmake"
    stand_in id 'echo 1000'
    # shellcheck disable=SC2016 # the stand-in expands them
    stand_in sudo '[ "$1" != -n ] || shift' '"$@"'
    run run
    [ $status -eq 0 ] || fault 'it failed'
    called 'sudo env DEBIAN_FRONTEND=noninteractive apt-get'
    ;;
*)
    echo "setup.sh: there is no kind '$kind'" >&2
    exit 2
    ;;
esac
