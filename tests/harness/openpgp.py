"""Other people's OpenPGP: each program or library with a key that it made itself.

    program = peer("gpg")                 # made once; skips where it is not to be had
    program.cert                          # a file with its certificate, for ADDRESS
    program.decrypt(armored)
    program.encrypt(octets, CERT_FILE)    # armored; for itself without a file
"""

import os
import shutil
import subprocess
import tempfile
import warnings

import libraries
from report import Skip, at_end
from server import PEERS as BUILT

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

    def encrypt(self, data, cert=None):
        return call([*self.program, "encrypt", cert or self.cert], data)


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

    def encrypt(self, data, cert=None):
        return self.run("--armor", "--encrypt", "--recipient-file", cert or self.cert, stdin=data)


class Sequoia:
    """The command line of an older Sequoia."""

    def __init__(self):
        self.key = os.path.join(tempfile.mkdtemp(dir=scratch), "sq.key")
        call(["sq", "key", "generate", "--userid", USER_ID, "--export", self.key])
        with open(self.key, "rb") as file:
            self.cert = write(f"{self.key}.cert", call(["sq", "key", "extract-cert"], file.read()))

    def decrypt(self, armored):
        return call(["sq", "decrypt", "--recipient-key", self.key], armored)

    def encrypt(self, data, cert=None):
        return call(["sq", "encrypt", "--recipient-cert", cert or self.cert], data)


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

    def encrypt(self, data, cert=None):
        home = self.home
        if cert:
            home = tempfile.mkdtemp(prefix="rnp-", dir=scratch)
            call(["rnpkeys", "--homedir", home, "--import-keys", cert])
        path, out = write("rnp.txt", data), os.path.join(scratch, "rnp.enc")
        # In either home there is one key alone.
        call(["rnp", "--homedir", home, "--overwrite", "--armor", "--encrypt", "-r", "@", path,
              "--output", out])
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

    def encrypt(self, data, cert=None):
        with warnings.catch_warnings(action="ignore"):
            public = self.pgpy.PGPKey.from_file(cert)[0] if cert else self.key.pubkey
            return str(public.encrypt(self.pgpy.PGPMessage.new(data))).encode()


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

    def encrypt(self, data, cert=None):
        public = self.sequoia.Cert.from_file(cert) if cert else self.public
        return self.sequoia.encrypt(data, [public])


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
