#!/usr/bin/env python3
"""Other people's programs find our users' keys, over HTTPS on port 443: gpg, sq, gpg-wks-client and
OpenPGP.js.

They resolve names and trust authorities by the system's files, so everything runs in a network and
a mount namespace of its own: the server on 127.0.0.1:443, /etc/hosts, the name server and the
authorities' file are ours there and nowhere else.
"""

import contextlib
import os
import re
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import libraries
from report import Skip, at_end, check, equal, need, need_root, run
from server import Server
from world import wkd_hash

INSIDE = "POSTSEAL_WKD_INSIDE"
DOMAIN = "example.test"
ADVANCED = f"127.0.0.1 localhost openpgpkey.{DOMAIN} {DOMAIN}\n"
DIRECT = f"127.0.0.1 localhost {DOMAIN}\n"
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def enter():
    """Starts this script again in namespaces of its own, where that is possible."""
    if os.environ.get(INSIDE) or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    inside = ["unshare", "--net", "--mount", "--propagation", "private",
              sys.executable, os.path.abspath(__file__)]
    if subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True).returncode == 0:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", inside)


try:
    OPENPGP_JS = libraries.script("sop.js", "wkd")      # out there is a network to fetch it by
except Skip as why_not:
    OPENPGP_JS = str(why_not)
enter()
server = Server()
at_end(server.remove)
scratch = tempfile.mkdtemp(prefix="postseal-wkd-")
at_end(lambda: shutil.rmtree(scratch, ignore_errors=True))


class direct_only:
    """For a while the name of the advanced method has no address."""

    def __enter__(self):
        self.write(DIRECT)

    def __exit__(self, *_):
        self.write(ADVANCED)

    def write(self, text):
        with open("/etc/hosts", "w", encoding="ascii") as file:
            file.write(text)


class NoNames(socketserver.BaseRequestHandler):
    """A name server that knows no name. Without one dirmngr gives up the direct method: it asks
    whether there is an SRV record for the domain, and files have no answer to that."""

    def handle(self):
        question, socket = self.request
        asked.append(question[12:])
        no_such_name = b"\x81\x83"
        socket.sendto(question[:2] + no_such_name + question[4:6] + bytes(6) + question[12:],
                      self.client_address)


asked = []


def bind(path, text):
    """Puts a file of ours in the place of one of the system's, in this namespace."""
    mine = os.path.join(scratch, os.path.basename(path))
    with open(mine, "w", encoding="ascii") as file:
        file.write(text)
    subprocess.run(["mount", "--bind", mine, path], check=True)


def set_up():
    need_root()
    if not os.environ.get(INSIDE):
        raise Skip("needs namespaces (unshare)")
    if server.process:
        return
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    server.start()
    server.stop()
    config = server.config_path()
    with open(config, encoding="utf-8") as file:
        text = file.read()
    with open(config, "w", encoding="utf-8") as file:
        file.write(re.sub(r"https = .*", 'https = ["127.0.0.1:443"]', text))
    server.plain_serve = True
    server.start()
    names = socketserver.ThreadingUDPServer(("127.0.0.1", 53), NoNames)
    threading.Thread(target=names.serve_forever, daemon=True).start()
    bind("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    bind("/etc/hosts", ADVANCED)
    # Without a resolver a name that is not there is an error, and no answer.
    bind("/etc/nsswitch.conf", "hosts: files\n")
    with open(os.path.join(server.directory, "tls", "ca.pem"), encoding="ascii") as file:
        bind(AUTHORITIES, file.read())


def fingerprint(address):
    done = server.cli("key", "show", address)
    return re.search(r"\b[0-9A-F]{40}\b", done.stdout).group()


def gpg_home(name):
    home = os.path.join(scratch, name)
    os.makedirs(home, mode=0o700)
    with open(os.path.join(home, "dirmngr.conf"), "w", encoding="ascii") as file:
        file.write("standard-resolver\n")
    at_end(lambda: subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"],
                                  capture_output=True))
    return home


def call(*command, ok=True, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, **more)
    assert not ok or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done


