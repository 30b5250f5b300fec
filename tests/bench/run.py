#!/usr/bin/env python3
"""Figures of Postseal beside its peers, in one run on one machine; prints a table. Needs root.

    cargo build --release && tests/bench/run.py [--messages 3000] [--large 100000] [--only accept]

accept   Postfix's own smtp-source, 10 kB mails, one connection a mail kept open (-d), with 1, 10 and
         50 sessions. Postfix accepts into its queue and then discards, so that only accepting counts.
imap     header blocks of 1,000 messages, 100 bodies: server CPU a command, against Dovecot.
large    login to first EXISTS, fold rate, SELECT and flags of a large mailbox, memory.

Server CPU is user and system time of all the server's processes. Runs are interleaved; the median of
three counts. On a busy machine compare ratios, not figures.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from dovecot import PACKAGES, Dovecot, as_if_installed
from server import HOST, PEERS, ROOT, Server, free_port_base, is_free, peer

arguments = argparse.ArgumentParser()
arguments.add_argument("--messages", type=int, default=3000)
arguments.add_argument("--large", type=int, default=100_000)
arguments.add_argument("--rounds", type=int, default=3)
arguments.add_argument("--only", default="")
ARGS = arguments.parse_args()
RELEASE = os.path.join(ROOT, "target", "release", "postseal")
TICKS = os.sysconf("SC_CLK_TCK")

POSTFIX_MAIN = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.example.test
mydestination =
virtual_mailbox_domains = example.test
virtual_mailbox_maps = static:all
virtual_transport = discard:
smtpd_recipient_restrictions = permit_mynetworks, reject
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
default_process_limit = 100
maillog_file = {home}/log
maillog_file_prefixes = {home}
"""

