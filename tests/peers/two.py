#!/usr/bin/env python3
"""Two servers of two domains write to each other, sealed end to end, with ordinary mail programs.

The mail exchanger of the second domain is, for the first, a tap: it takes STARTTLS out of the
dialog, as an attacker on the wire would, and keeps all octets that pass. What it sees is what
leaves the first server when TLS protects nothing. Wireshark (dumpcap, tshark) captures the same
wire, where it may.
"""

import email
import os
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import Skip, at_end, check, equal, need, need_root, run
from server import Server, without_trace

TAP = "127.0.1.9"


class Tap:
    """A mail exchanger that hands everything on to another, without TLS, and keeps it."""

    def __init__(self, address, to):
        self.to, self.octets, self.lock = to, bytearray(), threading.Lock()
        self.listener = socket.create_server(address, reuse_port=False)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.to)
            for source, sink, strip in ((client, server, False), (server, client, True)):
                threading.Thread(target=self.pump, args=(source, sink, strip),
                                 daemon=True).start()

    def pump(self, source, sink, strip):
        try:
            while octets := source.recv(65536):
                if strip:
                    octets = octets.replace(b"STARTTLS", b"XNOTHING")
                else:
                    with self.lock:
                        self.octets += octets
                sink.sendall(octets)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def seen(self):
        with self.lock:
            return bytes(self.octets)


