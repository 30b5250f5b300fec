#!/usr/bin/env python3
"""The IMAP commands that mail programs use, as they use them, and what must come back.

RFC 3501, and IDLE (2177), UIDPLUS (4315), MOVE (6851), NAMESPACE (2342), SPECIAL-USE (6154),
CHILDREN (3348), LIST-EXTENDED (5258), UNSELECT (3691), ENABLE (5161), ID (2971), SASL-IR (4959),
LITERAL+ (7888).
"""

import base64
import os
import re
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from imapraw import Closed, Imap, ImapError, Literal, fetches, quote, text
from report import at_end, check, equal, run
from server import HOST, Server

server = Server()
at_end(server.remove)
server.start()
USER, PASSWORD = server.user()


def fresh(name, count=0, user=0):
    """A session with a new mailbox of `count` small messages selected."""
    client = server.imap(user)
    client.ok("CREATE", quote(name))
    for number in range(count):
        client.append(name, mails.plain(f"{name}-{number + 1}", b"body %d\r\n" % number))
    client.select(name)
    return client


def refused(client, status, *parts):
    got, words, _ = client.command(*parts)
    equal(got, status, f"{parts} answered {words}")
    return words


def listed(client, *parts):
    rows = client.ok(*parts)
    return {text(bytes(row[4])): [text(word) for word in row[2]] for row in rows
            if row[1] in (b"LIST", b"LSUB")}


@check("imap: greeting, CAPABILITY before and after TLS and login")
def _():
    client = server.imap(login=False, tls=False)
    before = {text(word) for word in client.ok("CAPABILITY")[0][2:]}
    for word in ("IMAP4rev1", "STARTTLS", "LOGINDISABLED"):
        assert word in before, f"{word} is not among {before}"
    assert "AUTH=PLAIN" not in before, before
    words = refused(client, "NO", "LOGIN", quote(USER), quote(PASSWORD))
    assert words, "a text"
    client.logout()
    client = server.imap(login=False)
    assert b"OK" == client.greeting[1], client.greeting
    before = {text(word) for word in client.ok("CAPABILITY")[0][2:]}
    assert "AUTH=PLAIN" in before and "SASL-IR" in before and "STARTTLS" not in before, before
    client.login(USER, PASSWORD)
    after = {text(word) for word in client.ok("CAPABILITY")[0][2:]}
    for word in ("IMAP4rev1", "IDLE", "UIDPLUS", "MOVE", "NAMESPACE", "SPECIAL-USE", "CHILDREN",
                 "LIST-EXTENDED", "UNSELECT", "ENABLE", "ID", "LITERAL+"):
        assert word in after, f"{word} is not among {sorted(after)}"
    client.logout()


@check("imap: AUTHENTICATE PLAIN with and without initial response, cancel, LOGIN with literals")
def _():
    secret = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
    client = server.imap(login=False)
    client.ok("AUTHENTICATE PLAIN", secret)
    client.logout()
    client = server.imap(login=False)
    tag = client.start("AUTHENTICATE PLAIN")
    client.wait_continuation()
    client.send(b"*\r\n")
    equal(client.finish(tag)[0], "BAD", "a cancelled exchange")
    tag = client.start("AUTHENTICATE PLAIN")
    client.wait_continuation()
    client.send(secret + b"\r\n")
    equal(client.finish(tag)[0], "OK", "after cancelling")
    client.logout()
    for plus in (False, True):
        client = server.imap(login=False)
        client.ok("LOGIN", Literal(USER.encode(), plus), Literal(PASSWORD.encode(), plus))
        client.logout()


@check("imap: ID, NAMESPACE, ENABLE, NOOP, CHECK, unknown command, empty line")
def _():
    client = server.imap()
    client.ok("ID", '("name" "test" "version" NIL)')
    client.ok("ID NIL")
    space = [row for row in client.ok("NAMESPACE") if row[1] == b"NAMESPACE"]
    equal(len(space), 1, "NAMESPACE responses")
    client.ok("ENABLE UTF8=NOTHING")
    client.ok("NOOP")
    refused(client, "BAD", "XYZZY")
    refused(client, "BAD", "CHECK")
    client.select()
    client.ok("CHECK")
    refused(client, "BAD", "FETCH")
    client.logout()


