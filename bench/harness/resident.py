# SPDX-License-Identifier: MIT
"""What the kernel holds for a process, seen from outside; counted as bench/compact/memory.h does from inside."""

import os
import re


def resident(pid):
    """KiB, but `maps`, which is a count. `resident_kib` is what counts: private and file pages by Pss, and for files
    of memory what is mapped, by Pss, or what the files hold, whichever is more."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        fields = {key: int(kib) for key, kib in re.findall(r"^(\w+): +(\d+) kB", file.read(), re.MULTILINE)}
    maps, held = files_of_memory(pid)
    shmem = fields.get("Pss_Shmem", 0)
    return {"resident_kib": fields["Pss_Anon"] + fields["Pss_File"] + max(shmem, held or 0),
            "pss_kib": fields["Pss"], "rss_kib": fields["Rss"], "shmem_kib": shmem, "held_kib": held, "maps": maps}


def files_of_memory(pid):
    """The number of mappings, and KiB that the shared files among them hold; None when there are none."""
    files = {}
    count = 0
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as file:
        for line in file:
            count += 1
            span, mode, _, device, inode = line.split(maxsplit=5)[:5]
            if mode[3] == "s" and inode != "0":
                files.setdefault((device, int(inode)), span)
    sizes = [size for size in (held_kib(pid, inode, span) for (_, inode), span in files.items()) if size is not None]
    return count, sum(sizes) if sizes else None


def held_kib(pid, inode, span):
    """Asked by a descriptor of the process, else by the mapping, which root alone may."""
    candidates = [f"/proc/{pid}/map_files/{span}"]
    try:
        candidates += [f"/proc/{pid}/fd/{name}" for name in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        pass
    for path in candidates:
        try:
            status = os.stat(path)
        except OSError:
            continue
        if status.st_ino == inode:
            return status.st_blocks // 2
    return None
