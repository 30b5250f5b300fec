"""An IMAP client that hides nothing: commands in, every response out, parsed once.

imaplib is used as a peer; this one is for what imaplib does not let through (pipelined commands,
broken literals, IDLE, the order of responses).
"""

import re
import socket
import ssl
import time


class ImapError(Exception):
    """The server answered NO or BAD, or went away."""

    def __init__(self, status, text):
        super().__init__(f"{status} {text}")
        self.status = status
        self.text = text


class Closed(ImapError):
    def __init__(self, text="connection closed"):
        super().__init__("BYE", text)


class Imap:
    def __init__(self, host, port, context=None, timeout=60, name="localhost"):
        self.sock = socket.create_connection((host, port), timeout=timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context:
            self.sock = context.wrap_socket(self.sock, server_hostname=name)
        self.buffer = b""
        self.counter = 0
        self.untagged = []
        self.greeting = self.read_response()

    # -- sending

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError, BrokenPipeError) as error:
            raise Closed(str(error)) from None

    def tag(self):
        self.counter += 1
        return b"a%d" % self.counter

    def start(self, *parts):
        """Sends a command. A `bytes` part is raw; a `Literal` is sent by the rules of literals."""
        tag = self.tag()
        line = tag
        for part in parts:
            if isinstance(part, Literal):
                plus = b"+" if part.plus else b""
                self.send(line + b" {%d%s}\r\n" % (len(part.data), plus))
                if not part.plus:
                    self.wait_continuation()
                line = part.data
            else:
                line += b" " + (part.encode() if isinstance(part, str) else part)
        self.send(line + b"\r\n")
        return tag

    def wait_continuation(self):
        while True:
            response = self.read_response()
            if response[0] == b"+":
                return response
            if response[0] != b"*":
                raise ImapError(text(response[1]), response_text(response))
            self.untagged.append(response)

    def finish(self, tag):
        """Reads up to the tagged response; returns (status, text, untagged responses)."""
        while True:
            response = self.read_response()
            if response[0] == tag:
                untagged, self.untagged = self.untagged, []
                return text(response[1]).upper(), response_text(response), untagged
            if response[0] == b"*" and len(response) > 1 and response[1] == b"BYE":
                self.untagged.append(response)
                self.bye = response_text(response)
                continue
            self.untagged.append(response)

    def command(self, *parts):
        return self.finish(self.start(*parts))

    def ok(self, *parts):
        """A command that must succeed; returns the untagged responses."""
        status, words, untagged = self.command(*parts)
        if status != "OK":
            raise ImapError(status, f"{words} (to {parts!r:.200})")
        self.last_text = words
        return untagged

    # -- what tests say all the time

    def login(self, user, password):
        return self.ok("LOGIN", quote(user), quote(password))

    def select(self, mailbox="INBOX", verb="SELECT"):
        out = {"FLAGS": None, "EXISTS": None}
        for response in self.ok(verb, quote(mailbox)):
            if len(response) == 3 and response[2] in (b"EXISTS", b"RECENT"):
                out[text(response[2])] = int(response[1])
            if response[1] == b"OK" and len(response) > 2:
                line = response_text(response)
                for code in ("UIDVALIDITY", "UIDNEXT", "HIGHESTMODSEQ", "UNSEEN"):
                    found = re.search(rf"\[{code} (\d+)\]", line)
                    if found:
                        out[code] = int(found.group(1))
                found = re.search(r"\[PERMANENTFLAGS \((.*?)\)\]", line)
                if found:
                    out["PERMANENTFLAGS"] = found.group(1).split()
            if response[1] == b"FLAGS":
                out["FLAGS"] = [text(flag) for flag in response[2]]
        self.exists = out["EXISTS"]
        return out

    def fetch(self, which, items, uid=True):
        """FETCH as a list of dicts by upper-case item name; order as it came."""
        verb = "UID FETCH" if uid else "FETCH"
        return fetches(self.ok(verb, which, items))

    def search(self, *criteria, uid=True):
        out = []
        for response in self.ok("UID SEARCH" if uid else "SEARCH", *criteria):
            if response[1] == b"SEARCH":
                out += [int(number) for number in response[2:]]
        return out

    def append(self, mailbox, data, flags=None, date=None, plus=False):
        parts = ["APPEND", quote(mailbox)]
        if flags:
            parts.append("(" + " ".join(flags) + ")")
        if date:
            parts.append(f'"{date}"')
        self.ok(*parts, Literal(data, plus))
        found = re.search(r"\[APPENDUID (\d+) (\d+)\]", self.last_text)
        return (int(found.group(1)), int(found.group(2))) if found else None

    def wait_exists(self, count, seconds=30):
        """NOOPs until the mailbox shows `count` messages."""
        end = time.monotonic() + seconds
        seen = self.exists
        if seen >= count:
            return seen
        while time.monotonic() < end:
            for response in self.ok("NOOP"):
                if len(response) == 3 and response[2] == b"EXISTS":
                    seen = self.exists = int(response[1])
            if seen >= count:
                return seen
            time.sleep(0.05)
        raise AssertionError(f"{seen} messages after {seconds} s, wanted {count}")

    def logout(self):
        try:
            self.command("LOGOUT")
        except (ImapError, OSError):
            pass
        self.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass

    # -- reading

    def fill(self):
        try:
            data = self.sock.recv(262144)
        except (ConnectionError, ssl.SSLError) as error:
            raise Closed(str(error)) from None
        if not data:
            raise Closed(getattr(self, "bye", "connection closed"))
        self.buffer += data

    def read_line(self):
        while True:
            end = self.buffer.find(b"\r\n")
            if end >= 0:
                line, self.buffer = self.buffer[:end], self.buffer[end + 2:]
                return line
            self.fill()

    def read_exactly(self, count):
        pieces, have = [self.buffer], len(self.buffer)
        self.buffer = b""
        while have < count:
            self.fill()
            pieces.append(self.buffer)
            have += len(self.buffer)
            self.buffer = b""
        data = b"".join(pieces)
        self.buffer = data[count:]
        return data[:count]

    def read_response(self):
        """One response: tag or `*` or `+`, then its parts; lists are lists, strings bytes."""
        chunks = []
        while True:
            line = self.read_line()
            chunks.append(line)
            literal = re.search(rb"\{(\d+)\}$", line)
            if not literal:
                break
            chunks.append(self.read_exactly(int(literal.group(1))))
        self.last_raw = chunks
        return parse(chunks)


