"""Puts a server to work and remembers what it promised, so that it can be held to it.

A `Load` delivers by SMTP from several sessions, watches the INBOX from another, and changes private
mailboxes by IMAP from others. Each acknowledgement goes to a file that is not on the server's disk.
After a crash `verify` reads everything back by IMAP and compares:

* every message that was answered with 250 is there, octet for octet;
* every message that a session was shown still has the UID it was shown with;
* every mailbox is as after the last command that was answered OK, or as after the one command
  that was under way, and never anything between;
* no (UIDVALIDITY, UID) ever means another message, and UIDNEXT never goes back.
"""

import hashlib
import os
import random
import re
import smtplib
import threading
import time

from imapraw import Closed, ImapError, quote, text
from server import send_raw, without_trace

GONE = (Closed, OSError, smtplib.SMTPException, EOFError)
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "$Work", "Later"]


class Load:
    def __init__(self, server, ack_path, seed, senders=3, changers=2):
        self.server = server
        self.random = random.Random(seed)
        self.ack_path = ack_path
        self.lock = threading.Lock()
        self.acknowledged = {}          # Message-ID -> (digest, account index)
        self.seen = {}                  # INBOX of account 0: uid -> Message-ID
        self.verified = {0: {}, 1: {}}  # account -> uid -> digest, read back in full before
        self.uidvalidity = {}           # (account, mailbox) -> last seen
        self.uidnext = {}
        self.meaning = {}               # (mailbox, uidvalidity, uid) -> digest
        self.changers = [Changer(self, f"work{n}", seed * 31 + n) for n in range(changers)]
        self.senders = senders
        self.cycle = 0
        self.errors = []
        self.refused = 0

    # -- the load

    def start(self):
        self.cycle += 1
        self.stopping = threading.Event()
        self.disk_gone = False
        targets = [(self.deliver, n) for n in range(self.senders)] + [(self.watch, 0)]
        targets += [(changer.work, 0) for changer in self.changers]
        self.threads = [threading.Thread(target=self.guard, args=target, daemon=True)
                        for target in targets]
        for thread in self.threads:
            thread.start()

    def guard(self, target, argument):
        try:
            target(argument)
        except GONE:
            pass
        except ImapError as error:
            # Without a disk the server may refuse; what was under way may or may not have happened.
            polite = any(code in str(error) for code in ("[UNAVAILABLE]", "[OVERQUOTA]"))
            if not (self.disk_gone and polite):
                self.errors.append(f"{target.__qualname__}: {error}")
        except Exception as error:
            self.errors.append(f"{target.__qualname__}: {type(error).__name__}: {error}")

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(30)
            if thread.is_alive():
                self.errors.append("a client still waits for an answer after 30 s")

    def acknowledge(self, line):
        with self.lock, open(self.ack_path, "a", encoding="utf-8") as file:
            file.write(line + "\n")

    def deliver(self, number):
        dice = random.Random(f"{self.random.random()} {number}")
        smtp = self.server.smtp(timeout=30)
        count = 0
        while not self.stopping.is_set():
            count += 1
            name = f"{self.cycle}.{number}.{count}@load.example"
            data = message(name, dice)
            account = 1 if dice.random() < 0.2 else 0
            try:
                self.server.send(data, to=self.server.user(account)[0], smtp=smtp)
            except smtplib.SMTPResponseException as error:
                # A temporary refusal promises nothing; the disk may be going away just now.
                if not 400 <= error.smtp_code < 500:
                    raise
                self.refused += 1
                smtp.rset()
                time.sleep(0.05)
                continue
            with self.lock:
                self.acknowledged[name] = (digest(data), account)
            self.acknowledge(f"250 {name}")

    def watch(self, _):
        client = self.server.imap(timeout=30)
        box = client.select()
        self.note_box(0, "INBOX", box)
        top = max(self.seen, default=0)
        while not self.stopping.is_set():
            client.ok("NOOP")
            for row in client.fetch(f"{top + 1}:*", "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])"):
                if row["UID"] <= top:
                    continue
                name = message_id(next(v for k, v in row.items() if k.startswith("BODY[")))
                with self.lock:
                    self.seen[row["UID"]] = name
                self.acknowledge(f"seen {row['UID']} {name}")
            top = max(self.seen, default=top)
            time.sleep(0.01)
        client.logout()

    # -- the reckoning

    def verify(self, everything=False):
        """Raises AssertionError with what is wrong; returns what was compared."""
        assert not self.errors, "; ".join(self.errors[:3])
        compared = sum(self.verify_inbox(account, everything) for account in (0, 1))
        client = self.server.imap(timeout=60)
        for changer in self.changers:
            compared += changer.verify(client)
        client.logout()
        return compared

    def verify_inbox(self, account, everything):
        wanted = {name: d for name, (d, owner) in self.acknowledged.items() if owner == account}
        client = self.server.imap(account, timeout=120)
        box = client.select()
        self.note_box(account, "INBOX", box)
        known = self.verified[account]
        self.wait_fold(client, len(wanted))
        if everything:
            known.clear()
        top = max(known, default=0)
        listed = {row["UID"] for row in client.fetch("1:*", "(UID RFC822.SIZE)")}
        assert set(known) <= listed, f"UIDs gone from INBOX: {sorted(set(known) - listed)[:5]}"
        for row in self.bodies(client, [uid for uid in sorted(listed) if uid > top]):
            octets = row["BODY[]"]
            equal_size(row, octets)
            name, mark = message_id(octets), digest(without_trace(octets))
            if name in wanted:
                assert wanted[name] == mark, f"{name} came back with other octets"
            known[row["UID"]] = (name, mark)
            self.note_meaning(account, "INBOX", box["UIDVALIDITY"], row["UID"], mark)
        have = {name for name, _ in known.values()}
        lost = sorted(set(wanted) - have)
        assert not lost, f"{len(lost)} of {len(wanted)} acknowledged messages lost: {lost[:3]}"
        if account == 0:
            for uid, name in self.seen.items():
                now = known.get(uid, ("nothing",))[0]
                assert now == name, f"UID {uid} was shown as {name} and is now {now}"
        client.logout()
        return len(wanted)

    def wait_fold(self, client, count):
        """The tray folds behind the login; EXISTS grows, and notes of the server come on top."""
        end = time.monotonic() + 30
        last, still = -1, 0
        while time.monotonic() < end and still < 4:
            client.ok("NOOP")
            now = len(client.search("ALL"))
            still = still + 1 if now == last and now >= count else 0
            last = now
            time.sleep(0.05)

    def bodies(self, client, uids):
        for at in range(0, len(uids), 100):
            some = ",".join(map(str, uids[at:at + 100]))
            yield from client.fetch(some, "(UID RFC822.SIZE BODY.PEEK[])")

    def note_box(self, account, mailbox, box):
        key = (account, mailbox)
        with self.lock:
            before = self.uidvalidity.setdefault(key, box["UIDVALIDITY"])
            assert before == box["UIDVALIDITY"], f"UIDVALIDITY {before} -> {box['UIDVALIDITY']}"
            last = self.uidnext.get(key, 1)
            assert box["UIDNEXT"] >= last, f"UIDNEXT went back: {last} -> {box['UIDNEXT']}"
            self.uidnext[key] = box["UIDNEXT"]

    def note_meaning(self, account, mailbox, uidvalidity, uid, mark):
        before = self.meaning.setdefault((account, mailbox, uidvalidity, uid), mark)
        assert before == mark, f"UID {uid} of {mailbox} was used twice"


