"""Makes system calls of a running server fail, by strace.

    injected = Injected(server, "fdatasync", "error=EIO", first=3)
    …                       # the third fdatasync from now on fails, once
    injected.end()
    injected.struck         # whether it came to that
"""

import os
import subprocess
import time

from report import need, need_root


class Injected:
    def __init__(self, server, call, how, first, path=None):
        """The `first`-th `call` fails as `how` says (strace(1), inject); only on `path`, if any."""
        need_root()
        need("strace")
        self.log = os.path.join(server.scratch, "strace.log")
        only = ["-P", path] if path else []
        self.tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", self.log, "-p", str(server.pid()), *only, "-e",
             f"trace={call}", "-e", f"inject={call}:{how}:when={first}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(0.4)
        self.struck, self.said = False, ""

    def end(self):
        self.tracer.terminate()
        self.tracer.wait(10)
        with open(self.log, encoding="utf-8", errors="replace") as file:
            text = file.read()
        self.struck = any(word in text for word in ("INJECTED", "DELAYED", "SIGKILL"))
        self.said = " ".join(line for line in text.splitlines() if "INJECTED" in line)[:200]


def is_alive(server, how):
    """Whether the server still runs. Nothing but a kill may end it."""
    alive = server.process.poll() is None
    assert alive or "KILL" in how, f"the server ended: {server.log_tail()}"
    return alive


def title(call, how, restart):
    """What a check of such a fault is called."""
    late = " at the latest after a restart" if restart else ""
    return f"{call} {how}: no false promise, works again{late}"
