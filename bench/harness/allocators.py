# SPDX-License-Identifier: MIT
"""The allocators of a run: Tarn, its peers, and whatever the caller names."""

import glob
import os
import subprocess

# Debian's packages, by the name of the shared object. A peer that is not installed is an error, not a gap in the
# table: the acceptance lines speak of all of them.
PEERS = {
    "jemalloc": ("libjemalloc.so.2", "libjemalloc2"),
    "mimalloc": ("libmimalloc.so.2*", "libmimalloc2.0"),
    "tcmalloc": ("libtcmalloc_minimal.so.4", "libtcmalloc-minimal4"),
}
FOLDERS = ("/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")


class Allocator:
    """A name and the shared object to preload; no object means the system's own malloc."""

    def __init__(self, name, path, role):
        self.name = name
        self.path = path and os.path.realpath(path)
        self.role = role  # "tarn", "peer", or "guest": shown, not judged

    @property
    def preload(self):
        return self.path or "-"

    def version(self):
        """The package and version that the object is of, as far as dpkg knows."""
        path = self.path or (glob.glob("/usr/lib/*-linux-gnu/libc.so.6") or ["libc.so.6"])[0]
        # dpkg knows the objects of a merged /usr by the name that their package gave them.
        for known in (path, path.removeprefix("/usr")):
            try:
                owner = subprocess.run(["dpkg-query", "-S", known], capture_output=True, text=True,
                                       check=True).stdout
                package = owner.split(": ")[0].split(",")[0]
                return subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}", package],
                                      capture_output=True, text=True, check=True).stdout
            except (OSError, subprocess.CalledProcessError):
                pass
        return os.path.basename(path)


def find_peer(name):
    pattern, package = PEERS[name]
    for folder in FOLDERS:
        found = sorted(glob.glob(os.path.join(folder, pattern)))
        if found:
            return Allocator(name, found[0], "peer")
    raise SystemExit(f"bench/run: no {pattern} found; install it with `apt-get install {package}`, "
                     f"or leave it out with --allocators")


def find_tarn(path, build):
    """Tarn's preload library: `path`, or the newest one below the build folder."""
    if path is None:
        found = glob.glob(os.path.join(build, "**", "libtarn-malloc.so"), recursive=True)
        if not found:
            raise SystemExit(f"bench/run: no libtarn-malloc.so below {build}; build it with `make bench`, "
                             f"name it with --tarn PATH, or leave it out with --allocators")
        path = max(found, key=os.path.getmtime)
    return Allocator("tarn", path, "tarn")


def named(text, role):
    """The allocator of an option NAME=PATH."""
    name, equals, path = text.partition("=")
    if not equals or not name or not path:
        raise SystemExit(f"bench/run: {text!r} is not NAME=PATH.so")
    return Allocator(name, path, role)


def verify(allocators, programs):
    """Ends the run when a library would not answer for malloc: the loader only warns about one that it cannot load,
    and the system's malloc would be measured under its name."""
    for allocator in allocators:
        if allocator.path and not os.path.isfile(allocator.path):
            raise SystemExit(f"bench/run: {allocator.name}: {allocator.path} does not exist")
        environment = dict(os.environ)
        environment.pop("LD_PRELOAD", None)
        if allocator.path:
            environment["LD_PRELOAD"] = allocator.path
        result = subprocess.run([os.path.join(programs, "whose")], env=environment, capture_output=True, text=True)
        answer = os.path.realpath(result.stdout.strip()) if result.stdout.strip() else ""
        if result.returncode != 0 or (allocator.path and answer != allocator.path):
            raise SystemExit(f"bench/run: {allocator.name}: malloc is not taken over by {allocator.path}: "
                             f"{result.stderr.strip() or answer or 'the program died'}")
