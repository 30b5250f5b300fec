#!/usr/bin/env python3
"""What a long queue costs: how fast a server with much undelivered mail starts, and its memory.

A user submits the mail, each for a domain of its own, while the next hop refuses connections. Time
is taken from the start of the process until it says that it is ready, after a clean stop and after
a kill. Memory is read when the attempts that the start makes due are over.

    MESSAGES=100000 (some 1.2 GB of disk)  OCTETS=10240  SESSIONS=10
"""

import json
import os
import subprocess
import time

import measure
from measure import MIB, UNLIMITED, cpu_seconds, memory_bytes, option, row, until_idle
from server import HOST, ROOT, Server, free_port_base

MESSAGES = option("MESSAGES", 100_000)
OCTETS = option("OCTETS", 10240)
SESSIONS = option("SESSIONS", 10)
LOAD = os.environ.get("LOAD") or os.path.join(ROOT, "target", "release", "examples", "load")
TO = "someone@d{}.example"


def main():
    if not os.environ.get("LOAD"):
        subprocess.run(["cargo", "build", "--release", "--quiet", "--example", "load"], cwd=ROOT,
                       check=True)
    with Server() as server:
        configure(server)
        submit(server)
        rss(server, f"{MESSAGES:,} queued, just accepted", peak=True)
        for end in (server.stop, server.kill):
            restart(server, end)


def configure(server):
    """A next hop where nobody listens, and no end to what a user may send."""
    server.stop()
    nobody = f"[{HOST}]:{free_port_base() + 800}"
    server.configure(outgoing={"relayhost": f'"{nobody}"'}, seal={"policy": '"plain"'},
                     submission=UNLIMITED)
    server.plain_serve = True
    server.start()


def submit(server):
    user, password = server.user()
    target = f"{HOST}:{server.port('submissions')}"
    command = [LOAD, target, "-", str(SESSIONS), str(MESSAGES), str(OCTETS), user, TO, user,
               password, server.ca()]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    load.stdout.readline()
    out, errors = load.communicate("go\n", timeout=1800)
    if load.returncode != 0:
        raise AssertionError(f"load: {load.returncode}: {errors.strip()[:600]}")
    row("accepted while the next hop is away", "1/s", MESSAGES / json.loads(out)["accepted"],
        lower_is_better=False)


def restart(server, end):
    begin = time.monotonic()
    end()
    name = f"{MESSAGES:,} queued, {end.__name__} and start"
    row(f"ended, {name}", "s", time.monotonic() - begin)
    begin = time.monotonic()
    server.start(seconds=600)
    row(f"ready, {name}", "s", time.monotonic() - begin, wanted="<= 5 s")
    row(f"server CPU until then, {name}", "s", cpu_seconds(server.pid()))
    queued = len(json.loads(server.cli("queue", "list", "--json", seconds=300).stdout))
    if queued < MESSAGES:
        raise AssertionError(f"only {queued} of {MESSAGES} messages are in the queue")
    rss(server, name, peak=True)


def rss(server, what, peak=False):
    until_idle(server.pid(), 600)
    memory = memory_bytes(server.pid())
    row(f"RSS, {what}", "MiB", memory["VmRSS"] / MIB, wanted="<= 128 MiB")
    if peak:
        row(f"peak RSS, {what}", "MiB", memory["VmHWM"] / MIB)


if __name__ == "__main__":
    print(measure.machine(), flush=True)
    main()
