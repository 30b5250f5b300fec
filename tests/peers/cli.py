#!/usr/bin/env python3
"""The command line against a running and a stopped server: check, account, fsck, reload, stop."""

import json
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from imapraw import fetches
from report import at_end, check, equal, run
from server import HOST, Server, is_free, with_option, without_trace

server = Server()
at_end(server.remove)
server.start()
DOMAIN = server.user()[0].partition("@")[2]


@check("cli: the quickstart is marked as a test in its banner, configuration and check")
def _():
    assert "TEST" in server.log_text().upper(), server.log_tail()
    assert "Ready" in server.log_text(), server.log_tail()
    done = server.cli("check", ok=False)
    assert "test" in (done.stdout + done.stderr), done


@check("cli: the three lines that quickstart prints work as they are")
def _():
    lines = server.log_text().partition("Ready")[2].splitlines()
    commands = [line.strip() for line in lines if line.startswith("  ")]
    equal(len(commands), 3, f"commands in {lines}")
    send, read, look = (subprocess.run(command, shell=True, capture_output=True, text=True)
                        for command in commands)
    equal(send.returncode, 0, f"send: {send.stderr}")
    if read.returncode == 0:
        assert "Sealed on arrival" in read.stdout, read.stdout
    else:
        raise AssertionError(f"read: {read.stderr}")
    for line in look.stdout.splitlines():
        assert line.rpartition(":")[2] == "0", f"the disk shows it: {line}"


