#!/usr/bin/env python3
"""SMTP as others speak it, and as they should not: smuggling, injection, relaying, limits."""

import itertools
import os
import smtplib
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from report import at_end, check, equal, run
from server import HOST, Server, send_raw, without_trace

server = Server()
at_end(server.remove)
server.start()
USER, PASSWORD = server.user()
BOB = server.user(1)[0]
DOMAIN = USER.partition("@")[2]


class Raw:
    """Octets out, reply lines in."""

    def __init__(self, port="smtp", helo=True):
        self.sock = socket.create_connection((HOST, server.port(port)), timeout=20)
        self.file = self.sock.makefile("rb")
        self.greeting = self.reply()
        if helo:
            self.ask("EHLO client.example")

    def send(self, data):
        try:
            self.sock.sendall(data if isinstance(data, bytes) else data.encode())
        except ConnectionError:
            pass                        # the reply, or its absence, says it

    def reply(self):
        """(code, text); code 0 when the connection is gone."""
        lines = []
        while True:
            try:
                line = self.file.readline()
            except OSError:
                line = b""
            if not line:
                return 0, "\n".join(lines)
            lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
            if line[3:4] != b"-":
                return int(line[:3]), "\n".join(lines)

    def ask(self, line):
        self.send(line + "\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()


def messages(user=0):
    server.settled(user)
    client = server.imap(user)
    client.select()
    rows = client.fetch("1:*", "(UID BODY.PEEK[])")
    client.logout()
    return [row["BODY[]"] for row in rows]


@check("smtp: EHLO names what is offered; before TLS no AUTH; after TLS no STARTTLS")
def _():
    smtp = server.smtp()
    smtp.ehlo()
    for word in ("pipelining", "size", "8bitmime", "enhancedstatuscodes", "smtputf8", "chunking",
                 "starttls"):
        assert smtp.has_extn(word), f"{word} is not among {sorted(smtp.esmtp_features)}"
    assert not smtp.has_extn("auth"), "AUTH on port 25"
    assert not smtp.has_extn("dsn"), "reports to other servers are offered and never sent"
    assert int(smtp.esmtp_features["size"]) >= 50_000_000, smtp.esmtp_features["size"]
    smtp.starttls(context=server.context())
    smtp.ehlo()
    assert not smtp.has_extn("starttls"), "STARTTLS inside TLS"
    send_raw(smtp, "a@remote.example", [USER], mails.plain("over-tls"))
    smtp.quit()
    assert any(without_trace(m) == mails.plain("over-tls") for m in messages())


@check("smtp: submission asks for TLS and login, on both of its ports")
def _():
    smtp = smtplib.SMTP(HOST, server.port("submission"), timeout=20)
    smtp.ehlo()
    assert not smtp.has_extn("auth"), "AUTH before TLS"
    code, _ = smtp.mail("a@remote.example")
    equal(code in (530, 503, 554), True, f"MAIL before login is answered {code}")
    smtp.starttls(context=server.context())
    smtp.ehlo()
    assert smtp.has_extn("auth"), "no AUTH after TLS"
    assert smtp.has_extn("dsn"), "no reports to users"
    code, _ = smtp.mail("a@remote.example")
    equal(code, 530, "MAIL before login")
    try:
        smtp.login(USER, "wrong")
        raise AssertionError("a wrong password logs in")
    except smtplib.SMTPAuthenticationError as error:
        equal(error.smtp_code, 535, "a wrong password")
    smtp.login(USER, PASSWORD)
    send_raw(smtp, USER, [BOB], mails.plain("submitted", sender=USER))
    smtp.quit()
    smtp = smtplib.SMTP_SSL(HOST, server.port("submissions"), context=server.context(), timeout=20)
    smtp.login(USER, PASSWORD)
    send_raw(smtp, USER, [BOB], mails.plain("submitted-tls", sender=USER))
    smtp.quit()
    have = [without_trace(m) for m in messages(1)]
    for name in ("submitted", "submitted-tls"):
        utc = mails.plain(name, sender=USER).replace(b"03:00:00 +0100", b"02:00:00 +0000")
        assert any(m.endswith(utc) for m in have), f"{name} is not there"


@check("smtp: a user writes under his own names alone, and blind copies do not show")
def _():
    smtp = smtplib.SMTP_SSL(HOST, server.port("submissions"), context=server.context(), timeout=20)
    smtp.login(USER, PASSWORD)
    for other in (BOB, "a@elsewhere.example"):
        equal(smtp.mail(other)[0], 553, f"MAIL FROM {other}")
        try:
            send_raw(smtp, USER, [BOB], mails.plain("forged", sender=other))
            raise AssertionError(f"a message from {other} is taken")
        except smtplib.SMTPDataError as error:
            equal(error.smtp_code, 550, f"From {other}")
    blind = b"Bcc: somebody@elsewhere.example,\r\n\tother@elsewhere.example\r\nX-Mailer: x\r\n"
    send_raw(smtp, USER, [BOB], mails.plain("blind", sender=USER, extra=blind))
    smtp.quit()
    have = [m for m in messages(1) if b"Subject: blind" in m]
    equal(len(have), 1, "copies")
    for gone in (b"elsewhere.example", b"X-Mailer", b"127.0.0.1"):
        assert gone not in have[0], have[0]
    assert not any(b"Subject: forged" in m for m in messages(1))


@check("smtp: BDAT: pieces are counted, what looks like commands in them is text")
def _():
    raw = Raw()
    data = mails.plain("pieces", body=b".\r\nQUIT\r\nMAIL FROM:<evil@b.example>\r\n..\r\n")
    head, tail = data[:90], data[90:]
    raw.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + USER.encode() + b">\r\n"
             + b"BDAT %d\r\n" % len(head) + head + b"BDAT %d LAST\r\n" % len(tail) + tail
             + b"NOOP\r\n")
    equal([raw.reply()[0] for _ in range(5)], [250] * 5, "codes")
    raw.send(b"BDAT 6\r\nQUIT\r\nNOOP\r\n")
    equal([raw.reply()[0] for _ in range(2)], [503, 250], "BDAT without MAIL")
    raw.close()
    equal(len([m for m in messages() if without_trace(m) == data]), 1, "copies")


