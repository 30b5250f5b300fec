#!/usr/bin/env python3
"""Keys are looked up under names that Knot DNS signs, does not sign, or signs wrongly.

One knotd on loopback answers for a root of its own and for domains below it; the server trusts that
root's key in place of the internet's. Who can only deny or forge what is signed must not bring
about that mail goes out plain.
"""

import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import at_end, check, equal, need, run
from server import HOST, Server
from world import World

ADDRESS = "127.0.1.5"
TOP = "signed.alt"                      # RFC 9476: names that are not the DNS's
server = Server()
at_end(server.remove)
server.start()
server.stop()
world = World(server)
USER, PASSWORD = server.user()
PORT = server.port_base + 53
BASE = os.path.join(server.scratch, "knot")
SITES, STATE = {}, {"knotd": None, "ready": None}

# name -> (who answers for it, whether its directory has an address, what is found)
SIGNED, UNSIGNED, WRONG, STRIPPED, EXPIRED = "signed", "unsigned", "wrong", "stripped", "expired"
DOMAINS = {
    "good": (SIGNED, True, "key"), "none": (SIGNED, False, "none"),
    "open": (UNSIGNED, True, "key"), "nobody": (UNSIGNED, False, "none"),
    "wrong": (WRONG, True, "failed"), "wrong-none": (WRONG, False, "failed"),
    "stripped": (STRIPPED, True, "failed"), "denied": (STRIPPED, False, "failed"),
    "expired": (EXPIRED, True, "failed"), "expired-none": (EXPIRED, False, "failed"),
}


def gpg(*words):
    home = os.path.join(server.scratch, "gnupg")
    os.makedirs(home, mode=0o700, exist_ok=True)
    return subprocess.run(["gpg", "--homedir", home, "--batch", "--pinentry-mode", "loopback",
                           "--passphrase", "", *words], check=True, capture_output=True).stdout


def sites():
    """Web sites and mail hosts, whose names are in the DNS alone."""
    for name, (_, has_web, _) in DOMAINS.items():
        site = world.domain(f"{name}.{TOP}", web=has_web)
        if has_web:
            gpg("--quick-generate-key", f"carol@{site.name}", "future-default", "default", "never")
            site.key("carol", gpg("--export", f"carol@{site.name}"))
        SITES[name] = site
    world.domains.clear()
    world.install()


# -- zones

def path(name):
    return os.path.join(BASE, name)


def write_zone(zone, lines):
    dot = "" if zone == "." else zone + "."
    head = [f"$ORIGIN {dot or '.'}", "$TTL 60",
            f"@ SOA ns.{TOP}. admin.{TOP}. 1 3600 600 86400 60", f"@ NS ns.{TOP}."]
    with open(path((zone if zone != "." else "root") + ".zone"), "w", encoding="ascii") as file:
        file.write("\n".join(head + lines) + "\n")


def site_lines(site):
    lines = [line for line in site.records() if not line.startswith("$")]
    return [" ".join(word + "." if word.endswith(TOP) else word for word in line.split())
            for line in lines]


def configuration(signing):
    """knot.conf; `signing` says which zones are signed by whom."""
    lines = ["server:", f"    listen: {ADDRESS}@{PORT}", f"    rundir: {BASE}",
             "database:", f"    storage: {path('db')}",
             "policy:"]
    for policy, more in (("lasting", []), ("short", ["rrsig-lifetime: 4", "rrsig-refresh: 1",
                                                     "rrsig-pre-refresh: 1"])):
        lines += [f"  - id: {policy}", "    single-type-signing: on",
                  "    algorithm: ecdsap256sha256", "    nsec3: off",
                  *(f"    {line}" for line in more)]
    lines += ["zone:"]
    for zone, policy in signing.items():
        name = "root" if zone == "." else zone
        lines += [f"  - domain: {zone}", f"    file: {path(name + '.zone')}",
                  "    zonefile-sync: 0", "    zonefile-load: whole", "    journal-content: none"]
        if policy:
            lines += ["    dnssec-signing: on", f"    dnssec-policy: {policy}"]
    with open(path("knot.conf"), "w", encoding="ascii") as file:
        file.write("\n".join(lines) + "\n")


def keymgr(zone, *words):
    done = subprocess.run(["keymgr", "-c", path("knot.conf"), zone, *words], capture_output=True,
                          text=True)
    assert done.returncode == 0, f"keymgr {zone} {words}: {done.stderr}"
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def knot_starts():
    with open(path("log"), "ab") as log:
        STATE["knotd"] = subprocess.Popen(["knotd", "-c", path("knot.conf")], stdout=log,
                                          stderr=log)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        signed = os.path.join(BASE, f"good.{TOP}.zone")
        with open(signed, encoding="ascii", errors="replace") as file:
            if "RRSIG" in file.read():
                return
        time.sleep(0.1)
    with open(path("log"), encoding="utf-8", errors="replace") as file:
        raise AssertionError(f"knotd does not sign: {file.read()[-600:]}")


def knot_ends():
    if STATE["knotd"]:
        STATE["knotd"].terminate()
        STATE["knotd"].wait(10)
        STATE["knotd"] = None


at_end(knot_ends)


