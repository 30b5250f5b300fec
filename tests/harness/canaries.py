"""Words that exist nowhere else, and a search that knows the disguises they may wear.

A word is looked for as UTF-8 and UTF-16, in base64 (each of its three phases), quoted-printable,
percent and RFC 2231 encoding, hexadecimal, mUTF-7, with its letters in the other case, and inside
anything that inflates.
"""

import base64
import os
import quopri
import random
import re
import subprocess
import tempfile
import urllib.parse
import zlib

LETTERS = "bcdfghjklmnpqrstvwxz"
FOREIGN = "αβγδεζηθικλμνξοπρστυφχψω"
WINDOW = 1 << 20


def words(dice, names):
    """One ASCII and one foreign word for each name."""
    out = {}
    for name in names:
        out[name] = "Q" + "".join(dice.choice(LETTERS) for _ in range(15))
        out[name + " (foreign)"] = "".join(dice.choice(FOREIGN) for _ in range(14))
    return out


def disguises(word):
    """Name of the disguise -> octets to look for."""
    utf8 = word.encode()
    out = {"as it is": utf8, "lower case": word.lower().encode(), "upper": word.upper().encode(),
           "UTF-16LE": word.encode("utf-16-le"), "UTF-16BE": word.encode("utf-16-be"),
           "hex": utf8.hex().encode(), "HEX": utf8.hex().upper().encode(),
           "percent": urllib.parse.quote(word).encode(),
           "quoted-printable": quopri.encodestring(utf8).rstrip(b"=\n"),
           "mUTF-7": mutf7(word)}
    for phase in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            out[f"{name}, phase {phase}"] = in_base64(utf8, phase, encode)
    unique = {}
    for name, octets in out.items():
        if len(octets) >= 8 and octets not in unique.values():
            unique[name] = octets
    return unique


def in_base64(octets, phase, encode):
    """The part of the encoding that does not depend on what stands before and after."""
    padded = bytes(phase) + octets
    whole = encode(padded + bytes(-len(padded) % 3))
    first = (0, 2, 3)[phase]
    last = len(padded) * 8 // 6
    return whole[first:last]


def mutf7(word):
    if word.isascii():
        return word.encode()
    inner = base64.b64encode(word.encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
    return b"&" + inner + b"-"


class Search:
    def __init__(self, named_words, named_octets=None):
        """Words with all their disguises, and octets as they are, in hexadecimal and base64."""
        self.patterns = []
        for name, word in named_words.items():
            for disguise, octets in disguises(word).items():
                self.patterns.append((f"{name}, {disguise}", octets))
        for name, octets in (named_octets or {}).items():
            for disguise, form in (("as they are", octets), ("hex", octets.hex().encode()),
                                   ("HEX", octets.hex().upper().encode()),
                                   ("base64", base64.b64encode(octets).rstrip(b"=")[:-1])):
                self.patterns.append((f"{name}, {disguise}", form))
        self.longest = max(len(octets) for _, octets in self.patterns)
        # grep looks for all at once; it cannot take patterns with a NUL or a line's end.
        self.simple = [row for row in self.patterns if not set(row[1]) & set(b"\0\n")]
        self.other = [row for row in self.patterns if set(row[1]) & set(b"\0\n")]

    def octets(self, data, where, inflate=True):
        """Sentences about what was found in `data`."""
        if len(data) >= WINDOW:
            # Most of a dump is zeros; where there were many, a few are left.
            data = bytes(64).join(part for part in data.split(bytes(4096)) if part)
        rows = self.patterns
        if len(data) >= WINDOW and not self.grep(data):
            rows = self.other
        found = [f"{where}: {name} at {data.find(octets)}" for name, octets in rows
                 if octets in data]
        if inflate:
            for place, plain in inflated(data):
                found += self.octets(plain, f"{where}, inflated at {place}", False)
        return found

    def grep(self, data):
        """Whether any of the simple patterns is in `data`."""
        with tempfile.NamedTemporaryFile() as patterns:
            patterns.write(b"\n".join(octets for _, octets in self.simple) + b"\n")
            patterns.flush()
            done = subprocess.run(["grep", "-aFq", "-f", patterns.name], input=data,
                                  env={"LC_ALL": "C"})
            return done.returncode != 1

    def file(self, path, inflate=True):
        found = []
        with open(path, "rb") as file:
            carry = b""
            for data in chunks(file):
                found += self.octets(carry + data, path, inflate)
                carry = data[-self.longest:]
        return found

    def tree(self, top, without=()):
        """Every file below `top`, and every name; returns (found, octets searched)."""
        found, size = [], 0
        for folder, folders, names in os.walk(top):
            for name in names + folders:
                found += self.octets(os.path.join(folder, name).encode(), "a file name", False)
            for name in names:
                path = os.path.join(folder, name)
                if path in without or os.path.islink(path) or not os.path.isfile(path):
                    continue
                size += os.path.getsize(path)
                found += self.file(path)
        return found, size

    def memory(self, pid):
        """All readable memory of a process; returns (found, octets searched). Needs root."""
        found, size = [], 0
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="replace") as maps, \
                open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            for line in maps:
                span, rights, _, _, _, *path = line.split(maxsplit=5)
                if "r" not in rights or (path and path[0].startswith("[v")):
                    continue
                begin, end = (int(part, 16) for part in span.split("-"))
                at, carry = begin, b""
                while at < end:
                    try:
                        memory.seek(at)
                        data = memory.read(min(8 * WINDOW, end - at))
                    except (OSError, ValueError, OverflowError):
                        break
                    if not data:
                        break
                    if data.count(0) != len(data):
                        found += self.octets(carry + data, f"memory {line.strip()[:60]}", False)
                    carry = data[-self.longest:]
                    at += len(data)
                    size += len(data)
        return found, size