class Changer:
    """One IMAP session that changes two mailboxes of its own and knows what they must hold."""

    def __init__(self, load, name, seed):
        self.load = load
        self.names = [name, name + "-b"]
        self.dice = random.Random(seed)
        self.model = None               # mailbox -> uid -> (digest, flags)
        self.folders = set()
        self.under_way = None
        self.count = 0

    def work(self, _):
        client = self.load.server.imap(timeout=30)
        if self.model is None:
            for name in self.names:
                # An earlier attempt may have been cut off between the two.
                status, words, _ = client.command("CREATE", quote(name))
                if status != "OK" and "ALREADYEXISTS" not in words:
                    raise ImapError(status, words)
            self.model = {name: {} for name in self.names}
        box = client.select(self.names[0])
        self.load.note_box(0, self.names[0], box)
        self.validity = {self.names[0]: box["UIDVALIDITY"]}
        steps = [self.append] * 4 + [self.store] * 4 + [self.copy, self.move, self.expunge,
                                                        self.folder]
        while not self.load.stopping.is_set():
            self.dice.choice(steps)(client)
            self.under_way = None
        client.logout()

    def said_ok(self, what):
        self.load.acknowledge(f"OK {self.names[0]} {what}")

    def append(self, client):
        self.count += 1
        name = f"{self.load.cycle}.{self.names[0]}.{self.count}@append.example"
        data = message(name, self.dice)
        if self.dice.random() < 0.3:
            data = data[:-2]            # no CRLF at the end
        flags = set(self.dice.sample(FLAGS, self.dice.randrange(3)))
        self.under_way = ("append", self.names[0], digest(data), flags)
        _, uid = client.append(self.names[0], data, sorted(flags))
        self.model[self.names[0]][uid] = (digest(data), flags)
        self.said_ok(f"append {uid}")

    def some(self, most=5):
        uids = sorted(self.model[self.names[0]])
        return self.dice.sample(uids, min(len(uids), self.dice.randrange(1, most + 1)))

    def store(self, client):
        uids, flag = self.some(), self.dice.choice(FLAGS)
        if not uids:
            return
        sign = self.dice.choice("+-")
        after = {}
        for uid in uids:
            mark, flags = self.model[self.names[0]][uid]
            after[uid] = (mark, flags | {flag} if sign == "+" else flags - {flag})
        self.under_way = ("store", after)
        client.ok("UID STORE", ",".join(map(str, uids)), f"{sign}FLAGS.SILENT ({flag})")
        self.model[self.names[0]].update(after)
        self.said_ok(f"store {uids}")

    def copied(self, client, uids):
        """COPYUID says which became which."""
        lines = [client.last_text] + [" ".join(map(text, r[2:])) for r in client.last_untagged
                                      if r[1] == b"OK"]
        found = next(filter(None, (re.search(r"\[COPYUID \d+ (\S+) ([^\]]+)\]", line)
                                   for line in lines)), None)
        assert found, f"no COPYUID: {lines}"
        pairs = list(zip(numbers(found.group(1)), numbers(found.group(2))))
        assert sorted(old for old, _ in pairs) == sorted(uids), f"COPYUID {found.group(0)}"
        return pairs

    def copy(self, client, verb="UID COPY"):
        uids, target = self.some(), self.names[1]
        if not uids:
            return
        rows = {uid: self.model[self.names[0]][uid] for uid in uids}
        self.under_way = ("move" if "MOVE" in verb else "copy", target, rows)
        client.last_untagged = client.ok(verb, ",".join(map(str, uids)), quote(target))
        for old, new in self.copied(client, uids):
            self.model[target][new] = rows[old]
            if "MOVE" in verb:
                del self.model[self.names[0]][old]
        self.said_ok(f"{verb} {uids}")

    def move(self, client):
        self.copy(client, "UID MOVE")

    def expunge(self, client):
        uids = self.some(2)
        if not uids:
            return
        which = ",".join(map(str, uids))
        after = {u: (m, f | {"\\Deleted"}) for u in uids for m, f in [self.model[self.names[0]][u]]}
        self.under_way = ("store", after)
        client.ok("UID STORE", which, "+FLAGS.SILENT (\\Deleted)")
        self.model[self.names[0]].update(after)
        self.under_way = ("expunge", uids)
        client.ok("UID EXPUNGE", which)
        for uid in uids:
            del self.model[self.names[0]][uid]
        self.said_ok(f"expunge {uids}")

    def folder(self, client):
        self.count += 1
        new = f"{self.names[0]}-made-{self.load.cycle}-{self.count}"
        if not self.folders or self.dice.random() < 0.4:
            self.under_way = ("folders", self.folders | {new})
            client.ok("CREATE", quote(new))
        else:
            old = self.dice.choice(sorted(self.folders))
            if self.dice.random() < 0.5:
                self.under_way = ("folders", self.folders - {old})
                client.ok("DELETE", quote(old))
            else:
                self.under_way = ("folders", self.folders - {old} | {new})
                client.ok("RENAME", quote(old), quote(new))
        self.folders = self.under_way[1]
        self.said_ok("folders")

    # -- the reckoning

    def verify(self, client):
        if self.model is None:
            return 0
        under_way, self.under_way = self.under_way, None
        state = {name: self.read(client, name) for name in self.names}
        futures = [self.model] + self.after(under_way, state)
        if not any(state == future for future in futures):
            raise AssertionError(f"{self.names[0]}: after {describe(under_way)}: "
                                 f"{difference(state, self.model)}")
        self.model = state
        self.verify_folders(client, under_way)
        return sum(len(rows) for rows in state.values())

    def read(self, client, name):
        box = client.select(name, "EXAMINE")
        self.load.note_box(0, name, box)
        rows = {}
        for row in client.fetch("1:*", "(UID FLAGS RFC822.SIZE BODY.PEEK[])"):
            equal_size(row, row["BODY[]"])
            mark = digest(row["BODY[]"])
            flags = {flag for flag in row["FLAGS"] if flag != "\\Recent"}
            rows[row["UID"]] = (mark, flags)
            self.load.note_meaning(0, name, box["UIDVALIDITY"], row["UID"], mark)
        return rows

    def after(self, under_way, state):
        """What the mailboxes may hold if the command under way was carried out."""
        if not under_way or under_way[0] == "folders":
            return []
        kind, first, second = under_way[0], self.names[0], self.names[1]
        one = dict(self.model[first])
        two = dict(self.model[second])
        if kind == "append":
            new = [uid for uid in state[first] if uid not in one]
            if len(new) == 1:
                one[new[0]] = (under_way[2], under_way[3])
        elif kind == "store":
            one.update(under_way[1])
        elif kind == "expunge":
            for uid in under_way[1]:
                del one[uid]
        else:
            rows = under_way[2]
            new = sorted(uid for uid in state[second] if uid not in two)
            wanted = sorted(rows.values(), key=str)
            if sorted((state[second][uid] for uid in new), key=str) == wanted:
                two.update({uid: state[second][uid] for uid in new})
            if kind == "move":
                for uid in rows:
                    del one[uid]
        return [{first: one, second: two}]

    def verify_folders(self, client, under_way):
        prefix = self.names[0] + "-made-"
        there = {text(row[-1]) for row in client.ok("LIST", '""', '"*"') if row[1] == b"LIST"}
        there = {name for name in there if name.startswith(prefix)}
        allowed = [self.folders]
        if under_way and under_way[0] == "folders":
            allowed.append(under_way[1])
        assert there in allowed, f"folders {sorted(there ^ self.folders)} differ"
        self.folders = there


