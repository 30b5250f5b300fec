#!/usr/bin/env python3
"""Looks for plaintext where none may be: on the disk, in the logs, in memory once locked.

Unique words, ASCII and not, stand in every place where mail has words. The server is killed at
random points while such mail comes in and is worked on; each time everything that it wrote is
searched. After a lock the memory of the living process and a core dump of it are searched too.

The file quickstart.json and the names of our own accounts are known to lie open; the canaries are
not in them.
"""

import os
import random
import shutil
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import canaries
from disks import ShutdownDisk
from imapraw import ImapError, Literal, quote
from report import Skip, at_end, check, need, need_root, run
from server import ROOT, Server

KILLS = int(os.environ.get("KILLS", "8"))
SEED = int(os.environ.get("SEED", str(int(time.time()))))
DICE = random.Random(SEED)
PLACES = ["subject", "sender name", "sender address", "recipient name", "detail", "body",
          "html", "attachment name", "attachment", "message id", "header", "folder", "keyword",
          "appended", "search", "helo"]
WORDS = canaries.words(DICE, PLACES)
SEARCH = canaries.Search(WORDS)

server = Server(environment={"RUST_LOG": "trace", "SSLKEYLOGFILE": "/tmp/keylog-of-postseal"})
server.plain_serve = True
at_end(server.remove)


def word(place, foreign=False):
    return WORDS[place + (" (foreign)" if foreign else "")]


def letter(number):
    """A mail with every word in it, encoded in another way each time."""
    from email.message import EmailMessage
    from email.headerregistry import Address
    mail = EmailMessage()
    foreign = number % 2 == 1
    mail["Subject"] = f"{word('subject')} {word('subject', True)}"
    sender = word("sender address").lower()
    mail["From"] = Address(f"{word('sender name')} {word('sender name', True)}", sender,
                           "remote.example")
    mail["To"] = Address(word("recipient name", foreign), "alice", "example.test")
    mail["Message-ID"] = f"<{word('message id')}.{number}@remote.example>"
    mail["X-Canary"] = word("header")
    encoding = ("quoted-printable", "base64", "8bit")[number % 3]
    mail.set_content(f"{word('body')}\n{word('body', True)}\n" * 20, cte=encoding)
    mail.add_alternative(f"<p>{word('html')} {word('html', True)}</p>", subtype="html")
    content = f"{word('attachment')} {word('attachment', True)}".encode() * 50
    mail.add_attachment(content * (1 if number % 7 else 400), maintype="application",
                        subtype="x-secret", filename=f"{word('attachment name')}.bin")
    return mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def work(stop):
    """Mail comes in and is worked on, with the words in commands too."""
    def deliver():
        number = 0
        address = server.user()[0].replace("@", "+" + word("detail") + "@")
        smtp = server.smtp()
        smtp.ehlo(word("helo").lower() + ".example")
        while not stop.is_set():
            number += 1
            server.send(letter(number), to=address if number % 3 else server.user(1)[0],
                        sender=f"{word('sender address')}@remote.example", smtp=smtp)

    def change():
        client = server.imap()
        folder = canaries.mutf7(word("folder", True))
        for name in (word("folder"), folder, folder + b"/" + word("folder").encode()):
            client.command("CREATE", quote(name))
        client.select()
        client.wait_exists(1)
        text = f"Subject: {word('appended')}\r\n\r\n{word('appended', True)}\r\n".encode()
        while not stop.is_set():
            client.ok("APPEND", quote(folder), Literal(text))
            client.ok("STORE 1", f"+FLAGS ({word('keyword')})")
            client.ok("COPY 1", quote(word("folder")))
            client.search("TEXT", quote(word("search")))
            client.search("CHARSET UTF-8 SUBJECT", Literal(word("search", True).encode()))
            client.fetch("1", "(ENVELOPE BODYSTRUCTURE BODY.PEEK[])", uid=False)
            time.sleep(0.02)

    def guard(target):
        try:
            target()
        except (OSError, ImapError, Exception) as error:  # the server is killed under it
            if not stop.is_set():
                problems.append(f"{target.__name__}: {error}")

    problems = []
    threads = [threading.Thread(target=guard, args=(t,), daemon=True) for t in (deliver, change)]
    for thread in threads:
        thread.start()
    return threads, problems


def on_disk():
    facts = os.path.join(server.directory, "quickstart.json")
    found, size = SEARCH.tree(server.directory, without=(facts,))
    found += SEARCH.file(server.log_path)
    if os.path.exists("/tmp/keylog-of-postseal"):
        found.append("a TLS key log was written")
    return found, size


def none(found, size):
    assert not found, f"{len(found)} hits, seed {SEED}: {found[:4]}"
    assert size > 10_000, f"only {size} octets were searched"
    return f"0 hits in {size / 1e6:.1f} MB"


@check("canary: the search itself finds each disguise, and nothing in noise")
def _():
    return canaries.self_test()