@check("smtp: only local recipients; unknown ones refused at RCPT; postmaster always")
def _():
    raw = Raw()
    equal(raw.ask("MAIL FROM:<a@remote.example>")[0], 250, "MAIL")
    for address in (f"nobody@{DOMAIN}", "a@elsewhere.example", f"a%elsewhere.example@{DOMAIN}",
                    f"elsewhere.example!a@{DOMAIN}", f"@{DOMAIN}:a@elsewhere.example",
                    f'"a@elsewhere.example"@{DOMAIN}', f"a@[127.0.0.1]"):
        code, words = raw.ask(f"RCPT TO:<{address}>")
        assert 550 <= code <= 554 or code == 501, f"{address}: {words}"
    for address in (USER, USER.upper(), USER.replace("@", "+detail@"), f"postmaster@{DOMAIN}",
                    f"PostMaster@{DOMAIN}", "postmaster", f'"{USER.partition("@")[0]}"@{DOMAIN}'):
        code, words = raw.ask(f"RCPT TO:<{address}>")
        equal(code, 250, f"{address}: {words}")
    raw.close()


@check("smtp: order of commands, RSET, NOOP, VRFY, unknown and broken commands")
def _():
    raw = Raw(helo=False)
    equal(raw.greeting[0], 220, "greeting")
    equal(raw.ask("MAIL FROM:<a@b.example>")[0], 503, "MAIL before HELO")
    equal(raw.ask("HELO client.example")[0], 250, "HELO")
    equal(raw.ask("RCPT TO:<x@y>")[0], 503, "RCPT before MAIL")
    equal(raw.ask("DATA")[0], 503, "DATA before RCPT")
    equal(raw.ask("MAIL FROM:<>")[0], 250, "the null sender")
    equal(raw.ask("MAIL FROM:<>")[0], 503, "nested MAIL")
    equal(raw.ask("RSET")[0], 250, "RSET")
    equal(raw.ask("NOOP anything")[0], 250, "NOOP")
    equal(raw.ask("VRFY alice")[0], 252, "VRFY")
    equal(raw.ask("XYZZY")[0] in (500, 502), True, "unknown")
    for broken in ("MAIL FROM:", "MAIL FROM:a@b", "MAIL FROM:<a@b", "MAIL FROM:<a@b> X=Y",
                   "MAIL FROM:<a@@b>", "MAIL TO:<a@b>"):
        code, words = raw.ask(broken)
        assert 500 <= code <= 555, f"{broken}: {words}"
        raw.ask("RSET")
    equal(raw.ask("EHLO client.example")[0], 250, "EHLO")
    equal(raw.ask("MAIL FROM:<a@b.example> SIZE=1000 BODY=8BITMIME RET=HDRS ENVID=x")[0], 250,
          "MAIL with parameters")
    equal(raw.ask(f"RCPT TO:<{USER}> NOTIFY=NEVER ORCPT=rfc822;{USER}")[0], 250, "RCPT, DSN")
    raw.ask("RSET")
    equal(raw.ask("MAIL FROM:<a@b.example> SIZE=999999999999")[0], 552, "SIZE too large")
    equal(raw.ask("QUIT")[0], 221, "QUIT")
    equal(raw.reply()[0], 0, "closed")
    raw.close()