@check("imap: the folders people expect, subscribed, with their special use")
def _():
    client = server.imap(1)
    expected = {"Drafts": "\\Drafts", "Sent": "\\Sent", "Junk": "\\Junk", "Trash": "\\Trash",
                "Archive": "\\Archive"}
    for command in (('LIST "" "*" RETURN (SPECIAL-USE)',),
                    ('LIST (SUBSCRIBED) "" "*" RETURN (SPECIAL-USE)',),
                    ('list (subscribed) "" "*" return (special-use)',)):
        folders = listed(client, *command)
        assert "INBOX" in folders, folders
        for name, use in expected.items():
            assert use in folders.get(name, []), f"{command}: {folders}"
    folders = listed(client, 'LSUB "" "*"')
    assert set(expected) | {"INBOX"} <= set(folders), folders
    folders = listed(client, 'LIST "" "%" RETURN (CHILDREN SUBSCRIBED)')
    assert all("\\HasNoChildren" in flags for flags in folders.values()), folders
    folders = listed(client, 'LIST "" ("INBOX" "Dra%")')
    equal(set(folders), {"INBOX", "Drafts"}, "LIST with several patterns")
    root = client.ok('LIST "" ""')[0]
    equal(text(bytes(root[3])), "/", "hierarchy delimiter")
    client.logout()


@check("imap: CREATE, hierarchy, RENAME, DELETE, SUBSCRIBE; mUTF-7 names")
def _():
    client = server.imap(1)
    client.ok("CREATE a/b/c")
    assert {"a", "a/b", "a/b/c"} <= set(listed(client, 'LIST "" "*"')), "parents are made"
    equal(set(listed(client, 'LIST "" "a/%"')), {"a/b"}, "% stops at the delimiter")
    equal(set(listed(client, 'LIST "a/" "*"')), {"a/b", "a/b/c"}, "reference")
    assert "\\HasChildren" in listed(client, 'LIST "" "a"')["a"]
    client.ok("RENAME a/b x")
    assert {"x", "x/c"} <= set(listed(client, 'LIST "" "*"')), "children move along"
    refused(client, "NO", "CREATE x/c")
    refused(client, "NO", "CREATE inbox")
    refused(client, "NO", "DELETE INBOX")
    refused(client, "NO", "DELETE nowhere")
    refused(client, "NO", "RENAME nowhere elsewhere")
    client.ok("CREATE", quote("Entw&APw-rfe/&ZeVnLIqe-"))
    assert "Entw&APw-rfe/&ZeVnLIqe-" in listed(client, 'LIST "" "*"')
    refused(client, "NO", "CREATE", quote("bad&name"))
    client.ok("SUBSCRIBE x/c")
    assert "x/c" in listed(client, 'LSUB "" "*"')
    client.ok("UNSUBSCRIBE x/c")
    assert "x/c" not in listed(client, 'LSUB "" "*"')
    client.ok("DELETE x/c")
    client.ok("DELETE x")
    assert "x" not in listed(client, 'LIST "" "*"')
    client.ok("CREATE", quote("with space"))
    client.ok("CREATE", Literal("by literal".encode()))
    assert {"with space", "by literal"} <= set(listed(client, 'LIST "" "*"'))
    client.logout()


@check("imap: RENAME INBOX moves its messages and leaves an empty INBOX")
def _():
    server.send(mails.plain("rename-inbox"), to=server.user(1)[0])
    count = server.settled(1)
    client = server.imap(1)
    client.select()
    client.ok("RENAME INBOX", "old-inbox")
    equal(client.select("old-inbox")["EXISTS"], count, "messages in the new name")
    equal(client.select("INBOX")["EXISTS"], 0, "messages in INBOX")
    client.logout()


@check("imap: SELECT and EXAMINE say all that is to be said; STATUS agrees; UNSELECT, CLOSE")
def _():
    client = fresh("select", 3)
    box = client.select("select")
    equal(box["EXISTS"], 3, "EXISTS")
    assert "\\Seen" in box["FLAGS"] and "\\*" in box["PERMANENTFLAGS"], box
    assert box["UIDVALIDITY"] > 0 and box["UIDNEXT"] == 4 and "RECENT" in box, box
    assert "READ-WRITE" in client.last_text, client.last_text
    box = client.select("select", "EXAMINE")
    assert "READ-ONLY" in client.last_text, client.last_text
    refused(client, "NO", "STORE 1 +FLAGS (\\Seen)")
    client.ok("UNSELECT")
    refused(client, "BAD", "FETCH 1 FLAGS")
    status = client.ok("STATUS select (MESSAGES UIDNEXT UIDVALIDITY UNSEEN RECENT)")[0]
    row = {text(k): int(v) for k, v in zip(status[3][::2], status[3][1::2])}
    equal((row["MESSAGES"], row["UIDNEXT"], row["UNSEEN"]), (3, 4, 3), "STATUS")
    equal(row["UIDVALIDITY"], box["UIDVALIDITY"], "UIDVALIDITY by STATUS and SELECT")
    refused(client, "NO", "SELECT nowhere")
    client.select("select")
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    client.ok("CLOSE")
    equal(client.select("select")["EXISTS"], 2, "CLOSE expunges")
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)")
    client.ok("UNSELECT")
    equal(client.select("select")["EXISTS"], 2, "UNSELECT does not")
    client.logout()


