#!/usr/bin/env python3
"""Makes system calls fail on the way of mail that goes out, and fills its disk: no false 250.

As in calls.py, strace makes the n-th call of a kind fail in the running server, here while mail is
submitted and sent. Whatever happens, what was answered with 250 arrives; and the server works again
by itself, or after a restart where its disk is said to be broken or the process was killed.
"""

import os
import random
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from disks import ShutdownDisk
from load import new_ack_path
from outload import OutLoad
from report import Skip, check, need, run
from server import Server
from tracing import Injected, is_alive, title

SEED = int(os.environ.get("SEED", str(int(time.time()))))
DICE = random.Random(SEED)
RECOVERY_SECONDS = 10

# What fails, how, and whether a restart is allowed before the server works again.
FAULTS = [
    ("fdatasync", "error=EIO", True), ("fdatasync", "error=EIO", True),
    ("fdatasync", "error=ENOSPC", True), ("fdatasync", "signal=KILL", True),
    ("pwrite64", "error=ENOSPC", False), ("pwrite64", "error=EIO", True),
    ("pwrite64", "signal=KILL", True), ("connect", "error=ENETUNREACH", False),
]


class Site:
    """A server with mail for elsewhere, on a disk of its own if `disk` is given."""

    def __init__(self, disk=None):
        need("gpg")
        directory = os.path.join(disk.path, "data") if disk else None
        self.disk, self.load = disk, None
        self.server = Server(directory=directory)
        self.server.start()
        self.server.stop()
        self.load = OutLoad(self.server, new_ack_path(self.server.scratch), SEED)
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.load:
            self.load.close()
        self.server.remove()
        if self.disk:
            self.disk.close()

    def works_within(self, seconds, hint=""):
        """A message is taken; it must arrive as all others. Returns after how many seconds."""
        begin, count = time.monotonic(), 0
        while True:
            try:
                count += 1
                smtp = self.load.session()
                self.load.send(smtp, f"again-{count}-{begin}@load.example", 0, DICE)
                return time.monotonic() - begin
            except (OSError, EOFError, smtplib.SMTPException) as error:
                if time.monotonic() - begin > seconds:
                    words = f"does not work again after {seconds} s: {error}{hint}"
                    raise AssertionError(words) from None
                time.sleep(0.2)


def fault(number, call, how, restart):
    @check(f"queue fault {number}: {title(call, how, restart)}")
    def _():
        with Site() as site:
            server, load = site.server, site.load
            load.start()
            load.wait_begun()
            first = DICE.randrange(1, 10)
            injected = Injected(server, call, how, first)
            time.sleep(2)
            load.stop()
            injected.end()
            alive = is_alive(server, how)
            if alive and not restart:
                site.works_within(RECOVERY_SECONDS, f"; {server.own_log_tail()}")
            if restart or not alive:
                server.kill()
                server.start()
            site.works_within(RECOVERY_SECONDS)
            note = load.verify(at_the_end=True)
            if not injected.struck:
                raise Skip(f"the call did not come {first} times, seed {SEED}")
            return f"call {first}, seed {SEED}, {note}"


@check("queue: a full disk: refused for now, works again within 10 s, all that had 250 arrives")
def _():
    with Site(ShutdownDisk("ext4", 400)) as site:
        load = site.load
        load.start()
        load.wait_begun()
        filler = os.path.join(site.disk.path, "filler")
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=1M"], capture_output=True)
        end = time.monotonic() + 60
        while not load.refused:
            assert time.monotonic() < end, f"a full disk takes {len(load.acknowledged)} messages"
            assert not load.errors, load.errors[:3]
            with open(filler, "ab", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    time.sleep(0.05)
        time.sleep(1)
        load.stop()
        os.unlink(filler)
        seconds = site.works_within(RECOVERY_SECONDS, f"; {site.server.own_log_tail()}")
        load.verify()
        site.server.kill()
        site.server.start()
        note = load.verify(at_the_end=True)
        return f"works again after {seconds:.1f} s, {note}"


for position, (system_call, kind, after_restart) in enumerate(FAULTS, 1):
    fault(position, system_call, kind, after_restart)
run()
