"""What the benchmarks share: CPU and memory of process trees, waiting, rows and their table.

A script prints its figures for people and, when $ROWS names a file, adds them there as JSON lines,
from which `run` makes one table. Nothing here passes or fails by time.
"""

import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "harness"))

# For the server's section [submission]: no end to what a user may send.
UNLIMITED = {"messages_per_hour": "100000000", "messages_per_day": "100000000",
             "recipients_per_hour": "100000000", "recipients_per_day": "100000000"}

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


# -- options

def option(name, default):
    """$NAME as a number."""
    return int(os.environ.get(name, default))


def options(name, default):
    """$NAME as numbers, given with spaces between."""
    return [int(word) for word in os.environ.get(name, default).split()]


# -- processes

def tree(pid):
    """The process and everything that descends from it now."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = stat_fields(int(entry))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry))
    found, at = [pid], 0
    while at < len(found):
        found += children.get(found[at], [])
        at += 1
    return found


def stat_fields(pid):
    """/proc/PID/stat from the state on; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def cpu_seconds(pid):
    """User and system time of the tree below `pid`, children that have ended included."""
    total = 0
    for process in tree(pid):
        fields = stat_fields(process)
        if not fields:
            continue
        own = sum(int(field) for field in fields[11:13]) / TICKS
        # The same in nanoseconds: utime and stime are cut to ticks of 10 ms, which would flatter
        # whoever has many processes. clock_getcpuclockid(3) makes the number of the clock.
        try:
            own = time.clock_gettime((~process << 3) | 2)
        except OSError:
            pass
        # Of children that were waited for, there are only ticks (proc(5), fields 16 and 17).
        total += own + sum(int(field) for field in fields[13:15]) / TICKS
    return total


def memory_bytes(pid):
    """{"VmRSS": …, "VmHWM": …, …} of one process, from /proc/PID/status."""
    out = {}
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if value.strip().endswith("kB"):
                out[name] = int(value.split()[0]) * 1024
    return out


def until_idle(pid, seconds=120):
    """Waits until the tree has used (nearly) no CPU for half a second."""
    end, before = time.monotonic() + seconds, cpu_seconds(pid)
    while time.monotonic() < end:
        time.sleep(0.5)
        now = cpu_seconds(pid)
        if now - before <= 0.01:
            return
        before = now


class Watch:
    """Wall and CPU time of the server's processes over a `with` block."""

    def __init__(self, pid):
        self.pid = pid

    def __enter__(self):
        self.cpu_before = cpu_seconds(self.pid)
        self.begin = time.monotonic()
        return self

    def __exit__(self, *_):
        self.wall = time.monotonic() - self.begin
        self.cpu = cpu_seconds(self.pid) - self.cpu_before

    def cpu_until_idle(self):
        """CPU from the start of the block until the server had nothing more to do."""
        until_idle(self.pid)
        return cpu_seconds(self.pid) - self.cpu_before


# -- rows

def row(work, unit, ours, peer=None, peer_name="", lower_is_better=True, wanted=""):
    """One figure. Lists are runs: their median counts, their range is shown."""
    figures = {"work": work, "unit": unit, "ours": spread(ours), "peer": spread(peer),
               "peer_name": peer_name, "lower_is_better": lower_is_better, "wanted": wanted}
    print(line(figures), flush=True)
    path = os.environ.get("ROWS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")


def spread(values):
    """[median, least, greatest], or None."""
    if values is None:
        return None
    values = values if isinstance(values, list) else [values]
    return [statistics.median(values), min(values), max(values)]


HEAD = ("work", "unit", "Postseal", "peer", "ratio", "wanted")
WIDTHS = (52, 7, 24, 34, 7, 0)


def line(figures):
    peer = shown(figures["peer"])
    cells = (figures["work"], figures["unit"], shown(figures["ours"]),
             f"{figures['peer_name']} {peer}".strip(), ratio(figures), figures["wanted"])
    return columns(cells)


def columns(cells):
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, WIDTHS)).rstrip()


def ratio(figures):
    """How many times the peer's figure ours is."""
    if not figures["peer"] or not figures["peer"][0]:
        return ""
    return f"{figures['ours'][0] / figures['peer'][0]:.2f}"


def shown(values):
    if values is None:
        return ""
    median, least, greatest = values
    if least == greatest:
        return number(median)
    return f"{number(median)} ({number(least)}-{number(greatest)})"


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def machine():
    """The machine, its disk's file system and how busy it is, in a line."""
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for text in file:
            if text.startswith("model name"):
                model = text.partition(":")[2].strip()
                break
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    return (f"{os.cpu_count()} x {model or os.uname().machine}, {file_system()}, "
            f"Linux {os.uname().release}, load {load}")


def file_system():
    """Of the disk that all is timed on. ext4 may be without its journal, and fsync cheaper then."""
    from server import ROOT
    found = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,SOURCE", "-T", ROOT],
                           capture_output=True, text=True).stdout.split()
    if len(found) != 2:
        return "unknown file system"
    kind, device = found[0], os.path.basename(found[1])
    journals = os.listdir("/proc/fs/jbd2") if os.path.isdir("/proc/fs/jbd2") else []
    if kind == "ext4" and not any(name.startswith(device + "-") for name in journals):
        return "ext4 without a journal"
    return kind


def table(path):
    """All rows that were added to a file."""
    with open(path, encoding="utf-8") as file:
        rows = [json.loads(text) for text in file]
    print(columns(HEAD))
    for figures in rows:
        print(line(figures))


if __name__ == "__main__":
    table(sys.argv[1])
