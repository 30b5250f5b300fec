#!/usr/bin/env python3
"""Cuts the power of a server that has taken mail for elsewhere, and waits for it to arrive.

    tests/power/queue.py                        10 cuts by file-system stop, 5 of a drive's cache
    tests/power/queue.py --cuts 1000 --seed 7   the campaign: that many on each kind of disk

Acknowledgements are noted on another disk, and the mail hosts elsewhere live on. What is compared
stands in tests/harness/outload.py: each message that was answered with 250 arrives, at least once.
"""

import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from disks import ShutdownDisk
from load import new_ack_path
from outload import ARRIVAL_SECONDS, OutLoad
from powercut import arguments, campaigns, cut
from report import check, need, run
from server import Server

ARGS = arguments()


def campaign(name, make_disk, cuts, seed):
    @check(f"power: queue, {name}: {cuts} cuts, all that was acknowledged arrives elsewhere")
    def _():
        return cut_again_and_again(make_disk, cuts, seed)


def cut_again_and_again(make_disk, cuts, seed, wrapper=(), seconds=ARRIVAL_SECONDS):
    need("gpg")
    dice = random.Random(seed)
    disk = make_disk()
    server = load = None
    try:
        server = Server(directory=os.path.join(disk.path, "data"), wrapper=wrapper)
        server.start()
        server.stop()
        load = OutLoad(server, new_ack_path(server.scratch), seed)
        for number in range(1, cuts + 1):
            server.start()
            load.start()
            load.wait_begun()
            time.sleep(dice.uniform(0.1, 2.0))
            cut(server, disk, load)
            server.start()
            try:
                note = load.verify(at_the_end=number == cuts, seconds=seconds)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, cut {number}: {error}") from None
            server.kill() if dice.random() < 0.7 else server.stop()
        assert len(load.acknowledged) >= cuts, f"too little to show anything: {note}"
        return f"seed {seed}, {note}"
    finally:
        if load:
            load.close()
        if server:
            server.remove()
        disk.close()


@check("power: queue: where fdatasync does nothing mail is lost (or the above proves nothing)")
def _():
    need("strace")
    calls = "fdatasync,fsync,syncfs"
    wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e",
               f"inject={calls}:retval=0"]
    try:
        cut_again_and_again(lambda: ShutdownDisk("ext4", 1024), 5, ARGS.seed, wrapper, seconds=5)
    except AssertionError as error:
        assert "did not arrive" in str(error), error
        return
    raise AssertionError("nothing was lost")


campaigns(campaign, ARGS, usual=(5, 5, 5), mebibytes=1024)
run()