@check(f"canary: killed at {KILLS} random points: nothing on the disk, nothing in the logs")
def _():
    total = 0
    for _ in range(KILLS):
        server.start()
        stop = threading.Event()
        threads, problems = work(stop)
        time.sleep(DICE.uniform(0.3, 2.5))
        assert not problems, problems
        stop.set()
        server.kill()
        for thread in threads:
            thread.join(30)
        found, size = on_disk()
        none(found, size)
        total += size
    return none([], total) + f", seed {SEED}"


def lock_all():
    for user in server.info["users"]:
        server.cli("account", "lock", user["address"])


@check("canary: the memory scan finds words while the account is open (or it would prove nothing)")
def _():
    need_root()
    server.start()
    client = server.imap()
    client.select()
    client.fetch("1:5", "(ENVELOPE BODY.PEEK[])", uid=False)
    found, size = SEARCH.memory(server.pid())
    client.logout()
    assert found, f"nothing in {size} octets of memory"
    return f"{len(found)} hits in {size / 1e6:.0f} MB"


@check("canary: after lock: no plaintext and no password in the memory of the process")
def _():
    need_root()
    stop = threading.Event()
    threads, problems = work(stop)
    time.sleep(3)
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not problems, problems
    lock_all()
    time.sleep(2)
    found, size = SEARCH.memory(server.pid())
    secrets = canaries.Search({f"password of {u['name']}": u["password"]
                               for u in server.info["users"]})
    more, _ = secrets.memory(server.pid())
    return none(found + more, size)


def without_registers(path):
    """Blanks a core's notes: the threads' registers, of which the claims say nothing."""
    with open(path, "r+b") as core:
        head = core.read(64)
        table, = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        assert size == 56 and 0 < count < 0xffff, "a core of another kind"
        for index in range(count):
            core.seek(table + index * size)
            kind, _, offset, _, _, length = struct.unpack("<IIQQQQ", core.read(40))
            if kind == 4:  # PT_NOTE
                core.seek(offset)
                core.write(bytes(length))


@check("canary: after lock: nothing in a core dump")
def _():
    need_root()
    need("gcore")
    core = os.path.join(server.scratch, "core")
    done = subprocess.run(["gcore", "-a", "-o", core, str(server.pid())], capture_output=True,
                          text=True)
    path = f"{core}.{server.pid()}"
    if not os.path.exists(path):
        raise Skip(f"gcore: {done.stderr.strip()[-200:]}")
    without_registers(path)
    found = SEARCH.file(path, inflate=False)
    size = os.path.getsize(path)
    os.unlink(path)
    return none(found, size)


@check("canary: after lock and stop: nothing on the disk")
def _():
    server.stop()
    return none(*on_disk())


@check("seizer's kit: the whole directory and the outside keys tell what is documented, no more")
def _():
    kit = os.path.join(ROOT, "target", "debug", "examples", "seizer")
    need(kit)
    taken = os.path.join(server.scratch, "taken")
    shutil.copytree(os.path.join(server.directory, "data"), taken)
    key = os.path.join(server.directory, "keys", "journal.key")
    done = subprocess.run([kit, taken, key], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    facts = [line.partition(": ")[::2] for line in done.stdout.splitlines()]
    with open(os.path.join(os.path.dirname(__file__), "seized.txt"), encoding="utf-8") as file:
        documented = {line.split(":")[0] for line in file if line.strip() and line[0] != "#"}
    kinds = {kind for kind, _ in facts}
    assert kinds <= documented, f"undocumented: {sorted(kinds - documented)}"
    missing = documented - kinds - {"account.bad-file", "arrival.deleted", "account.deleted"}
    assert not missing, f"documented, but not found (is the kit blind?): {sorted(missing)}"
    addresses = sorted(value.split()[1] for kind, value in facts if kind == "account.address")
    assert addresses == sorted(u["address"] for u in server.info["users"]), addresses
    strange = [value for kind, value in facts if kind == "text" and not is_expected(value)]
    assert not strange, f"texts: {strange[:5]}"
    found = SEARCH.octets(done.stdout.encode(), "what the kit prints")
    assert not found, found
    return f"{len(facts)} facts of {len(kinds)} kinds"


def is_expected(text):
    """Addresses of accounts, what public certificates hold, and sled's own words."""
    public = ["salt@notations.sequoia-pgp.org", "__sled__default"]
    public += [user["address"] for user in server.info["users"]]
    return text.endswith(" in index/conf") or any(word in text for word in public)


@check("canary: raw disk image, after expunge and stop: nothing in blocks that files left behind")
def _():
    disk = ShutdownDisk("ext4", 1024)
    global server
    keep, server = server, Server(directory=os.path.join(disk.path, "data"))
    try:
        server.start()
        stop = threading.Event()
        threads, problems = work(stop)
        time.sleep(4)
        stop.set()
        for thread in threads:
            thread.join(30)
        assert not problems, problems
        client = server.imap()
        client.select()
        client.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)")
        client.ok("EXPUNGE")
        client.logout()
        server.stop()
        subprocess.run(["sync"], check=True)
        size = os.stat(disk.image).st_blocks * 512
        return none(SEARCH.file(disk.image, inflate=False), size)
    finally:
        server.remove()
        server = keep
        disk.close()


shutil.rmtree("/tmp/keylog-of-postseal", ignore_errors=True)
run()
