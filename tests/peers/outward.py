#!/usr/bin/env python3
"""Mail that goes out, on a small internet of loopback addresses: never plain by accident.

Each recipient's domain has an address, a mail host that keeps what it takes (and offers no TLS, so
that this is what a wire would show), and a web site that answers for the Web Key Directory in one
of the ways web sites do. Whatever the answer, what must not go out in the open does not.
"""

import email
import json
import os
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import at_end, check, equal, run
from server import HOST, Server
from world import World

server = Server()
at_end(server.remove)
server.start()
server.stop()
world = World(server)
USER, PASSWORD = server.user()


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
    return revoke(address)


def revoke(address):
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
domain("later", key("carol@later.example"))
KEYS_REVOKED = {"later": revoke("carol@later.example")}
domain("servfail", web=False, record="openpgpkey.servfail.example SERVFAIL")
domain("bogus", web=False, record="openpgpkey.bogus.example BOGUS")
domain("timeout", web=False, record="openpgpkey.timeout.example TIMEOUT")

world.install()
server.plain_serve = True

# What is to be done with plain mail for carol there, with each policy.
PLAIN, SEALED, HELD, REFUSED, DEFERRED = "plain", "sealed", "held", "refused", "deferred"
POLICIES = ("prefer", "require", "hold", "plain")
SEAL = (SEALED, SEALED, SEALED, PLAIN)
NO_KEY, UNUSABLE = (PLAIN, REFUSED, HELD, PLAIN), (HELD, REFUSED, HELD, PLAIN)
FAILED = (DEFERRED, DEFERRED, DEFERRED, PLAIN)
WANTED = {
    "good": SEAL, "later": SEAL,
    "none": NO_KEY, "no-web": NO_KEY, "gone": NO_KEY,
    "other-name": UNUSABLE, "expired": UNUSABLE, "revoked": UNUSABLE,
}
VERDICT_SECONDS = 60                    # a search may take 20 s, and is made twice


def session():
    smtp = smtplib.SMTP_SSL(HOST, server.port("submissions"), context=server.context(),
                            timeout=120)
    smtp.login(USER, PASSWORD)
    return smtp


def submit(to, text, more=(), smtp=None):
    """None, or the reply that refused it."""
    to = [to] if isinstance(to, str) else to
    lines = [f"From: {USER}", f"To: {', '.join(to)}", "Subject: wire-subject", *more, "", text, ""]
    try:
        (smtp or session()).sendmail(USER, to, "\r\n".join(lines).encode())
    except smtplib.SMTPResponseException as error:
        return error.smtp_code, error.smtp_error.decode()
    return None


def queue():
    """{recipient: (item, recipient)} of what the queue holds."""
    items = json.loads(server.cli("queue", "list", "--json").stdout)
    return {recipient["address"]: (item, recipient) for item in items
            for recipient in item["recipients"]}


def taken(site, word):
    """How a domain's mail host got mail: `plain` for each that shows the word (or the subject,
    whatever word it has), `sealed` for each that is PGP/MIME and shows nothing."""
    kinds = []
    for mail in list(site.mails):
        message = email.message_from_bytes(mail["data"])
        texts = [mail["raw"]] + [part.get_payload(decode=True) or b"" for part in message.walk()]
        if any(word.encode() in text or b"wire-subject" in text for text in texts):
            kinds.append(PLAIN)
        elif message.get_content_type() == "multipart/encrypted" and message["Subject"] == "[...]":
            kinds.append(SEALED)
        else:
            kinds.append(f"neither plain nor sealed: {mail['data'][:300]}")
    return kinds


def outcome(site, word, refused, queued):
    """What has become of the message with `word` for carol at the domain; None: nothing yet."""
    kinds = taken(site, word)
    if len(kinds) + bool(refused) > 1:
        return f"refused: {refused}, and taken: {kinds}"
    if refused:                         # RFC 5248: encryption needed
        return REFUSED if refused[0] == 523 and refused[1].startswith("5.7.10") else str(refused)
    if kinds:
        return kinds[0]
    item, recipient = queued.get(f"carol@{site.name}", (None, None))
    if recipient and recipient["state"] == "held":
        return HELD
    if recipient and recipient["state"] == "waiting" and recipient["attempts"] > 0:
        return DEFERRED if recipient["status"] == "4.7.5" else f"deferred by {recipient}"
    return None


def verdicts(sent, seconds=VERDICT_SECONDS):
    """{name: outcome} of all messages, once each has one."""
    end, got = time.monotonic() + seconds, {}
    while time.monotonic() < end:
        queued = queue()
        got = {name: outcome(DOMAINS[name], word, refused, queued)
               for name, (word, refused) in sent.items()}
        if all(got.values()):
            break
        time.sleep(0.3)
    return got


def start_with(seal, **sections):
    server.stop()
    server.configure(seal=seal, **sections)
    server.start()
    for item in {item["id"] for item, _ in queue().values()}:
        server.cli("queue", "delete", item)
    for site in DOMAINS.values():
        site.mails.clear()
        site.asked.clear()


