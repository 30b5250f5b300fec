#!/usr/bin/env python3
"""Other people's OpenPGP programs open what is sealed for them, and what they seal is recognised.

Each program makes its own key, so that its certificates are judged too. Programs that are not
installed are skipped.
"""

import email
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import Skip, at_end, check, equal, run
from server import ROOT

BODY = (b"Gr\xc3\xbc\xc3\x9fe, trailing blank \r\n\r\n.\r\nFrom the start\r\n"
        + b"x" * 2000 + b"\r\n")
MAIL = (b"From: Alice <alice@our.example>\r\nTo: peer@example.org\r\nSubject: secret plan\r\n"
        b"Date: Wed, 25 Nov 2026 13:00:00 +0100\r\nMessage-ID: <1@our.example>\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n" + BODY)
ADDRESS = "peer@example.org"
USER_ID = f"Peer <{ADDRESS}>"

scratch = tempfile.mkdtemp(prefix="postseal-pgp-")
at_end(lambda: shutil.rmtree(scratch, ignore_errors=True))


def call(command, stdin=b"", env=None):
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=300,
                          env={**os.environ, **(env or {})})
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr[-600:]!r}")
    return done.stdout


def sealer(*arguments):
    """The server's own sealing, as a program."""
    tool = os.path.join(ROOT, "target", "debug", "examples", "sealer")
    if not sealer.built:
        subprocess.run(["cargo", "build", "--quiet", "--example", "sealer"], cwd=ROOT, check=True)
        sealer.built = True
    return call([tool, *arguments])


sealer.built = False


def write(name, data):
    path = os.path.join(scratch, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


class Sop:
    """A program with the Stateless OpenPGP command line."""

    def __init__(self, program):
        self.program = program
        self.key = write(f"{program}.key", call([program, "generate-key", "--no-armor", USER_ID])
                         if program == "sqop" else call([program, "generate-key", USER_ID]))
        with open(self.key, "rb") as file:
            self.cert = write(f"{program}.cert", call([program, "extract-cert"], file.read()))

    def decrypt(self, armored):
        return call([self.program, "decrypt", self.key], armored)

    def encrypt(self, data):
        return call([self.program, "encrypt", self.cert], data)


class Gnupg:
    """GnuPG, with a home of its own."""

    def __init__(self):
        self.home = os.path.join(scratch, "gnupg")
        os.mkdir(self.home, 0o700)
        at_end(lambda: subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"],
                                      capture_output=True, timeout=60))
        self.run("--passphrase", "", "--quick-generate-key", USER_ID, "default", "default", "1y")
        self.cert = write("gnupg.cert", self.run("--export", ADDRESS))

    def run(self, *arguments, stdin=b""):
        return call(["gpg", "--batch", "--quiet", "--homedir", self.home, "--trust-model", "always",
                     *arguments], stdin)

    def decrypt(self, armored):
        return self.run("--decrypt", stdin=armored)

    def encrypt(self, data):
        return self.run("--armor", "--encrypt", "-r", ADDRESS, stdin=data)


class Sequoia:
    """The command line of an older Sequoia."""

    def __init__(self):
        self.key = os.path.join(scratch, "sq.key")
        call(["sq", "key", "generate", "--userid", USER_ID, "--export", self.key])
        with open(self.key, "rb") as file:
            self.cert = write("sq.cert", call(["sq", "key", "extract-cert"], file.read()))

    def decrypt(self, armored):
        return call(["sq", "decrypt", "--recipient-key", self.key], armored)

    def encrypt(self, data):
        return call(["sq", "encrypt", "--recipient-cert", self.cert], data)


class Rnp:
    """What Thunderbird has inside."""

    def __init__(self):
        self.home = os.path.join(scratch, "rnp")
        os.mkdir(self.home, 0o700)
        call(["rnpkeys", "--homedir", self.home, "--generate-key", "--userid", USER_ID,
              "--password", ""])
        self.cert = write("rnp.cert", call(["rnpkeys", "--homedir", self.home, "--export-key",
                                            ADDRESS]))

    def decrypt(self, armored):
        path, out = write("rnp.asc", armored), os.path.join(scratch, "rnp.out")
        call(["rnp", "--homedir", self.home, "--overwrite", "--password", "", "--decrypt", path,
              "--output", out])
        with open(out, "rb") as file:
            return file.read()

    def encrypt(self, data):
        path, out = write("rnp.txt", data), os.path.join(scratch, "rnp.enc")
        call(["rnp", "--homedir", self.home, "--overwrite", "--armor", "--encrypt", "-r", ADDRESS,
              path, "--output", out])
        with open(out, "rb") as file:
            return file.read()


