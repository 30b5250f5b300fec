#!/usr/bin/env python3
"""How fast recipients' keys are found: searched for in a Web Key Directory, and remembered.

Asked over the control socket, CLIENTS at a time: `key lookup` searches anew whatever is remembered
(names, TLS, HTTP, judging the certificate); `explain` makes the whole plan from what is remembered.
ADDRESSES of DOMAINS are asked for in turn, because one address is searched for once at a time, and
addresses of one domain four at a time. The directory is the harness's own, in Python, and its share
of the cold figure is large.

    RUNS=3  LOOKUPS=500  CLIENTS=8  ADDRESSES=8  DOMAINS=4
"""

import json
import os
import socket
import threading

import measure
from measure import Watch, option, row
from relay import foreign_key
from server import Server
from world import World

RUNS = option("RUNS", 3)
LOOKUPS = option("LOOKUPS", 500)
CLIENTS = option("CLIENTS", 8)
ADDRESSES = option("ADDRESSES", 8)
DOMAINS = option("DOMAINS", 4)


def main():
    with Server() as server:
        server.stop()
        world = World(server)
        there = [world.domain(f"there{number}.example") for number in range(DOMAINS)]
        addresses = publish(there, world.directory)
        world.install()
        server.plain_serve = True
        server.start()
        user = server.user()[0]
        cold = [{"verb": "key-lookup", "address": to} for to in addresses]
        warm = [{"verb": "explain", "from": user, "to": to} for to in addresses]
        for name, requests in (("searched", cold), ("remembered", warm)):
            figures = [once(server, requests) for _ in range(RUNS)]
            row(f"key {name}, {CLIENTS} at a time", "1/s", [f[0] for f in figures],
                lower_is_better=False)
            row(f"key {name}, server CPU", "ms", [f[1] for f in figures])
        for domain in there:
            domain.close()


def publish(domains, directory):
    """A key for each address; the addresses, those of one domain apart from each other."""
    addresses = []
    for number in range(ADDRESSES):
        for domain in domains:
            address = f"carol{number}@{domain.name}"
            domain.key(f"carol{number}", foreign_key(address, directory))
            addresses.append(address)
    return addresses


def once(server, requests):
    """(Answers a second, CPU ms an answer)."""
    left, wrong, lock = [LOOKUPS], [], threading.Lock()

    def client():
        while True:
            with lock:
                if left[0] == 0:
                    return
                left[0] -= 1
                request = requests[left[0] % len(requests)]
            answer = ask(server, request)
            if b'"key"' not in answer and b"seal" not in answer:
                wrong.append(answer)

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    with Watch(server.pid()) as watch:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if wrong:
        raise AssertionError(f"{len(wrong)} of {LOOKUPS} failed: {wrong[0][:300]!r}")
    return LOOKUPS / watch.wall, watch.cpu * 1000 / LOOKUPS


def ask(server, request):
    with socket.socket(socket.AF_UNIX) as control:
        control.settimeout(60)
        control.connect(os.path.join(server.directory, "control"))
        control.sendall(json.dumps(request).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            part = control.recv(65536)
            if not part:
                break
            answer += part
    return answer


if __name__ == "__main__":
    print(measure.machine())
    main()