def zones():
    os.makedirs(path("db"))
    policies = {SIGNED: "lasting", WRONG: "lasting", EXPIRED: "short"}
    signing = {".": "lasting", TOP: "lasting"}
    for name, (kind, _, _) in DOMAINS.items():
        signing[f"{name}.{TOP}"] = policies.get(kind)
        write_zone(f"{name}.{TOP}", site_lines(SITES[name]))
    configuration(signing)
    anchors = {}
    for zone, policy in signing.items():
        if policy or zone.split(".")[0] in ("stripped", "denied"):
            keymgr(zone, "generate", "algorithm=ECDSAP256SHA256", "ksk=yes", "zsk=yes")
            anchors[zone] = [line for line in keymgr(zone, "ds") if " DS " in line]
    # The parents: everything that has a key is vouched for; two by the key of another.
    anchors[f"wrong.{TOP}"] = [line.replace("good.", "wrong.") for line in anchors[f"good.{TOP}"]]
    anchors[f"wrong-none.{TOP}"] = [line.replace("good.", "wrong-none.")
                                    for line in anchors[f"good.{TOP}"]]
    below = [f"ns.{TOP}. A {ADDRESS}"]
    for name in DOMAINS:
        below += [f"{name}.{TOP}. NS ns.{TOP}."] + anchors.get(f"{name}.{TOP}", [])
    write_zone(TOP, below)
    write_zone(".", [f"{TOP}. NS ns.{TOP}.", f"ns.{TOP}. A {ADDRESS}", *anchors[TOP]])
    write_anchor("anchor", keymgr(".", "dnskey"))
    knot_starts()
    # What was signed for seconds is served on as it was.
    knot_ends()
    configuration({zone: None if policy == "short" else policy
                   for zone, policy in signing.items()})
    time.sleep(5)
    knot_starts()


def write_anchor(name, keys):
    with open(path(name), "w", encoding="ascii") as file:
        file.writelines(line.replace(" DNSKEY ", " 60 IN DNSKEY ") + "\n" for line in keys)


def ready():
    """Everything runs, once."""
    need("knotd", "keymgr", "gpg")
    if STATE["ready"]:
        return
    sites()
    zones()
    server.plain_serve = True
    server.configure(network={"resolvers": f'["{ADDRESS}:{PORT}"]',
                              "trust_anchor": f'"{path("anchor")}"'})
    server.start()
    STATE["ready"] = True


def found():
    texts = {name: server.cli("key", "lookup", f"carol@{name}.{TOP}").stdout for name in DOMAINS}
    verdicts = {name: text.splitlines()[-1].split(":")[0] if "\n  sealed to" not in text else "key"
                for name, text in texts.items()}
    return texts, verdicts


@check(f"DNSSEC: {len(DOMAINS)} domains, signed, unsigned, signed wrongly: what is found")
def _():
    ready()
    texts, verdicts = found()
    wanted = {name: verdict for name, (_, _, verdict) in DOMAINS.items()}
    wrong = {name: (verdicts[name], texts[name])
             for name in wanted if verdicts[name] != wanted[name]}
    assert not wrong, wrong
    assert "as DNSSEC proves" in texts["none"], texts["none"]
    assert "as far as an unsigned answer goes" in texts["nobody"], texts["nobody"]
    return ", ".join(f"{name}: {verdict}" for name, verdict in verdicts.items())


@check("DNSSEC: mail goes sealed, plain where it is known that there is no key, or waits")
def _():
    import smtplib
    ready()
    to = [f"carol@{name}.{TOP}" for name in DOMAINS]
    with smtplib.SMTP_SSL(HOST, server.port("submissions"), context=server.context(),
                          timeout=120) as smtp:
        smtp.login(USER, PASSWORD)
        for address in to:
            smtp.sendmail(USER, [address], f"From: {USER}\r\nTo: {address}\r\n"
                          f"Subject: canary-subject\r\n\r\ncanary-body\r\n".encode())
    goes = [name for name, (_, _, verdict) in DOMAINS.items() if verdict != "failed"]
    for name in goes:
        assert SITES[name].wait_for(1, 60), f"nothing came to {name}: " \
            f"{server.cli('queue', 'list').stdout}"
    end = time.monotonic() + 30
    while (text := server.cli("queue", "list", "--json").stdout).count('"attempts": 1') < 6:
        assert time.monotonic() < end, text
        time.sleep(0.2)
    came = {name: ["plain" if b"canary" in mail["data"] else "sealed" for mail in site.mails]
            for name, site in SITES.items()}
    wanted = {name: {"key": ["sealed"], "none": ["plain"], "failed": []}[verdict]
              for name, (_, _, verdict) in DOMAINS.items()}
    equal(came, wanted, "what came")


@check("DNSSEC: without validation false answers are believed (or the above would prove nothing)")
def _():
    ready()
    server.stop()
    server.configure(network={"dnssec": "false"})
    server.start()
    _, verdicts = found()
    wanted = {name: "key" if has_web else "none" for name, (_, has_web, _) in DOMAINS.items()}
    server.stop()
    server.configure(network={"dnssec": "true"})
    server.start()
    equal(verdicts, wanted, "verdicts")


@check("DNSSEC: with another trust anchor nothing that is signed is believed")
def _():
    ready()
    server.stop()
    old = keymgr(".", "dnskey")
    keymgr(".", "generate", "algorithm=ECDSAP256SHA256", "ksk=yes", "zsk=yes")
    write_anchor("anchor-of-another", [key for key in keymgr(".", "dnskey") if key not in old])
    server.configure(network={"trust_anchor": f'"{path("anchor-of-another")}"'})
    server.start()
    assert "server.no-resolver" not in server.own_log_tail(50), server.own_log_tail()
    text = server.cli("key", "lookup", f"carol@none.{TOP}").stdout
    assert text.splitlines()[-1].startswith("failed: "), text


run()
