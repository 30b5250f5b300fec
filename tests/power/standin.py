#!/usr/bin/env python3
"""Shows that the power cuts bite: a small writer that syncs keeps all, one that does not loses.

The writer appends records to a file and says so on its standard output only when it believes them
to be durable. It comes in three kinds: `sync` (fdatasync before the word), `never`, and `pushed`
(asks the kernel to write out, but not the drive: sync_file_range).
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from disks import CacheDisk, ShutdownDisk
from report import check, run

RECORD_BYTES = 4096


def writer(path, kind):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT)
    # Written out beforehand, so that only the contents of the records are at stake.
    os.pwrite(file, bytes(8 << 20), 0)
    os.fsync(file)
    directory = os.open(os.path.dirname(path), os.O_RDONLY)
    os.fsync(directory)
    for number in range((8 << 20) // RECORD_BYTES):
        offset = number * RECORD_BYTES
        os.pwrite(file, number.to_bytes(4, "big") * (RECORD_BYTES // 4), offset)
        if kind == "sync":
            os.fdatasync(file)
        elif kind == "pushed":
            libc.sync_file_range(file, ctypes.c_int64(offset), ctypes.c_int64(RECORD_BYTES), 7)
        print(number, flush=True)
        time.sleep(0.001)


def lost(make_disk, kind):
    """How many acknowledged records are gone after a cut, and how many were acknowledged."""
    disk = make_disk()
    try:
        path = os.path.join(disk.path, "records")
        process = subprocess.Popen([sys.executable, __file__, "writer", path, kind],
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        acknowledged = []
        end = time.monotonic() + 20
        while len(acknowledged) < 150 and time.monotonic() < end:
            acknowledged.append(int(process.stdout.readline()))
        disk.cut()
        process.kill()
        process.communicate()
        assert len(acknowledged) >= 150, "the writer got nowhere"
        disk.restore()
        with open(path, "rb") as file:
            data = file.read()
        present = sum(
            data[n * RECORD_BYTES:(n + 1) * RECORD_BYTES]
            == n.to_bytes(4, "big") * (RECORD_BYTES // 4)
            for n in acknowledged)
        return len(acknowledged) - present, len(acknowledged)
    finally:
        disk.close()


def shows(name, make_disk, kind, loses):
    @check(f"power: stand-in, {name}, {kind}: {'loses mail' if loses else 'keeps all'}")
    def _():
        gone, acknowledged = lost(make_disk, kind)
        assert (gone > 0) == loses, f"{gone} of {acknowledged} acknowledged records are gone"
        return f"{gone} of {acknowledged} lost"


if len(sys.argv) == 4 and sys.argv[1] == "writer":
    writer(sys.argv[2], sys.argv[3])
    sys.exit(0)

for file_system in ("ext4", "xfs"):
    shows(f"{file_system} stopped", lambda kind=file_system: ShutdownDisk(kind), "sync", False)
    shows(f"{file_system} stopped", lambda kind=file_system: ShutdownDisk(kind), "never", True)
shows("drive cache lost", CacheDisk, "sync", False)
shows("drive cache lost", CacheDisk, "pushed", True)
run()
