#!/usr/bin/env python3
"""Cuts the power of a server at work, again and again on the same disk, and reads all back by IMAP.

    tests/power/cuts.py                        25 cuts by file-system stop, 10 of a drive's cache
    tests/power/cuts.py --cuts 1000 --seed 7   the campaign: that many on each kind of disk

Acknowledgements are noted on another disk. What is compared stands in tests/harness/load.py.

The server is frozen in the moment before the cut, as it would be. If it lived on, it could be told
a lie: an fdatasync that is under way while ext4 or xfs is shut down may return 0 although its data
is lost (seen here with strace on Linux 6.18). What the server does when its disk fails under it is
shown by tests/faults.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from disks import CacheDisk, ShutdownDisk, scratch
from load import Load, new_ack_path
from report import CHECKS, check, run
from server import Server

arguments = argparse.ArgumentParser()
arguments.add_argument("--cuts", type=int, default=0)
arguments.add_argument("--seed", type=int, default=int(time.time()))
ARGS = arguments.parse_args()


def campaign(name, make_disk, cuts, seed):
    @check(f"power: {name}: {cuts} cuts, all that was acknowledged is there")
    def _():
        dice = random.Random(seed)
        disk = make_disk()
        server = None
        try:
            server = Server(directory=os.path.join(disk.path, "data"))
            ack_path = new_ack_path(server.scratch)
            load = Load(server, ack_path, seed)
            compared = 0
            for cut in range(1, cuts + 1):
                server.start()
                load.start()
                time.sleep(dice.uniform(0.3, 2.5))
                load.disk_gone = True
                server.signal(signal.SIGSTOP)
                time.sleep(0.01)
                disk.cut()
                load.stopping.set()
                server.kill()
                load.stop()
                disk.restore()
                server.start()
                try:
                    compared = load.verify(everything=cut == cuts)
                except AssertionError as error:
                    keep(server)
                    raise AssertionError(f"seed {seed}, cut {cut}: {error}") from None
                server.kill() if dice.random() < 0.7 else server.stop()
            return f"seed {seed}, {len(load.acknowledged)} by 250, {compared} compared at the end"
        finally:
            if server:
                server.remove()
            disk.close()


def keep(server):
    """What is needed to find out why."""
    server.stop()
    target = os.path.join(scratch(), f"failed-{int(time.time())}")
    shutil.copytree(server.directory, target, ignore=shutil.ignore_patterns("control"))
    print(f"kept: {target}")


if ARGS.cuts:
    campaign("ext4", lambda: ShutdownDisk("ext4", 8192), ARGS.cuts, ARGS.seed)
    campaign("xfs", lambda: ShutdownDisk("xfs", 8192), ARGS.cuts, ARGS.seed + 1)
    campaign("drive cache", lambda: CacheDisk("ext4", 8192), ARGS.cuts, ARGS.seed + 2)
else:
    campaign("ext4", lambda: ShutdownDisk("ext4", 2048), 15, ARGS.seed)
    campaign("xfs", lambda: ShutdownDisk("xfs", 2048), 10, ARGS.seed + 1)
    campaign("drive cache", lambda: CacheDisk("ext4", 2048), 10, ARGS.seed + 2)
assert CHECKS
run()
