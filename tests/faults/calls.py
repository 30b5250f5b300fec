#!/usr/bin/env python3
"""Makes real system calls fail on the way of a message, and looks for a false promise.

strace makes the n-th call of a kind fail (EIO, ENOSPC, a short write, a kill) in the running server
while mail is sent and mailboxes are changed. Whatever happens, what was answered with 250 or OK is
there afterwards; and the server works again by itself, or after a restart when its disk is said to
be broken (EIO).
"""

import os
import random
import smtplib
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from load import Load, new_ack_path
from report import Skip, check, run
import mails
from server import Server
from tracing import Injected, is_alive, title

SEED = int(os.environ.get("SEED", str(int(time.time()))))
DICE = random.Random(SEED)

# What fails, how, and whether a restart is allowed before the server works again.
FAULTS = [
    ("fdatasync", "error=EIO", True), ("fdatasync", "error=EIO", True),
    ("fdatasync", "error=EIO", True), ("fdatasync", "error=ENOSPC", True),
    ("fdatasync", "delay_enter=300000", False), ("fdatasync", "signal=KILL", True),
    ("fdatasync", "signal=KILL", True), ("fdatasync", "signal=KILL", True),
    ("pwrite64", "error=ENOSPC", False), ("pwrite64", "error=ENOSPC", False),
    ("pwrite64", "error=EDQUOT", True), ("pwrite64", "error=EIO", True),
    # No short write: strace's retval leaves the call out and says that octets were written, which
    # is a lie that no journal survives. The disk in memory has true ones.
    ("pwrite64", "error=EINTR", False), ("pwrite64", "signal=KILL", True),
    ("pwrite64", "signal=KILL", True), ("pwrite64", "signal=KILL", True),
    ("openat", "error=EMFILE", False), ("openat", "error=ENOSPC", False),
    ("openat", "signal=KILL", True), ("pread64", "error=EIO", True),
    ("pread64", "error=EIO", True), ("accept4", "error=EMFILE", False),
]


def fault(number, call, how, restart):
    @check(f"fault {number}: {title(call, how, restart)}")
    def _():
        server = Server()
        try:
            server.start()
            load = Load(server, new_ack_path(server.scratch), SEED)
            load.start()
            time.sleep(0.8)
            load.disk_gone = True
            first = DICE.randrange(1, 12)
            injected = Injected(server, call, how, first)
            for _ in range(20):
                time.sleep(0.1)
                knock(server)
            load.stopping.set()
            load.stop()
            injected.end()
            alive = is_alive(server, how)
            if alive and not restart:
                works_within(server, 10,
                             f"; the call: {injected.said}; {server.own_log_tail()}")
            if restart or not alive:
                server.kill()
                server.start()
            load.verify(everything=True)
            works_within(server, 10)
            if not injected.struck:
                raise Skip(f"the call did not come {first} times, seed {SEED}")
            return f"call {first}, seed {SEED}, {len(load.acknowledged)} by 250"
        finally:
            server.remove()


@check("fault: the sync of the accounts' directory fails once: works again in 10 s")
def _():
    with Server() as server:
        user, password = server.user()
        directory = os.path.join(server.directory, "data", "accounts")
        injected = Injected(server, "fsync", "error=EIO", 1, path=directory)
        server.cli("account", "app-password", user, "--password-stdin", stdin=password + "\n",
                   ok=False)
        injected.end()
        works_within(server, 10)


def knock(server):
    """A connection that comes and goes."""
    try:
        server.smtp(timeout=2).close()
    except (OSError, smtplib.SMTPException):
        pass


def works_within(server, seconds, hint=""):
    """New mail is taken, a mailbox can be changed."""
    end = time.monotonic() + seconds
    while True:
        try:
            server.send(mails.plain(f"again-{time.monotonic()}"))
            client = server.imap()
            client.append("Drafts", b"Subject: again\r\n\r\n\r\n")
            client.logout()
            return
        except Exception as error:
            if time.monotonic() > end:
                words = f"does not work again after {seconds} s: {error}{hint}"
                raise AssertionError(words) from None
            time.sleep(0.2)


for position, (system_call, kind, after_restart) in enumerate(FAULTS, 1):
    fault(position, system_call, kind, after_restart)
run()