@check("smtp: PIPELINING: one packet with everything, answers in order")
def _():
    raw = Raw()
    data = mails.plain("pipelined")
    raw.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<" + USER.encode() + b">\r\n"
             b"RCPT TO:<nobody@" + DOMAIN.encode() + b">\r\nDATA\r\n")
    equal([raw.reply()[0] for _ in range(4)], [250, 250, 550, 354], "codes")
    raw.send(data + b".\r\nNOOP\r\nQUIT\r\n")
    equal([raw.reply()[0] for _ in range(3)], [250, 250, 221], "codes")
    raw.close()
    assert any(without_trace(m) == data for m in messages())


@check("smtp: nothing but CRLF.CRLF ends DATA: no smuggled second message")
def _():
    before = {digest for digest in map(hash, messages())}
    ends = [b"".join(p) for n in (1, 2) for p in itertools.product((b"\n", b"\r", b"\r\n", b"\0"),
                                                                    repeat=n)]
    tried = 0
    for left, right in itertools.product(ends[:12], ends[:12]):
        if left.endswith(b"\r\n") and right.startswith(b"\r\n"):
            continue
        tried += 1
        raw = Raw()
        raw.ask("MAIL FROM:<a@b.example>")
        raw.ask(f"RCPT TO:<{USER}>")
        raw.ask("DATA")
        raw.send(b"Subject: outer\r\n\r\nx" + left + b"." + right
                 + b"MAIL FROM:<smuggler@b.example>\r\nRCPT TO:<" + USER.encode()
                 + b">\r\nDATA\r\nSubject: smuggled-msg\r\n\r\nx\r\n.\r\n")
        raw.sock.settimeout(10)
        code, words = raw.reply()
        assert code == 0 or code >= 500, f"{left!r}.{right!r} is answered {words}"
        raw.close()
    new = [m for m in messages() if hash(m) not in before]
    equal(len(new), 0, f"messages after {tried} attempts")
    return f"{tried} ends"


