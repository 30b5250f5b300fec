#!/usr/bin/env python3
"""Mail that goes out, on a small internet of loopback addresses: never plain by accident.

Each recipient's domain has an address, a mail host that keeps what it takes (and offers no TLS, so
that this is what a wire would show), and a web site that answers for the Web Key Directory in one
of the ways web sites do. Whatever the answer, what must not go out in the open does not.
"""

import email
import os
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import at_end, check, equal, need, run
from server import HOST, Server
from world import World

server = Server()
at_end(server.remove)
server.start()
server.stop()
world = World(server)
USER, PASSWORD = server.user()
BOB = server.user(1)[0]


# -- keys, as GnuPG makes them

HOME = os.path.join(server.scratch, "gnupg")


def gpg(*words, stdin=None):
    os.makedirs(HOME, mode=0o700, exist_ok=True)
    done = subprocess.run(["gpg", "--homedir", HOME, "--batch", "--pinentry-mode", "loopback",
                           "--passphrase", "", *words], input=stdin, capture_output=True)
    if done.returncode != 0:
        raise AssertionError(f"gpg {words}: {done.stderr.decode()[-300:]}")
    return done.stdout


def key(address, *more, expires="never"):
    gpg(*more, "--quick-generate-key", address, "future-default", "default", expires)
    return gpg("--export", address)


def at_end_of_gpg():
    subprocess.run(["gpgconf", "--homedir", HOME, "--kill", "all"], capture_output=True)


at_end(at_end_of_gpg)


def revoked(address):
    key(address)
    fingerprint = [line.split(":")[9] for line in
                   gpg("--with-colons", "--list-keys", address).decode().splitlines()
                   if line.startswith("fpr")][0]
    path = os.path.join(HOME, "openpgp-revocs.d", fingerprint + ".rev")
    with open(path, encoding="ascii") as file:
        gpg("--import", stdin=file.read().replace(":-----", "-----").encode())
    return gpg("--export", address)


# -- domains, one for each way of answering

GOOD = key("carol@good.example")
DOMAINS = {}


def domain(name, octets=None, record=None, **behaviour):
    more = {key: behaviour.pop(key) for key in ("web", "advanced", "certificate_names")
            if key in behaviour}
    site = world.domain(f"{name}.example", **more)
    if octets is not None:
        site.key("carol", octets)
    if behaviour:
        site.behave(**behaviour)
    if record:
        world.record(record)
    DOMAINS[name] = site
    return site


domain("good", GOOD)
domain("none")
domain("no-web", web=False)
for status in (401, 403, 429, 500, 503):
    domain(f"s{status}", status=status)
domain("gone", status=410)
domain("html", status=200, content_type="text/html", body=b"<html>not found</html>")
domain("cut", key("carol@cut.example"), cut=200)
domain("big", status=200, body=b"\x99" + b"x" * 600_000)
domain("hangs", hang=40)
domain("closes", close=True)
domain("cert", key("carol@cert.example"), certificate_names=["somewhere.example"])
domain("inward", status=302, location=f"https://127.0.0.1:{server.info['ports']['imaps']}/x")
domain("away", status=301, location="https://good.example/.well-known/openpgpkey/hu/x")
domain("other-name", key("mallory@other-name.example"))
domain("expired", key("carol@expired.example", "--faked-system-time", "20200101T000000!",
                      expires="1d"))
domain("revoked", revoked("carol@revoked.example"))
domain("servfail", web=False, record="openpgpkey.servfail.example SERVFAIL")
domain("bogus", web=False, record="openpgpkey.bogus.example BOGUS")
domain("timeout", web=False, record="openpgpkey.timeout.example TIMEOUT")

# What is to be done with plain mail for carol there: with `prefer`, and with `require`.
PLAIN, SEALED, HELD, REFUSED, DEFERRED = "plain", "sealed", "held", "refused", "deferred"
WANTED = {
    "good": (SEALED, SEALED),
    "none": (PLAIN, REFUSED), "no-web": (PLAIN, REFUSED), "gone": (PLAIN, REFUSED),
    "other-name": (HELD, REFUSED), "expired": (HELD, REFUSED), "revoked": (HELD, REFUSED),
}
FAILED = (DEFERRED, DEFERRED)


def submit(to, text, sender=USER, password=PASSWORD, subject="wire-subject", more=()):
    """None, or the reply that refused it."""
    to = [to] if isinstance(to, str) else to
    lines = [f"From: {sender}", f"To: {to[0]}", f"Subject: {subject}", *more,
             f"Message-ID: <{time.monotonic_ns()}@client.test>", "", text, ""]
    with smtplib.SMTP_SSL(HOST, server.port("submissions"), context=server.context(),
                          timeout=120) as smtp:
        smtp.login(sender, password)
        try:
            smtp.sendmail(sender, to, "\r\n".join(lines).encode())
        except smtplib.SMTPResponseException as error:
            return error.smtp_code, error.smtp_error.decode()
        except smtplib.SMTPRecipientsRefused as error:
            return list(error.recipients.values())[0]
    return None


def queue():
    """{recipient: item} of what the queue holds."""
    import json
    items = json.loads(server.cli("queue", "list", "--json").stdout)
    items = items if isinstance(items, list) else items["items"]
    return {recipient["address"]: (item, recipient) for item in items
            for recipient in item["recipients"]}


def is_sealed(mail):
    message = email.message_from_bytes(mail["data"])
    return message.get_content_type() == "multipart/encrypted" and message["Subject"] == "[...]"


def outcome(name, word, refused):
    """What became of the message with `word` for carol at the domain."""
    site = DOMAINS[name]
    if refused:
        assert refused[0] >= 500, refused
        return REFUSED
    end = time.monotonic() + 30
    while time.monotonic() < end:
        taken = [mail for mail in site.mails if mail["word"] == word] if False else site.mails
        for mail in taken:
            if word.encode() in mail["data"]:
                return PLAIN
        sealed = [mail for mail in taken if is_sealed(mail) and mail.get("seen") is None]
        if sealed:
            sealed[0]["seen"] = word
            return SEALED
        found = queue().get(f"carol@{site.name}")
        if found and found[1]["state"] == "held":
            return HELD
        if found and found[1]["state"] == "deferred":
            return DEFERRED
        time.sleep(0.2)
    return f"nothing in 30 s, queue: {queue()}"


def start_with(**options):
    server.stop()
    server.configure(seal=options)
    server.start()
    for site in DOMAINS.values():
        site.mails.clear()


world.install()
server.plain_serve = True


def table(policy, column):
    @check(f"never plain by accident: {len(DOMAINS)} kinds of answer, policy {policy}")
    def _():
        start_with(policy=f'"{policy}"')
        words = {}
        for name in DOMAINS:
            words[name] = f"canary-{policy}-{name}"
            words[name] = (words[name], submit(f"carol@{name}.example", words[name]))
        wrong = []
        for name, (word, refused) in words.items():
            wanted = WANTED.get(name, FAILED)[column]
            got = outcome(name, word, refused)
            if got != wanted:
                wrong.append(f"{name}: {got} and not {wanted}")
        equal(wrong, [], "verdicts")
        for item, _ in queue().values():
            server.cli("queue", "delete", item["id"])
        return f"{len(words)} verdicts"


table("prefer", 0)
table("require", 1)

run()
