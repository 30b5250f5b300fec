#!/usr/bin/env python3
"""What a server that only keeps mail holds in memory: many messages in many locked accounts.

The accounts are made by the command line; nobody logs in to any. Each message goes to all of them,
so that every account gets its own sealed copies. Memory is read while it is delivered (peak), and
after a clean stop and start, idle, as well as after a kill and start, when the index is not
believed and everything is read again.

    MESSAGES=100000 (1000000 takes some 5 GB of disk)  ACCOUNTS=100  OCTETS=500  SESSIONS=4
"""

import smtplib
import subprocess
import threading
import time

import measure
from measure import MIB, cpu_seconds, memory_bytes, option, row, until_idle
from mails import plain
from server import Server, send_raw

MESSAGES = option("MESSAGES", 100_000)
ACCOUNTS = option("ACCOUNTS", 100)
OCTETS = option("OCTETS", 500)
SESSIONS = option("SESSIONS", 4)
# What one message may have at most, by default.
RECIPIENTS_MAX = 100


def main():
    with Server() as server:
        server.plain_serve = True
        rss(server, "empty, after the set-up")
        addresses = make_accounts(server)
        forget_peak(server)
        deliver(server, addresses)
        rss(server, f"{MESSAGES:,} messages delivered, at once after", peak=True)
        restart(server, server.stop)
        rss(server, f"{MESSAGES:,} in {ACCOUNTS} locked accounts, restarted", wanted="<= 64 MiB")
        deliver_one_each(server, addresses)
        rss(server, "the same, after one more to each account")
        restart(server, server.kill)
        rss(server, "the same, after a kill and start", peak=True)
        disk(server)


def make_accounts(server):
    begin = time.monotonic()
    domain = server.info["domain"]
    addresses = [f"user{number}@{domain}" for number in range(ACCOUNTS)]
    for address in addresses:
        server.cli("account", "add", "--password-stdin", address, stdin="long enough pass 1\n")
    print(f"{ACCOUNTS} accounts in {time.monotonic() - begin:.1f} s", flush=True)
    return addresses


def deliver(server, addresses):
    groups = [addresses[at:at + RECIPIENTS_MAX] for at in range(0, len(addresses), RECIPIENTS_MAX)]
    each = -(-MESSAGES // len(addresses))
    begin, cpu, failures = time.monotonic(), cpu_seconds(server.pid()), []
    numbers = iter(range(each))
    lock = threading.Lock()

    def session():
        try:
            smtp = server.smtp()
            smtp.ehlo()
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    smtp.quit()
                    return
                for group in groups:
                    submit(smtp, group, number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=session) for _ in range(SESSIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    seconds, copies = time.monotonic() - begin, each * len(addresses)
    row(f"sealed copies by the clock, {RECIPIENTS_MAX} recipients a message", "1/s",
        copies / seconds, lower_is_better=False)
    row(f"server CPU a sealed copy of {OCTETS} octets", "ms",
        (cpu_seconds(server.pid()) - cpu) * 1000 / copies)


def submit(smtp, addresses, number, patience=60):
    """Delivers; a temporary refusal (452) is waited out."""
    data = plain(f"n{number}", b"x" * 70 + b"\r\n")
    data += (b"y" * 70 + b"\r\n") * max(0, (OCTETS - len(data)) // 72)
    end = time.monotonic() + patience
    while True:
        try:
            return send_raw(smtp, "sender@remote.example", addresses, data)
        except smtplib.SMTPResponseException as error:
            if not 400 <= error.smtp_code < 500 or time.monotonic() > end:
                raise
            smtp.rset()
            time.sleep(0.2)


def deliver_one_each(server, addresses):
    smtp = server.smtp()
    smtp.ehlo()
    for address in addresses:
        submit(smtp, [address], 0)
    smtp.quit()


def restart(server, end):
    end()
    begin = time.monotonic()
    server.start(seconds=600)
    print(f"{end.__name__} and start: ready after {time.monotonic() - begin:.2f} s", flush=True)
    until_idle(server.pid())


def forget_peak(server):
    """Each account that is made, and each login, derives with 64 MiB for a moment."""
    until_idle(server.pid())
    # 5: the peak starts anew at what is held now (proc(5)).
    with open(f"/proc/{server.pid()}/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def rss(server, what, peak=False, wanted=""):
    until_idle(server.pid())
    memory = memory_bytes(server.pid())
    row(f"RSS, {what}", "MiB", memory["VmRSS"] / MIB, wanted=wanted)
    print(f"    of it anonymous {memory['RssAnon'] / MIB:.1f} MiB, of files "
          f"{memory['RssFile'] / MIB:.1f} MiB, peak {memory['VmHWM'] / MIB:.1f} MiB", flush=True)
    if peak:
        row(f"peak RSS, {what}", "MiB", memory["VmHWM"] / MIB)


def disk(server):
    """All of the directory, the accounts' files and what is set aside for growth included."""
    done = subprocess.run(["du", "-sb", server.directory], capture_output=True, text=True)
    octets = int(done.stdout.split()[0])
    row(f"octets of disk a message of {OCTETS}", "B", octets / MESSAGES)


if __name__ == "__main__":
    print(measure.machine(), flush=True)
    main()
