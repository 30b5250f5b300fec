"""Starts, stops, kills and asks a Postseal that `quickstart` set up.

    with Server() as server:
        server.smtp(); server.imap()          # connections
        server.kill(); server.start()         # on the same directory

The binary is $POSTSEAL, else target/debug/postseal. What the server prints goes to `log_path`,
which lies beside its directory and not in it.
"""

import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time

from imapraw import Imap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("POSTSEAL", os.path.join(ROOT, "target", "debug", "postseal"))
PEERS = os.path.join(ROOT, "target", "peers")
HOST = "127.0.0.1"
START_SECONDS = 60


class Server:
    def __init__(self, directory=None, binary=None, wrapper=(), environment=None, peer=False):
        self.own = directory is None
        self.with_peer = peer
        base = os.path.join(ROOT, "target", "tmp")
        os.makedirs(base, exist_ok=True)
        self.scratch = tempfile.mkdtemp(prefix="server-", dir=base)
        self.directory = directory or os.path.join(self.scratch, "data")
        self.binary = binary or BINARY
        self.wrapper = list(wrapper)
        self.environment = environment or {}
        self.log_path = os.path.join(self.scratch, "server.log")
        self.port_base = free_port_base()
        self.process = None
        self.host = HOST
        self.info = None
        # Once set up, run it as administrators do.
        self.plain_serve = False
        if not os.path.exists(self.binary):
            raise AssertionError(f"{self.binary} is not built")

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        self.remove()

    # -- life

    def start(self, seconds=START_SECONDS):
        command = self.wrapper + [self.binary, "quickstart", "--dir", self.directory,
                                  "--port-base", str(self.port_base)]
        if self.with_peer:
            command.append("--peer")
        if self.info and self.plain_serve:
            command = self.wrapper + [self.binary, "serve", "--config", self.config_path()]
        env = dict(os.environ, RUST_BACKTRACE="1", **self.environment)
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=env,
            start_new_session=True)
        self.wait_ready(seconds)
        return self

    def wait_ready(self, seconds):
        end = time.monotonic() + seconds
        path = os.path.join(self.directory, "quickstart.json")
        while time.monotonic() < end:
            if self.process and self.process.poll() is not None:
                raise AssertionError(
                    f"the server ended with {self.process.returncode}: {self.log_tail()}")
            try:
                with open(path, encoding="utf-8") as file:
                    self.info = json.load(file)
                self.host = self.info.get("address", HOST)
                for port in (self.port("smtp"), self.port("imap")):
                    socket.create_connection((self.host, port), timeout=5).close()
                return
            except (OSError, ValueError):
                time.sleep(0.03)
        raise AssertionError(f"not ready after {seconds} s: {self.log_tail()}")

    def peer(self):
        """The second server that was started with this one: to talk to, not to start or stop."""
        other = Server(directory=os.path.join(self.directory, "peer"), binary=self.binary)
        other.wait_ready(START_SECONDS)
        return other

    def pid(self):
        """The server itself, also below a wrapper such as strace."""
        pid = self.process.pid
        while self.wrapper:
            children = subprocess.run(
                ["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
            if not children or os.readlink(f"/proc/{pid}/exe") == os.path.realpath(self.binary):
                break
            pid = int(children[0])
        return pid

    def signal(self, number):
        os.kill(self.pid(), number)

    def stop(self, seconds=30):
        """SIGTERM: drains and ends by itself."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGTERM)
            self.process.wait(seconds)
        return self.process.returncode if self.process else None

    def kill(self):
        if self.process and self.process.poll() is None:
            try:
                self.signal(signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(30)

    def remove(self):
        self.kill()
        if os.environ.get("KEEP"):
            print(f"kept: {self.scratch}")
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def log_text(self):
        with open(self.log_path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def log_tail(self):
        return " | ".join(self.log_text().splitlines()[-8:])

    def own_log_tail(self, lines=6):
        """The end of the log that the server writes by its configuration."""
        path = os.path.join(self.directory, "postseal.log")
        with open(path, encoding="utf-8", errors="replace") as file:
            return " | ".join(file.read().splitlines()[-lines:])

    # -- what quickstart.json says

    def port(self, name):
        """smtp, submission, submissions, imap, imaps."""
        return int(self.info["ports"][name])

    def user(self, index=0):
        user = self.info["users"][index]
        return user["address"], user["password"]

    def ca(self):
        return os.path.join(self.directory, self.info["ca"])

    # -- connections

    def context(self):
        context = ssl.create_default_context(cafile=self.ca())
        context.check_hostname = False
        return context

    def smtp(self, timeout=120):
        return smtplib.SMTP(self.host, self.port("smtp"), local_hostname="client.example",
                            timeout=timeout)

    def send(self, data, to=None, sender="sender@remote.example", smtp=None):
        """Delivers octets as they are (CRLF line ends given) to user 0, or to `to`."""
        to = to or self.user()[0]
        to = [to] if isinstance(to, str) else to
        own = smtp is None
        smtp = smtp or self.smtp()
        smtp.ehlo_or_helo_if_needed()
        send_raw(smtp, sender, to, data)
        if own:
            smtp.quit()

    def imap(self, user=0, login=True, tls=True, timeout=120):
        if tls:
            client = Imap(self.host, self.port("imaps"), self.context(), timeout)
        else:
            client = Imap(self.host, self.port("imap"), None, timeout)
        if login:
            client.login(*self.user(user))
        return client

    def settled(self, user=0, seconds=60):
        """How many messages INBOX holds once nothing more is added by the fold."""
        client = self.imap(user)
        count, still, end = client.select()["EXISTS"], 0, time.monotonic() + seconds
        while still < 5 and time.monotonic() < end:
            time.sleep(0.1)
            client.ok("NOOP")
            now = len(client.search("ALL"))
            still = still + 1 if now == count else 0
            count = now
        client.logout()
        return count

    def imap_url(self, path=""):
        return f"imaps://{HOST}:{self.port('imaps')}/{path}"

    def cli(self, *words, stdin=None, ok=True, seconds=60):
        """A command of the command line, for this server's configuration."""
        command = [self.binary, words[0], "--config", self.config_path(), *words[1:]]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True,
                              timeout=seconds)
        if ok and done.returncode != 0:
            raise AssertionError(f"{' '.join(words)}: {done.returncode}: {done.stderr.strip()}")
        return done

    def config_path(self):
        return os.path.join(self.directory, self.info.get("config", "postseal.toml"))

    def configure(self, **sections):
        """Sets options in the configuration: configure(seal={"policy": '"require"'}) in TOML."""
        with open(self.config_path(), encoding="utf-8") as file:
            lines = file.read().splitlines()
        for section, options in sections.items():
            for key, value in options.items():
                lines = with_option(lines, section, key, value)
        with open(self.config_path(), "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")


def with_option(lines, section, key, value):
    """The lines of a TOML file with one option set, its section made if need be."""
    out, inside, done = [], False, False
    for line in lines:
        if line.startswith("["):
            if inside and not done:
                out.append(f"{key} = {value}")
                done = True
            inside = line.strip() == f"[{section}]"
        if inside and line.split("=")[0].strip() == key:
            line, done = f"{key} = {value}", True
        out.append(line)
    if not done:
        out += [f"{key} = {value}"] if inside else [f"[{section}]", f"{key} = {value}"]
    return out


def send_raw(smtp, sender, to, data):
    """MAIL, RCPT, DATA with octets untouched but for dot stuffing."""
    code, reply = smtp.mail(sender, ["BODY=8BITMIME"] if smtp.has_extn("8bitmime") else [])
    if code != 250:
        raise smtplib.SMTPSenderRefused(code, reply, sender)
    for address in to:
        code, reply = smtp.rcpt(address)
        if code not in (250, 251):
            smtp.rset()
            raise smtplib.SMTPRecipientsRefused({address: (code, reply)})
    code, reply = smtp.docmd("DATA")
    if code != 354:
        raise smtplib.SMTPDataError(code, reply)
    smtp.sock.sendall(dot_stuff(data) + b".\r\n")
    code, reply = smtp.getreply()
    if code != 250:
        raise smtplib.SMTPDataError(code, reply)


def dot_stuff(data):
    if not data.endswith(b"\r\n"):
        data += b"\r\n"
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    return b"." + stuffed if stuffed.startswith(b".") else stuffed


def free_port_base():
    """A base such that the ports above it are free; quickstart adds small offsets to it."""
    start = 20000 + (os.getpid() * 37) % 20000
    for base in list(range(start, 44000, 1000)) + list(range(20000, start, 1000)):
        if all(is_free(base + offset) for offset in OFFSETS):
            return base
    raise AssertionError("no free ports")


# What quickstart adds to its base (2000 by default).
OFFSETS = (525, 587, 465, 143, 993, 443)


def is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def without_trace(octets):
    """A stored message without what the server put in front (Return-Path, Received, …)."""
    lines = octets.split(b"\r\n")
    at = 0
    own = (b"authentication-results:", b"return-path:", b"received:", b"delivered-to:")
    while at < len(lines) and lines[at].lower().startswith(own):
        at += 1
        while at < len(lines) and lines[at][:1] in (b" ", b"\t"):
            at += 1
    return b"\r\n".join(lines[at:])


def peer(name):
    """The path of a program: installed, or unpacked below target/peers."""
    found = shutil.which(name)
    if found:
        return found
    for package in ("postfix", "dovecot-core", "dovecot-imapd"):
        for place in ("usr/sbin", "usr/bin", "usr/lib/postfix/sbin", "usr/lib/dovecot"):
            path = os.path.join(PEERS, package, place, name)
            if os.path.exists(path):
                return path
    return name


if os.environ.get("POSTSEAL") == "dovecot":
    from dovecot import Dovecot as Server  # noqa: F811  (a test of the tests)
