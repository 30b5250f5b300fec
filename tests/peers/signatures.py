#!/usr/bin/env python3
"""An independent DKIM (dkimpy) verifies what we sign, and we verify what it signs and seals.

dkimpy is Debian's python3-dkim with python3-nacl, installed or unpacked below target/peers.
"""

import base64
import glob
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import Skip, at_end, check, equal, run
from server import PEERS, ROOT

PACKAGES = ["python3-dkim", "python3-nacl", "python3-cffi-backend", "python3-authres",
            "python3-dnspython", "libsodium23"]
WHERE = os.path.join(PEERS, "python3-dkim")
LIBRARY = os.path.join(WHERE, "usr/lib/python3/dist-packages")

built = []
scratch = tempfile.TemporaryDirectory(prefix="postseal-dkim-")
at_end(scratch.cleanup)


def dkimpy():
    """The library, unpacked at the first call."""
    if not os.path.exists(os.path.join(LIBRARY, "dkim")):
        try:
            import dkim
            import nacl.signing  # noqa: F401
            return dkim
        except ImportError:
            pass
        os.makedirs(WHERE, exist_ok=True)
        got = subprocess.run(["apt-get", "download", *PACKAGES], cwd=WHERE, capture_output=True,
                             timeout=300)
        if got.returncode != 0:
            raise Skip("python3-dkim is neither installed nor to be had")
        for package in glob.glob(os.path.join(WHERE, "*.deb")):
            subprocess.run(["dpkg", "-x", package, WHERE], check=True)
    if LIBRARY not in sys.path:
        sys.path.insert(0, LIBRARY)
        import ctypes
        for library in glob.glob(os.path.join(WHERE, "usr/lib/*/libsodium.so.23")):
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    import dkim
    return dkim


def ours(*arguments, octets):
    """Runs the example `signatures`, which is built at the first call."""
    tool = os.path.join(ROOT, "target", "debug", "examples", "signatures")
    if not built:
        subprocess.run(["cargo", "build", "--quiet", "--example", "signatures"], cwd=ROOT,
                       check=True)
        built.append(tool)
    done = subprocess.run([tool, *arguments], input=octets, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise AssertionError(done.stderr.decode(errors="replace"))
    return done.stdout


def key(kind):
    """A key made by OpenSSL: its file, and the record with its public half."""
    path = os.path.join(scratch.name, kind)
    make = {"rsa": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ed25519": ["ED25519"]}[kind]
    if not os.path.exists(path):
        subprocess.run(["openssl", "genpkey", "-algorithm", *make, "-out", path], check=True,
                       capture_output=True)
        os.chmod(path, 0o600)
    der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"],
                         check=True, capture_output=True).stdout
    public = base64.b64encode(der[-32:] if kind == "ed25519" else der).decode()
    return path, f"v=DKIM1; k={kind}; p={public}"


MESSAGES = [
    b"From: A <a@b.example>\r\nTo: c@d.example\r\nSubject: x\r\n\r\nHi.\r\n",
    b"From:a@b.example\r\nSubject:  two \t spaces \r\n\tfolded\r\nTo: x@y.example\r\n"
    b"TO: z@y.example\r\nContent-Type: multipart/encrypted;\r\n\tboundary=\"b\"\r\n\r\n"
    b"  leading \t and trailing \t \r\n\r\n\r\nlast\r\n\r\n\r\n",
    b"From: a@b.example\r\n\r\n",
    b"From: a@b.example\r\nSubject: \xc3\xbc\r\n\r\n \r\n\t\r\n",
    b"From: a@b.example\r\n\r\n" + b"line of a long message\r\n" * 20000,
]


@check("dkimpy verifies what is signed with both kinds of key, and no changed message")
def _():
    dkim = dkimpy()
    for kind in ("ed25519", "rsa"):
        path, record = key(kind)

        def dns(name, timeout=5, record=record, kind=kind):
            equal(name.decode().rstrip("."), f"s1-{kind}._domainkey.b.example")
            return record.encode()

        for message in MESSAGES:
            signed = ours("sign", kind, path, "b.example", "s1", octets=message)
            assert signed.endswith(message), signed[:500]
            assert dkim.verify(signed, dnsfunc=dns), signed[:800]
            for changed in (b"Subject: added\r\n" + signed, b"From: e@f.example\r\n" + signed,
                            signed + b"added\r\n"):
                assert not dkim.verify(changed, dnsfunc=dns), changed[:800]


@check("what dkimpy signs passes here in all four canonical forms, and no changed message")
def _():
    dkim = dkimpy()
    zone = os.path.join(scratch.name, "zone")
    with open(zone, "w", encoding="ascii") as out:
        for kind in ("ed25519", "rsa"):
            out.write(f"{kind}._domainkey.b.example TXT {key(kind)[1]}\n")
    for kind in ("ed25519", "rsa"):
        with open(key(kind)[0], "rb") as file:
            secret = file.read()
        if kind == "ed25519":
            der = base64.b64decode(b"".join(secret.splitlines()[1:-1]))
            secret = base64.b64encode(der[-32:])
        for forms in ((b"relaxed", b"relaxed"), (b"relaxed", b"simple"), (b"simple", b"relaxed"),
                      (b"simple", b"simple")):
            for message in MESSAGES[:4]:
                field = dkim.sign(message, kind.encode(), b"b.example", secret,
                                  canonicalize=forms, signature_algorithm=kind.encode()
                                  + b"-sha256", include_headers=[b"from", b"subject"])
                said = ours("check", zone, "127.0.0.1", octets=field + message)
                assert b"dkim=pass header.d=b.example" in said, (forms, message[:200], said)
                said = ours("check", zone, "127.0.0.1", octets=field + message + b"added\r\n")
                assert b"dkim=fail" in said, said


run()
