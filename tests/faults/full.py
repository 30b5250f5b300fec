#!/usr/bin/env python3
"""A full disk, and one that turns read-only: refused politely, and working again in 10 s."""

import os
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "harness"))
import mails
from disks import ShutdownDisk
from imapraw import ImapError
from load import Load, new_ack_path
from report import check, equal, run
from server import Server

RECOVERY_SECONDS = 10


class Site:
    """A server on a small disk of its own, with a load that it has to answer for."""

    def __init__(self, kind):
        self.disk = ShutdownDisk(kind, 400)
        self.server = Server(directory=os.path.join(self.disk.path, "data"))
        self.server.start()
        acks = new_ack_path(self.server.scratch)
        self.load = Load(self.server, acks, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.remove()
        self.disk.close()

    def work(self, seconds):
        self.load.start()
        self.load.disk_gone = True
        time.sleep(seconds)
        self.load.stop()

    def fill(self):
        """Takes all the room that is left."""
        path = os.path.join(self.disk.path, "filler")
        subprocess.run(["dd", "if=/dev/zero", f"of={path}", "bs=1M"], capture_output=True)
        with open(path, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        return path

    def refused(self):
        """Sends until refused; the reply must be temporary. Returns how many were taken before."""
        for taken in range(4000):
            try:
                self.server.send(mails.plain(f"fill-{taken}", b"x" * 70 + b"\r\n" * 1000))
            except smtplib.SMTPResponseException as error:
                equal(error.smtp_code in (451, 452), True, f"{error.smtp_code} {error.smtp_error}")
                return taken
        raise AssertionError("a full disk takes 4,000 messages")

    def works_again(self):
        begin = time.monotonic()
        while True:
            try:
                self.server.send(mails.plain(f"again-{time.monotonic()}"))
                client = self.server.imap()
                client.append("Drafts", b"Subject: again\r\n\r\n\r\n")
                client.logout()
                return time.monotonic() - begin
            except (smtplib.SMTPException, ImapError, OSError) as error:
                if time.monotonic() - begin > RECOVERY_SECONDS:
                    words = f"does not work {RECOVERY_SECONDS} s after the disk does: {error}"
                    raise AssertionError(words) from None
                time.sleep(0.1)


def full(kind):
    @check(f"full disk, {kind}: 452, mail stays readable, expunge works, all works again")
    def _():
        with Site(kind) as site:
            site.work(2)
            filler = site.fill()
            taken = site.refused()
            client = site.server.imap()
            client.select()
            assert client.fetch("1:*", "(UID BODY.PEEK[])"), "nothing can be read"
            # A reserve is kept so that room can be made.
            client.ok("STORE 1 +FLAGS.SILENT (\\Flagged)")
            client.logout()
            site.work(1)
            os.unlink(filler)
            seconds = site.works_again()
            site.load.verify(everything=True)
            site.server.kill()
            site.server.start()
            site.load.verify(everything=True)
            return f"{taken} more were taken, works again after {seconds:.1f} s"


def read_only():
    @check("read-only disk: refused politely; after repair and restart all is there at once")
    def _():
        # A file system with open files cannot be asked to turn read-only; an error makes it so.
        with Site("ext4") as site:
            site.work(2)
            site.disk.remount("abort")
            site.work(2)
            try:
                site.server.send(mails.plain("into-nothing"))
                raise AssertionError("a read-only disk takes mail")
            except smtplib.SMTPResponseException as error:
                equal(400 <= error.smtp_code < 500, True, f"answered {error.smtp_code}")
            site.server.kill()
            site.disk.restore()
            begin = time.monotonic()
            site.server.start()
            seconds = time.monotonic() - begin + site.works_again()
            site.load.verify(everything=True)
            assert seconds <= RECOVERY_SECONDS, f"{seconds:.1f} s until it works again"
            return f"works again {seconds:.1f} s after the start"


read_only()
for file_system in ("ext4", "xfs"):
    full(file_system)
run()
