#!/usr/bin/env python3
"""Other people's OpenPGP programs open what is sealed for them, and what they seal is recognised.

Each program makes its own key, so that its certificates are judged too. Programs that are not
installed are skipped; libraries (OpenPGP.js, PGPy, pysequoia) are fetched, or skipped.
"""

import base64
import email
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from openpgp import ADDRESS, NEWER, PEERS, SLOW, call, is_there, peer, write
from report import Skip, check, equal, run
from server import ROOT

BODY = (b"Gr\xc3\xbc\xc3\x9fe, trailing blank \r\n\r\n.\r\nFrom the start\r\n"
        + b"x" * 2000 + b"\r\n")
MAIL = (b"From: Alice <alice@our.example>\r\nTo: peer@example.org\r\nSubject: secret plan\r\n"
        b"Date: Wed, 25 Nov 2026 13:00:00 +0100\r\nMessage-ID: <1@our.example>\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n" + BODY)


def sealer(*arguments):
    """The server's own sealing, as a program."""
    tool = os.path.join(ROOT, "target", "debug", "examples", "sealer")
    if not sealer.built:
        subprocess.run(["cargo", "build", "--quiet", "--example", "sealer"], cwd=ROOT, check=True)
        sealer.built = True
    return call([tool, *arguments])


sealer.built = False


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
