#!/usr/bin/env python3
"""How fast mail is taken in, beside Postfix: messages a second and the server's CPU per message.

Both are put to the same work by Postfix's smtp-source, in turns, on the same disk; every message
has its 250, and both sync before they say so. Postfix hands on to its discard transport; Postseal
seals and files for an account that nobody is logged in to.

    RUNS=3  SESSIONS="1 10 50"  MESSAGES=2000  OCTETS=10240
"""

import measure
from measure import Watch, option, options, row
from postfix import Postfix, smtp_source
from server import Server

RUNS = option("RUNS", 3)
SESSIONS = options("SESSIONS", "1 10 50")
MESSAGES = option("MESSAGES", 2000)
OCTETS = option("OCTETS", 10240)
WANTED = {1: "", 10: ">= 3 x", 50: ">= 3 x"}


def main():
    with Server() as postseal, Postfix() as postfix:
        ours = (postseal, postseal.port("smtp"), postseal.user()[0], lambda: None)
        peer = (postfix, postfix.port, postfix.recipient, postfix.drained)
        for target in (ours, peer):
            once(*target, sessions=2, messages=50)
        for sessions in SESSIONS:
            rounds = [(once(*ours, sessions), once(*peer, sessions)) for _ in range(RUNS)]
            report(sessions, [r[0] for r in rounds], [r[1] for r in rounds])


def once(server, port, recipient, drained, sessions, messages=None):
    """(messages/s, CPU ms/message to the last 250, the same until all work was done)."""
    messages = messages or MESSAGES
    with Watch(server.pid()) as watch:
        smtp_source(port, recipient, sessions, messages, OCTETS)
    drained()
    whole = watch.cpu_until_idle()
    return messages / watch.wall, watch.cpu * 1000 / messages, whole * 1000 / messages


def report(sessions, ours, peer):
    names = (("accept, messages/s", "1/s", False, WANTED.get(sessions, "")),
             ("accept, server CPU to the last 250", "ms/msg", True, "<= 0.4"),
             ("accept, server CPU with what follows", "ms/msg", True, ""))
    for at, (work, unit, lower, wanted) in enumerate(names):
        row(f"{work}, {sessions} session{'s' if sessions > 1 else ''}", unit,
            [r[at] for r in ours], [r[at] for r in peer], "Postfix", lower, wanted)


if __name__ == "__main__":
    print(measure.machine())
    main()
