"""How the scripts of tiers 2 and 3 report: one line a check, which tests/run counts.

    @check("what must hold")
    def _(): ...          # raises (assert will do) when it does not hold

    run()                 # at the end of the script
"""

import os
import shutil
import sys
import time
import traceback

CHECKS = []
ONLY = os.environ.get("CHECK", "")


class Skip(Exception):
    """This machine cannot show it; the text says what is missing."""


def check(name):
    def keep(function):
        CHECKS.append((name, function))
        return function
    return keep


def need(*programs):
    """Skips when a program is missing."""
    missing = [p for p in programs if not (shutil.which(p) or os.path.exists(p))]
    if missing:
        raise Skip("needs " + ", ".join(missing))


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def run():
    failed = False
    for name, function in CHECKS:
        if ONLY not in name:
            continue
        begin = time.monotonic()
        try:
            note = function()
        except Skip as why:
            print(f"skip {name}: {why}", flush=True)
        except Exception as error:  # one failed check must not hide the others
            failed = True
            text = " ".join((str(error) or type(error).__name__).split())
            print(f"FAILED {name}: {text[:600]}", flush=True)
            traceback.print_exc(limit=-6)
        else:
            seconds = time.monotonic() - begin
            note = f" ({note})" if isinstance(note, str) else ""
            print(f"ok {name}{note} [{seconds:.1f} s]", flush=True)
    for cleanup in reversed(CLEANUPS):
        try:
            cleanup()
        except Exception:
            traceback.print_exc()
    sys.exit(1 if failed else 0)


CLEANUPS = []


def at_end(function):
    """Calls `function` when all checks are done, whatever became of them."""
    CLEANUPS.append(function)
    return function


def equal(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: got {short(got)}, wanted {short(wanted)}")


def short(value):
    text = repr(value)
    return text if len(text) < 300 else f"{text[:200]} … ({len(text)})"
