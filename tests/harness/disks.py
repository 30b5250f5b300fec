"""Disks whose power can be cut, that can fill up, and that can turn read-only. Needs root.

ShutdownDisk   ext4 or xfs on a loop device; the cut is the file system's own emergency stop
               (`xfs_io -x -c shutdown`): what the kernel had not written is gone. It cannot tell
               a write that reached the drive from one that was flushed to its platter.
CacheDisk      the same on a drive with a volatile cache: nbdkit keeps writes in memory until it is
               told to flush; killing it loses them. What was written but not synced is gone.
"""

import os
import shutil
import subprocess
import tempfile
import time

from report import Skip, need, need_root
from server import ROOT


class ShutdownDisk:
    def __init__(self, kind="ext4", megabytes=640):
        need_root()
        need("xfs_io", "losetup", "mkfs.ext4", "mkfs.xfs")
        self.kind = kind
        self.base = tempfile.mkdtemp(prefix="disk-", dir=scratch())
        self.image = os.path.join(self.base, "image")
        self.path = os.path.join(self.base, "mnt")
        os.mkdir(self.path)
        with open(self.image, "wb") as file:
            file.truncate(megabytes << 20)
        self.loop = None
        self.attach()
        make_file_system(kind, self.loop)
        self.mount()

    def attach(self):
        self.loop = call("losetup", "--find", "--show", self.image).strip()

    def mount(self, options=None):
        extra = ["-o", options] if options else []
        call("mount", *extra, self.loop, self.path)

    def cut(self):
        """The power goes: from now on every call fails, and what was not synced is lost."""
        call("xfs_io", "-x", "-c", "shutdown", self.path)

    def restore(self):
        """The power is back: the file system replays its journal.

        On a new loop device: a mount namespace of some other program may hold the old mount, and
        with it the stopped file system, which a second mount of the same device would show again.
        """
        unmount(self.path)
        subprocess.run(["losetup", "-d", self.loop], capture_output=True)
        self.attach()
        self.mount()

    def remount(self, options):
        call("mount", "-o", "remount," + options, self.path)

    def close(self):
        unmount(self.path, lazily=True)
        if self.loop:
            subprocess.run(["losetup", "-d", self.loop], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)


class CacheDisk(ShutdownDisk):
    def __init__(self, kind="ext4", megabytes=640):
        need("nbdkit", "nbdfuse", "/dev/fuse")
        super().__init__(kind, megabytes)

    def attach(self):
        self.socket = os.path.join(self.base, "nbd.sock")
        self.device = os.path.join(self.base, "nbd")
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        with open(self.device, "wb"):
            pass
        self.nbdkit = subprocess.Popen(
            ["nbdkit", "-f", "-U", self.socket, "--filter=cache", "file", self.image,
             "cache=writeback"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.exists(self.socket), "nbdkit")
        self.nbdfuse = subprocess.Popen(
            ["nbdfuse", self.device, "--unix", self.socket],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: os.path.getsize(self.device) > 0, "nbdfuse")
        self.loop = call("losetup", "--find", "--show", self.device).strip()

    def cut(self):
        self.nbdkit.kill()
        self.nbdkit.wait()

    def restore(self):
        unmount(self.path, lazily=True)
        self.detach()
        self.attach()
        self.mount()

    def detach(self):
        subprocess.run(["losetup", "-d", self.loop], capture_output=True)
        subprocess.run(["fusermount3", "-u", "-z", self.device], capture_output=True)
        for process in (self.nbdfuse, self.nbdkit):
            process.kill()
            process.wait()
        # The loop device lets go of its file a moment after the last user has.
        wait_for(lambda: self.device not in call("losetup", "-a"), "the loop device to be free")

    def close(self):
        unmount(self.path, lazily=True)
        try:
            self.detach()
        finally:
            shutil.rmtree(self.base, ignore_errors=True)


def make_file_system(kind, device):
    if kind == "xfs":
        call("mkfs.xfs", "-q", "-f", device)
    else:
        call("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", device)


def unmount(path, lazily=False):
    for _ in range(50):
        done = subprocess.run(["umount", path], capture_output=True, text=True)
        if done.returncode == 0 or "not mounted" in done.stderr:
            return
        time.sleep(0.05)
    if lazily:
        subprocess.run(["umount", "-l", path], capture_output=True)
        return
    raise AssertionError(f"umount {path}: {done.stderr.strip()}")


def wait_for(condition, what, seconds=15):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


def call(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        if command[0] in ("mount", "losetup") and "permitted" in done.stderr:
            raise Skip(f"{command[0]} is not permitted here")
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def scratch():
    path = os.path.join(ROOT, "target", "tmp")
    os.makedirs(path, exist_ok=True)
    return path
