#!/usr/bin/env python3
"""Other people's OpenPGP programs open what is sealed for them, and what they seal is recognised.

Each program makes its own key, so that its certificates are judged too. Programs that are not
installed are skipped; libraries (OpenPGP.js, PGPy, pysequoia) are fetched, or skipped.
"""

import base64
import email
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import libraries
from report import Skip, at_end, check, equal, run
from server import PEERS as BUILT, ROOT

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

    made = 0

    def __init__(self, *program, profile=None):
        self.program = program
        Sop.made += 1
        profiled = ["--profile", profile] if profile else []
        secret = call([*program, "generate-key", *profiled, USER_ID])
        self.key = write(f"sop-{Sop.made}.key", secret)
        self.cert = write(f"sop-{Sop.made}.cert", call([*program, "extract-cert"], secret))

    def decrypt(self, armored):
        return call([*self.program, "decrypt", self.key], armored)

    def encrypt(self, data):
        return call([*self.program, "encrypt", self.cert], data)


class Gnupg:
    """GnuPG, with a home of its own."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="gnupg-", dir=scratch)
        at_end(lambda: subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"],
                                      capture_output=True, timeout=60))
        self.run("--passphrase", "", "--quick-generate-key", USER_ID, "default", "default", "1y")
        self.cert = write(f"{self.home}.cert", self.run("--export", ADDRESS))

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
        self.key = os.path.join(tempfile.mkdtemp(dir=scratch), "sq.key")
        call(["sq", "key", "generate", "--userid", USER_ID, "--export", self.key])
        with open(self.key, "rb") as file:
            self.cert = write(f"{self.key}.cert", call(["sq", "key", "extract-cert"], file.read()))

    def decrypt(self, armored):
        return call(["sq", "decrypt", "--recipient-key", self.key], armored)

    def encrypt(self, data):
        return call(["sq", "encrypt", "--recipient-cert", self.cert], data)


class Rnp:
    """What Thunderbird has inside."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="rnp-", dir=scratch)
        call(["rnpkeys", "--homedir", self.home, "--generate-key", "--userid", USER_ID,
              "--password", ""])
        self.cert = write(f"{self.home}.cert", call(["rnpkeys", "--homedir", self.home,
                                                     "--export-key", ADDRESS]))

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


class Pgpy:
    """A library for Python, of RFC 4880."""

    def __init__(self, kind):
        self.pgpy = libraries.module("pgpy")
        from pgpy import constants as c
        algorithms = {"rsa": [(c.PubKeyAlgorithm.RSAEncryptOrSign, 3072)] * 2,
                      "curve25519": [(c.PubKeyAlgorithm.EdDSA, c.EllipticCurveOID.Ed25519),
                                     (c.PubKeyAlgorithm.ECDH, c.EllipticCurveOID.Curve25519)]}
        self.key, part = (self.pgpy.PGPKey.new(*algorithm) for algorithm in algorithms[kind])
        self.key.add_uid(self.pgpy.PGPUID.new("Peer", email=ADDRESS), usage={c.KeyFlags.Sign},
                         hashes=[c.HashAlgorithm.SHA256], ciphers=[c.SymmetricKeyAlgorithm.AES256])
        self.key.add_subkey(part, usage={c.KeyFlags.EncryptCommunications})
        self.cert = write(f"pgpy-{self.key.fingerprint}.cert", bytes(self.key.pubkey))

    def decrypt(self, armored):
        with warnings.catch_warnings(action="ignore"):
            return bytes(self.key.decrypt(self.pgpy.PGPMessage.from_blob(armored)).message)

    def encrypt(self, data):
        with warnings.catch_warnings(action="ignore"):
            message = self.pgpy.PGPMessage.new(data)
            return str(self.key.pubkey.encrypt(message)).encode()


class PySequoia:
    """A newer Sequoia, from Python."""

    def __init__(self, profile, suite):
        self.sequoia = libraries.module("pysequoia")
        self.key = self.sequoia.Tsk.generate(
            USER_ID, profile=getattr(self.sequoia.Profile, profile),
            cipher_suite=getattr(self.sequoia.CipherSuite, suite))
        self.public = self.key.extract_certificate()
        self.cert = write(f"pysequoia-{self.public.fingerprint}.cert", bytes(self.public))

    def decrypt(self, armored):
        return self.sequoia.decrypt(armored, self.key.decryptor()).bytes

    def encrypt(self, data):
        return self.sequoia.encrypt(data, [self.public])


def openpgp_js(profile):
    return Sop(*libraries.script("sop.js"), profile=profile)


# Built by rsop.py; the one that knows version 2 of encrypted data and post-quantum keys.
RSOP = os.path.join(BUILT, "rsop", "bin", "rsop")

