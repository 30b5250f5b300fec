"""Mail for elsewhere, submitted from several sessions, and the hosts that it is to arrive at.

    load = OutLoad(server, ack_path, seed)      # a server that was set up and is stopped
    load.start(); …; load.stop()                # cut the power in between, as you like
    load.verify()                               # a started server: all that had 250 has arrived

Acknowledgements go to a file that is not on the server's disk. One domain elsewhere has a key for
everybody, the other has none, so that mail goes sealed to the one and plain to the other; while the
load runs, their mail hosts put every third message off. A tenth of the mail goes to an account here
as well. Each message must arrive at least once, with the octets of its body; how many came twice is
counted.
"""

import email
import hashlib
import os
import random
import re
import smtplib
import subprocess
import threading
import time

from server import HOST
from world import World

PLAIN, SEALED = "plain.example", "sealed.example"
ARRIVAL_SECONDS = 60
# How many sealed messages are opened by GnuPG in the end.
OPENED_MAX = 12
OPTIONS = {
    # A directory that could not be reached is asked again at once, and not after ten minutes.
    "discovery": {"failed": '"1 s"'},
    "queue": {"first_retry": '"1 s"', "longest_retry": '"2 s"', "delay_notice": '"0 s"'},
    "submission": {f"{what}_per_{time}": "0" for what in ("messages", "recipients")
                   for time in ("hour", "day")},
}


