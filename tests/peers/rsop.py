#!/usr/bin/env python3
"""An independent OpenPGP opens what is stored: rsop (rPGP), with the account's storage key alone.

rsop is built from crates.io below target/peers; where that cannot be done the checks are skipped.
"""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from report import Skip, at_end, check, equal, run
from server import PEERS, ROOT, Server

VERSION = "0.12.0"
RSOP = os.path.join(PEERS, "rsop", "bin", "rsop")

server = Server()
at_end(server.remove)
server.start()


def rsop():
    """The program, built at the first call."""
    if not os.path.exists(RSOP):
        log = os.path.join(PEERS, "rsop.log")
        os.makedirs(PEERS, exist_ok=True)
        with open(log, "w", encoding="utf-8") as out:
            built = subprocess.run(
                ["cargo", "install", "rsop", "--version", VERSION, "--locked", "--debug",
                 "--no-default-features", "--features", "cli,pqc", "--root",
                 os.path.join(PEERS, "rsop"), "--target-dir", os.path.join(PEERS, "rsop-build")],
                stdout=out, stderr=subprocess.STDOUT, timeout=1800)
        if built.returncode != 0:
            raise Skip(f"rsop {VERSION} could not be built, see {log}")
        shutil.rmtree(os.path.join(PEERS, "rsop-build"), ignore_errors=True)
    return RSOP


def stored(out):
    """Writes the stored messages of all accounts to `out`, from a copy of the directory."""
    copy = os.path.join(server.scratch, "copy")
    shutil.copytree(os.path.join(server.directory, "data"), copy)
    subprocess.run(["cargo", "build", "--quiet", "--example", "objects"], cwd=ROOT, check=True)
    tool = os.path.join(ROOT, "target", "debug", "examples", "objects")
    key = os.path.join(server.directory, "keys", "journal.key")
    subprocess.run([tool, copy, key, out], check=True, timeout=120)
    return sorted(os.path.join(out, name) for name in os.listdir(out))


@check("rsop opens every stored message with the storage key, octets are those IMAP shows")
def _():
    program = rsop()
    for _, data in mails.odd():
        server.send(data)
    server.send(mails.big(1))
    client = server.imap()
    client.append("Drafts", mails.plain("appended"))
    wanted = []
    server.settled()
    for folder in ("INBOX", "Drafts"):
        client.select(folder)
        wanted += [row["BODY[]"] for row in client.fetch("1:*", "(UID BODY.PEEK[])")]
    client.logout()
    address, password = server.user()
    key = os.path.join(server.scratch, "storage.pgp")
    exported = server.cli("key", "export", "--storage", "--password-stdin", address,
                          stdin=password + "\n")
    with open(key, "w", encoding="ascii") as file:
        file.write(exported.stdout)
    server.stop()
    out = os.path.join(server.scratch, "objects")
    os.mkdir(out)
    number = min(int(os.path.basename(path).split("-")[0]) for path in stored(out))
    opened = []
    for name in sorted(os.listdir(out)):
        path = os.path.join(out, name)
        with open(path, "rb") as file:
            done = subprocess.run([program, "decrypt", key], stdin=file, capture_output=True,
                                  timeout=120)
        if name.startswith(f"{number}-"):
            equal(done.returncode, 0, f"rsop decrypt {name}: {done.stderr[-300:]!r}")
            opened.append(done.stdout)
        else:
            assert done.returncode != 0, "the key of one account opens another's mail"
    # What came in later than the last look (notes of the export) is opened too.
    missing = [octets[:200] for octets in wanted if octets not in opened]
    equal(missing, [], "messages that IMAP shows and rsop did not open")
    return f"{len(opened)} messages"


run()