def locate(home, address, ok=True):
    return call("gpg", "--homedir", home, "--batch", "--auto-key-locate", "clear,wkd,nodefault",
                "--with-colons", "--locate-external-keys", address, ok=ok)


@check("wkd: gpg --locate-external-keys finds a user's key, in any case, and encrypts to it")
def _():
    set_up()
    need("gpg", "dirmngr")
    address = server.user()[0]
    home = gpg_home("gpg")
    found = locate(home, address.capitalize())
    assert fingerprint(address) in found.stdout, found.stdout
    equal(found.stdout.count("\nuid:"), 1, "one User ID")
    sealed = call("gpg", "--homedir", home, "--batch", "--trust-model", "always", "--armor",
                  "--encrypt", "--recipient", address, input="hello\n")
    assert "BEGIN PGP MESSAGE" in sealed.stdout, sealed


@check("wkd: gpg finds nothing for nobody, for an alias and for a key that is not published")
def _():
    set_up()
    need("gpg", "dirmngr")
    home = gpg_home("gpg-none")
    for local in ("nobody", "postmaster"):
        assert "pub:" not in locate(home, f"{local}@{DOMAIN}", ok=False).stdout, local
    bob = server.user(1)[0]
    server.cli("key", "publish", bob, "off")
    assert "pub:" not in locate(home, bob, ok=False).stdout, "not published"
    server.cli("key", "publish", bob)
    assert fingerprint(bob) in locate(gpg_home("gpg-again"), bob).stdout


@check("wkd: gpg-wks-client --check accepts the key")
def _():
    set_up()
    client = "/usr/lib/gnupg/gpg-wks-client"
    client = client if os.path.exists(client) else "gpg-wks-client"
    need(client)
    home = gpg_home("wks")
    done = call(client, "--check", server.user()[0], env=dict(os.environ, GNUPGHOME=home))
    assert not done.stdout.strip() or "error" not in done.stdout.lower(), done.stdout


def sq_finds(address):
    if call("sq", "wkd", "--help", ok=False).returncode == 0:
        return call("sq", "wkd", "get", address).stdout
    return call("sq", "--home", os.path.join(scratch, "sq"), "network", "wkd", "search",
                "--output", "-", address).stdout


@check("wkd: sq finds the key")
def _():
    set_up()
    need("sq")
    assert "BEGIN PGP PUBLIC KEY BLOCK" in sq_finds(server.user()[0])


@check("wkd: where openpgpkey.DOMAIN has no address, sq finds the key at the domain itself")
def _():
    set_up()
    need("sq")
    with direct_only():
        assert "BEGIN PGP PUBLIC KEY BLOCK" in sq_finds(server.user()[0])


@check("wkd: where openpgpkey.DOMAIN has no address, gpg finds the key at the domain itself")
def _():
    set_up()
    need("gpg", "dirmngr")
    address = server.user()[0]
    with direct_only():
        before = len(asked)
        assert fingerprint(address) in locate(gpg_home("direct"), address).stdout
        assert any(b"\x0b_openpgpkey\x04_tcp" in question for question in asked[before:]), asked
        none = locate(gpg_home("direct-none"), f"nobody@{DOMAIN}", ok=False)
        assert "pub:" not in none.stdout, none.stdout


@check("wkd: OpenPGP.js finds the key by both methods, and nothing for nobody")
def _():
    set_up()
    if isinstance(OPENPGP_JS, str):
        raise Skip(OPENPGP_JS)
    address = server.user()[0]
    trusting = dict(os.environ, NODE_EXTRA_CA_CERTS=server.ca())
    for advanced in (True, False):
        with contextlib.nullcontext() if advanced else direct_only():
            found = call(*OPENPGP_JS, address, env=trusting).stdout
            assert fingerprint(address) in call("gpg", "--homedir", gpg_home(f"js-{advanced}"),
                                                "--show-keys", input=found).stdout, found
            none = call(*OPENPGP_JS, f"nobody@{DOMAIN}", ok=False, env=trusting)
            assert none.returncode != 0 and "WKD lookup failed" in none.stderr, none
    nothing_more = dict(os.environ, NODE_EXTRA_CA_CERTS="", NODE_OPTIONS="--use-bundled-ca")
    strange = call(*OPENPGP_JS, address, ok=False, env=nothing_more)
    assert "fetch failed" in strange.stderr, f"an unknown authority was trusted: {strange}"