class OutLoad:
    def __init__(self, server, ack_path, seed, senders=5):
        self.server, self.ack_path, self.senders = server, ack_path, senders
        self.dice = random.Random(seed)
        self.lock = threading.Lock()
        self.acknowledged = {}          # Message-ID -> (digest of the body, recipients)
        self.arrived = {}               # (Message-ID, recipient) -> how often
        self.here = []                  # Message-IDs that bob must have
        self.opened, self.refused, self.cycle, self.count = 0, 0, 0, 0
        self.errors = []
        self.putting_off = False
        self.home = os.path.join(server.scratch, "gnupg")
        self.certificate = self.gpg_key()
        self.world = World(server)
        self.domains = [self.world.domain(PLAIN), self.world.domain(SEALED)]
        for domain in self.domains:
            domain.mail_host.replies["END OF DATA"] = self.perhaps_later
        for number in range(senders):
            self.domains[1].key(f"carol{number}", self.certificate)
        self.world.install()
        server.configure(**OPTIONS)
        server.plain_serve = True
        os.sync()

    def gpg(self, *words, stdin=None):
        return subprocess.run(["gpg", "--homedir", self.home, "--batch", "--pinentry-mode",
                               "loopback", "--passphrase", "", *words], input=stdin,
                              capture_output=True, check=True).stdout

    def gpg_key(self):
        """One certificate for the addresses of all recipients."""
        os.makedirs(self.home, mode=0o700)
        self.gpg("--quick-generate-key", f"carol0@{SEALED}", "future-default", "default", "never")
        for number in range(1, self.senders):
            self.gpg("--quick-add-uid", f"carol0@{SEALED}", f"carol{number}@{SEALED}")
        return self.gpg("--export", f"carol0@{SEALED}")

    def perhaps_later(self):
        with self.lock:
            self.count += 1
            return "451 4.3.0 later" if self.putting_off and self.count % 3 == 0 else None

    # -- the load

    def start(self):
        self.cycle += 1
        self.putting_off = True
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.guard, args=(n,), daemon=True)
                        for n in range(self.senders)]
        for thread in self.threads:
            thread.start()

    def guard(self, number):
        try:
            self.submit(number)
        except (OSError, EOFError, smtplib.SMTPException):
            pass                        # the server is cut off under it
        except Exception as error:
            self.errors.append(f"{type(error).__name__}: {error}")

    def wait_begun(self, seconds=30):
        """Until something was acknowledged since the start."""
        before, end = len(self.acknowledged), time.monotonic() + seconds
        while len(self.acknowledged) == before and time.monotonic() < end:
            time.sleep(0.05)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                self.errors.append("a client still waits for an answer after 60 s")

    def session(self):
        smtp = smtplib.SMTP_SSL(HOST, self.server.port("submissions"), timeout=60,
                                context=self.server.context())
        smtp.login(*self.server.user())
        return smtp

    def submit(self, number):
        dice = random.Random(f"{self.cycle} {number} {self.dice.random()}")
        smtp, count = self.session(), 0
        while not self.stopping.is_set():
            count += 1
            name = f"{self.cycle}.{number}.{count}@load.example"
            try:
                self.send(smtp, name, number, dice)
            except smtplib.SMTPResponseException as error:
                # A temporary refusal promises nothing.
                if not 400 <= error.smtp_code < 500:
                    self.errors.append(f"{error.smtp_code} {error.smtp_error}")
                self.refused += 1
                smtp.rset()
                time.sleep(0.05)

    def send(self, smtp, name, number, dice):
        to = [f"carol{number}@{dice.choice((PLAIN, SEALED))}"]
        here = dice.random() < 0.1
        size = 300_000 if dice.random() < 0.02 else dice.choice((100, 1_000, 10_000))
        body = f"{dice.randbytes(36).hex()}\r\n" * (size // 74 + 1)
        user, bob = self.server.user()[0], self.server.user(1)[0]
        text = (f"From: {user}\r\nTo: {to[0]}\r\nSubject: load\r\nMessage-ID: <{name}>\r\n\r\n"
                f"{body}")
        smtp.sendmail(user, to + [bob] * here, text.encode())
        with self.lock, open(self.ack_path, "a", encoding="ascii") as file:
            self.acknowledged[name] = (hashlib.sha256(body.encode()).hexdigest(), to)
            if here:
                self.here.append(name)
            file.write(f"250 {name} {to[0]}\n")

    # -- the reckoning

    def verify(self, at_the_end=False, seconds=ARRIVAL_SECONDS):
        """Raises AssertionError with what is wrong; returns a note."""
        assert not self.errors, "; ".join(self.errors[:3])
        self.putting_off = False
        end = time.monotonic() + seconds
        while lost := self.look():
            assert time.monotonic() < end, \
                f"{len(lost)} of {len(self.acknowledged)} acknowledged messages did not arrive: " \
                f"{lost[:3]}, in the queue: {self.queued()[:300]}, {self.server.own_log_tail(3)}"
            time.sleep(0.1)
        if at_the_end:
            self.verify_here()
            self.verify_empty(end)
        twice = sum(count - 1 for count in self.arrived.values())
        return f"{len(self.acknowledged)} by 250, {self.refused} refused for now, " \
               f"{twice} came twice, {len(self.here)} here too, {self.opened} opened by GnuPG"

    def look(self):
        """Takes what has come in; returns what is acknowledged and did not."""
        for domain in self.domains:
            mails, domain.mails = domain.mails, []
            for mail in mails:
                name = re.search(rb"(?im)^message-id:\s*<([^>]+)>", mail["data"]).group(1).decode()
                self.compare(domain, name, mail["data"])
                for recipient in mail["to"]:
                    key = (name, recipient)
                    self.arrived[key] = self.arrived.get(key, 0) + 1
        with self.lock:
            return [name for name, (_, to) in self.acknowledged.items()
                    for recipient in to if (name, recipient) not in self.arrived]

    def compare(self, domain, name, data):
        is_sealed = email.message_from_bytes(data).get_content_type() == "multipart/encrypted"
        assert is_sealed == (domain.name == SEALED), f"{name} went otherwise to {domain.name}"
        if is_sealed and self.opened >= OPENED_MAX:
            return
        if is_sealed:
            self.opened += 1
            armor = email.message_from_bytes(data).get_payload()[1].get_payload(decode=True)
            data = self.gpg("--decrypt", "--ignore-mdc-error", stdin=armor)
        body = data.replace(b"\r\n", b"\n").partition(b"\n\n")[2].rstrip(b"\n") + b"\n"
        mark = hashlib.sha256(body.replace(b"\n", b"\r\n")).hexdigest()
        # What was not acknowledged may have come as well.
        wanted = self.acknowledged.get(name, (mark,))[0]
        assert mark == wanted, f"{name} came with other octets"

    def verify_here(self):
        client = self.server.imap(1)
        client.select()
        end = time.monotonic() + 30
        while True:
            client.ok("NOOP")
            rows = client.fetch("1:*", "(UID BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
            text = b"".join(value for row in rows for key, value in row.items()
                            if str(key).startswith("BODY["))
            lost = [name for name in self.here if f"<{name}>".encode() not in text]
            if not lost:
                break
            assert time.monotonic() < end, f"not here: {lost[:3]}"
            time.sleep(0.2)
        client.logout()

    def verify_empty(self, end):
        while self.queued() != "[]":
            assert time.monotonic() < end, f"left in the queue: {self.queued()[:500]}"
            time.sleep(0.1)

    def close(self):
        for domain in self.domains:
            domain.close()

    def queued(self):
        return self.server.cli("queue", "list", "--json").stdout.strip()