class Literal:
    def __init__(self, data, plus=False):
        self.data = data
        self.plus = plus


class Quoted(bytes):
    """A quoted string or a literal, as against an atom."""


def parse(chunks):
    if chunks[0].startswith(b"+"):
        return [b"+", chunks[0][2:]]
    first = chunks[0].split(b" ", 2)
    if len(first) > 1 and first[1] in (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH"):
        return first
    out = [[]]
    index = 0
    while index < len(chunks):
        line = chunks[index]
        last = index + 1 >= len(chunks)
        if not last:
            line = line[:line.rindex(b"{")]
        parse_line(line, out)
        if not last:
            out[-1].append(Quoted(chunks[index + 1]))
        index += 2
    if len(out) != 1:
        raise AssertionError(f"parentheses do not match: {chunks!r:.300}")
    return out[0]


TOKEN = re.compile(rb'\(|\)|"((?:[^"\\]|\\.)*)"|((?:[^\s()"\[]|\[[^\]]*\])+)|\s+')


def parse_line(line, out):
    at = 0
    while at < len(line):
        found = TOKEN.match(line, at)
        if not found:
            raise AssertionError(f"cannot be parsed at {at}: {line!r:.300}")
        at = found.end()
        word = found.group(0)
        if word == b"(":
            out.append([])
        elif word == b")":
            inner = out.pop()
            out[-1].append(inner)
        elif found.group(1) is not None:
            out[-1].append(Quoted(re.sub(rb"\\(.)", rb"\1", found.group(1))))
        elif found.group(2) is not None:
            out[-1].append(found.group(2))


def fetches(untagged):
    out = []
    for response in untagged:
        if len(response) == 4 and response[2] == b"FETCH":
            items = response[3]
            row = {"SEQ": int(response[1]), "FIRST": text(items[0]).upper()}
            for key, value in zip(items[::2], items[1::2]):
                key = text(key).upper()
                if key in ("UID", "RFC822.SIZE", "MODSEQ") and not isinstance(value, list):
                    value = int(value)
                if key == "FLAGS":
                    value = [text(flag) for flag in value]
                row[key] = value
            out.append(row)
    return out


def quote(word):
    word = word.encode() if isinstance(word, str) else word
    return b'"' + word.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def text(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def response_text(response):
    return " ".join(text(part) for part in response[2:])
