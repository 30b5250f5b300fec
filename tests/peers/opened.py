#!/usr/bin/env python3
"""What other people's OpenPGP seals for a user of ours, he reads opened.

Each program seals for the key that the user publishes. The letter is signed with DKIM, so that its
sender is proved, and comes in by SMTP; what IMAP shows is the letter that was sealed.
"""

import base64
import email
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from openpgp import ADDRESS, peer, write
from report import at_end, check, equal, run
from server import ROOT, Server

DOMAIN = ADDRESS.partition("@")[2]
BODY = "Gr\u00fc\u00dfe, trailing blank \r\n\r\n.\r\nlast\r\n".encode()

server = Server()
at_end(server.remove)
server.start()
server.stop()
user = server.user()[0]
built = []


def dkim_key():
    """A file with the key of the sender's domain, and the records for it."""
    path = write("dkim.pem", b"")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", path], check=True)
    os.chmod(path, 0o600)
    der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"],
                         check=True, capture_output=True).stdout
    public = base64.b64encode(der[-32:]).decode("ascii")
    return path, (f"\n$zone {DOMAIN}\n_dmarc.{DOMAIN} TXT \"v=DMARC1; p=reject\"\n"
                  f"s1-ed25519._domainkey.{DOMAIN} TXT \"v=DKIM1; k=ed25519; p={public}\"\n")


KEY, RECORDS = dkim_key()
with open(os.path.join(server.directory, "zone"), "a", encoding="ascii") as zone:
    zone.write(RECORDS)
server.start()
CERT = write("user.cert", server.cli("key", "export", "--armor", user).stdout.encode("ascii"))


def signed(message):
    tool = os.path.join(ROOT, "target", "debug", "examples", "signatures")
    if not built:
        subprocess.run(["cargo", "build", "--quiet", "--example", "signatures"], cwd=ROOT,
                       check=True)
        built.append(tool)
    return subprocess.run([tool, "sign", "ed25519", KEY, DOMAIN, "s1"], input=message, check=True,
                          capture_output=True, timeout=60).stdout


def letter(subject, armored):
    armored = armored.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return (f"From: Peer <{ADDRESS}>\r\nTo: <{user}>\r\nSubject: {subject}\r\n"
            "MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; boundary=b;\r\n"
            " protocol=\"application/pgp-encrypted\"\r\n\r\n--b\r\nContent-Type: "
            "application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--b\r\nContent-Type: "
            "application/octet-stream\r\n\r\n").encode() + armored + b"\r\n--b--\r\n"


def entity(subject):
    """What is sealed, with protected header fields."""
    return (f"Content-Type: text/plain; charset=utf-8; hp=\"cipher\"\r\nFrom: Peer <{ADDRESS}>\r\n"
            f"To: <{user}>\r\nSubject: {subject}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            ).encode() + BODY


def found(subject, seconds=30):
    """The message with this subject, as IMAP shows it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        client = server.imap()
        client.select()
        rows = client.fetch("1:*", "(UID BODY.PEEK[])")
        client.logout()
        for row in rows:
            if email.message_from_bytes(row["BODY[]"])["Subject"] == subject:
                return row["BODY[]"]
        time.sleep(0.2)
    subjects = [email.message_from_bytes(row["BODY[]"])["Subject"] for row in rows]
    raise AssertionError(f"no {subject!r} among {subjects}; {server.own_log_tail()}")


def is_opened(name):
    armored = peer(name).encrypt(entity(f"inside {name}"), CERT)
    server.send(signed(letter("...", armored)), sender=ADDRESS)
    shown = found(f"inside {name}")
    opened = email.message_from_bytes(shown)["Postseal-Opened"]
    assert opened.startswith("sealed to you; sender proved on arrival"), opened
    equal(shown.partition(b"\r\n\r\n")[2], BODY, "the body")


# One kind of key of each: for ours they all do the same.
for each in ("gpg", "sq", "rnp", "sqop", "gosop", "pgpainless-cli", "rsop security",
             "OpenPGP.js v4", "PGPy curve25519", "pysequoia v4"):
    check(f"what {each.split()[0]} seals for a user is shown opened")(
        lambda each=each: is_opened(each))


@check("what is sealed for somebody else, and what is not signed with DKIM, is shown as it came")
def _():
    program = peer("gpg")
    stranger = program.encrypt(entity("inside, never seen"))
    server.send(signed(letter("for a stranger", stranger)), sender=ADDRESS)
    server.send(letter("from nobody", program.encrypt(entity("inside, never seen"), CERT)),
                sender=ADDRESS)
    for subject in ("for a stranger", "from nobody"):
        shown = found(subject)
        assert b"BEGIN PGP MESSAGE" in shown and b"Postseal-Opened" not in shown, shown


run()
