#!/usr/bin/env python3
"""mbsync keeps 1,000 messages the same on both sides, and a second run finds nothing to do."""

import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from report import at_end, check, equal, need, run
from server import Server

MESSAGES = 1000

server = Server()
at_end(server.remove)
server.start()
local = os.path.join(server.scratch, "local")
os.mkdir(local)


def configuration():
    user, password = server.user()
    path = os.path.join(server.scratch, "mbsyncrc")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""
IMAPAccount postseal
Host localhost
Port {server.port("imaps")}
User {user}
Pass {password}
SSLType IMAPS
SSLVersions TLSv1.2 TLSv1.3
CertificateFile {server.ca()}
Timeout 120

IMAPStore far
Account postseal

MaildirStore near
Path {local}/
Inbox {local}/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
CopyArrivalDate yes
""")
    return path


def mbsync():
    need("mbsync")
    # It says what it does with -V; with a certificate for another name it wants the fingerprint.
    done = subprocess.run(["mbsync", "-V", "-c", configuration(), "all"], capture_output=True,
                          text=True, timeout=600)
    text = done.stdout + done.stderr
    equal(done.returncode, 0, f"mbsync: {text[-500:]}")
    return text


def near():
    """Folder -> sorted digests of its messages without mbsync's own header, and their flags."""
    out = {}
    for folder, _, files in os.walk(local):
        kind = os.path.basename(folder)
        if kind not in ("cur", "new"):
            continue
        name = os.path.relpath(os.path.dirname(folder), local)
        rows = out.setdefault(name, [])
        for entry in files:
            with open(os.path.join(folder, entry), "rb") as file:
                flags = "".join(sorted(entry.partition(":2,")[2]))
                rows.append((digest(file.read()), flags))
    return {name: sorted(rows) for name, rows in out.items() if rows}


LETTERS = {"\\Draft": "D", "\\Flagged": "F", "\\Answered": "R", "\\Seen": "S", "\\Deleted": "T"}


def far():
    client = server.imap()
    out = {}
    for row in client.ok("LIST", '""', '"*"'):
        if row[1] == b"LIST" and b"\\Noselect" not in row[2]:
            name = bytes(row[-1]).decode()
            client.select(name, "EXAMINE")
            rows = client.fetch("1:*", "(UID FLAGS BODY.PEEK[])")
            out[name] = sorted(
                (digest(r["BODY[]"]),
                 "".join(sorted(LETTERS[f] for f in r["FLAGS"] if f in LETTERS))) for r in rows)
    client.logout()
    return {name: rows for name, rows in out.items() if rows}


def digest(octets):
    octets = octets.replace(b"\r\n", b"\n")
    lines = [line for line in octets.split(b"\n") if not line.startswith(b"X-TUID:")]
    return hashlib.sha256(b"\n".join(lines)).hexdigest()[:16]


def same(what):
    left, right = near(), far()
    equal({k: len(v) for k, v in left.items()}, {k: len(v) for k, v in right.items()},
          f"{what}: messages a folder")
    assert left == right, f"{what}: {[k for k in left if left[k] != right[k]]} differ"
    return f"{sum(map(len, left.values()))} messages"


def quiet(what):
    before = near(), far()
    text = mbsync()
    assert (near(), far()) == before, f"{what}: a second run changed something: {text[-300:]}"
    assert "propagat" not in text or "(0" in text, text[-300:]


@check("mbsync: 1,000 messages, both sides are the same, a second run does nothing")
def _():
    notes = server.settled()
    smtp = server.smtp()
    # mbsync leaves a message alone whose header never ends.
    odd = [data for _, data in mails.odd() if b"\r\n\r\n" in data]
    for number in range(MESSAGES):
        data = odd[number] if number < len(odd) else mails.plain(f"sync-{number}")
        server.send(data, smtp=smtp)
    smtp.quit()
    client = server.imap()
    client.select()
    client.wait_exists(MESSAGES + notes, 60)
    client.logout()
    mbsync()
    note = same("first run")
    quiet("second run")
    return note


@check("mbsync: changes on both sides meet")
def _():
    client = server.imap()
    client.select()
    client.ok("STORE", "1:50", "+FLAGS.SILENT (\\Seen \\Flagged)")
    client.ok("STORE", "51:60", "+FLAGS.SILENT (\\Deleted)")
    client.ok("CREATE", "Projekte")
    client.ok("COPY", "100:120", "Projekte")
    client.ok("MOVE", "200:210", "Archive")
    client.logout()
    inbox = os.path.join(local, "INBOX")
    names = sorted(os.listdir(os.path.join(inbox, "cur")) or os.listdir(os.path.join(inbox, "new")))
    for name in names[300:320]:
        folder = "cur" if os.path.exists(os.path.join(inbox, "cur", name)) else "new"
        base = name.partition(":2,")[0]
        os.rename(os.path.join(inbox, folder, name), os.path.join(inbox, "cur", base + ":2,RS"))
    for name in names[400:410]:
        for folder in ("cur", "new"):
            path = os.path.join(inbox, folder, name)
            if os.path.exists(path):
                os.unlink(path)
    own = os.path.join(inbox, "new", "1.own.host")
    with open(own, "wb") as file:
        file.write(mails.plain("from-near").replace(b"\r\n", b"\n"))
    mbsync()
    mbsync()
    note = same("after changes")
    quiet("after changes")
    return note


@check("mbsync: after kill -9 of the server nothing is to be done")
def _():
    server.kill()
    server.start()
    quiet("after kill -9")
    return same("after kill -9")


@check("mbsync: killed server in the middle of a run, then all meets")
def _():
    import threading
    import time
    smtp = server.smtp()
    for number in range(200):
        server.send(mails.plain(f"late-{number}"), smtp=smtp)
    smtp.quit()
    killer = threading.Thread(target=lambda: (time.sleep(0.5), server.kill()))
    killer.start()
    subprocess.run(["mbsync", "-V", "-c", configuration(), "all"], capture_output=True, timeout=600)
    killer.join()
    server.start()
    mbsync()
    quiet("after the cut run")
    return same("after the cut run")


@check("mbsync: deleting the index changes nothing that a client sees")
def _():
    import shutil
    before = far()
    server.stop()
    removed = []
    for folder, folders, _ in os.walk(server.directory):
        for name in folders:
            if name in ("index", "sled"):
                shutil.rmtree(os.path.join(folder, name))
                removed.append(name)
    assert removed, "no index was found to delete"
    server.start()
    assert far() == before, "another view without the index"
    quiet("without the index")


run()
