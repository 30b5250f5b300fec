"""Letters with words that exist nowhere else, for domains that take them in different ways.

    outwards = Outwards(server, word)       # a server that was set up and is stopped
    outwards.submit(smtp, number)           # to one to three of the domains
    outwards.settle()                       # a started server: until each was tried at least once

Sealed and delivered; sealed and put off by the mail host; sealed and refused at the end of the
data; held, because the directory publishes somebody else's key; waiting, because the directory fails; and
delivered in the open, because there is no key.
"""

import hashlib
import json
import os
import smtplib
import subprocess
import time

from server import HOST
from world import World, wkd_hash

CONTENT = ["out subject", "out name", "out body", "out attachment", "out attachment name",
           "out header"]
# What a server has to know of mail that waits, whoever is locked.
ENVELOPE = ["out address", "out domain", "out reply"]
PLACES = CONTENT + ENVELOPE
KINDS = ("delivered", "late", "bounced", "held", "unlearnt", "plain")


class Outwards:
    def __init__(self, server, word):
        self.server, self.word = server, word
        self.user = server.user()[0]
        self.world = World(server)
        self.local = word("out address").lower()
        self.domains = {kind: self.world.domain(f"{kind}.{word('out domain').lower()}.example")
                        for kind in KINDS}
        for kind in ("delivered", "late", "bounced"):
            self.domains[kind].key(self.local, self.certificate(self.address(kind)))
        self.domains["held"].key(self.local, self.domains["late"].keys[wkd_hash(self.local)])
        self.domains["unlearnt"].behave(status=503)
        reply = word("out reply")
        self.domains["late"].mail_host.replies["RCPT"] = f"451 4.2.2 {reply} {self.local} is full"
        self.domains["bounced"].mail_host.replies["END OF DATA"] = f"554 5.7.1 {reply} not wanted"
        self.world.install()
        server.configure(submission={f"{what}_per_{time}": "0" for what in
                                     ("messages", "recipients") for time in ("hour", "day")})

    def address(self, kind):
        return f"{self.local}@{self.domains[kind].name}"

    def certificate(self, address):
        home = os.path.join(self.server.scratch, "gnupg")
        os.makedirs(home, mode=0o700, exist_ok=True)
        gpg = ["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase",
               ""]
        subprocess.run(gpg + ["--quick-generate-key", address, "future-default", "default",
                              "never"], check=True, capture_output=True)
        return subprocess.run(gpg + ["--export", address], check=True, capture_output=True).stdout

    def hashes(self):
        """{name: octets}: what addresses become without a key."""
        out = {f"WKD's hash of {self.local}": wkd_hash(self.local).encode()}
        for kind in KINDS:
            for octets in (self.address(kind), self.domains[kind].name):
                for name in ("md5", "sha1", "sha256", "sha512"):
                    out[f"{name} of {octets}"] = hashlib.new(name, octets.encode()).digest()
        return out

    def session(self):
        smtp = smtplib.SMTP_SSL(HOST, self.server.port("submissions"), timeout=60,
                                context=self.server.context())
        smtp.login(*self.server.user())
        return smtp

    def submit(self, smtp, number, kinds=None):
        kinds = kinds or [KINDS[number % 6], KINDS[number // 6 % 6]]
        to = sorted({self.address(kind) for kind in kinds})
        smtp.sendmail(self.user, to, self.letter(number, to))

    def letter(self, number, to):
        from email.headerregistry import Address
        from email.message import EmailMessage
        word = self.word
        mail = EmailMessage()
        mail["From"] = self.user
        mail["To"] = [Address(f"{word('out name')} {word('out name', True)}", addr_spec=address)
                      for address in to]
        mail["Subject"] = f"{word('out subject')} {word('out subject', True)}"
        mail["X-Canary"] = word("out header")
        mail["Comments"] = word("out header", True)
        encoding = ("quoted-printable", "base64", "8bit")[number % 3]
        mail.set_content(f"{word('out body')}\n{word('out body', True)}\n" * 20, cte=encoding)
        content = f"{word('out attachment')} {word('out attachment', True)}\n".encode() * 50
        mail.add_attachment(content * (1 if number % 7 else 100), maintype="application",
                            subtype="x-secret", filename=f"{word('out attachment name')}.bin")
        return mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")

    def settle(self, seconds=60):
        """Waits until nothing in the queue has its first attempt before it."""
        end = time.monotonic() + seconds
        while True:
            items = json.loads(self.server.cli("queue", "list", "--json").stdout)
            if all(recipient["state"] != "waiting" or recipient["attempts"] > 0
                   for item in items for recipient in item["recipients"]):
                return items
            assert time.monotonic() < end, f"not tried: {items[:2]}"
            time.sleep(0.2)
