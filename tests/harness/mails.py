"""Mails for tests, as octets with CRLF: plain ones and odd ones."""

import hashlib
import random


def plain(name="plain", body=b"Good day.\r\n", sender="sender@remote.example",
          to="alice@example.org", extra=b""):
    return (b"From: Sender <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%s@remote.example>\r\n"
            b"Date: Mon, 23 Nov 2026 03:00:00 +0100\r\n%s\r\n" % (
                sender.encode(), to.encode(), name.encode(), name.encode(), extra)) + body


def multipart(name="multipart"):
    extra = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="=_b"\r\n'
    body = (b"preamble\r\n--=_b\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n"
            b"--=_b\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n"
            b"Content-Disposition: attachment; filename=\"a.bin\"\r\n"
            b"Content-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgc=\r\n"
            b"--=_b\r\nContent-Type: message/rfc822\r\n\r\n"
            + plain("inner", b"inner body\r\n") + b"\r\n--=_b--\r\nepilogue\r\n")
    return plain(name, body, extra=extra)


def odd(seed=1):
    """(name, octets) of mails that servers like to mangle. All lines end with CRLF."""
    dice = random.Random(seed)
    every = bytes(set(range(1, 256)) - {10, 13})
    binary = b"".join(
        bytes(dice.choice(every) for _ in range(dice.randrange(200))) + b"\r\n"
        for _ in range(40))
    return [
        ("eight-bit", plain("eight-bit", "Grüße, 東京, \u202eabc\r\n".encode() * 5)),
        ("latin-1", plain("latin-1", bytes(range(160, 256)) + b"\r\n")),
        ("binary without NUL", plain("binary", binary)),
        ("lines of 900 octets", plain("line-900", (b"x" * 900 + b"\r\n") * 20)),
        ("dots", plain("dots", b".\r\n..\r\n...\r\n.x\r\n. \r\n \r\n..end\r\n")),
        ("only dots at the start", plain("dot-first", b".\r\n")),
        ("blank lines and spaces", plain("blank", b"\r\n\r\n  \r\n\t\r\nx   \r\n\r\n\r\n")),
        ("empty body", plain("empty-body", b"")),
        ("header only, no empty line", plain("header-only", b"")[:-2]),
        ("no header", b"\r\nonly a body\r\n"),
        ("header unfolded and long", plain("long-header", extra=b"X-L: " + b"y" * 900 + b"\r\n")),
        ("header folded oddly", plain("folds", extra=b"X-F: a\r\n\tb\r\n  c\r\nX-E:\r\n")),
        ("broken header line", plain("broken-header", extra=b"no colon here\r\n")),
        ("From_ in body", plain("from", b"From here on\r\n>From there\r\n")),
        ("multipart", multipart()),
        ("multipart never closed", multipart("open").replace(b"--=_b--\r\n", b"")),
        ("deep nesting", plain("deep", nested(60), extra=b"MIME-Version: 1.0\r\nContent-Type: "
                               b"multipart/mixed; boundary=b0\r\n")),
        ("many parts", plain("parts", b"--b\r\n\r\nx\r\n" * 1500 + b"--b--\r\n",
                             extra=b"Content-Type: multipart/mixed; boundary=b\r\n")),
        ("control octets", plain("control", b"\x01\x02\x07\x08\x0b\x0c\x1b\x7f\r\n")),
    ]


def nested(depth):
    out = b"leaf\r\n"
    for level in range(depth, 0, -1):
        out = (b"--b%d\r\nContent-Type: multipart/mixed; boundary=b%d\r\n\r\n" % (level - 1, level)
               + out + b"--b%d--\r\n" % (level - 1))
    return out


def big(megabytes, name="big"):
    line = hashlib.sha256(name.encode()).hexdigest().encode() + b"\r\n"
    lines = megabytes * 1_000_000 // len(line)
    return plain(name, b"".join(b"%08d" % n + line[8:] for n in range(lines)))