PEERS = {
    "gpg": Gnupg,
    "sq": Sequoia,
    "rnp": Rnp,
    "sqop": lambda: Sop("sqop"),
    "gosop": lambda: Sop("gosop"),
    "pgpainless-cli": lambda: Sop("pgpainless-cli"),
}
made = {}


def peer(name):
    """A program with its key; made once."""
    if not shutil.which(name):
        raise Skip(f"{name} is not installed")
    if name not in made:
        made[name] = PEERS[name]()
    return made[name]


def armor_of(message):
    """The encrypted part of a PGP/MIME message."""
    parsed = email.message_from_bytes(message)
    equal(parsed.get_content_type(), "multipart/encrypted", "the message's type")
    control, data = parsed.get_payload()
    equal(control.get_payload().strip(), "Version: 1", "the control part")
    return data.get_payload().encode("ascii")


def opens(name):
    program = peer(name)
    sealed = sealer("seal", write("mail.eml", MAIL), program.cert, ADDRESS)
    assert b"secret" not in sealed and max(map(len, sealed.split(b"\r\n"))) <= 998
    opened = program.decrypt(armor_of(sealed))
    # gosop gives every line end as LF.
    wanted = BODY if b"\r\n" in opened else BODY.replace(b"\r\n", b"\n")
    header, body = re.split(rb"\r?\n\r?\n", opened, maxsplit=1)
    equal(body, wanted, "the body")
    inner = email.message_from_bytes(header)
    equal(inner["Subject"], "secret plan", "the inner subject")
    equal(inner.get_param("hp"), "cipher", "the protection")
    equal(email.message_from_bytes(sealed)["Subject"], "[...]", "the outer subject")


def is_recognised(name):
    block = peer(name).encrypt(b"Content-Type: text/plain\r\n\r\nhello\r\n")
    message = (b"From: peer@example.org\r\nMIME-Version: 1.0\r\nContent-Type: multipart/encrypted;"
               b" protocol=\"application/pgp-encrypted\"; boundary=b\r\n\r\n--b\r\nContent-Type: "
               b"application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--b\r\nContent-Type: "
               b"application/octet-stream\r\n\r\n" + block + b"\r\n--b--\r\n")
    equal(sealer("detect", write("peer.eml", message)).strip(), b"PgpMime", "PGP/MIME")
    inline = b"From: peer@example.org\r\n\r\n" + block
    equal(sealer("detect", write("inline.eml", inline)).strip(), b"Inline", "the armor alone")


for each in PEERS:
    check(f"{each} opens what is sealed for it")(lambda each=each: opens(each))
    check(f"what {each} seals is recognised")(lambda each=each: is_recognised(each))


@check("one message is opened by every program that it was sealed for")
def _():
    programs = [peer(name) for name in PEERS if shutil.which(name)]
    if len(programs) < 2:
        raise Skip("fewer than two programs are installed")
    recipients = [word for program in programs for word in (program.cert, ADDRESS)]
    armored = armor_of(sealer("seal", write("all.eml", MAIL), *recipients))
    for program in programs:
        assert b"trailing blank" in program.decrypt(armored)
    return f"{len(programs)} programs"


@check("a certificate with 100,000 signatures of strangers is refused at once")
def _():
    certificate = open(peer("gpg").cert, "rb").read()
    # A signature packet that nobody made: its octets do not matter to who counts.
    stranger = b"\xc2\x40" + b"\x04\x10\x16\x08" + b"\x00" * 60
    flood = write("flood.cert", certificate + stranger * 100_000)
    verdict, micros = sealer("judge", flood, ADDRESS).split()
    equal(verdict, b"TooLarge", "the verdict")
    assert int(micros) <= 50_000, f"{int(micros)} microseconds"
    # As many as are looked at, half a millisecond each if they were verified.
    count = (256 * 1024 - len(certificate)) // len(stranger)
    most = write("most.cert", certificate + stranger * count)
    verdict, micros_most = sealer("judge", most, ADDRESS).split()
    assert int(micros_most) <= 500_000, f"{int(micros_most)} microseconds"
    return f"{int(micros)} us; {count} within the limit: {verdict.decode()}, {int(micros_most)} us"


run()
