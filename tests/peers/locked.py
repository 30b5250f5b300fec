#!/usr/bin/env python3
"""What a locked account shows (nothing, and never an empty mailbox), and what opens it again.

Also: wrong passwords, app passwords, and that one session's unlock is not another's.
"""

import os
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from imapraw import Closed, ImapError, Literal, quote
from report import at_end, check, equal, run
from server import Server, without_trace

server = Server()
at_end(server.remove)
server.start()
USER, PASSWORD = server.user()

# Each of these would show an empty mailbox, or lose something, if it were carried out.
SHUT = ['LIST "" "*"', 'LIST (SUBSCRIBED) "" "*" RETURN (SPECIAL-USE)', 'LSUB "" "*"',
        "STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY)", "SELECT INBOX", "EXAMINE INBOX",
        "CREATE x", "DELETE Sent", "RENAME Sent y", "SUBSCRIBE Sent", "UNSUBSCRIBE Sent"]
OPEN = ["CAPABILITY", "NOOP", "ID NIL", "NAMESPACE", "ENABLE X"]


def account(verb, *words, secret=None, ok=True):
    extra = ["--password-stdin"] if secret is not None else []
    return server.cli("account", verb, USER, *words, *extra, stdin=secret, ok=ok)


def shown(client):
    """Everything that could be taken for an answer about mail."""
    for command in SHUT:
        status, words, untagged = client.command(command)
        equal(status, "NO", f"{command}: {words}")
        assert "[UNAVAILABLE]" in words, f"{command}: {words}"
        equal(untagged, [], f"untagged data after {command}")
    status, words, _ = client.command("APPEND INBOX", Literal(b"Subject: x\r\n\r\nx\r\n", True))
    equal(status, "NO", "APPEND")
    assert "TRYCREATE" not in words, words
    for command in OPEN:
        client.ok(command)


@check("locked: a wrong password and an unknown user are answered alike")
def _():
    texts = set()
    for user, password in ((USER, "wrong"), ("nobody@example.test", "wrong"),
                           ("nobody@elsewhere.test", PASSWORD), (USER, PASSWORD + " "), (USER, "")):
        client = server.imap(login=False)
        status, words, _ = client.command("LOGIN", quote(user), quote(password))
        equal(status, "NO", f"LOGIN {user}")
        texts.add(words)
        client.close()
    equal(len(texts), 1, f"different answers: {texts}")


@check("locked: lock ends sessions, and login shows nothing until unlock")
def _():
    server.send(mails.plain("before-lock"))
    client = server.imap()
    client.select()
    client.wait_exists(1)
    before = client.select()
    idler = server.imap()
    idler.select()
    idler.start("IDLE")
    idler.wait_continuation()
    account("lock")
    for session in (client, idler):
        try:
            session.sock.settimeout(15)
            for _ in range(50):
                words = session.read_response()
                if words[:2] == [b"*", b"BYE"]:
                    break
            session.sock.settimeout(5)
            session.read_response()
            raise AssertionError("the session lives on")
        except (Closed, OSError):
            pass
    server.send(mails.plain("while-locked"))
    for attempt in range(3):
        client = server.imap()
        shown(client)
        client.logout()
    account("unlock", secret=PASSWORD + "\n")
    client = server.imap()
    after = client.select()
    equal(after["UIDVALIDITY"], before["UIDVALIDITY"], "UIDVALIDITY")
    client.wait_exists(2)
    server.settled()
    client.ok("NOOP")
    have = [without_trace(row["BODY[]"]) for row in client.fetch("1:*", "(UID BODY.PEEK[])")]
    have = [octets for octets in have if b"@remote.example" in octets]
    equal(have, [mails.plain("before-lock"), mails.plain("while-locked")], "what is there")
    client.logout()


@check("locked: the lock outlasts a restart, stored passwords do not undo it")
def _():
    account("lock")
    server.stop()
    server.start()
    for _ in range(3):
        client = server.imap()
        shown(client)
        client.logout()
        time.sleep(0.3)
    done = account("unlock", secret="wrong\n", ok=False)
    assert done.returncode != 0, "a wrong password unlocks"
    client = server.imap()
    shown(client)
    account("unlock", secret=PASSWORD + "\n")
    client.logout()
    client = server.imap()
    equal(client.select()["EXISTS"] >= 2, True, "mail is there again")
    client.logout()


