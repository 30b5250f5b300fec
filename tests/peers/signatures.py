#!/usr/bin/env python3
"""Two independent programs (dkimpy, OpenDKIM) verify what we sign, and we what they sign.

dkimpy is Debian's python3-dkim with python3-nacl, installed or unpacked below target/peers.
OpenDKIM is a mail filter, so it is never installed: it is unpacked there, and only its test mode
runs, which reads one message and the public keys from files.
"""

import base64
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import Skip, at_end, check, equal, need, run
from server import PEERS, ROOT

PACKAGES = ["python3-dkim", "python3-nacl", "python3-cffi-backend", "python3-authres",
            "python3-dnspython", "libsodium23"]
WHERE = os.path.join(PEERS, "python3-dkim")
LIBRARY = os.path.join(WHERE, "usr/lib/python3/dist-packages")
# With what a bare Debian lacks of what it is linked with.
OPENDKIM_PACKAGES = ["opendkim", "libopendkim11", "libmilter1.0.1", "libmemcached11", "libhashkit2",
                     "libopendbx1", "librbl1", "libvbr2", "libunbound8", "libevent-2.1-7",
                     "libnghttp2-14", "libprotobuf-c1", "libldap-2.5-0", "libsasl2-2",
                     "liblua5.3-0", "libdb5.3", "libbsd0", "libmd0"]
OPENDKIM = os.path.join(PEERS, "opendkim")

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
        unpack(PACKAGES, WHERE)
    if LIBRARY not in sys.path:
        sys.path.insert(0, LIBRARY)
        import ctypes
        for library in glob.glob(os.path.join(WHERE, "usr/lib/*/libsodium.so.23")):
            ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
    import dkim
    return dkim


def unpack(packages, where):
    """Fetches Debian packages and unpacks them, without installing any."""
    if os.path.exists(os.path.join(where, "done")):
        return
    need("apt-get", "dpkg")
    os.makedirs(where, exist_ok=True)
    got = subprocess.run(["apt-get", "download", *packages], cwd=where, capture_output=True,
                         timeout=300)
    if got.returncode != 0:
        raise Skip(f"{packages[0]} is neither installed nor to be had")
    for package in glob.glob(os.path.join(where, "*.deb")):
        subprocess.run(["dpkg", "-x", package, where], check=True)
    with open(os.path.join(where, "done"), "w", encoding="ascii"):
        pass


def opendkim(message, **options):
    """What the filter would write in front of a message, one (name, value) a field."""
    unpack(OPENDKIM_PACKAGES, OPENDKIM)
    config, file = (os.path.join(scratch.name, name) for name in ("opendkim.conf", "message"))
    with open(config, "w", encoding="ascii") as out:
        out.writelines(f"{name} {value}\n" for name, value in options.items())
        # The directory for scratch files may be written by others.
        out.write("RequireSafeKeys no\nInternalHosts 127.0.0.1\nAuthservID opendkim.example\n")
    with open(file, "wb") as out:
        out.write(message)
    places = glob.glob(os.path.join(OPENDKIM, "usr/lib/*-linux-gnu")) + [f"{OPENDKIM}/usr/lib"]
    done = subprocess.run([os.path.join(OPENDKIM, "usr/sbin/opendkim"), "-x", config, "-t", file,
                           "-vvv"], capture_output=True, timeout=60, text=True, errors="replace",
                          env={**os.environ, "LD_LIBRARY_PATH": ":".join(places)})
    said = f"{done.stdout}{done.stderr}"
    if "error while loading shared libraries" in said:
        raise Skip(f"opendkim does not run here: {said}")
    equal(done.returncode, 0, f"opendkim's end: {said}")
    return re.findall(r"^### INSHEADER: idx=\d+ hname='([^']+)' hvalue='([^']*)'", done.stdout,
                      re.MULTILINE)


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


def verdicts(message, keys):
    """What OpenDKIM says of each signature in a message, (algorithm, verdict) in their order."""
    fields = dict(opendkim(message, Mode="v", TestPublicKeys=keys, AlwaysAddARHeader="yes"))
    results = fields["Authentication-Results"]
    return re.findall(r"dkim=(\w+)[^;]* header\.a=([a-z0-9-]+)", results) or results


def one_blank(message):
    """A message with one blank behind the name of each field: as a mail filter OpenDKIM is not told
    how many there were, and takes it for one, which matters in the simple form alone."""
    head, end, body = message.partition(b"\r\n\r\n")
    return re.sub(rb"(?m)^([!-9;-~]+): *", rb"\1: ", head) + end + body


def written(kind, middle=" "):
    """A file with the public keys of the domain, for one of the two programs."""
    path = os.path.join(scratch.name, f"{kind}-keys")
    with open(path, "w", encoding="ascii") as out:
        for name in ("ed25519", "rsa"):
            for selector in (f"s1-{name}", name):
                out.write(f"{selector}._domainkey.b.example{middle}{key(name)[1]}\n")
    return path


@check("opendkim verifies what is signed with both kinds of key, alone and together")
def _():
    keys, count = written("opendkim"), 0
    for message in MESSAGES:
        by_rsa, by_ed25519 = (ours("sign", kind, key(kind)[0], "b.example", "s1", octets=message)
                              for kind in ("rsa", "ed25519"))
        both = by_ed25519[:-len(message)] + by_rsa
        rsa, ed25519 = ("pass", "rsa-sha256"), ("pass", "ed25519-sha256")
        for signed, wanted in ((by_rsa, [rsa]), (by_ed25519, [ed25519]), (both, [ed25519, rsa])):
            equal(verdicts(signed, keys), wanted, f"verdicts on {signed[:800]}")
            count += len(wanted)
            for changed in (signed + b"added\r\n", b"Subject: added\r\n" + signed):
                equal(verdicts(changed, keys), [("fail", kind) for _, kind in wanted],
                      f"verdicts on {changed[:800]}")
    return f"{count} signatures"


@check("what opendkim signs passes here in all four canonical forms, and no changed message")
def _():
    keys, zone, passed = written("opendkim"), written("zone", " TXT "), 0
    for kind in ("ed25519", "rsa"):
        for forms in ("relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"):
            for message in MESSAGES:
                if forms.startswith("simple"):
                    message = one_blank(message)
                fields = opendkim(message, Mode="s", Domain="b.example", Selector=kind,
                                  KeyFile=key(kind)[0], SignatureAlgorithm=f"{kind}-sha256",
                                  Canonicalization=forms)
                equal([name for name, _ in fields], ["DKIM-Signature"], "what is written")
                field = f"DKIM-Signature: {fields[0][1]}\n".replace("\n", "\r\n").encode()
                signed = field + message
                # It breaks some of its own: Ed25519 with the header in the simple form.
                own = verdicts(signed, keys)[0][0]
                assert own == "pass" or (kind, forms[:6]) == ("ed25519", "simple"), (kind, forms)
                said = ours("check", zone, "127.0.0.1", octets=signed)
                assert f"dkim={own} header.d=b.example".encode() in said, (forms, signed, said)
                passed += own == "pass"
                said = ours("check", zone, "127.0.0.1", octets=signed + b"added\r\n")
                assert b"dkim=fail" in said, said
    return f"{passed} messages"


run()