class Capture:
    """What dumpcap records of the connections to an address."""

    def __init__(self, address, directory):
        self.port = str(address[1])
        self.path = os.path.join(directory, "wire.pcapng")
        self.process = None
        if not shutil.which("dumpcap"):
            return
        self.process = subprocess.Popen(
            ["dumpcap", "-q", "-B", "16", "-i", "lo", "-f",
             f"host {address[0]} and tcp port {self.port}", "-w", self.path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True)
        at_end(self.process.kill)
        # It says so when it has begun, or ends and says why not.
        self.said = ""
        while "File:" not in self.said and (line := self.process.stderr.readline()):
            self.said += line

    def stop(self, last, seconds=20):
        """Ends when the octets `last` are there, which dumpcap writes in blocks."""
        end = time.monotonic() + seconds
        while last not in self.octets() and time.monotonic() < end:
            time.sleep(0.2)
        self.process.terminate()
        self.process.wait(20)
        assert last in self.octets(), "the last letter was not captured"

    def octets(self):
        with open(self.path, "rb") as file:
            return file.read()

    def tshark(self, which, *fields):
        """The values of the fields in each packet that the filter lets through."""
        wanted = [word for field in fields for word in ("-e", field)]
        done = subprocess.run(
            ["tshark", "-r", self.path, "-d", f"tcp.port=={self.port},smtp", "-Y", which, "-T",
             "fields", "-E", "separator=/t", *wanted], capture_output=True, timeout=60)
        equal(done.returncode, 0, f"tshark's end: {done.stderr[-500:]!r}")
        return [line.split("\t") for line in done.stdout.decode("utf-8", "replace").splitlines()]


one = Server(peer=True)
at_end(one.remove)
one.start()
two = one.peer()
at_end(two.remove)
ALICE, ALICE_PASSWORD = one.user()
CAROL = two.user()[0]
one.stop()
with open(os.path.join(one.directory, "zone"), encoding="ascii") as file:
    zone = file.read()
domain = CAROL.partition("@")[2]
with open(os.path.join(one.directory, "zone-tapped"), "w", encoding="ascii") as file:
    file.write(zone.replace(f"{domain} MX 10 mail.{domain}", f"{domain} MX 10 tap.{domain}") +
               f"\ntap.{domain} A {TAP}\n")
one.configure(network={"zone": '"zone-tapped"'})
tap = Tap((TAP, one.port("smtp")), (two.host, two.port("smtp")))
capture = Capture((TAP, one.port("smtp")), one.scratch)
one.start()
two.wait_ready(30)


def letter(sender, to, subject, body, **more):
    lines = [f"From: Their Name <{sender}>", f"To: <{to}>", f"Subject: {subject}",
             "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8",
             "Content-Transfer-Encoding: 8bit", "User-Agent: Canary-Agent/1.0",
             *(f"{name.replace('_', '-')}: {value}" for name, value in more.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode() + b"\r\n"


def submit(server, user, to, data, starttls=False):
    address, password = server.user(user)
    kind = "submission" if starttls else "submissions"
    make = smtplib.SMTP if starttls else smtplib.SMTP_SSL
    more = {} if starttls else {"context": server.context()}
    with make(server.host, server.port(kind), timeout=120, **more) as smtp:
        if starttls:
            smtp.starttls(context=server.context())
        smtp.login(address, password)
        smtp.sendmail(address, [to] if isinstance(to, str) else to, data)


def find(server, user, subject, seconds=60):
    """The one message with this subject, as IMAP shows it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client = server.imap(user)
        client.select()
        rows = client.fetch("1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[])")
        client.logout()
        for row in rows:
            if email.message_from_bytes(row["BODY[]"])["Subject"] == subject:
                equal(row["RFC822.SIZE"], len(row["BODY[]"]), "RFC822.SIZE")
                return row["BODY[]"]
        time.sleep(0.3)
    raise AssertionError(f"no {subject!r}; subjects: " + repr(
        [email.message_from_bytes(row["BODY[]"])["Subject"] for row in rows]) +
        " log: " + server.own_log_tail())


BODY = "canary-body-ünïcode first line\r\n.a dot\r\n\r\nlast line"


@check("two servers: alice writes to carol, the wire sees PGP/MIME alone, carol reads it plain")
def _():
    submit(one, 0, CAROL, letter(ALICE, CAROL, "canary-subject-one", BODY))
    shown = find(two, 0, "canary-subject-one")
    head, _, body = shown.partition(b"\r\n\r\n")
    equal(body, BODY.encode() + b"\r\n", "the body, octet for octet")
    assert b"multipart/encrypted" not in shown, shown[:600]
    wire = tap.seen()
    assert b"multipart/encrypted" in wire and b"\r\nSubject: [...]\r\n" in wire, wire[:1500]
    for word in (b"canary-subject", b"canary-body", b"Canary-Agent", "ünïcode".encode(),
                 b"127.0.0.1"):
        assert word not in wire, f"{word} was on the wire"
    assert b"dkim=pass" in head, head
    return f"{len(wire)} octets on the wire"


@check("two servers: carol answers, alice reads the answer plain")
def _():
    submit(two, 0, ALICE, letter(CAROL, ALICE, "canary-answer", "canary-answer-body",
                                 In_Reply_To="<x@y.test>"), starttls=True)
    shown = find(one, 0, "canary-answer")
    equal(shown.partition(b"\r\n\r\n")[2], b"canary-answer-body\r\n", "the body")


@check("two servers: what is shown opened stays the same after lock, restart and kill -9")
def _():
    before = find(two, 0, "canary-subject-one")
    one.kill()
    one.start()
    two.wait_ready(30)
    equal(find(two, 0, "canary-subject-one") == before, True, "the same octets")


@check("two servers: a Bcc has a copy of his own, and nothing tells of him")
def _():
    before = len(tap.seen())
    dave = two.user(1)[0]
    data = letter(ALICE, CAROL, "canary-bcc", "to both", Bcc=dave)
    submit(one, 0, [CAROL, dave], data)
    for user in (0, 1):
        shown = find(two, user, "canary-bcc")
        # Not the three letters alone: the servers' own numbers for a message are hexadecimal.
        assert not re.search(rb"(?im)^(resent-)?bcc[ \t]*:", shown), shown
        other = dave.encode() if user == 0 else None
        assert other is None or other not in shown, shown
    wire = tap.seen()[before:]
    equal(wire.count(b"-----BEGIN PGP MESSAGE-----"), 2, "ciphertexts on the wire")
    visible = [part for part in wire.split(b"MAIL FROM:")[1:]]
    assert all(part.count(b"RCPT TO:") == 1 for part in visible), "both in one envelope"


@check("two servers: a large letter with an attachment arrives as it was written")
def _():
    from email.message import EmailMessage
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = ALICE, CAROL, "canary-attachment"
    message.set_content("see the attachment\n")
    octets = os.urandom(300_000)
    message.add_attachment(octets, maintype="application", subtype="octet-stream",
                           filename="canary-name.bin")
    data = message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
    submit(one, 0, CAROL, data)
    shown = email.message_from_bytes(find(two, 0, "canary-attachment"))
    attachment = [part for part in shown.walk() if part.get_filename() == "canary-name.bin"][0]
    equal(attachment.get_payload(decode=True) == octets, True, "the attachment's octets")


@check("two servers: Wireshark sees PGP/MIME alone on the wire, and no word of a letter")
def _():
    need_root()
    need("dumpcap", "tshark")
    if capture.process.poll() is not None:
        raise Skip("dumpcap may not capture here: " + " ".join(capture.said.split())[:200])
    sealed = tap.seen()
    with smtplib.SMTP(TAP, one.port("smtp"), timeout=60) as smtp:
        smtp.sendmail("eve@remote.example", CAROL, letter("eve@remote.example", CAROL,
                                                          "canary-seen", "canary-last-word"))
    capture.stop(b"canary-last-word")
    found = capture.tshark("imf", "imf.subject", "imf.content.type", "tcp.stream")
    subjects = [subject for subject, _, _ in found]
    equal(subjects, ["[...]"] * (len(subjects) - 1) + ["canary-seen"], "subjects on the wire")
    assert len(subjects) >= 5, subjects
    for _, kind, _ in found[:-1]:
        assert kind.startswith("multipart/encrypted"), kind
    said = [command for command, in capture.tshark("smtp.req", "smtp.req.command")]
    assert "DATA" in str(said) and "STARTTLS" not in str(said), said
    # The octets that the servers sent, stream by stream, are those that the tap has.
    open_one = found[-1][2]
    payloads = capture.tshark(f"tcp.dstport == {capture.port} && tcp.len > 0", "tcp.stream",
                              "tcp.payload")
    wire = b"".join(bytes.fromhex(hexed) for stream, hexed in payloads if stream != open_one)
    equal(len(wire), len(sealed), "octets captured")
    for word in (b"canary", "ünïcode".encode(), b"Canary-Agent"):
        assert word not in wire and word not in sealed, f"{word} was on the wire"
    return f"{len(subjects) - 1} letters, {len(wire)} octets"


@check("two servers: the queues are empty, and nothing lies on either disk in the open")
def _():
    for server in (one, two):
        end = time.monotonic() + 20
        while '"id"' in (text := server.cli("queue", "list", "--json").stdout):
            assert time.monotonic() < end, text
            time.sleep(0.2)
    one.stop()
    words = [b"canary-subject", b"canary-body", b"canary-answer", b"canary-bcc", b"canary-name"]
    for root, _, files in os.walk(one.directory):
        for name in files:
            with open(os.path.join(root, name), "rb") as file:
                octets = file.read()
            found = [word for word in words if word in octets]
            equal(found, [], f"words in {name}")


run()