def message(name, dice):
    if dice.random() < 0.02:
        size = dice.randrange(300_000, 600_000)
    else:
        size = dice.choice((200, 900, 3_000, 10_000, 30_000))
    line = dice.randbytes(36).hex()
    body = f"{line}\r\n" * (size // 74 + 1)
    return (f"From: load <load@remote.example>\r\nTo: you\r\nSubject: {name}\r\n"
            f"Message-ID: <{name}>\r\nDate: Mon, 23 Nov 2026 03:00:00 +0000\r\n\r\n"
            f"{body}.dot\r\n..dots\r\n").encode()


def message_id(octets):
    found = re.search(rb"(?im)^message-id:\s*<([^>]+)>", octets)
    return text(found.group(1)) if found else "?"


def digest(octets):
    return hashlib.sha256(octets).hexdigest()


def equal_size(row, octets):
    assert row["RFC822.SIZE"] == len(octets), \
        f"RFC822.SIZE of UID {row['UID']} is {row['RFC822.SIZE']}, {len(octets)} octets came"


def numbers(set_text):
    out = []
    for part in set_text.split(","):
        first, _, last = part.partition(":")
        out += range(int(first), int(last or first) + 1)
    return out


def describe(under_way):
    return "nothing" if not under_way else f"{under_way[0]} under way"


def difference(state, model):
    words = []
    for name in model:
        gone = sorted(set(model[name]) - set(state[name]))
        new = sorted(set(state[name]) - set(model[name]))
        other = [u for u in model[name] if u in state[name] and model[name][u] != state[name][u]]
        if gone or new or other:
            words.append(f"{name}: gone {gone[:5]}, new {new[:5]}, different {other[:5]}"
                         + (f" (have {state[name][other[0]]}, wanted {model[name][other[0]]})"
                            if other else ""))
    return "; ".join(words)


def new_ack_path(directory):
    return os.path.join(directory, "acknowledged")
