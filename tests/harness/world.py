"""A small internet on loopback around a test server: names, an authority, web sites, mail hosts.

    world = World(server)             # a server that was set up and is stopped
    site = world.domain("there.example")        # MX and openpgpkey.there.example
    site.key("carol", octets)         # published by WKD
    site.behave(status=503)           # or whatever else web sites do
    site.mails                        # what its mail host has taken, octets and envelope
    world.install(); server.start()

Each domain has an address of its own (127.0.1.N); its mail host listens there on the port that
the server sends to, its web site on the port that the server looks for keys at. Nothing leaves
loopback. Mail hosts do not offer STARTTLS unless told to, so that what they take is what a wire
would show.
"""

import hashlib
import os
import re
import socket
import socketserver
import ssl
import subprocess
import threading
import time

ZBASE32 = "ybndrfg8ejkmcpqxot1uwisza345h769"


def wkd_hash(local):
    """The name under which WKD publishes a local part (draft, section 3.1)."""
    lower = "".join(c.lower() if c.isascii() else c for c in local)
    bits = int.from_bytes(hashlib.sha1(lower.encode()).digest(), "big")
    return "".join(ZBASE32[bits >> shift & 31] for shift in range(155, -1, -5))


class World:
    def __init__(self, server, directory=None):
        self.server = server
        self.directory = directory or os.path.join(server.scratch, "world")
        os.makedirs(self.directory, exist_ok=True)
        self.domains = []
        self.lines = []
        self.authority = Authority(self.directory)

    def domain(self, name, **more):
        domain = Domain(self, name, f"127.0.1.{len(self.domains) + 10}", **more)
        self.domains.append(domain)
        return domain

    def record(self, line):
        """One more line of the zone."""
        self.lines.append(line)

    def install(self):
        """Tells the server's configuration of all of it."""
        base = os.path.join(self.server.directory)
        with open(os.path.join(base, "zone"), "a", encoding="ascii") as zone:
            for domain in self.domains:
                zone.write("\n".join(domain.records()) + "\n")
            zone.write("\n".join(self.lines) + "\n")
        self.domains, self.lines = [], []
        with open(os.path.join(base, "tls", "ca.pem"), "a", encoding="ascii") as roots:
            roots.write(self.authority.certificate())


class Authority:
    """Signs certificates for web sites."""

    def __init__(self, directory):
        self.directory = directory
        self.key, self.cert = self.path("ca.key"), self.path("ca.pem")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                "-nodes", "-days", "30", "-subj", "/CN=World of tests", "-keyout", self.key,
                "-out", self.cert)

    def path(self, name):
        return os.path.join(self.directory, name)

    def certificate(self):
        with open(self.cert, encoding="ascii") as file:
            return file.read()

    def issue(self, names):
        """A PEM file with certificate and key for the names."""
        stem = self.path(re.sub(r"[^a-z0-9.]", "_", names[0]))
        extensions = stem + ".ext"
        with open(extensions, "w", encoding="ascii") as file:
            file.write("subjectAltName=" + ",".join(f"DNS:{name}" for name in names) + "\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                "-subj", f"/CN={names[0]}", "-keyout", stem + ".key", "-out", stem + ".csr")
        openssl("x509", "-req", "-in", stem + ".csr", "-CA", self.cert, "-CAkey", self.key,
                "-CAcreateserial", "-days", "30", "-extfile", extensions, "-out", stem + ".crt")
        with open(stem + ".pem", "w", encoding="ascii") as out:
            for part in (stem + ".crt", stem + ".key"):
                with open(part, encoding="ascii") as file:
                    out.write(file.read())
        return stem + ".pem"


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


class Domain:
    def __init__(self, world, name, address, web=True, advanced=True, starttls=False,
                 certificate_names=None):
        self.name, self.address, self.advanced = name, address, advanced
        self.has_web = web
        self.behaviour, self.keys, self.asked = {}, {}, []
        self.mails = []
        ports = world.server.info["ports"]
        self.mail_host = MailHost(self, (address, int(ports["smtp"])))
        self.web_site = None
        if web:
            names = certificate_names or [f"openpgpkey.{name}", name]
            pem = world.authority.issue(names)
            self.web_site = WebSite(self, (address, int(ports["https"])), pem)

    def records(self):
        lines = [f"$zone {self.name}", f"{self.name} MX 10 mx.{self.name}",
                 f"mx.{self.name} A {self.address}"]
        if self.has_web:
            host = f"openpgpkey.{self.name}" if self.advanced else self.name
            lines.append(f"{host} A {self.address}")
        return lines

    def key(self, local, octets):
        self.keys[wkd_hash(local)] = octets

    def behave(self, **how):
        """status=N, content_type=…, body=…, location=…, hang=seconds, cut=octets, close=True."""
        self.behaviour = how

    def wait_for(self, count, seconds=30):
        """What the mail host has taken, once it is that many."""
        end = time.monotonic() + seconds
        while len(self.mails) < count and time.monotonic() < end:
            time.sleep(0.05)
        return list(self.mails)

    def close(self):
        self.mail_host.close()
        if self.web_site:
            self.web_site.close()


class Threaded(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, domain, address, handler):
        self.domain = domain
        super().__init__(address, handler)
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()

    def handle_error(self, request, client_address):
        pass                            # clients hang up


class WebSite(Threaded):
    def __init__(self, domain, address, pem):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pem)
        super().__init__(domain, address, WebHandler)


