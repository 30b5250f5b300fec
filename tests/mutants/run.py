#!/usr/bin/env python3
"""Breaks the program in twelve named ways and shows that a named test notices each.

    tests/mutants/run.py [NAME...]

Works in a copy (a git worktree below target/mutants) of what is committed. A mutant is one or more
replacements of text that must occur exactly once; one that no longer fits is an error, so that the
list cannot rot. The tests that are to notice it pass on the unchanged program first.
"""

import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PLACE = os.path.join(ROOT, "target", "mutants")
TREE = os.path.join(PLACE, "tree")

SYNC = """        if let Err(error) = active.file.sync_data() {
            self.poison(active);
            return Err(append_error(&error));
        }
        Ok(self.publish(active, encoded))
"""

# Name, the tests that are to notice it, [(file, text, what to put in its place)].
MUTANTS = [
    ("no-fsync", "test(/journal::/)", [
        ("src/journal/append.rs", SYNC, """        Ok(self.publish(active, encoded))
""")]),
    ("reply-before-fsync", "test(/journal::/)", [
        ("src/journal/append.rs", SYNC, """        let file = active.file.clone();
        let done = self.publish(active, encoded);
        let _ = file.sync_data();
        Ok(done)
""")]),
    ("retry-after-failed-fsync", "test(/journal::/)", [
        ("src/journal/append.rs", "        if let Err(error) = active.file.sync_data() {\n",
         "        if let Err(error) = active.file.sync_data().or_else(|_| active.file.sync_data()) {\n"
         )]),
    ("cut-of-damage-in-the-middle", "test(/journal::/)", [
        ("src/journal/recover.rs",
         "            self.out.durable = self.out.durable.max(self.out.mark);\n", "")]),
    ("publish-before-durable", "test(/journal::/)", [
        ("src/journal/append.rs", SYNC, """        let file = active.file.clone();
        let done = self.publish(active, encoded);
        if let Err(error) = file.sync_data() {
            let active = self.active.take().expect("it was published just now");
            self.poison(active);
            return Err(append_error(&error));
        }
        Ok(done)
""")]),
    ("nonce-from-a-counter", "test(/base::crypto::/)", [
        ("src/base/crypto.rs", "    let nonce: [u8; NONCE_BYTES] = entropy::bytes(entropy);\n",
         """    let _: [u8; NONCE_BYTES] = entropy::bytes(entropy);
    static COUNTER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let mut nonce = [0u8; NONCE_BYTES];
    let count = COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    nonce[4..].copy_from_slice(&count.to_be_bytes());
""")]),
    ("seal-to-two-subkeys", "test(/pgp::/)", [
        ("src/pgp/seal.rs", "        let message = encrypt(pkesk, &library_key",
         "        let pkesk = [pkesk.clone(), pkesk].concat();\n"
         "        let message = encrypt(pkesk, &library_key")]),
    ("locked-mailbox-shown-empty", "test(/mailbox::imap::/)", [
        ("src/mailbox/imap/session.rs",
         "            Denial::Locked => self.link.out.no(tag, Code::Unavailable, LOCKED_TEXT),\n",
         """            Denial::Locked => {
                self.link.out.line("* 0 EXISTS");
                self.link.out.line(&format!("{} OK done", tag.as_str()));
            }
""")]),
    ("attach-without-witness", "test(/mailbox::/)", [
        ("src/mailbox/login.rs", "    may.then(|| resident.clone())\n",
         "    let _ = may;\n    Some(resident.clone())\n")]),
    ("bare-lf-ends-data", "test(/smtp::/)", [
        ("src/smtp/data.rs", "                At::DotCr if octet == b'\\n' => return Some(at + 1),\n",
         "                At::Dot | At::DotCr if octet == b'\\n' => return Some(at + 1),\n"),
        ("src/smtp/data.rs", "                At::Dot => self.at = At::Text,\n",
         "                At::Dot => self.at = At::Text,\n"),
        ("src/smtp/data.rs", "        self.at = At::Text;\n        if self.normalise",
         "        self.at = if octet == b'\\n' { At::LineStart } else { At::Text };\n"
         "        if self.normalise")]),
    ("starttls-keeps-the-buffer", "test(/smtp::/)", [
        ("src/smtp/dialog.rs", "        if self.has_unread() {\n            return self.end(replies::PIP",
         "        if false {\n            return self.end(replies::PIP"),
        ("src/smtp/dialog.rs", "            self.forget_input();\n            self.state = State::Command",
         "            self.state = State::Command")]),
    ("size-in-clear", "test(/pgp::/) | test(/store::/)", [
        ("src/pgp/frame.rs", "    let gap = padme(plain_bytes + PADDING_BYTES_MIN) - plain_bytes;\n",
         "    let gap = PADDING_BYTES_MIN;\n"),
        ("src/store/arrival.rs", "        out.resize(out.len().next_multiple_of(RECORD_STEP_BYTES), 0);\n"
         "        out\n", "        out\n")]),
]


def main():
    wanted = sys.argv[1:]
    prepare()
    failed = 0
    for name, tests, edits in MUTANTS:
        if wanted and name not in wanted:
            continue
        restore()
        for path, old, new in edits:
            replace(path, old, new)
        done, red = tried(tests)
        if red:
            print(f"ok mutant {name}: red: {', '.join(red[:3])}", flush=True)
        else:
            failed += 1
            print(f"FAILED mutant {name}: not noticed by {tests}\n{done[-1500:]}", flush=True)
    restore()
    print(f"{len(wanted or MUTANTS)} mutants, {failed} not noticed")
    sys.exit(1 if failed else 0)


def prepare():
    head = run(["git", "rev-parse", "HEAD"]).stdout.strip()
    if not os.path.exists(TREE):
        os.makedirs(PLACE, exist_ok=True)
        run(["git", "worktree", "prune"])
        run(["git", "worktree", "add", "--detach", TREE, head])
        build = os.path.join(PLACE, "build")
        os.makedirs(build, exist_ok=True)
        # The dependencies are built already.
        subprocess.run(["cp", "-a", os.path.join(ROOT, "target", "debug"), build])
    else:
        restore()
        run(["git", "-C", TREE, "checkout", "--detach", head])


def restore():
    run(["git", "-C", TREE, "checkout", "--", "."])


def replace(path, old, new):
    path = os.path.join(TREE, path)
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if text.count(old) != 1:
        sys.exit(f"{path}: the mutant fits {text.count(old)} times: {old!r}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(old, new))


def tried(tests):
    """What the run said, and the names of the tests that failed."""
    env = dict(os.environ, CARGO_TARGET_DIR=os.path.join(PLACE, "build"), NO_COLOR="1")
    done = subprocess.run(
        ["cargo", "nextest", "run", "--lib", "--no-fail-fast", "-E", tests], cwd=TREE, env=env,
        capture_output=True, text=True)
    said = done.stdout + done.stderr
    if "error: could not compile" in said:
        sys.exit(f"the mutant does not compile:\n{said[-3000:]}")
    red = []
    for line in said.splitlines():
        words = line.split()
        if words and words[0] in ("FAIL", "SIGABRT", "TIMEOUT") and words[-1] not in red:
            red.append(words[-1])
    return said, red


def run(command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr}")
    return done


if __name__ == "__main__":
    main()
