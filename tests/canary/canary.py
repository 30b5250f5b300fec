#!/usr/bin/env python3
"""Looks for plaintext where none may be: on the disk, in the logs, in memory once locked.

Unique words, ASCII and not, stand in every place where mail has words. The server is killed at
random points while such mail comes in and is worked on; each time everything that it wrote is
searched. After a lock the memory of the living process and a core dump of it are searched too.

Mail goes out, too: what is delivered, refused, put off, held, and what waits because its
recipient's key could not be looked up.

The file quickstart.json and the names of our own accounts are known to lie open; the canaries are
not in them. The names of the small internet lie in a file of the test.
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
import outwards
from report import Skip, at_end, check, need, need_root, run
from server import ROOT, Server

KILLS = int(os.environ.get("KILLS", "8"))
SEED = int(os.environ.get("SEED", str(int(time.time()))))
DICE = random.Random(SEED)
PLACES = ["subject", "sender name", "sender address", "recipient name", "detail", "body",
          "html", "attachment name", "attachment", "message id", "header", "folder", "keyword",
          "appended", "search", "helo", *outwards.PLACES]
WORDS = canaries.words(DICE, PLACES)

server = Server(environment={"RUST_LOG": "trace", "SSLKEYLOGFILE": "/tmp/keylog-of-postseal"})
at_end(server.remove)


def word(place, foreign=False):
    return WORDS[place + (" (foreign)" if foreign else "")]


server.start()
server.stop()
server.plain_serve = True
need_gpg = shutil.which("gpg")
out = outwards.Outwards(server, word) if need_gpg else None
SEARCH = canaries.Search(WORDS, out.hashes() if out else None)
# Of mail that waits to go out a server knows who wrote it to whom; not what.
MEMORY = canaries.Search({name: text for name, text in WORDS.items()
                          if name.partition(" (")[0] not in outwards.ENVELOPE})


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

    def send():
        number, smtp = DICE.randrange(36), out.session()
        while not stop.is_set():
            number += 1
            out.submit(smtp, number)

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
    targets = [deliver, change] + [send] * (out is not None and out.server is server)
    threads = [threading.Thread(target=guard, args=(t,), daemon=True) for t in targets]
    for thread in threads:
        thread.start()
    return threads, problems


def on_disk():
    own = [os.path.join(server.directory, name) for name in ("quickstart.json", "zone")]
    found, size = SEARCH.tree(server.directory, without=own)
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


@check("canary: no report of ours shows what was sealed, or was to be")
def _():
    need("gpg")
    server.start()
    smtp = out.session()
    for kinds in (["bounced"], ["bounced", "plain"], ["bounced", "late"], ["held"]):
        out.submit(smtp, 1, kinds)
    out.settle()
    time.sleep(1)
    client = server.imap()
    client.select()
    rows = [row["BODY[]"] for row in client.fetch("1:*", "(UID BODY.PEEK[])")]
    client.logout()
    reports = [octets for octets in rows if b"\r\nContent-Type: multipart/report" in octets[:4000]]
    told = {kind: sum(out.address(kind).encode() in octets for octets in reports)
            for kind in ("bounced", "held")}
    assert min(told.values()) > 0, f"reports: {told}, of {len(rows)} messages"
    content = canaries.Search({name: text for name, text in WORDS.items()
                               if name.partition(" (")[0] in outwards.CONTENT})
    found = [hit for octets in reports for hit in content.octets(octets, "a report")]
    assert not found, f"{found[:3]}"
    assert any(content.octets(mail["data"], "x") for mail in out.domains["plain"].mails), \
        "the search is blind"
    server.stop()
    return f"{len(reports)} reports, of which {told}"


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
    waiting = out.settle() if out else []
    lock_all()
    time.sleep(2)
    found, size = MEMORY.memory(server.pid())
    secrets = canaries.Search({f"password of {u['name']}": u["password"]
                               for u in server.info["users"]})
    more, _ = secrets.memory(server.pid())
    return none(found + more, size) + f", {len(waiting)} letters wait to go out"


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
    found = MEMORY.file(path, inflate=False)
    size = os.path.getsize(path)
    os.unlink(path)
    return none(found, size)


@check("canary: after lock and stop: nothing on the disk")
def _():
    server.stop()
    return none(*on_disk())


def seized(*keys):
    """What the kit says with these of the outside keys: (kind, value) of each fact."""
    kit = os.path.join(ROOT, "target", "debug", "examples", "seizer")
    need(kit)
    taken = os.path.join(server.scratch, "taken")
    shutil.rmtree(taken, ignore_errors=True)
    shutil.copytree(os.path.join(server.directory, "data"), taken)
    keys = [os.path.join(server.directory, "keys", name) for name in keys]
    done = subprocess.run([kit, taken, *keys], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    return [line.partition(": ")[::2] for line in done.stdout.splitlines()]


def documented():
    with open(os.path.join(os.path.dirname(__file__), "seized.txt"), encoding="utf-8") as file:
        return {line.split(":")[0] for line in file if line.strip() and line[0] != "#"}


@check("seizer's kit: the whole directory and the outside keys but the queue's tell what is "
       "documented, no more")
def _():
    need("gpg")
    facts, kinds_documented = seized("journal.key"), documented()
    kinds = {kind for kind, _ in facts}
    assert kinds <= kinds_documented, f"undocumented: {sorted(kinds - kinds_documented)}"
    missing = {kind for kind in kinds_documented - kinds if not kind.startswith("queued.")}
    missing -= {"account.bad-file", "arrival.deleted", "account.deleted"}
    assert not missing, f"documented, but not found (is the kit blind?): {sorted(missing)}"
    opened = [kind for kind in kinds if kind.startswith("queued.")]
    assert not opened, f"without the queue key: {opened}"
    addresses = sorted(value.split()[1] for kind, value in facts if kind == "account.address")
    assert addresses == sorted(u["address"] for u in server.info["users"]), addresses
    strange = [value for kind, value in facts if kind == "text" and not is_expected(value)]
    assert not strange, f"texts: {strange[:5]}"
    # The ledger names those who have a key, and nobody else.
    known = {value for kind, value in facts if kind == "ledger.correspondent"}
    have_keys = [out.address(kind) for kind in ("delivered", "late", "bounced")]
    strange = [value for value in known if not value.endswith(tuple(have_keys))]
    assert not strange and len(known) >= len(have_keys), f"in the ledger: {known}"
    told = "\n".join(value for kind, value in facts if kind != "ledger.correspondent")
    found = SEARCH.octets(told.encode(), "what the kit prints")
    assert not found, found
    return f"{len(facts)} facts of {len(kinds)} kinds"


@check("seizer's kit: with the queue key he reads what waits to go out, and nothing else more")
def _():
    need("gpg")
    facts = seized("journal.key", "queue.key")
    kinds = {kind for kind, _ in facts}
    assert kinds <= documented(), f"undocumented: {sorted(kinds - documented())}"
    recipients = {value.split()[1] for kind, value in facts if kind == "queued.recipient"}
    assert {out.address(kind) for kind in ("late", "held", "unlearnt")} <= recipients, recipients
    messages = [value for kind, value in facts if kind == "queued.message"]
    assert messages and all(word("out subject") in text for text in messages), "cannot read"
    rest = "\n".join(value for kind, value in facts
                     if not kind.startswith("queued.") and kind != "ledger.correspondent")
    found = SEARCH.octets(rest.encode(), "what the kit prints")
    assert not found, found
    return f"{len(messages)} messages wait"


def is_expected(text):
    """Addresses of accounts, what public certificates hold, sled's own words, and rising numbers
    in the footers of segments."""
    run, _, name = text.rpartition(" in ")
    if name.endswith(".segment") and all(a < b for a, b in zip(run, run[1:])):
        return True
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