POSTFIX_MASTER = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
discard unix - - n - - discard
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Debian's Postfix, unpacked, in a mount namespace with its users; nothing is installed."""

    name = "Postfix"

    def __init__(self):
        base = os.path.join(ROOT, "target", "tmp")
        os.makedirs(base, exist_ok=True)
        self.home = os.path.join(base, "postfix")
        shutil.rmtree(self.home, ignore_errors=True)
        for name in ("queue", "data", "etc"):
            os.makedirs(os.path.join(self.home, name))
        path = self.home
        while len(path) >= len(ROOT):
            os.chmod(path, 0o755)
            path = os.path.dirname(path)
        self.smtp_port = free_port_base() + 525
        self.write("etc/main.cf", POSTFIX_MAIN.format(home=self.home))
        self.write("etc/master.cf", POSTFIX_MASTER.format(port=f"{HOST}:{self.smtp_port}"))
        for name, line in (("passwd", "postfix:x:990:990::/:/bin/false"),
                           ("group", "postfix:x:990:\npostdrop:x:991:")):
            with open("/etc/" + name, encoding="utf-8") as file:
                self.write("etc/" + name, file.read().rstrip() + "\n" + line + "\n")
        os.chown(os.path.join(self.home, "data"), 990, 990)

    def write(self, name, text):
        with open(os.path.join(self.home, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self):
        etc = os.path.join(self.home, "etc")
        users = f"mount --bind {etc}/passwd /etc/passwd && mount --bind {etc}/group /etc/group && "
        command = as_if_installed(["postfix"], ["postfix", "-c", etc, "start-fg"])
        command[4] = command[4].replace('exec "$@"', users + 'exec "$@"')
        self.log = open(os.path.join(self.home, "console"), "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        end = time.monotonic() + 20
        while is_free(self.smtp_port):
            assert time.monotonic() < end and self.process.poll() is None, self.trouble()
            time.sleep(0.05)
        return self

    def trouble(self):
        out = ""
        for name in ("console", "log"):
            path = os.path.join(self.home, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    out += file.read()[-1500:]
        return "Postfix does not start: " + out

    def port(self, _):
        return self.smtp_port

    def user(self):
        return ("alice@example.test", "")

    def remove(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.home, ignore_errors=True)


def processes(session):
    """(pid, CPU seconds with reaped children, resident octets) of a session's processes."""
    out = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session:
                own, reaped = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
                out.append((int(name), (own, reaped), int(fields[21]) * 4096))
    return out


def cpu(server):
    """CPU seconds of a server so far. Children that ended are in the sum of who waited for them."""
    return sum(own + reaped for _, (own, reaped), _ in processes(server.process.pid)) / TICKS


def source(server, sessions, messages, octets=10240):
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.join(PEERS, "postfix/usr/lib/postfix"))
    begin, before = time.monotonic(), cpu(server)
    subprocess.run([peer("smtp-source"), "-d", "-l", str(octets), "-m", str(messages),
                    "-s", str(sessions), "-f", "source@remote.example", "-t", server.user()[0],
                    f"{HOST}:{server.port('smtp')}"], check=True, env=env)
    seconds = time.monotonic() - begin
    return messages / seconds, (cpu(server) - before) * 1000 / messages


def row(*cells):
    print(" | ".join(str(cell) for cell in cells), flush=True)


def accept():
    row("accept, 10 kB", "sessions", "messages/s", "server CPU ms/message")
    for sessions in (1, 10, 50):
        seen = {}
        for _ in range(ARGS.rounds):
            for make in (Postfix, release):
                server = make()
                try:
                    server.start()
                    source(server, sessions, 100)
                    figures = source(server, sessions, ARGS.messages)
                    seen.setdefault(make.__name__, []).append(figures)
                finally:
                    server.remove()
        rates = {}
        for name, figures in seen.items():
            rates[name] = statistics.median(rate for rate, _ in figures)
            cost = statistics.median(cost for _, cost in figures)
            row(name, sessions, f"{rates[name]:.0f}", f"{cost:.2f}")
        row("ratio", sessions, f"{rates['release'] / rates['Postfix']:.1f}")


def release():
    server = Server(binary=RELEASE)
    server.plain_serve = True
    return server


def fill(server, count, size):
    smtp = server.smtp()
    body = (b"x" * 70 + b"\r\n") * (size // 72)
    for number in range(count):
        server.send(mails.plain(f"bench-{number}", body), smtp=smtp)
    smtp.quit()


def imap():
    row("IMAP, 1,000 messages of 10 kB", "server", "wall ms a command", "CPU ms a command")
    work = [("FETCH of 1,000 header blocks", "1:1000", "(UID BODY.PEEK[HEADER])"),
            ("FETCH of 1,000 header fields", "1:1000", "(UID FLAGS RFC822.SIZE BODY.PEEK["
             "HEADER.FIELDS (From To Cc Subject Date Message-ID References Content-Type)])"),
            ("FETCH of 1,000 flags", "1:1000", "(UID FLAGS)"),
            ("FETCH of 1,000 envelopes", "1:1000", "(UID ENVELOPE)"),
            ("FETCH of 100 bodies", "1:100", "(UID BODY.PEEK[])")]
    servers = []
    try:
        for name, make in (("Dovecot", Dovecot), ("Postseal", release)):
            server = make()
            servers.append((name, server))
            server.start()
            fill(server, 1000, 10_000)
            server.settled()
        for title, which, items in work:
            for name, server in servers:
                client = server.imap()
                client.select()
                client.fetch(which, items, uid=False)
                walls, costs = [], []
                for _ in range(ARGS.rounds * 3):
                    begin, before = time.monotonic(), cpu(server)
                    for _ in range(10):
                        drain(client, which, items)
                    walls.append((time.monotonic() - begin) * 100)
                    costs.append((cpu(server) - before) * 100)
                client.logout()
                row(title, name, f"{statistics.median(walls):.1f}",
                    f"{statistics.median(costs):.1f}")
    finally:
        for _, server in servers:
            server.remove()


def drain(client, which, items):
    """Reads the answer without taking it apart: the client must not be what is measured."""
    tag = client.start("FETCH", which, items)
    end = tag + b" OK"
    tail = client.buffer
    client.buffer = b""
    while not (end in tail and tail.endswith(b"\r\n")):
        client.fill()
        tail = tail[-64:] + client.buffer
        client.buffer = b""


def large():
    count = ARGS.large
    server = release()
    try:
        server.start()
        seconds = 0
        for _ in range(max(1, count // 10_000)):
            rate, _ = source(server, 10, min(count, 10_000), 300)
            seconds += min(count, 10_000) / rate
        row(f"{count} messages of 300 octets taken in", f"{count / seconds:.0f} messages/s")
        server.stop()
        server.start()
        row("RSS, locked", f"{resident(server) / 1e6:.0f} MB")
        begin, before = time.monotonic(), cpu(server)
        client = server.imap(timeout=600)
        login = time.monotonic() - begin
        box = client.select()
        while not box["EXISTS"]:
            box = client.select()
        row("login", f"{login:.2f} s", "to the first EXISTS", f"{time.monotonic() - begin:.2f} s",
            f"({box['EXISTS']} messages)")
        client.exists = box["EXISTS"]
        client.wait_exists(count, 600)
        seconds, spent = time.monotonic() - begin, cpu(server) - before
        row("fold", f"{count / seconds:.0f} messages/s", f"{count / spent:.0f} a CPU second")
        client.logout()
        server.stop()
        server.start()
        client = server.imap(timeout=600)
        begin = time.monotonic()
        client.select()
        middle = time.monotonic()
        tag = client.start("UID FETCH 1:* (FLAGS)")
        octets = 0
        while not client.buffer.endswith(b"\r\n") or tag not in client.buffer[-200:]:
            octets += len(client.buffer)
            client.buffer = client.buffer[-200:]
            client.fill()
        row(f"SELECT of {count}", f"{middle - begin:.2f} s", "flags of all",
            f"{time.monotonic() - middle:.2f} s")
        row("RSS, one account open", f"{resident(server) / 1e6:.0f} MB")
        client.logout()
    finally:
        server.remove()


def resident(server):
    return sum(octets for _, _, octets in processes(server.process.pid))


def main():
    if not os.path.exists(RELEASE):
        sys.exit("first: cargo build --release")
    for package in ("postfix", *PACKAGES):
        if not os.path.exists(os.path.join(PEERS, package, "done")):
            subprocess.run([os.path.join(ROOT, "tests", "run"), "--unpack", package], check=True)
    for name, run in (("accept", accept), ("imap", imap), ("large", large)):
        if ARGS.only in name:
            run()


main()
