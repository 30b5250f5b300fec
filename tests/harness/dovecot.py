"""A Dovecot of Debian's, unpacked below target/peers and run from there, never installed.

For its processes alone, in a mount namespace of their own, the unpacked files lie over /usr.

It is the peer that figures are compared with. It also stands in for Postseal where a test is to be
tried itself: `POSTSEAL=dovecot tests/peers/mbsync.py` shows that the test is right about IMAP.
"""

import os
import shutil
import smtplib
import subprocess
import time

import server as ours
from report import Skip, need_root

CORE = os.path.join(ours.PEERS, "dovecot-core")
PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")

CONFIGURATION = """
protocols = imap lmtp
base_dir = {run}
state_dir = {run}
auth_mechanisms = plain login
default_login_user = nobody
default_internal_user = daemon
default_internal_group = daemon
listen = 127.0.0.1
mail_location = maildir:{mail}/%u
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
log_path = {run}/log
ssl = yes
ssl_cert = <{run}/cert.pem
ssl_key = <{run}/key.pem
disable_plaintext_auth = yes
mail_max_userip_connections = 200
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={mail}/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service lmtp {{
  user = mail
  inet_listener lmtp {{
    port = {smtp}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
namespace inbox {{
  inbox = yes
  separator = /
  mailbox Drafts {{
    special_use = \\Drafts
    auto = subscribe
  }}
  mailbox Sent {{
    special_use = \\Sent
    auto = subscribe
  }}
  mailbox Junk {{
    special_use = \\Junk
    auto = subscribe
  }}
  mailbox Trash {{
    special_use = \\Trash
    auto = subscribe
  }}
  mailbox Archive {{
    special_use = \\Archive
    auto = subscribe
  }}
}}
"""


def as_if_installed(packages, command):
    """The command to start `command` where /usr also holds what these packages hold."""
    layers = ":".join(os.path.join(ours.PEERS, package, "usr") for package in packages)
    mount = f"mount -t overlay overlay -o lowerdir={layers}:/usr /usr"
    return ["unshare", "-m", "sh", "-c",
            f'mount --make-rslave / && {mount} && exec "$@"', "sh", *command]


class Dovecot(ours.Server):
    def __init__(self, directory=None, **_):
        need_root()
        if not os.path.exists(os.path.join(CORE, "usr/sbin/dovecot")):
            raise Skip("Dovecot is not unpacked (tests/bench/run does it)")
        super().__init__(directory=directory, binary=os.path.join(CORE, "usr/sbin/dovecot"))
        self.run = os.path.join(self.scratch, "run")
        mail = os.path.join(self.scratch, "mail")
        for path in (self.run, mail):
            os.makedirs(path, exist_ok=True)
        shutil.chown(mail, "mail", "mail")
        # Its helpers run as other users, who must get here.
        path = self.scratch
        while len(path) > len(ours.ROOT):
            os.chmod(path, 0o755)
            path = os.path.dirname(path)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", f"{self.run}/key.pem", "-out", f"{self.run}/cert.pem"],
            check=True, capture_output=True)
        base = self.port_base
        self.info = {
            "ports": {"smtp": base + 525, "imap": base + 143, "imaps": base + 993},
            "users": [{"address": f"{name}@example.org", "password": "secret"}
                      for name in ("alice", "bob")],
            "ca": f"{self.run}/cert.pem"}
        self.configuration = os.path.join(self.scratch, "peer.conf")
        with open(self.configuration, "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(
                run=self.run, mail=mail, password="secret",
                **self.info["ports"]))

    def start(self, seconds=20):
        self.log = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            as_if_installed(PACKAGES, ["dovecot", "-F", "-c", self.configuration]),
            stdout=self.log, stderr=self.log, start_new_session=True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if not ours.is_free(self.port("imaps")):
                return self
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError("Dovecot does not start: " + self.log_tail())

    def kill(self):
        """Its master ends the others."""
        self.stop()

    def smtp(self, timeout=60):
        return smtplib.LMTP(ours.HOST, self.port("smtp"), timeout=timeout)