@check("imap: FETCH: UID first, macros, sections, partial, header fields, parts, BODYSTRUCTURE")
def _():
    client = fresh("fetch")
    data = mails.multipart("fetch-multi")
    _, uid = client.append("fetch", data)
    client.ok("NOOP")
    header, _, body = data.partition(b"\r\n\r\n")
    row = client.fetch("1", "(FLAGS BODY[] UID INTERNALDATE RFC822.SIZE)", uid=False)[0]
    equal(row["FIRST"], "UID", "first item")
    equal((row["BODY[]"], row["RFC822.SIZE"]), (data, len(data)), "BODY[]")
    row = client.fetch("1", "(FLAGS)", uid=False)[0]
    assert "\\Seen" in row["FLAGS"], "BODY[] sets \\Seen"

    def section(name):
        return client.fetch(str(uid), f"(BODY.PEEK[{name}])")[0][f"BODY[{name}]"]

    equal(section("HEADER"), header + b"\r\n\r\n", "HEADER")
    equal(section("TEXT"), body, "TEXT")
    equal(section("1"), b"Gr=C3=BC=C3=9Fe", "part 1")
    equal(section("2"), b"AAECAwQFBgc=", "part 2")
    assert section("1.MIME").startswith(b"Content-Type: text/plain"), section("1.MIME")
    inner = mails.plain("inner", b"inner body\r\n")
    equal(section("3"), inner, "part 3")
    equal(section("3.HEADER"), inner.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", "3.HEADER")
    equal(section("3.TEXT"), b"inner body\r\n", "3.TEXT")
    row = client.fetch(str(uid), "(BODY.PEEK[HEADER.FIELDS (Subject To X-None)])")[0]
    key = next(key for key in row if key.startswith("BODY["))
    equal(row[key], b"To: <alice@example.org>\r\nSubject: fetch-multi\r\n\r\n", "HEADER.FIELDS")
    row = client.fetch(str(uid), "(BODY.PEEK[HEADER.FIELDS.NOT (Subject To From Date)])")[0]
    key = next(key for key in row if key.startswith("BODY["))
    assert b"Subject" not in row[key] and b"Message-ID" in row[key], row[key]
    row = client.fetch(str(uid), "(BODY.PEEK[]<10.20>)")[0]
    equal(row["BODY[]<10>"], data[10:30], "partial")
    row = client.fetch(str(uid), f"(BODY.PEEK[]<{len(data) + 5}.20>)")[0]
    equal(row[f"BODY[]<{len(data) + 5}>"], b"", "partial behind the end")
    row = client.fetch(str(uid), "(RFC822.HEADER)")[0]
    equal(row["RFC822.HEADER"], header + b"\r\n\r\n", "RFC822.HEADER")
    row = client.fetch(str(uid), "(RFC822.TEXT)")[0]
    equal(row["RFC822.TEXT"], body, "RFC822.TEXT")
    row = client.fetch(str(uid), "ALL")[0]
    equal(bytes(row["ENVELOPE"][1]), b"fetch-multi", "the envelope's subject")
    sender = [bytes(part) for part in row["ENVELOPE"][2][0]]
    equal(sender, [b"Sender", b"NIL", b"sender", b"remote.example"], "the envelope's from")
    structure = client.fetch(str(uid), "(BODYSTRUCTURE)")[0]["BODYSTRUCTURE"]
    equal([bytes(part[0]).lower() for part in structure[:3]],
          [b"text", b"application", b"message"], "types of the parts")
    equal(bytes(structure[3]).lower(), b"mixed", "subtype")
    full = client.fetch(str(uid), "FULL")[0]
    assert "BODY" in full and "ENVELOPE" in full, full.keys()
    equal(client.fetch("77", "(FLAGS)"), [], "UID FETCH of nothing")
    equal(client.fetch("*", "(UID)", uid=False)[0]["UID"], uid, "*")
    refused(client, "BAD", "FETCH 1 (NONSENSE)")
    refused(client, "BAD", "FETCH 0 FLAGS")
    client.logout()


@check("imap: what Thunderbird sends for its lists")
def _():
    client = fresh("tb", 20)
    flags = client.fetch("1:*", "(FLAGS)")
    equal([row["UID"] for row in flags], list(range(1, 21)), "UIDs")
    rows = client.fetch("1:20", "(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc "
                        "Subject Date Message-ID Priority X-Priority References Newsgroups "
                        "In-Reply-To Content-Type Reply-To)])")
    equal(len(rows), 20, "header answers")
    rows = client.fetch("1:20", "(UID BODY.PEEK[HEADER.FIELDS (Content-Type "
                        "Content-Transfer-Encoding)] BODY.PEEK[TEXT]<0.2048>)")
    equal(rows[0]["BODY[TEXT]<0>"], b"body 0\r\n", "preview")
    client.logout()


@check("imap: STORE with flags and keywords; another session is told")
def _():
    client = fresh("store", 5)
    other = server.imap()
    other.select("store")
    got = fetches(client.ok("STORE 1:2 FLAGS (\\Seen $Label1 Wichtig)"))
    equal([set(row["FLAGS"]) - {"\\Recent"} for row in got],
          [{"\\Seen", "$Label1", "Wichtig"}] * 2, "answers")
    equal(fetches(client.ok("STORE 3 +FLAGS.SILENT (\\Flagged)")), [], "SILENT")
    told = {row["SEQ"]: set(row["FLAGS"]) - {"\\Recent"} for row in fetches(other.ok("NOOP"))}
    equal(told.get(3), {"\\Flagged"}, "what the other session is told")
    client.ok("UID STORE 1:3 -FLAGS (\\Seen)")
    rows = client.fetch("1:5", "(FLAGS)")
    equal(["\\Seen" in row["FLAGS"] for row in rows], [False] * 5, "flags taken away")
    client.logout()
    other.logout()


@check("imap: EXPUNGE, UID EXPUNGE; sequence numbers; another session is told in order")
def _():
    client = fresh("expunge", 6)
    other = server.imap()
    other.select("expunge")
    client.ok("STORE 2,4,5 +FLAGS.SILENT (\\Deleted)")
    equal(shrink(list(range(1, 7)), client.ok("UID EXPUNGE 4:6")), [1, 2, 3, 6], "UID EXPUNGE")
    equal(shrink([1, 2, 3, 6], client.ok("EXPUNGE")), [1, 3, 6], "EXPUNGE")
    equal([row["UID"] for row in client.fetch("1:*", "(UID)")], [1, 3, 6], "what is left")
    # RFC 3501 §7.4.1: no EXPUNGE while FETCH, STORE or SEARCH is in progress.
    quiet = other.ok("FETCH 1:6 (UID)")
    assert not [row for row in quiet if row[2:] == [b"EXPUNGE"]], quiet
    equal(shrink(list(range(1, 7)), other.ok("NOOP")), [1, 3, 6], "what the other session is told")
    client.logout()
    other.logout()


def shrink(uids, responses):
    """What a client's list becomes by the EXPUNGE responses, one after the other."""
    for row in responses:
        if row[2:] == [b"EXPUNGE"]:
            del uids[int(row[1]) - 1]
    return uids


@check("imap: COPY and MOVE with COPYUID, to nowhere TRYCREATE, flags go along")
def _():
    client = fresh("from", 4)
    client.ok("CREATE to")
    client.ok("STORE 1 +FLAGS.SILENT (\\Flagged Mark)")
    client.ok("COPY 1:2 to")
    assert re.search(r"\[COPYUID \d+ 1:2 1:2\]", client.last_text), client.last_text
    untagged = client.ok("UID MOVE 3:4 to")
    words = client.last_text + " ".join(text(row[2]) for row in untagged if row[1] == b"OK")
    assert re.search(r"COPYUID \d+ 3:4 3:4", words), words
    equal(client.select("from")["EXISTS"], 2, "left behind")
    words = refused(client, "NO", "COPY 1 nowhere")
    assert "TRYCREATE" in words, words
    words = refused(client, "NO", "APPEND nowhere", Literal(b"x", True))
    assert "TRYCREATE" in words, words
    client.select("to")
    rows = client.fetch("1:*", "(UID FLAGS BODY.PEEK[])")
    equal(len(rows), 4, "arrived")
    equal(set(rows[0]["FLAGS"]) - {"\\Recent"}, {"\\Flagged", "Mark"}, "flags of a copy")
    equal(rows[3]["BODY[]"], mails.plain("from-4", b"body 3\r\n"), "octets of what moved")
    client.logout()


@check("imap: APPEND with flags and date; INTERNALDATE; APPENDUID; empty refused")
def _():
    client = fresh("append")
    data = mails.plain("dated")
    validity, uid = client.append("append", data, ["\\Seen", "Kw"], "17-Jul-1996 02:44:25 -0700")
    client.ok("NOOP")
    row = client.fetch(str(uid), "(FLAGS INTERNALDATE)")[0]
    equal(set(row["FLAGS"]) - {"\\Recent"}, {"\\Seen", "Kw"}, "flags")
    stamp = bytes(row["INTERNALDATE"]).decode()
    from imaplib import Internaldate2tuple
    got = time.mktime(Internaldate2tuple(b'INTERNALDATE "%s"' % stamp.encode()))
    equal(int(got), int(time.mktime(Internaldate2tuple(
        b'INTERNALDATE "17-Jul-1996 02:44:25 -0700"'))), f"INTERNALDATE {stamp}")
    client.logout()


@check("imap: SEARCH by flags, sizes, dates, headers, body, charset, UID, combinations")
def _():
    client = fresh("search")
    client.append("search", mails.plain("alpha", b"the quick fox\r\n"), ["\\Seen"],
                  "01-Jan-2020 12:00:00 +0000")
    client.append("search", mails.plain("beta", "Grüße aus Köln\r\n".encode(), extra=(
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n")), ["\\Flagged"],
        "01-Jan-2021 12:00:00 +0000")
    client.append("search", mails.plain("gamma", b"x" * 5000 + b"\r\n"), ["Kw"])
    client.append("search", mails.multipart("delta"))
    client.ok("NOOP")
    for criteria, wanted in (
            ("ALL", [1, 2, 3, 4]), ("SEEN", [1]), ("UNSEEN", [2, 3, 4]), ("FLAGGED", [2]),
            ("KEYWORD Kw", [3]), ("UNKEYWORD Kw", [1, 2, 4]), ("LARGER 5000", [3]),
            ("SMALLER 1000 NOT SEEN SUBJECT beta", [2]), ("SUBJECT alpha", [1]),
            ("SUBJECT ALPH", [1]), ("FROM sender", [1, 2, 3, 4]), ("BODY quick", [1]),
            ("TEXT quick", [1]), ("BODY alpha", []), ("TEXT alpha", [1]),
            ("BEFORE 1-Jan-2021", [1]), ("ON 1-Jan-2021", [2]), ("SINCE 1-Jan-2021", [2, 3, 4]),
            ("SENTSINCE 1-Jan-2026", [1, 2, 3, 4]), ("OR SUBJECT alpha SUBJECT gamma", [1, 3]),
            ("NOT (SUBJECT alpha)", [2, 3, 4]), ("UID 2:3", [2, 3]), ("2:3 SUBJECT gamma", [3]),
            ("HEADER Message-ID <beta@remote.example>", [2]), ("HEADER X-None \"\"", []),
            ("UNDELETED HEADER Message-ID \"gamma@remote.example\"", [3]),
            ("DELETED", []), ("NEW", None), ("UNDRAFT UNANSWERED", [1, 2, 3, 4])):
        found = client.search(criteria)
        if wanted is not None:
            equal(found, wanted, criteria)
    found = client.search("CHARSET UTF-8 BODY", Literal("Köln".encode()))
    equal(found, [2], "UTF-8 in a body")
    found = client.search("CHARSET UTF-8 BODY", Literal("Grüße".encode()))
    equal(found, [2, 4], "decoded quoted-printable too")
    words = refused(client, "NO", "SEARCH CHARSET X-UNKNOWN SUBJECT a")
    assert "BADCHARSET" in words, words
    refused(client, "BAD", "SEARCH NONSENSE")
    client.logout()


@check("imap: IDLE tells of new mail, flags and expunges at once; DONE ends it")
def _():
    client = fresh("idle", 2)
    idler = server.imap()
    idler.select("idle")
    tag = idler.start("IDLE")
    idler.wait_continuation()
    client.append("idle", mails.plain("idle-3"))
    await_response(idler, lambda row: row[1:] == [b"3", b"EXISTS"])
    client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)")
    await_response(idler, lambda row: row[2:3] == [b"FETCH"] and row[1] == b"1")
    client.ok("STORE 2 +FLAGS.SILENT (\\Deleted)")
    client.ok("EXPUNGE")
    await_response(idler, lambda row: row[1:] == [b"2", b"EXPUNGE"])
    idler.send(b"DONE\r\n")
    equal(idler.finish(tag)[0], "OK", "IDLE ends")
    inbox = server.imap()
    before = inbox.select()["EXISTS"]
    tag = inbox.start("IDLE")
    inbox.wait_continuation()
    server.send(mails.plain("idle-delivered"))
    await_response(inbox, lambda row: row[2:] == [b"EXISTS"] and int(row[1]) == before + 1)
    inbox.send(b"DONE\r\n")
    inbox.finish(tag)
    for session in (client, idler, inbox):
        session.logout()


def await_response(client, wanted, count=20):
    client.sock.settimeout(10)
    seen = []
    for _ in range(count):
        row = client.read_response()
        seen.append(row)
        if wanted(row):
            return row
    raise AssertionError(f"not told; saw {seen}")


@check("imap: pipelined commands are answered in order; many in one packet")
def _():
    client = fresh("pipe", 3)
    tags = [b"p%d" % number for number in range(50)]
    client.send(b"".join(tag + b" UID FETCH 1:* (FLAGS)\r\n" for tag in tags))
    total = 0
    for tag in tags:
        status, _, rows = client.finish(tag)
        equal(status, "OK", f"answer to {tag}")
        total += len(fetches(rows))
    equal(total, 150, "rows")
    client.logout()


@check("imap: one octet at a time is understood")
def _():
    client = server.imap(login=False)
    for octet in b'x1 LOGIN {%d}\r\n' % len(USER):
        client.send(bytes([octet]))
    client.wait_continuation()
    for octet in USER.encode() + b' "' + PASSWORD.encode() + b'"\r\n':
        client.send(bytes([octet]))
    equal(client.finish(b"x1")[0], "OK", "LOGIN in pieces")
    client.logout()


@check("imap: before login little is read: huge literals and lines end the session, others go on")
def _():
    for attack in (b"a LOGIN {4294967296}\r\n", b"a LOGIN {100000000}\r\n",
                   b"a LOGIN {5000000+}\r\n", b"a " + b"x" * 1_000_000 + b"\r\n",
                   b"GET / HTTP/1.1\r\n" * 200):
        client = server.imap(login=False)
        answer = b""
        client.sock.settimeout(10)
        try:
            client.send(attack)
            while True:
                client.fill()
                answer = client.buffer[-200:]
                if b"BYE" in answer or b"BAD" in answer or b"NO" in answer:
                    break
                assert b"+ " not in answer, f"{attack[:30]!r} is waited for: {answer!r}"
        except (Closed, OSError):
            pass
        client.close()
    server.imap().logout()


@check("imap: LOGOUT says BYE; what follows is not carried out")
def _():
    client = server.imap()
    client.send(b"q1 LOGOUT\r\nq2 CREATE after-logout\r\n")
    equal(client.finish(b"q1")[0], "OK", "LOGOUT")
    assert getattr(client, "bye", None) is not None, "no BYE"
    client.close()
    client = server.imap()
    assert "after-logout" not in listed(client, 'LIST "" "*"')
    client.logout()


@check("imap: STARTTLS: what was pipelined behind it is not carried out")
def _():
    client = Imap(HOST, server.port("imap"), None, 10)
    client.send(b"s1 STARTTLS\r\ns2 NOOP\r\n")
    try:
        equal(client.finish(b"s1")[0] in ("OK", "BAD", "NO"), True, "an answer")
        client.sock = server.context().wrap_socket(client.sock, server_hostname="localhost")
        client.buffer = b""
        client.sock.settimeout(3)
        try:
            row = client.read_response()
            raise AssertionError(f"answered inside TLS: {row}")
        except (TimeoutError, Closed, OSError):
            pass
    except (Closed, OSError):
        pass
    client.close()


@check("imap: two logins at once, and 20 sessions of one account")
def _():
    clients = []
    errors = []

    def one():
        try:
            client = server.imap()
            client.select()
            clients.append(client)
        except (ImapError, OSError) as error:
            errors.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    equal((len(clients), errors), (20, []), "sessions")
    for client in clients:
        client.logout()


run()
