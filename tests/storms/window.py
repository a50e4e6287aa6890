# SPDX-License-Identifier: MIT
"""oxprof's page that sampler and guardian share, looked at from outside: is a stop open?

The first words of struct guardian_page in lib/capture/guardian.h. The page outlives both, so it
tells whether a sampler died with a stop open.
"""
import errno
import mmap
import os

from harness import READY_S, read_proc, wait_until

OPEN_SINCE, HEARTBEAT, SAMPLES = range(3)


class Page:
    """with Page(pid) as page: the words of that sampler's page."""

    def __init__(self, pid, patience_s=READY_S):
        # The first look may come before the page is there.
        place = wait_until(lambda: shared_page(pid), "the guardian's page", patience_s)
        fd = os.open(f"/proc/{pid}/map_files/{place}", os.O_RDONLY)
        try:
            self.map = mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ)
        finally:
            os.close(fd)
        self.words = memoryview(self.map).cast("Q")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.words.release()
        self.map.close()

    @property
    def open_since_ns(self):
        return self.words[OPEN_SINCE]

    @property
    def samples(self):
        return self.words[SAMPLES]

    def wait_sampling(self):
        wait_until(lambda: self.words[HEARTBEAT], "the first tick")


def shared_page(pid):
    for line in (read_proc(f"/proc/{pid}/maps") or "").splitlines():
        place, rights, *_ = line.split()
        if rights == "rw-s":
            return place
    return None


def why_hidden():
    """Why map_files can't be used here, or None: it takes CAP_CHECKPOINT_RESTORE."""
    place = mmap.mmap(-1, mmap.PAGESIZE)
    try:
        os.close(os.open(f"/proc/self/map_files/{shared_page('self')}", os.O_RDONLY))
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOENT):
            raise
        return f"/proc/PID/map_files can't be opened: {error.strerror}"
    finally:
        place.close()
    return None
