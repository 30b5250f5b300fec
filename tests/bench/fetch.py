#!/usr/bin/env python3
"""What mail programs ask most, beside Dovecot: header fields of a whole folder, and bodies.

The same messages lie in both (maildir in Dovecot's, warm: its header cache is filled by the first
round). Both are asked over TLS, in turns, and the answers are read but not taken apart, so that
the client costs little. CPU is that of all the server's processes; both are asked often enough
that the kernel's ticks of 10 ms do not show.

    RUNS=3  MESSAGES=1000  REPEAT=10
"""

import measure
from measure import Watch, option, row, until_idle
from dovecot import Dovecot
from mails import plain
from server import Server

RUNS = option("RUNS", 3)
MESSAGES = option("MESSAGES", 1000)
REPEAT = option("REPEAT", 30)
BODIES = min(100, MESSAGES)

FIELDS = ("(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID "
          "Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To Received)])")
HEADERS = f"FETCH 1:{MESSAGES} {FIELDS}"


def main():
    with Server() as postseal, Dovecot() as dovecot:
        clients = []
        for server in (postseal, dovecot):
            fill(server)
            clients.append(Reader(server))
        first = [client.timed([HEADERS]) for client in clients]
        both("FETCH of header fields, first time", [first], 1, clients)
        work = [(f"FETCH 1:{MESSAGES} of header fields", [HEADERS] * REPEAT, "<= 1 x"),
                (f"FETCH n BODY.PEEK[], 10 kB, {BODIES} of them",
                 [f"FETCH {n} (UID RFC822.SIZE BODY.PEEK[])" for n in range(1, BODIES + 1)]
                 * REPEAT, "<= 1 x"),
                ("UID FETCH 1:* (FLAGS)", ["UID FETCH 1:* (FLAGS)"] * REPEAT, "")]
        for name, commands, wanted in work:
            rounds = [[client.timed(commands) for client in clients] for _ in range(RUNS)]
            both(name, rounds, len(commands), clients, wanted)


def fill(server):
    """The same messages into both, by the way mail comes in, and nothing else in INBOX."""
    empty_inbox(server)
    smtp = server.smtp()
    for number in range(MESSAGES):
        server.send(letter(number), smtp=smtp)
    smtp.quit()
    settled = server.settled()
    assert settled == MESSAGES, f"{settled} of {MESSAGES} messages are there"


def empty_inbox(server):
    """Quickstart greets its users with a message."""
    client = server.imap()
    if client.select()["EXISTS"]:
        client.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        client.ok("EXPUNGE")
    client.logout()


def letter(number):
    """10 kB, with the header fields that mail has on its way."""
    hops = b"".join(
        b"Received: from relay%d.example (relay%d.example [192.0.2.%d])\r\n"
        b"\tby mx%d.example with ESMTPS id %08x\r\n\tfor <alice@example.org>;"
        b" Mon, 23 Nov 2026 03:00:0%d +0100\r\n" % (n, n, n, n, number * 7919 + n, n)
        for n in range(3))
    signature = b"DKIM-Signature: v=1; a=rsa-sha256; d=remote.example; s=k1;\r\n\tb=" + b"Q" * 340
    extra = (hops + signature + b"\r\nReferences: <a%d@remote.example>\r\n <b%d@remote.example>\r\n"
             b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" % (number, number))
    line = b"%08d The quick brown fox jumps over the lazy dog again and again.\r\n" % number
    return plain(f"message-{number}", line * (8700 // len(line)), extra=extra)


class Reader:
    """A session that reads answers to their end and throws them away."""

    def __init__(self, server):
        self.server = server
        pid = server.process.pid if isinstance(server, Dovecot) else server.pid()
        self.pid = pid
        self.client = server.imap()
        self.client.select()

    def timed(self, commands):
        """(wall ms a command, CPU ms a command, octets received)."""
        octets = 0
        until_idle(self.pid)
        with Watch(self.pid) as watch:
            for command in commands:
                octets += ask(self.client, command)
        return (watch.wall * 1000 / len(commands), watch.cpu * 1000 / len(commands), octets)


def ask(client, command):
    """Sends a command and reads up to its tagged OK; returns the octets of the answer."""
    tag = client.start(command)
    end, octets, tail = b"\r\n" + tag + b" ", 0, b"\r\n"
    while True:
        piece = client.sock.recv(256 * 1024)
        if not piece:
            raise AssertionError("the server went away")
        octets += len(piece)
        tail = (tail + piece)[-4096:]
        at = tail.rfind(end)
        if at < 0 or tail.find(b"\r\n", at + len(end)) != len(tail) - 2:
            continue
        if not tail[at + len(end):].startswith(b"OK"):
            raise AssertionError(tail[at:].decode(errors="replace"))
        return octets


def both(name, rounds, commands, clients, wanted=""):
    octets = [rounds[0][at][2] // max(commands, 1) for at in (0, 1)]
    assert min(octets) > 0.8 * max(octets), f"{name}: answers of {octets} octets"
    for at, (what, target) in enumerate((("wall", ""), ("server CPU", wanted))):
        row(f"{name}, {what}", "ms/cmd", [r[0][at] for r in rounds], [r[1][at] for r in rounds],
            "Dovecot", True, target)


if __name__ == "__main__":
    print(measure.machine())
    main()