def table(column, policy):
    # What takes 20 s to fail is looked at once.
    names = [name for name in DOMAINS if name != "hangs" or policy == "prefer"]

    @check(f"never plain by accident: {len(names)} kinds of answer, policy {policy}")
    def _():
        # Failures are asked about again at each attempt.
        start_with({"policy": f'"{policy}"'}, discovery={"failed": '"1 s"', "absent": '"1 s"'})
        sent, smtp = {}, session()
        for name in names:
            word = f"canary-{policy}-{name}-x"
            sent[name] = (word, submit(f"carol@{name}.example", word, smtp=smtp))
        wanted = {name: WANTED.get(name, FAILED)[column] for name in names}
        got = verdicts(sent)
        waits = queue()
        wrong = [f"{name}: {got[name]} and not {wanted[name]}, {waits.get(f'carol@{name}.example')}"
                 for name in sent if got[name] != wanted[name]]
        equal(wrong, [], "verdicts")
        # Another attempt changes nothing: not for what waits, and least of all for what is held.
        server.cli("queue", "flush")
        time.sleep(3)
        plain = [name for name, (word, _) in sent.items()
                 if wanted[name] != PLAIN and PLAIN in taken(DOMAINS[name], word)]
        equal(plain, [], "plain after all")
        equal({n: outcome(DOMAINS[n], *sent[n], queue()) for n in sent if wanted[n] == HELD},
              {n: HELD for n in sent if wanted[n] == HELD}, "held after another attempt")
        asked = [name for name, site in DOMAINS.items() if site.asked]
        if policy == "plain":
            equal(asked, [], "directories that were asked")
        return f"{len(sent)} verdicts, {list(wanted.values()).count(PLAIN)} plain as the table says"


for column, policy in enumerate(POLICIES):
    table(column, policy)


@check("never plain by accident: a key once seen, then taken away in each way, is used on")
def _():
    start_with({"policy": '"prefer"'}, discovery={"failed": '"1 s"', "absent": '"1 s"',
                                                  "found": '"1 s"', "missing": '"30 d"'})
    site = DOMAINS["later"]
    site.behave()
    equal(submit("carol@later.example", "canary-seen-first-x"), None, "reply")
    equal(verdicts({"later": ("canary-seen-first-x", None)})["later"], SEALED, "the first")
    ways = [{"status": 404}, {"status": 410}, {"status": 503}, {"close": True},
            {"status": 200, "body": b"<html>"}]
    for number, way in enumerate(ways):
        site.behave(**way)
        site.mails.clear()
        time.sleep(1.2)
        word = f"canary-seen-{number}-x"
        equal(submit("carol@later.example", word), None, "reply")
        equal(verdicts({"later": (word, None)})["later"], SEALED, f"after {way}")
    site.behave(status=200, body=KEYS_REVOKED["later"])
    site.mails.clear()
    # What was answered last is believed for a second, and times are kept in whole seconds.
    time.sleep(2.2)
    equal(submit("carol@later.example", "canary-seen-revoked-x"), None, "reply")
    equal(verdicts({"later": ("canary-seen-revoked-x", None)})["later"], HELD, "revoked")
    return f"{len(ways)} ways"


@check("never plain by accident: a key seen before the first search went another way stays news "
       "after kill -9")
def _():
    start_with({"policy": '"prefer"'}, discovery={"failed": '"1 s"', "absent": '"1 s"'})
    site = DOMAINS["good"]
    equal(submit("carol@good.example", "canary-before-x"), None, "reply")
    equal(verdicts({"good": ("canary-before-x", None)})["good"], SEALED, "before")
    server.stop()
    site.behave(status=404)
    site.mails.clear()
    server.configure(discovery={"found": '"1 s"'})
    try:
        server.start()
        server.kill()
        server.start()
        equal(submit("carol@good.example", "canary-after-x"), None, "reply")
        equal(verdicts({"good": ("canary-after-x", None)})["good"], SEALED, "after")
    finally:
        site.behave()


@check("never plain by accident: an answer to sealed mail, where there is no key, is held")
def _():
    for policy in ("prefer", "plain"):
        start_with({"policy": '"prefer"', "rules": f'["none.example {policy}"]'})
        first = f"<canary-{policy}@client.test>"
        equal(submit("carol@good.example", "canary-first-x", more=[f"Message-ID: {first}"]), None,
              "reply")
        equal(verdicts({"good": ("canary-first-x", None)})["good"], SEALED, "the first")
        word = f"canary-answer-{policy}-x"
        equal(submit("carol@none.example", word, more=[f"In-Reply-To: {first}"]), None, "reply")
        equal(verdicts({"none": (word, None)})["none"], HELD, f"the answer, {policy}")


@check("never plain by accident: all or nothing: with one who has no key it is sent to nobody")
def _():
    start_with({"policy": '"prefer"', "rules": "[]", "all_or_nothing": "true"})
    both = ["carol@good.example", "carol@none.example"]
    equal(submit(both, "canary-both-x"), None, "reply")
    got = verdicts({name: ("canary-both-x", None) for name in ("good", "none")})
    equal(got, {"good": HELD, "none": HELD}, "one of whom has no key")
    start_with({"policy": '"prefer"', "all_or_nothing": "false"})
    equal(submit(both, "canary-each-x"), None, "reply")
    got = verdicts({name: ("canary-each-x", None) for name in ("good", "none")})
    equal(got, {"good": SEALED, "none": PLAIN}, "without the option, as is documented")


run()