@check("locked: an app password logs in; one without unlock sees nothing until somebody unlocks")
def _():
    full = account("app-password", secret=PASSWORD + "\n").stdout.strip().rpartition(": ")[2]
    bare = account("app-password", "--no-unlock", secret=PASSWORD + "\n").stdout.strip()
    bare = bare.rpartition(": ")[2]
    assert len(full) > 15 and full != bare, (full, bare)
    client = server.imap(login=False)
    client.login(USER, full)
    assert client.select()["EXISTS"] >= 2
    client.logout()
    account("lock")
    account("unlock", secret=PASSWORD + "\n")
    server.stop()
    server.start()
    client = server.imap(login=False)
    client.login(USER, bare)
    shown(client)
    # Another session opens the account: it is not this one's doing, and not this one's right.
    other = server.imap()
    other.select()
    status, words, untagged = client.command("SELECT INBOX")
    equal((status, untagged), ("NO", []), f"SELECT with a login-only password: {words}")
    other.logout()
    client.logout()
    client = server.imap(login=False)
    status, _, _ = client.command("LOGIN", quote(USER), quote(full[:-1] + "a"))
    equal(status, "NO", "an app password with a wrong end")
    client.close()


@check("locked: passwd leaves mail alone and shuts the old password out; recovery opens")
def _():
    new = "ein ganz neues Passwort"
    account("passwd", secret=f"{PASSWORD}\n{new}\n")
    client = server.imap(login=False)
    equal(client.command("LOGIN", quote(USER), quote(PASSWORD))[0], "NO", "the old password")
    client.login(USER, new)
    assert client.select()["EXISTS"] >= 2
    client.logout()
    code = server.info["users"][0]["recovery_code"]
    account("passwd", secret=f"{code}\n{PASSWORD}\n")
    client = server.imap()
    assert client.select()["EXISTS"] >= 2, "after the recovery code"
    client.logout()
    fresh = account("recovery", secret=f"{PASSWORD}\n").stdout.strip().rpartition(": ")[2]
    done = account("passwd", secret=f"{code}\n{PASSWORD}\n", ok=False)
    assert done.returncode != 0, "the old recovery code still opens"
    account("passwd", secret=f"{fresh}\n{PASSWORD}\n")
    server.imap().logout()


@check("locked: rekey keeps all mail readable and shuts old ways in")
def _():
    server.send(mails.plain("before-rekey"))
    client = server.imap()
    count = client.select()["EXISTS"]
    client.wait_exists(count)
    full = account("app-password", secret=PASSWORD + "\n").stdout.strip().rpartition(": ")[2]
    client.logout()
    new = "nach dem Diebstahl"
    account("rekey", secret=f"{PASSWORD}\n{new}\n")
    server.send(mails.plain("after-rekey"))
    for old in (PASSWORD, full):
        client = server.imap(login=False)
        equal(client.command("LOGIN", quote(USER), quote(old))[0], "NO", "an old way in")
        client.close()
    client = server.imap(login=False)
    client.login(USER, new)
    client.select()
    end = time.monotonic() + 20
    names = []
    while time.monotonic() < end and mails.plain("after-rekey") not in names:
        client.ok("NOOP")
        names = [without_trace(row["BODY[]"]) for row in client.fetch("1:*", "(BODY.PEEK[])")]
    for name in ("before-lock", "before-rekey", "after-rekey"):
        assert mails.plain(name) in names, f"{name} cannot be read"
    client.logout()
    account("passwd", secret=f"{new}\n{PASSWORD}\n")


@check("locked: a second login with the same password is faster than the first; floods are bounded")
def _():
    server.stop()
    server.start()
    keeper = server.imap()
    begin = time.monotonic()
    for _ in range(10):
        server.imap().logout()
    each = (time.monotonic() - begin) / 10
    # Guesses on an unknown account do not keep a known one out.
    stop = threading.Event()

    def guess():
        while not stop.is_set():
            try:
                client = server.imap(login=False, timeout=20)
                client.command("LOGIN", quote("nobody@example.test"), quote("guess"))
                client.close()
            except (ImapError, OSError):
                time.sleep(0.05)

    threads = [threading.Thread(target=guess, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    server.imap(1).logout()
    stop.set()
    for thread in threads:
        thread.join(30)
    keeper.logout()
    return f"{each * 1000:.0f} ms a further login"


run()
