# SPDX-License-Identifier: MIT
"""Peers of the command line: mallocs to preload, and arenas as shared objects."""

import os
import re
import shutil
import subprocess
import tempfile

from harness import allocators

ARENA = r"[^=]+=[^:]+:[^,]+,[^,]+,[^,]+,[^,]+"
NGINX = ("ngx_create_pool", "ngx_palloc", "ngx_reset_pool", "ngx_destroy_pool")


def workshop():
    """A folder for what has to be built, which goes when the run ends."""
    return tempfile.TemporaryDirectory(prefix="tarn-bench-")


def named(texts, folder):
    """The mallocs and the arenas of the options NAME=...; an arena is its name and the text for the driver."""
    mallocs, arenas = [], []
    for text in texts:
        name, _, path = text.partition("=")
        if name == "nginx" and os.path.isdir(path):
            arenas.append((name, f"nginx={build_nginx(path, folder)}:{','.join(NGINX)}"))
        elif re.fullmatch(ARENA, text):
            arenas.append((name, text))
        elif re.fullmatch(r"[^=]+=[^:]+", text) and os.path.isfile(path):
            mallocs.append(allocators.named(text, "named"))
        else:
            raise SystemExit(f"bench/run-pools: {text!r} is not NAME=FILE.so, NAME=FILE.so:CREATE,ALLOC,RESET,DESTROY, "
                             f"or nginx=DIR, or there is no such file")
    return mallocs, arenas


def build_nginx(sources, folder):
    """The two files of nginx that its pool is made of, as a shared object: configured and built in a copy. What they
    need for messages is left open, and not called."""
    copy = os.path.join(folder, "nginx")
    shutil.copytree(sources, copy, ignore=shutil.ignore_patterns(".git", "objs"))
    scripts = [path for path in ("auto/configure", "configure") if os.path.exists(os.path.join(copy, path))]
    if not scripts:
        raise SystemExit(f"bench/run-pools: no sources of nginx in {sources}")
    lines = (["sh", scripts[0], "--without-http", "--without-pcre", "--without-http-cache"],
             ["cc", "-O2", "-fPIC", "-shared", "-Wl,-z,lazy", "-Isrc/core", "-Isrc/event", "-Isrc/os/unix", "-Iobjs",
              "src/core/ngx_palloc.c", "src/os/unix/ngx_alloc.c", "-o", "pool.so"])
    for line in lines:
        done = subprocess.run(line, cwd=copy, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"bench/run-pools: nginx: {' '.join(line[:2])}: {(done.stderr or done.stdout).strip()}")
    return os.path.join(copy, "pool.so")
