"""Power cuts: their number from the command line, the disks, and the cut itself.

    options = arguments()       # --cuts N and --seed N
    campaigns(campaign, options, usual=(15, 10, 10), mebibytes=2048)
"""

import argparse
import signal
import time

from disks import CacheDisk, ShutdownDisk


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    return parser.parse_args()


def campaigns(campaign, options, usual, mebibytes):
    """Calls `campaign(name, make_disk, cuts, seed)` for each kind of disk: with the cuts that were
    asked for on large disks, else with the `usual` numbers on small ones."""
    size = 8192 if options.cuts else mebibytes
    kinds = (("ext4", lambda: ShutdownDisk("ext4", size)),
             ("xfs", lambda: ShutdownDisk("xfs", size)),
             ("drive cache", lambda: CacheDisk("ext4", size)))
    for position, ((name, make_disk), cuts) in enumerate(zip(kinds, usual)):
        campaign(name, make_disk, options.cuts or cuts, options.seed + position)


def cut(server, disk, load):
    """Freezes the server, cuts its power, and gives back a disk that shows what was durable.

    The server is frozen in the moment before the cut, as it would be. If it lived on, it could be
    told a lie: an fdatasync that is under way while ext4 or xfs is shut down may return 0 although
    its data is lost (seen with strace on Linux 6.18)."""
    server.signal(signal.SIGSTOP)
    time.sleep(0.01)
    disk.cut()
    load.stopping.set()
    server.kill()
    load.stop()
    disk.restore()