def chunks(file):
    """The contents in large pieces, without the holes of a sparse file."""
    descriptor, end = file.fileno(), os.fstat(file.fileno()).st_size
    at = 0
    while at < end:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
            hole = os.lseek(descriptor, at, os.SEEK_HOLE)
        except OSError:
            return
        while at < hole:
            data = os.pread(descriptor, min(8 * WINDOW, hole - at), at)
            if not data:
                return
            yield data
            at += len(data)


STREAM = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")


def inflated(data):
    """(offset, contents) of what inflates to something of substance."""
    for start in STREAM.finditer(data):
        machine = zlib.decompressobj(47 if start.group()[0] == 0x1F else 15)
        try:
            plain = machine.decompress(data[start.start():start.start() + WINDOW], WINDOW)
        except zlib.error:
            continue
        if len(plain) >= 8:
            yield start.start(), plain


def self_test():
    """The search finds what is hidden in each way, and nothing in noise."""
    dice = random.Random(7)
    named = words(dice, ["body"])
    search = Search(named)
    assert not search.octets(bytes(2 * WINDOW), "zeros"), "finds words in nothing"
    for name, octets in search.patterns:
        large = bytes(WINDOW) + octets + b"\n" + bytes(WINDOW)
        assert search.octets(large, "x", False), f"{name} in a large piece"
    assert not search.octets(dice.randbytes(1 << 18), "noise"), "finds words in noise"
    hidden = 0
    octets = Search(named, {"a hash": bytes(range(32))})
    for hidden_octets in (bytes(range(32)), bytes(range(32)).hex().encode(),
                          base64.b64encode(bytes(range(32)))):
        for noise in (100, 2 * WINDOW):
            assert octets.octets(b"x" * noise + hidden_octets, "x", False), "a hash is not found"
    for name, word in named.items():
        utf8 = word.encode()
        for phase in range(3):
            encoded = base64.b64encode(b"abc"[:phase] + utf8 + b"tail")
            assert search.octets(b"xx" + encoded + b"yy", "x"), f"{name} in base64 phase {phase}"
        for hide in (bytes, bytes.hex, quopri.encodestring, zlib.compress,
                     lambda octets: octets.decode().encode("utf-16-le"),
                     lambda octets: zlib.compress(base64.b64encode(b"z" + octets + b"abc")),
                     lambda octets: __import__("gzip").compress(octets),
                     lambda octets: mutf7(octets.decode())):
            octets = hide(utf8)
            octets = octets.encode() if isinstance(octets, str) else octets
            assert search.octets(b"\0\1" + octets + b"\2", "x"), f"{name}: {hide}"
            hidden += 1
    return f"{len(search.patterns)} patterns, {hidden + 6} hiding places"
