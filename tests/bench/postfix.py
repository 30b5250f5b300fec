"""A Postfix of Debian's, unpacked below target/peers and run from there, never installed.

For its processes alone, in a mount namespace of their own, the unpacked files lie over /usr, and
/etc/passwd and /etc/group have the users postfix and postdrop besides. The machine's own files are
not touched. Its settings are those that it comes with, but for paths, ports, and that everything
local goes to its discard transport: what is timed is taking mail in, made durable as it does it.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time

import measure  # noqa: F401  (it finds the harness)
import server as ours
from dovecot import as_if_installed
from report import Skip, need_root

UNPACKED = os.path.join(ours.PEERS, "postfix")
DOMAIN = "bench.example"
# Any that the machine does not use; only the namespace's own copies have them.
USER, GROUP = 64321, 64322

MAIN = """
compatibility_level = 3.6
queue_directory = {base}/queue
data_directory = {base}/data
meta_directory = {base}/etc
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.bench.example
mydestination = {domain}
local_recipient_maps =
local_transport = discard:
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
maillog_file = {base}/log
maillog_file_prefixes = {base}
"""

MASTER = """
{port}    inet  n  -  n  -      -  smtpd
pickup    unix  n  -  n  60     1  pickup
cleanup   unix  n  -  n  -      0  cleanup
qmgr      unix  n  -  n  300    1  qmgr
tlsmgr    unix  -  -  n  1000?  1  tlsmgr
rewrite   unix  -  -  n  -      -  trivial-rewrite
bounce    unix  -  -  n  -      0  bounce
defer     unix  -  -  n  -      0  bounce
trace     unix  -  -  n  -      0  bounce
flush     unix  n  -  n  1000?  0  flush
proxymap  unix  -  -  n  -      -  proxymap
showq     unix  n  -  n  -      -  showq
smtp      unix  -  -  n  -      -  smtp
relay     unix  -  -  n  -      -  smtp
error     unix  -  -  n  -      -  error
retry     unix  -  -  n  -      -  error
discard   unix  -  -  n  -      -  discard
anvil     unix  -  -  n  -      1  anvil
postlog   unix-dgram n - n  -   1  postlogd
"""

# Directory below the queue: (owner, group, mode), as Postfix's own table of files has them.
QUEUE = {name: ("postfix", "root", 0o700) for name in (
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private",
    "saved", "trace")}
QUEUE.update({"maildrop": ("postfix", "postdrop", 0o1730),
              "public": ("postfix", "postdrop", 0o2710),
              "pid": ("root", "root", 0o755)})
IDS = {"root": 0, "postfix": USER, "postdrop": GROUP}


class Postfix:
    def __init__(self, settings=""):
        """`settings`: lines of main.cf besides."""
        need_root()
        self.settings = settings
        if not os.path.exists(os.path.join(UNPACKED, "usr/lib/postfix/sbin/master")):
            raise Skip("Postfix is not unpacked (tests/bench/run does it)")
        parent = os.path.join(ours.ROOT, "target", "tmp")
        os.makedirs(parent, exist_ok=True)
        self.base = tempfile.mkdtemp(prefix="postfix-", dir=parent)
        self.port = ours.free_port_base() + 700
        self.recipient = f"alice@{DOMAIN}"
        self.process = None
        self.lay_out()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        self.remove()

    def lay_out(self):
        # Its processes run as another user, who must get here.
        path = self.base
        while len(path) > len(ours.ROOT):
            os.chmod(path, 0o755)
            path = os.path.dirname(path)
        for name in ("etc", "queue", "data"):
            os.mkdir(os.path.join(self.base, name))
        os.chown(os.path.join(self.base, "data"), USER, 0)
        for name, (owner, group, mode) in QUEUE.items():
            path = os.path.join(self.base, "queue", name)
            os.mkdir(path)
            os.chown(path, IDS[owner], IDS[group])
            os.chmod(path, mode)
        self.write("etc/main.cf", MAIN.format(base=self.base, domain=DOMAIN) + self.settings)
        self.write("etc/master.cf", MASTER.format(port=f"127.0.0.1:{self.port}"))
        shutil.copy(os.path.join(UNPACKED, "etc/postfix/postfix-files"),
                    os.path.join(self.base, "etc"))
        self.write("passwd", own_lines("/etc/passwd", "postfix") +
                   f"postfix:x:{USER}:{USER}::/nonexistent:/usr/sbin/nologin\n")
        self.write("group", own_lines("/etc/group", "postfix", "postdrop") +
                   f"postfix:x:{USER}:\npostdrop:x:{GROUP}:\n")

    def write(self, name, text):
        with open(os.path.join(self.base, name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, seconds=20):
        bind = (f"mount --bind {self.base}/passwd /etc/passwd && "
                f'mount --bind {self.base}/group /etc/group && exec "$@"')
        master = ["/usr/lib/postfix/sbin/master", "-d", "-c", os.path.join(self.base, "etc")]
        # `-d`: stays in the foreground.
        self.output = open(os.path.join(self.base, "output"), "ab")
        self.process = subprocess.Popen(
            as_if_installed(["postfix"], ["sh", "-c", bind, "sh", *master]),
            stdout=self.output, stderr=self.output, stdin=subprocess.DEVNULL,
            start_new_session=True, env=dict(os.environ, MAIL_CONFIG=f"{self.base}/etc"))
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if not ours.is_free(self.port):
                return self
            time.sleep(0.05)
        raise AssertionError("Postfix does not start: " + self.log_tail())

    def pid(self):
        return self.process.pid

    def queued(self):
        """How many messages it still has to deliver."""
        count = 0
        for name in ("incoming", "active", "deferred", "hold"):
            for _, _, files in os.walk(os.path.join(self.base, "queue", name)):
                count += len(files)
        return count

    def drained(self, seconds=300):
        end = time.monotonic() + seconds
        while self.queued() and time.monotonic() < end:
            time.sleep(0.1)

    def log_tail(self):
        text = ""
        for name in ("output", "log"):
            path = os.path.join(self.base, name)
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text += file.read()
        return " | ".join(text.splitlines()[-8:])

    def remove(self):
        if self.process and self.process.poll() is None:
            # Its master ends the others: they are of its process group, and of no other.
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(20)
        if os.environ.get("KEEP"):
            print(f"kept: {self.base}")
        else:
            shutil.rmtree(self.base, ignore_errors=True)


def own_lines(path, *without):
    """The machine's own lines but for those of these names."""
    with open(path, encoding="utf-8") as file:
        return "".join(line for line in file if line.partition(":")[0] not in without)


def smtp_source(port, recipient, sessions, messages, octets):
    """Postfix's load generator; raises when one message was not accepted. Returns nothing."""
    source = ours.peer("smtp-source")
    if not os.path.exists(source):
        raise Skip("smtp-source is not unpacked (tests/bench/run does it)")
    library = os.path.join(UNPACKED, "usr/lib/postfix")
    # `-d`: many messages over one connection.
    command = [source, "-d", "-s", str(sessions), "-m", str(messages), "-l", str(octets),
               "-M", "client.example", "-f", "sender@remote.example", "-t", recipient,
               f"{ours.HOST}:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600,
                          env=dict(os.environ, LD_LIBRARY_PATH=library))
    if done.returncode != 0 or done.stderr.strip():
        raise AssertionError(f"smtp-source: {done.returncode}: {done.stderr.strip()[:300]}")