@check("wkd: a key that gpg made is imported, found by gpg, and its secret comes back")
def _():
    set_up()
    need("gpg", "dirmngr")
    address, password = server.user()[:2]
    home = gpg_home("owner")
    call("gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase",
         "open sesame", "--quick-generate-key", f"Alice <{address}>", "future-default", "default",
         "1y")
    key = call("gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase",
               "open sesame", "--armor", "--export-secret-keys", address).stdout
    path = os.path.join(scratch, "alice.asc")
    with open(path, "w", encoding="ascii") as file:
        file.write(key)
    wrong = server.cli("key", "import", address, path, "--password-stdin", "--passphrase-stdin",
                       stdin=f"{password}\nopen barley\n", ok=False)
    assert wrong.returncode != 0 and "passphrase" in wrong.stderr, wrong
    server.cli("key", "import", address, path, "--password-stdin", "--passphrase-stdin",
               stdin=f"{password}\nopen sesame\n")
    made = re.search(r"fpr:+([0-9A-F]{40}):", call(
        "gpg", "--homedir", home, "--with-colons", "--list-keys", address).stdout).group(1)
    equal(fingerprint(address), made, "what show says")
    assert made in locate(gpg_home("peer"), address).stdout, "what peers find"
    back = server.cli("key", "export", address, "--secret", "--password-stdin",
                      stdin=f"{password}\n")
    home = gpg_home("back")
    call("gpg", "--homedir", home, "--batch", "--import", input=back.stdout)
    secret = call("gpg", "--homedir", home, "--with-colons", "--list-secret-keys").stdout
    assert made in secret, secret


@check("wkd: an RSA secret key is refused with its reason, and its certificate alone is taken")
def _():
    set_up()
    need("gpg")
    address, password = server.user()[:2]
    home = gpg_home("rsa")
    call("gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "",
         "--quick-generate-key", address, "rsa2048", "default", "never")
    call("gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback", "--passphrase", "",
         "--quick-add-key", re.search(r"fpr:+([0-9A-F]{40}):", call(
             "gpg", "--homedir", home, "--with-colons", "--list-keys").stdout).group(1),
         "rsa2048", "encr")
    secret, public = os.path.join(scratch, "rsa-secret"), os.path.join(scratch, "rsa-public")
    call("gpg", "--homedir", home, "--batch", "--output", secret, "--export-secret-keys")
    call("gpg", "--homedir", home, "--batch", "--output", public, "--export")
    refused = server.cli("key", "import", address, secret, "--password-stdin",
                         stdin=f"{password}\n", ok=False)
    assert refused.returncode != 0 and "RSA" in refused.stderr, refused
    server.cli("key", "import", address, public, "--password-stdin", stdin=f"{password}\n")
    none = server.cli("key", "export", address, "--secret", "--password-stdin",
                      stdin=f"{password}\n", ok=False)
    assert none.returncode != 0 and "owner keeps" in none.stderr, none


@check("wkd: names and hosts that are not ours get nothing, and nothing else is served")
def _():
    set_up()
    need("curl")
    def status(url, *more):
        return call("curl", "-so", "/dev/null", "-w", "%{http_code}", *more, url).stdout
    base = f"https://openpgpkey.{DOMAIN}/.well-known/openpgpkey/{DOMAIN}"
    alice = f"{base}/hu/{wkd_hash('alice')}"
    equal(status(alice), "200", "a key")
    equal(status(alice, "-I"), "200", "HEAD")
    equal(status(f"{base}/policy"), "200", "policy")
    direct = f"https://{DOMAIN}/.well-known/openpgpkey/hu/{wkd_hash('alice')}"
    equal(status(direct), "200", "direct")
    equal(status(f"{base}/hu/"), "404", "no listing")
    equal(status(f"https://{DOMAIN}/"), "404", "no page")
    equal(status(alice, "-X", "POST"), "405", "POST")
    equal(status(alice, "-H", "Host: other.example"), "421", "another host")


run()
