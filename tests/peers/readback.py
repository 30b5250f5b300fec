#!/usr/bin/env python3
"""Others deliver, others read: swaks, smtplib and Postfix's smtp-source in; curl, imaplib out.

What is read is what was sent, octet for octet, for odd mail too.
"""

import imaplib
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from report import at_end, check, equal, need, run
from server import HOST, PEERS, Server, peer, without_trace

server = Server()
at_end(server.remove)
server.start()


def everything(user=0):
    """All of INBOX by name of Message-ID or subject: {octets after our trace fields}."""
    client = server.imap(user)
    client.select()
    rows = client.fetch("1:*", "(UID RFC822.SIZE BODY.PEEK[])")
    client.logout()
    for row in rows:
        equal(row["RFC822.SIZE"], len(row["BODY[]"]), f"RFC822.SIZE of UID {row['UID']}")
        equal(row["FIRST"], "UID", "the first item of a FETCH answer")
    return [without_trace(row["BODY[]"]) for row in rows]


def wait_for_mail(wanted, user=0, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        have = everything(user)
        if wanted(have):
            return have
        time.sleep(0.2)
    raise AssertionError("the mail did not appear")


@check("read back: smtplib delivers, octets come back")
def _():
    data = mails.plain("smtplib-1")
    server.send(data)
    wait_for_mail(lambda have: data in have)


@check("read back: smtplib.send_message with STARTTLS")
def _():
    from email.message import EmailMessage
    letter = EmailMessage()
    letter["From"], letter["To"] = "sender@remote.example", server.user()[0]
    letter["Subject"] = "Grüße aus smtplib"
    letter.set_content("Körper\n")
    with server.smtp() as smtp:
        smtp.starttls(context=server.context())
        smtp.send_message(letter)
    wait_for_mail(lambda have: any(b"aus_smtplib" in mail or b"aus smtplib" in mail or
                                   b"=?utf-8?" in mail for mail in have))


@check("read back: swaks delivers with TLS")
def _():
    need("swaks")
    done = subprocess.run(
        ["swaks", "--server", HOST, "--port", str(server.port("smtp")), "--tls",
         "--from", "swaks@remote.example", "--to", server.user()[0],
         "--header", "Subject: by-swaks", "--body", "swaks body", "--helo", "swaks.example"],
        capture_output=True, text=True, timeout=60)
    equal(done.returncode, 0, "swaks ends with " + done.stdout[-300:])
    wait_for_mail(lambda have: any(b"Subject: by-swaks" in mail for mail in have))


@check("read back: Postfix's smtp-source delivers 200 in 10 sessions")
def _():
    source = peer("smtp-source")
    need(source)
    env = dict(os.environ, LD_LIBRARY_PATH=os.path.join(PEERS, "postfix/usr/lib/postfix"))
    before = len(everything())
    subprocess.run(
        [source, "-s", "10", "-m", "200", "-l", "4096", "-f", "source@remote.example",
         "-t", server.user()[0], f"{HOST}:{server.port('smtp')}"],
        check=True, env=env, timeout=120)
    have = wait_for_mail(lambda have: len(have) >= before + 200)
    equal(len(have), before + 200, "messages")


def odd(name, data):
    @check(f"read back: {name}: octets are those sent")
    def _():
        server.send(data)
        wait_for_mail(lambda have: data in have)


for odd_name, odd_data in mails.odd():
    odd(odd_name, odd_data if odd_data.endswith(b"\r\n") else odd_data + b"\r\n")


@check("read back: APPEND keeps octets without a final CRLF, with and without LITERAL+")
def _():
    client = server.imap()
    client.ok("CREATE", "odd")
    client.select("odd")
    wanted = {}
    samples = [data for _, data in mails.odd()] + [b"Subject: x\r\n\r\nno end", b"x", b"a\nb\n"]
    for index, data in enumerate(samples):
        validity, uid = client.append("odd", data, plus=index % 2 == 0 and len(data) < 4096)
        wanted[uid] = data
    rows = client.fetch("1:*", "(UID RFC822.SIZE BODY.PEEK[])")
    equal({row["UID"] for row in rows}, set(wanted), "UIDs")
    for row in rows:
        equal(row["BODY[]"], wanted[row["UID"]], f"octets of UID {row['UID']}")
        equal(row["RFC822.SIZE"], len(wanted[row["UID"]]), "RFC822.SIZE")
    client.logout()


@check("read back: 50 MB by SMTP, whole and in pieces of 64 KiB")
def _():
    data = mails.big(50)
    server.send(data, to=server.user(1)[0])
    client = server.imap(1)
    client.select()
    client.wait_exists(1, 60)
    row = client.fetch("1:*", "(UID RFC822.SIZE BODY.PEEK[])")[-1]
    equal(without_trace(row["BODY[]"]) == data, True, "50 MB come back as sent")
    whole, pieces, at, step = row["BODY[]"], [], 0, 65536
    begin = time.monotonic()
    while at < len(whole):
        piece = client.fetch(str(row["UID"]), f"(UID BODY.PEEK[]<{at}.{step}>)")[0]
        pieces.append(piece[f"BODY[]<{at}>"])
        at += step
    equal(b"".join(pieces) == whole, True, "the pieces make the whole")
    client.logout()
    return f"{len(pieces)} pieces in {time.monotonic() - begin:.1f} s"


@check("read back: 45 MB by APPEND")
def _():
    data = mails.big(45, "append-big")
    client = server.imap(1)
    client.select()
    _, uid = client.append("INBOX", data)
    row = client.fetch(str(uid), "(UID BODY.PEEK[])")[0]
    equal(row["BODY[]"] == data, True, "45 MB come back as appended")
    client.logout()


@check("read back: curl lists, fetches and appends")
def _():
    need("curl")
    user, password = server.user()

    def curl(*words, path=""):
        done = subprocess.run(
            ["curl", "-sS", "--cacert", server.ca(), "--resolve",
             f"localhost:{server.port('imaps')}:{HOST}", "-u", f"{user}:{password}",
             f"imaps://localhost:{server.port('imaps')}/{path}", *words],
            capture_output=True, timeout=60)
        equal(done.returncode, 0, f"curl {path} {words}: {done.stderr!r}")
        return done.stdout

    assert b"INBOX" in curl(), "LIST"
    data = mails.plain("curl-1")
    server.send(data)
    wait_for_mail(lambda have: data in have)
    client = server.imap()
    client.select()
    uid = client.search("HEADER", "Message-ID", "<curl-1@remote.example>")[-1]
    octets = curl(path=f"INBOX;UID={uid}")
    equal(without_trace(octets), data, "octets by curl")
    # curl takes all that it is told for headers, and no more than 300 kB of them.
    assert b"FETCH" in curl("-X", "FETCH 1:9 (UID FLAGS)", path="INBOX"), "custom command"
    letter = os.path.join(server.scratch, "letter")
    with open(letter, "wb") as file:
        file.write(mails.plain("curl-append"))
    curl("-T", letter, path="Sent")
    client.select("Sent")
    equal([row["BODY[]"] for row in client.fetch("1:*", "(UID BODY.PEEK[])")],
          [mails.plain("curl-append")], "what curl appended")
    client.logout()


@check("read back: imaplib logs in by STARTTLS, selects, searches, fetches, stores, copies")
def _():
    user, password = server.user()
    client = imaplib.IMAP4(HOST, server.port("imap"))
    assert "LOGINDISABLED" in client.capabilities, client.capabilities
    client.starttls(server.context())
    assert "LOGINDISABLED" not in client.capabilities, client.capabilities
    client.login(user, password)
    status, count = client.select("INBOX")
    equal(status, "OK", "select")
    assert int(count[0]) > 0
    status, found = client.search(None, "SUBJECT", "smtplib-1")
    number = found[0].split()[-1]
    status, rows = client.fetch(number, "(RFC822.SIZE BODY.PEEK[])")
    size = int(rows[0][0].split(b"RFC822.SIZE ")[1].split()[0])
    equal(size, len(rows[0][1]), "RFC822.SIZE")
    equal(client.store(number, "+FLAGS", "(\\Flagged)")[0], "OK", "store")
    equal(client.copy(number, "Archive")[0], "OK", "copy")
    equal(client.status("Archive", "(MESSAGES)")[1][0].split()[-1], b"1)", "STATUS")
    client.logout()


@check("read back: all is the same after stop and start, and after kill -9")
def _():
    before = everything()
    equal(server.stop(), 0, "exit status after SIGTERM")
    server.start()
    equal(everything() == before, True, "INBOX after stop and start")
    server.kill()
    server.start()
    equal(everything() == before, True, "INBOX after kill -9")
    return f"{len(before)} messages"


run()
