#!/usr/bin/env python3
"""How fast mail goes through, beside Postfix: accepted, queued, durable, handed on to a next hop.

Both are put to the same work by tests/bench/load.rs, in turns, on the same disk, and hand on to the
same sink without TLS. To Postseal a user submits over TLS with a login, as users do; Postfix takes
the mail of its own network in clear. The clock starts when all sessions stand (logins cost a tenth
of a second by design), and stops when the sink has taken the last message.

Of three kinds of mail. *plain* goes on as it came, as with Postfix. *signed* gets a DKIM signature
(Ed25519). *sealed* is sealed to a key that the Web Key Directory of the recipient's domain gave
(version 4, Curve25519), and signed; Postfix does neither.

    RUNS=3  SESSIONS="1 10 50"  MESSAGES=2000  OCTETS=10240  KINDS="plain signed sealed"
"""

import json
import os
import subprocess

import measure
from measure import UNLIMITED, Watch, option, options, row
from postfix import Postfix
from server import HOST, ROOT, Server, free_port_base
from world import World

RUNS = option("RUNS", 3)
SESSIONS = options("SESSIONS", "1 10 50")
MESSAGES = option("MESSAGES", 2000)
OCTETS = option("OCTETS", 10240)
KINDS = os.environ.get("KINDS", "plain signed sealed").split()
LOAD = os.environ.get("LOAD") or os.path.join(ROOT, "target", "release", "examples", "load")
WANTED = {(10, "plain"): ">= 4 x", (50, "plain"): ">= 4 x",
          (10, "sealed"): ">= 2 x", (50, "sealed"): ">= 2 x"}
DOMAIN = "there.example"


def main():
    if not os.environ.get("LOAD"):
        subprocess.run(["cargo", "build", "--release", "--quiet", "--example", "load"], cwd=ROOT,
                       check=True)
    sink = f"{HOST}:{free_port_base() + 800}"
    relayhost = f"[{HOST}]:{sink.rpartition(':')[2]}"
    settings = f"relayhost = {relayhost}\nsmtp_tls_security_level = none\n"
    with Server() as postseal, Postfix(settings) as postfix:
        world = set_up(postseal, relayhost)
        user, password = postseal.user()
        submissions = f"{HOST}:{postseal.port('submissions')}"
        ours = (postseal, submissions, user, [user, password, postseal.ca()])
        peer = (postfix, f"{HOST}:{postfix.port}", "sender@bench.example", [])
        for kind in KINDS:
            sign(postseal, kind != "plain")
            to = "carol@" + DOMAIN if kind == "sealed" else "dave@" + DOMAIN
            for target in (ours, peer):
                once(*target, sink, to, 2, 50)
            for sessions in SESSIONS:
                rounds = [(once(*ours, sink, to, sessions), once(*peer, sink, to, sessions))
                          for _ in range(RUNS)]
                report(kind, sessions, [r[0] for r in rounds], [r[1] for r in rounds])
        for domain in world:
            domain.close()


def set_up(server, relayhost):
    """Tells the server of its next hop, and of a domain where carol has a key and dave has none."""
    server.stop()
    world = World(server)
    there = world.domain(DOMAIN)
    there.key("carol", foreign_key(f"carol@{DOMAIN}", world.directory))
    world.install()
    server.configure(outgoing={"relayhost": f'"{relayhost}"'},
                     submission=UNLIMITED)
    server.plain_serve = True
    server.start()
    return [there]


def sign(server, wanted):
    """Turns DKIM signatures on or off, with the key that quickstart made."""
    server.stop()
    server.configure(dkim={"ed25519_key": '"keys/dkim.pem"' if wanted else '""'})
    server.start()


def foreign_key(address, directory):
    """A certificate as GnuPG makes it by default: version 4, Curve25519."""
    home = os.path.join(directory, "gnupg")
    os.makedirs(home, mode=0o700, exist_ok=True)
    gpg = ["gpg", "--homedir", home, "--batch", "--passphrase", ""]
    subprocess.run([*gpg, "--quick-generate-key", address, "future-default", "default", "never"],
                   check=True, capture_output=True)
    return subprocess.run([*gpg, "--export", address], check=True, capture_output=True).stdout


def once(server, target, sender, login, sink, to, sessions, messages=None):
    """(messages/s through, CPU ms/message, messages/s accepted)."""
    messages = messages or MESSAGES
    command = [LOAD, target, sink, str(sessions), str(messages), str(OCTETS), sender, to, *login]
    load = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)
    # All are logged in: what is timed is the mail alone.
    load.stdout.readline()
    with Watch(server.pid()) as watch:
        out, errors = load.communicate("go\n", timeout=900)
    if load.returncode != 0:
        raise AssertionError(f"load: {load.returncode}: {errors.strip()[:600]}")
    figures = json.loads(out)
    if figures["messages"] != messages:
        raise AssertionError(f"{figures['messages']} of {messages} messages came through")
    return (messages / figures["through"], watch.cpu * 1000 / messages,
            messages / figures["accepted"])


def report(kind, sessions, ours, peer):
    wanted = WANTED.get((sessions, kind), "")
    most = "<= 0.5" if kind == "plain" else ""
    names = (("through", "1/s", False, wanted), ("server CPU", "ms/msg", True, most),
             ("accepted", "1/s", False, ""))
    for at, (work, unit, lower, want) in enumerate(names):
        row(f"relay ({kind}), {work}, {sessions} session{'s' if sessions > 1 else ''}", unit,
            [r[at] for r in ours], [r[at] for r in peer], "Postfix", lower, want)


if __name__ == "__main__":
    print(measure.machine())
    main()