class WebHandler(socketserver.StreamRequestHandler):
    timeout = 30
    # The answer would wait for the client to acknowledge the session tickets else.
    disable_nagle_algorithm = True

    def handle(self):
        domain = self.server.domain
        tls = self.server.context.wrap_socket(self.request, server_side=True)
        try:
            head = b""
            while b"\r\n\r\n" not in head:
                part = tls.recv(4096)
                if not part:
                    return
                head += part
            domain.asked.append(head)
            self.answer(tls, domain, head)
            tls.unwrap()
        except (OSError, ssl.SSLError):
            pass

    def answer(self, tls, domain, head):
        how = domain.behaviour
        time.sleep(how.get("hang", 0))
        if how.get("close"):
            return
        path = head.split(b" ")[1].decode("ascii", "replace")
        found = re.search(r"/hu/([a-z0-9]{32})", path)
        body = domain.keys.get(found.group(1)) if found else None
        status = how.get("status", 200 if body is not None else 404)
        body = how.get("body", body if status == 200 else b"")
        kind = how.get("content_type", "application/octet-stream")
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(body)}",
                 "Connection: close"]
        if "location" in how:
            lines.append(f"Location: {how['location']}")
        # In one piece: a second one would wait for the client's delayed acknowledgement.
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        tls.sendall(head + (body[:how["cut"]] if "cut" in how else body))


class MailHost(Threaded):
    """Takes mail and keeps it; `replies` gives other answers by the beginning of a command, and
    for `END OF DATA`; an answer may be a function, and None is the usual one."""

    def __init__(self, domain, address):
        self.replies = {}
        super().__init__(domain, address, MailHandler)


class MailHandler(socketserver.StreamRequestHandler):
    timeout = 60

    def handle(self):
        self.say("220 mx.test ESMTP")
        envelope = None
        while True:
            line = self.rfile.readline(8192)
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            verb = text[:4].upper()
            told = self.told(text)
            if told:
                self.say(told)
            elif verb == "EHLO":
                self.say("250-mx.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n"
                         "250-ENHANCEDSTATUSCODES\r\n250 SIZE 60000000")
            elif verb == "MAIL":
                envelope = {"from": text[10:], "to": [], "raw": b""}
                self.say("250 2.1.0 ok")
            elif verb == "RCPT":
                envelope["to"].append(re.search(r"<([^>]*)>", text).group(1))
                self.say("250 2.1.5 ok")
            elif verb == "DATA":
                self.say("354 go on")
                raw = b""
                while not (raw.endswith(b"\r\n.\r\n") or raw == b".\r\n"):
                    part = self.rfile.readline()
                    if not part:
                        return
                    raw += part
                envelope["raw"] = raw
                envelope["data"] = raw[:-3].replace(b"\r\n..", b"\r\n.")
                told = self.told("END OF DATA")
                if not told:
                    self.server.domain.mails.append(envelope)
                self.say(told or "250 2.0.0 taken")
            elif verb == "QUIT":
                self.say("221 2.0.0 bye")
                return
            else:
                self.say("250 2.0.0 ok" if verb in ("RSET", "NOOP") else "502 5.5.1 no")

    def told(self, text):
        """The other answer to a command, if there is one."""
        for start, reply in list(self.server.replies.items()):
            if text.upper().startswith(start.upper()):
                return reply() if callable(reply) else reply
        return None

    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")


def ready(address, port, seconds=10):
    """Waits until something listens there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            socket.create_connection((address, port), timeout=2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on {address}:{port}")
