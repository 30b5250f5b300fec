#!/usr/bin/env python3
"""Whoever chooses a recipient or owns a name cannot make the server connect into its own network.

The key directories of sixty domains are at addresses that are not routed to the whole world, or a
directory sends the server to such an address. strace counts where it connects to, and listeners on
addresses of loopback count who comes. Allowed is 127.0.1.0/24 alone, where the small internet is.
"""

import ipaddress
import os
import re
import smtplib
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
from report import at_end, check, equal, need, need_root, run
from server import HOST, Server
from world import World

REFUSED = """
0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.254 100.64.0.1 100.127.255.254 127.0.0.1 127.0.0.2 127.1.1.1
127.255.255.254 168.63.129.16 169.254.0.1 169.254.169.254 172.16.0.1 172.31.255.254 192.0.0.1
192.0.0.170 192.0.2.1 192.88.99.1 192.168.0.1 192.168.255.254 198.18.0.1 198.19.255.254
198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:7f00:1
64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b:1::a00:1 100::1 2001::1 2001:0:7f00:1:: 2001:2::1 2001:10::1
2001:20::1 2001:db8::1 2002:7f00:1::1 2002:a00:1::1 3fff::1 4000::1 5f00::1 fc00::1 fd00::1
fd00:ec2::254 fe00::1 fe80::1 fe80::a9fe:a9fe fec0::1 ff02::1 ff0e::1
""".split()
ALLOWED = ipaddress.ip_network("127.0.1.0/24")

server = Server()
at_end(server.remove)
server.start()
server.stop()
world = World(server)
USER, PASSWORD = server.user()
PORT = server.port("https")
good = world.domain("good.example")
sender = world.domain("sender.example")
for number, address in enumerate(REFUSED):
    kind = "AAAA" if ":" in address else "A"
    world.record(f"$zone inward{number}.example")
    world.record(f"openpgpkey.inward{number}.example {kind} {address}")
    world.record(f"inward{number}.sender.example {kind} {address}")
# An allowed address where nothing listens must not lead to the other one of the same name.
world.record("$zone both.example")
world.record("openpgpkey.both.example A 127.0.1.250")
world.record("openpgpkey.both.example A 127.0.0.2")
world.install()
server.plain_serve = True
server.configure(network={"private": f'["{ALLOWED}"]'},
                 submission={"recipients_per_hour": "0", "messages_per_hour": "0"})


class Listener:
    """Counts who comes to an address."""

    def __init__(self, address):
        self.came = 0
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.create_server((address, PORT), family=family)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.came += 1
            client.close()


class Trace:
    """Where the server connects to, port of key directories alone."""

    def __enter__(self):
        self.log = os.path.join(server.scratch, "connects.log")
        self.tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", self.log, "-p", str(server.pid()), "-e",
             "trace=connect,sendto,sendmsg"], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        time.sleep(0.3)
        self.tracer.terminate()
        self.tracer.wait(10)
        with open(self.log, encoding="utf-8", errors="replace") as file:
            calls = [line for line in file if f"htons({PORT})" in line]
        places = [re.search(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"', line)
                  for line in calls]
        assert all(places), calls[:3]
        self.places = [found.group(1) or found.group(2) for found in places]

    def inward(self):
        return [place for place in self.places
                if ":" in place or ipaddress.ip_address(place) not in ALLOWED]


listeners = []


def begin():
    """The server runs; listeners are where it must not come."""
    need_root()
    need("strace")
    if not server.process or server.process.poll() is not None:
        server.start()
    if not listeners:
        for address in ("127.0.0.2", "127.1.1.1", "127.255.255.254", "::1"):
            try:
                listeners.append(Listener(address))
            except OSError:
                pass                    # no IPv6 here
    for listener in listeners:
        listener.came = 0


def nobody_came(trace):
    equal(trace.inward(), [], "connections inwards")
    equal([listener.came for listener in listeners], [0] * len(listeners), "visits")


def lookup(address):
    return server.cli("key", "lookup", address).stdout


@check(f"inward: mail for {len(REFUSED)} domains whose directories are inside: no connection, "
       "nothing goes out")
def _():
    begin()
    with Trace() as trace:
        to = [f"carol@inward{number}.example" for number in range(len(REFUSED))]
        to += ["carol@both.example", "carol@good.example"]
        with smtplib.SMTP_SSL(HOST, server.port("submissions"), context=server.context(),
                              timeout=120) as smtp:
            smtp.login(USER, PASSWORD)
            refused = smtp.sendmail(USER, to, f"From: {USER}\r\nSubject: x\r\n\r\nx\r\n")
        equal(refused, {}, "recipients refused")
        assert good.wait_for(1, 60), "nothing came to the domain that may be asked"
        time.sleep(1)
    nobody_came(trace)
    waiting = server.cli("queue", "list", "--json").stdout
    missing = [address for address in to[:-1] if f'"{address}"' not in waiting]
    equal(missing, [], "recipients who do not wait")
    assert good.address in trace.places, f"the trace is blind: {trace.places}"
    return f"{len(trace.places)} connections, all to {ALLOWED}"


@check(f"inward: a directory that sends to {len(REFUSED)} addresses inside: no connection")
def _():
    begin()
    with Trace() as trace:
        for number in range(len(REFUSED)):
            sender.behave(status=302, location=f"https://inward{number}.sender.example/x")
            text = lookup(f"carol{number}@sender.example")
            assert "failed: " in text and "is not asked" in text, text
        for location in ("https://127.0.0.2/x", "https://[::1]/x", "//127.0.0.2/x",
                         "https://2130706433/x", "https://0x7f.1/x", "http://127.0.0.2/x",
                         "https://sender.example@127.0.0.2/x", "https://127.0.0.2:25/x",
                         "https://sender.example:25/x", "https://inward6.example/x"):
            sender.behave(status=302, location=location)
            text = lookup("carol@sender.example")
            assert "failed: " in text, f"{location}: {text}"
    nobody_came(trace)
    assert len(trace.places) >= len(REFUSED), "the trace is blind"
    return f"{len(trace.places)} connections, all to {ALLOWED}"


@check("inward: an address that is excepted is asked (or the above would prove nothing)")
def _():
    begin()
    server.stop()
    server.configure(network={"private": f'["{ALLOWED}", "127.0.0.2/32"]'})
    server.start()
    number = REFUSED.index("127.0.0.2")
    with Trace() as trace:
        lookup(f"carol@inward{number}.example")
    equal(trace.inward(), ["127.0.0.2"], "connections inwards")
    equal(listeners[0].came, 1, "visits")


run()
