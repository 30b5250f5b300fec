#!/usr/bin/env python3
"""Cuts the power of a server at work, again and again on the same disk, and reads all back by IMAP.

    tests/power/cuts.py                        25 cuts by file-system stop, 10 of a drive's cache
    tests/power/cuts.py --cuts 1000 --seed 7   the campaign: that many on each kind of disk

Acknowledgements are noted on another disk. What is compared stands in tests/harness/load.py, and
what a cut is in tests/harness/powercut.py. What the server does when its disk fails under it is
shown by tests/faults.
"""

import os
import random
import shutil
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from disks import scratch
from load import Load, new_ack_path
from powercut import arguments, campaigns, cut
from report import CHECKS, check, run
from server import Server

ARGS = arguments()


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
            for number in range(1, cuts + 1):
                server.start()
                load.start()
                time.sleep(dice.uniform(0.3, 2.5))
                load.disk_gone = True
                cut(server, disk, load)
                server.start()
                try:
                    compared = load.verify(everything=number == cuts)
                except AssertionError as error:
                    keep(server)
                    raise AssertionError(f"seed {seed}, cut {number}: {error}") from None
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


campaigns(campaign, ARGS, usual=(15, 10, 10), mebibytes=2048)
assert CHECKS
run()