@check("smtp: a bare LF or CR in a message is refused, also far inside")
def _():
    for data in (b"Subject: x\n\r\nx\r\n", b"Subject: x\r\n\r\na\rb\r\n",
                 b"Subject: x\r\n\r\n" + b"y" * 70000 + b"\nz\r\n"):
        raw = Raw()
        raw.ask("MAIL FROM:<a@b.example>")
        raw.ask(f"RCPT TO:<{USER}>")
        raw.ask("DATA")
        raw.send(data + b".\r\n")
        code, words = raw.reply()
        assert code >= 500 or code == 0, words
        raw.close()


@check("smtp: what is pipelined behind STARTTLS ends the session or is dropped")
def _():
    evil = b"MAIL FROM:<evil@b.example>\r\n"
    for injected in (evil, b"NOOP\r\n", b"RSET\r\nNOOP\r\n", b"x" * 600):
        raw = Raw()
        raw.send(b"STARTTLS\r\n" + injected)
        code, _ = raw.reply()
        if code != 220:
            raw.close()
            continue
        try:
            tls = server.context().wrap_socket(raw.sock, server_hostname="localhost")
            tls.settimeout(3)
            tls.sendall(b"EHLO client.example\r\n")
            answer = tls.recv(4096)
            assert b"250" not in answer[:3] or b"STARTTLS" not in answer, answer
            tls.sendall(b"RCPT TO:<" + USER.encode() + b">\r\n")
            answer = tls.recv(4096)
            assert answer[:3] == b"503", f"the injected MAIL counted: {answer!r}"
        except OSError:
            pass
        raw.close()


@check("smtp: long lines, many recipients, many errors, hop limit: refused with a reply")
def _():
    raw = Raw()
    code, _ = raw.ask("NOOP " + "x" * 5000)
    assert code == 0 or code >= 500, f"a command of 5,000 octets: {code}"
    raw.close()
    raw = Raw()
    raw.ask("MAIL FROM:<a@b.example>")
    codes = [raw.ask(f"RCPT TO:<{USER}>")[0] for _ in range(1200)]
    assert codes[:100] == [250] * 100, "RFC 5321 §4.5.3.1.8 asks for 100"
    assert 452 in codes or 0 in codes or set(codes) == {250}, set(codes)
    raw.close()
    raw = Raw()
    codes = [raw.ask("BOGUS")[0] for _ in range(200)]
    assert 0 in codes or 421 in codes, "200 errors and still talking"
    raw.close()
    looped = b"".join(b"Received: from a by b; Mon, 23 Nov 2026 03:00:00 +0000\r\n"
                      for _ in range(120)) + mails.plain("loop")
    try:
        server.send(looped)
        raise AssertionError("120 hops are accepted")
    except smtplib.SMTPDataError as error:
        assert 500 <= error.smtp_code < 600, error


@check("smtp: all local copies or none; each has its own; Received says where it came from")
def _():
    data = mails.plain("two-copies")
    server.send(data, to=[USER, BOB])
    for user in (0, 1):
        mine = [m for m in messages(user) if without_trace(m) == data]
        equal(len(mine), 1, "copies")
        assert b"Received:" in mine[0].partition(b"From:")[0], mine[0][:200]
        assert b"127.0.0.1" in mine[0] and b"client.example" in mine[0], mine[0][:300]
        assert b"Return-Path: <sender@remote.example>" in mine[0], mine[0][:300]


@check("smtp: many sessions at once; beyond the limit a clear 421, and others go on")
def _():
    raws, refused = [], 0
    try:
        for _ in range(300):
            try:
                raw = Raw(helo=False)
            except OSError:
                refused += 1
                continue
            if raw.greeting[0] == 220:
                raws.append(raw)
            else:
                refused += 1
                equal(raw.greeting[0] in (421, 0), True, f"greeting {raw.greeting}")
                raw.close()
        assert len(raws) >= 20, f"only {len(raws)} sessions"
    finally:
        for raw in raws:
            raw.close()
    time.sleep(0.5)
    server.send(mails.plain("after-the-crowd"))
    return f"{len(raws)} sessions, {refused} refused"


run()