PEERS = {
    "gpg": Gnupg,
    "sq": Sequoia,
    "rnp": Rnp,
    "sqop": lambda: Sop("sqop"),
    "gosop": lambda: Sop("gosop"),
    "pgpainless-cli": lambda: Sop("pgpainless-cli"),
    "rsop performance": lambda: Sop(RSOP, profile="performance"),
    "rsop security": lambda: Sop(RSOP, profile="security"),
    "rsop rfc9980-v4": lambda: Sop(RSOP, profile="rfc9980-v4"),
    "OpenPGP.js v4": lambda: openpgp_js("v4"),
    "OpenPGP.js v4 with AEAD": lambda: openpgp_js("v4-aead"),
    "OpenPGP.js v6": lambda: openpgp_js("v6"),
    "PGPy curve25519": lambda: Pgpy("curve25519"),
    "PGPy rsa": lambda: Pgpy("rsa"),
    "pysequoia v4": lambda: PySequoia("RFC4880", "Cv25519"),
    "pysequoia v6": lambda: PySequoia("RFC9580", "Cv25519"),
    "pysequoia post-quantum": lambda: PySequoia("RFC9580", "MLDSA65_Ed25519"),
}
LIBRARIES = ("OpenPGP.js ", "PGPy ", "pysequoia ")
# These announce version 2 of encrypted data (RFC 9580, section 5.13.2), and are given it.
NEWER = {"rsop performance", "rsop security", "OpenPGP.js v4 with AEAD", "OpenPGP.js v6",
         "pysequoia v4", "pysequoia v6", "pysequoia post-quantum"}
# A second key of these takes its time.
SLOW = {"gpg", "pgpainless-cli", "PGPy rsa"}
made = {}


def is_there(name):
    if name.startswith("rsop "):
        return os.path.exists(RSOP)
    return name.startswith(LIBRARIES) or bool(shutil.which(name))


def peer(name):
    """A program with its key; made once."""
    if not is_there(name):
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


def octets_of(armored):
    text = armored.decode("ascii").replace("\r", "").split("\n\n", 1)[1]
    return base64.b64decode(re.split(r"\n[=-]", text, maxsplit=1)[0])


def armor(octets):
    """With the checksum that PGPy asks for (RFC 9580, section 6.1.1)."""
    crc = 0xB704CE
    for octet in octets:
        crc ^= octet << 16
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    check_sum = base64.b64encode(crc.to_bytes(3, "big")).decode("ascii")
    text = base64.encodebytes(octets).decode("ascii") + f"={check_sum}\n"
    return f"-----BEGIN PGP MESSAGE-----\n\n{text}-----END PGP MESSAGE-----\n".encode("ascii")


def version_of(octets):
    """The version of the encrypted data, which follow the session keys (RFC 9580, section 4.2)."""
    at = 0
    while octets[at] == 0xC1:
        first = octets[at + 1]
        assert first < 224, "a session key of a length that nobody needs"
        at += 2 + first if first < 192 else 3 + (first - 192 << 8) + octets[at + 2] + 192
    equal(octets[at], 0xD2, "the packet that follows the session keys")
    first = octets[at + 1]
    return octets[at + (3 if 192 <= first < 224 else 6 if first == 255 else 2)]


def opens(name):
    program = peer(name)
    sealed = sealer("seal", write("mail.eml", MAIL), program.cert, ADDRESS)
    equal(version_of(octets_of(armor_of(sealed))), 2 if name in NEWER else 1, "the version")
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


def refuses(name):
    """What was sealed for one key is opened with no other, nor when it was changed."""
    program = peer(name)
    armored = armor_of(sealer("seal", write("mail.eml", MAIL), program.cert, ADDRESS))
    octets = bytearray(octets_of(armored))
    assert b"trailing blank" in program.decrypt(armor(octets))
    octets[-300] ^= 1
    changed = armor(octets)
    for other, data, what in ((program, changed, "a changed message"),
                              (PEERS[name](), armored, "a message for somebody else")):
        try:
            opened = other.decrypt(data)
        except Exception:  # each has an error of its own
            continue
        raise AssertionError(f"{what} was opened: {opened[:200]}")


for each in PEERS:
    check(f"{each} opens what is sealed for it")(lambda each=each: opens(each))
    check(f"what {each} seals is recognised")(lambda each=each: is_recognised(each))
    if each not in SLOW:
        check(f"{each} refuses what is sealed for another, and what was changed")(
            lambda each=each: refuses(each))


def shared(names):
    """One message to several programs. Old and new ones do not share one: PGPainless 1.3 gives up
    at the first session key in an algorithm that it does not know."""
    programs = []
    for name in names:
        try:
            programs.append(peer(name))
        except Skip:
            pass
    if len(programs) < 2:
        raise Skip("fewer than two programs are installed")
    recipients = [word for program in programs for word in (program.cert, ADDRESS)]
    armored = armor_of(sealer("seal", write("all.eml", MAIL), *recipients))
    for program in programs:
        assert b"trailing blank" in program.decrypt(armored)
    return f"{len(programs)} programs"


@check("one message is opened by every old program that it was sealed for")
def _():
    new = NEWER | {"rsop rfc9980-v4"}
    return shared([name for name in PEERS if name not in new])


@check("one message is opened with every new key that it was sealed for")
def _():
    new = NEWER | {"rsop rfc9980-v4"}
    return shared([name for name in PEERS if name in new])


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