@check("cli: a second server on the same directory is refused")
def _():
    done = subprocess.run([server.binary, "quickstart", "--dir", server.directory],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode != 0, "two servers on one directory"
    assert done.stderr.strip(), "no sentence"


@check("cli: account add, list, remove; mail is accepted from then and until then")
def _():
    carol = f"carol@{DOMAIN}"
    done = server.cli("account", "add", carol, "--password-stdin", stdin="ein langes Passwort\n")
    assert "recovery" in (done.stdout + done.stderr).lower(), done
    rows = json.loads(server.cli("account", "list", "--json").stdout)
    equal(sorted(row["address"] for row in rows), sorted(
        [carol] + [user["address"] for user in server.info["users"]]), "accounts")
    server.send(mails.plain("for-carol"), to=carol)
    client = server.imap(login=False)
    client.login(carol, "ein langes Passwort")
    client.select()
    client.wait_exists(1)
    client.logout()
    done = server.cli("account", "add", carol, "--password-stdin", stdin="x\n", ok=False)
    assert done.returncode != 0, "added twice"
    server.cli("account", "remove", carol)
    try:
        server.send(mails.plain("for-nobody"), to=carol)
        raise AssertionError("mail for a removed account is accepted")
    except Exception as error:
        assert "550" in str(error), error


@check("cli: a secret that standard output does not take is shown on standard error")
def _():
    address, password = server.user()[0], server.user()[1]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run([server.binary, "account", "recovery", address, "--password-stdin",
                               "--config", server.config_path()], input=password + "\n",
                              stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    equal(done.returncode, 1, f"exit status: {done.stderr}")
    first, also = done.stderr.splitlines()[:2]
    assert first.startswith("recovery code: ") and "change has been made" in also, done.stderr
    code = first.partition(": ")[2]
    done = server.cli("account", "recovery", address, "--password-stdin", stdin=code + "\n")
    assert "recovery code: " in done.stdout, f"the code that was shown opens nothing: {done}"


@check("cli: check names file, line, key and the nearest known key")
def _():
    path = os.path.join(server.scratch, "wrong.toml")
    with open(server.config_path(), encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("hostname", "hostnam", 1))
    done = subprocess.run([server.binary, "check", "--config", path], capture_output=True,
                          text=True)
    words = done.stdout + done.stderr
    assert done.returncode != 0, "a wrong file passes"
    line = text.splitlines().index(next(l for l in text.splitlines() if "hostname" in l)) + 1
    for word in ("wrong.toml", "hostnam", "hostname", str(line)):
        assert word in words, f"{word} is not in {words}"


@check("cli: check reads trust anchor, zone, authorities and aliases, and names what is wrong")
def _():
    empty, none = os.path.join(server.scratch, "empty"), os.path.join(server.scratch, "none")
    with open(empty, "w", encoding="utf-8") as file:
        file.write("; nothing but a remark\n")
    wrong = os.path.join(server.scratch, "zone")
    with open(wrong, "w", encoding="utf-8") as file:
        file.write("there.example A 192.0.2.300\n")
    with open(server.config_path(), encoding="utf-8") as file:
        lines = file.read().splitlines()
    for key, value, word in (("trust_anchor", empty, "DNSKEY"), ("trust_anchor", none, none),
                             ("zone", wrong, "line 1: "), ("tls_roots", empty, empty),
                             ("aliases", none, none)):
        path = os.path.join(server.directory, "network.toml")
        section = "mail" if key == "aliases" else "network"
        changed = with_option(lines, section, key, f'"{value}"')
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(with_option(changed, "network", "dnssec", "true")) + "\n")
        done = subprocess.run([server.binary, "check", "--config", path], capture_output=True,
                              text=True)
        assert done.returncode != 0, f"{key} of {value} passes"
        said = [l for l in done.stdout.splitlines() if f"error: {section}.{key}:" in l]
        equal((done.stdout.count(": error: "), len(said), word in " ".join(said)), (1, 1, True),
              done.stdout)


@check("cli: SIGHUP reloads, sessions live on")
def _():
    client = server.imap()
    client.select()
    server.signal(signal.SIGHUP)
    time.sleep(0.5)
    client.ok("NOOP")
    client.logout()
    server.send(mails.plain("after-reload"))
    server.imap().logout()


@check("cli: SIGTERM ends politely and by itself; what was acknowledged is there")
def _():
    idle = server.imap()
    idle.select()
    idle.start("IDLE")
    idle.wait_continuation()
    server.send(mails.plain("before-term"))
    equal(server.stop(seconds=40), 0, "exit status")
    assert is_free(server.port("imaps")), "still listening"
    server.start()
    client = server.imap()
    client.select()
    found = [without_trace(r["BODY[]"]) for r in client.fetch("1:*", "(BODY.PEEK[])")]
    assert mails.plain("before-term") in found
    client.logout()


@check("cli: fsck: what was taken away after a stop is missed, and nothing is changed by looking")
def _():
    server.send(mails.plain("fsck-large", b"x" * 600_000 + b"\r\n"))
    server.stop()
    data = os.path.join(server.directory, "data")
    journal, accounts = os.path.join(data, "journal"), os.path.join(data, "accounts")
    equal(server.cli("fsck").returncode, 0, "fsck of a clean journal")
    server.start()
    server.send(mails.plain("fsck-large-too", b"y" * 600_000 + b"\r\n"))
    server.stop()
    segments = sorted(name for name in os.listdir(journal) if name.endswith(".segment"))
    account = sorted(name for name in os.listdir(accounts) if name.endswith(".account"))[0]
    kept = sorted(os.listdir(os.path.join(journal, "large")))
    for path, words in (
        (os.path.join(journal, segments[-1]), "ends before"),
        (os.path.join(accounts, account), "its file is not there"),
    ):
        os.rename(path, path + ".away")
        for _ in range(2):
            done = server.cli("fsck", ok=False)
            said = done.stdout + done.stderr
            assert done.returncode == 1 and words in said, f"{path}: {said}"
        os.rename(path + ".away", path)
    equal(sorted(os.listdir(os.path.join(journal, "large"))), kept, "bodies of large messages")
    equal(server.cli("fsck").returncode, 0, "fsck with everything back")
    server.start()


@check("cli: fsck: a clean journal is clean; one flipped octet is noticed and named")
def _():
    for number in range(30):
        server.send(mails.plain(f"fsck-{number}", b"x" * 3000 + b"\r\n"))
    client = server.imap()
    client.select()
    before = {row["UID"]: row["BODY[]"] for row in client.fetch("1:*", "(UID BODY.PEEK[])")}
    client.logout()
    server.stop()
    equal(server.cli("fsck").returncode, 0, "fsck of a clean journal")
    segments = []
    for folder, _, names in os.walk(os.path.join(server.directory, "data")):
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(".segment") and os.path.getsize(path) > 50_000:
                segments.append(path)
    assert segments, "no segment found"
    path = max(segments, key=os.path.getsize)
    # Only where something was written: a reserved tail is zeros.
    with open(path, "rb") as file:
        content = file.read()
    used = len(content.rstrip(b"\0"))
    offset = random.randrange(used // 3, used // 2)
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(bytes([content[offset] ^ 0x10]))
    done = server.cli("fsck", ok=False)
    words = done.stdout + done.stderr
    assert done.returncode != 0, f"fsck does not notice octet {offset} of {path}: {words}"
    assert any(ch.isdigit() for ch in words), words
    server.start()
    client = server.imap()
    client.select()
    time.sleep(1)
    client.ok("NOOP")
    one_by_one, at_once = {}, {}
    for uid in before:
        _, _, untagged = client.command("UID FETCH", str(uid), "(UID BODY.PEEK[])")
        one_by_one.update({row["UID"]: row["BODY[]"] for row in fetches(untagged)})
    _, _, untagged = client.command("UID FETCH 1:* (UID BODY.PEEK[])")
    at_once.update({row["UID"]: row["BODY[]"] for row in fetches(untagged)})
    client.logout()
    for how, rows in (("one by one", one_by_one), ("in one FETCH", at_once)):
        wrong = [uid for uid in before if rows.get(uid) != before[uid]]
        false = [uid for uid in rows if uid in before and rows[uid] != before[uid]]
        assert not false, f"wrong octets are served for UIDs {false}"
        assert len(wrong) <= 2, f"{how} {len(wrong)} of {len(before)} messages do not come"
    return f"octet {offset}: {words.strip().splitlines()[0][:150]}"


run()
