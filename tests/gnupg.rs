//! What GnuPG encrypts and signs is opened at the fold: its own framing, compression and
//! signatures. Passed over where no `gpg` is installed.

#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a test that runs another program"
)]

use postseal::base::clock::UnixTime;
use postseal::mail::analyse;
use postseal::pgp::mime::{InnerSignature, NotOpened, OpenedMime, open};
use postseal::pgp::{IdentityKeys, generate_identity};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

const BOB: &str = "bob@example.org";

/// A keyring of its own.
struct Gpg(PathBuf);

impl Gpg {
    fn new() -> Option<Gpg> {
        let home = std::env::temp_dir().join(format!("postseal-gnupg-{}", std::process::id()));
        std::fs::create_dir_all(&home).unwrap();
        let gpg = Gpg(home);
        let there = Command::new("gpg").arg("--version").stdout(Stdio::null()).status();
        there.is_ok_and(|status| status.success()).then_some(gpg)
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .env("GNUPGHOME", &self.0)
            .args(["--batch", "--yes", "--quiet", "--trust-model", "always"])
            .args(["--pinentry-mode", "loopback", "--passphrase", ""])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let done = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        assert!(done.status.success(), "gpg {arguments:?}");
        done.stdout
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let kill =
            Command::new("gpgconf").env("GNUPGHOME", &self.0).args(["--kill", "all"]).status();
        drop((kill, std::fs::remove_dir_all(&self.0)));
    }
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64)
}

#[test]
fn what_gnupg_writes_is_opened() {
    let Some(gpg) = Gpg::new() else { return println!("no gpg here: passed over") };
    let alice = generate_identity("alice@example.org", UnixTime(now().0 - 100)).unwrap();
    let keys = IdentityKeys::from_secrets([&alice.secret]);
    gpg.run(&["--import"], &alice.public);
    gpg.run(&["--quick-generate-key", BOB, "ed25519", "sign", "never"], b"");
    let bob = gpg.run(&["--export", BOB], b"");
    let try_open = |options: &[&str], payload: &[u8]| -> Result<OpenedMime, NotOpened> {
        let encrypt = [&["--armor", "--encrypt"], options].concat();
        let head = b"From: bob@example.org\r\nContent-Type: multipart/encrypted; boundary=b;\r\n \
            protocol=\"application/pgp-encrypted\"\r\n\r\n--b\r\n\
            Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--b\r\n\
            Content-Type: application/octet-stream\r\n\r\n";
        let message = [head.as_slice(), &gpg.run(&encrypt, payload), b"\r\n--b--\r\n"].concat();
        open(&message, &analyse(&message).structure, &keys, Some(&bob), now())
    };
    let to_alice = ["--recipient", "alice@example.org"];
    let small = b"Content-Type: text/plain\r\n\r\nhello\r\n".to_vec();
    let large = [&small[..], &b"some text, again and again\r\n".repeat(70_000)].concat();
    let options: [&[&str]; 7] = [
        &[],
        &["--compress-algo", "none"],
        &["--compress-algo", "zip"],
        &["--compress-algo", "zlib"],
        &["--cipher-algo", "AES128"],
        &["--throw-keyids"],
        &["--set-filename", "a name"],
    ];
    for payload in [&small, &large] {
        for options in options {
            let options = [&to_alice, options].concat();
            let opened = try_open(&options, payload);
            // Text that repeats itself so often unfolds further than honest text does.
            if payload.len() > 100_000 && !options.contains(&"none") {
                assert!(opened.is_ok() || opened.unwrap_err() == NotOpened::Compression);
                continue;
            }
            let opened = opened.unwrap_or_else(|why| panic!("{options:?}: {why:?}"));
            assert_eq!(opened.entity.expose(), &payload[..]);
            assert_eq!(opened.signature, InnerSignature::Absent);
            let signed = try_open(&[&options[..], &["--sign", "-u", BOB]].concat(), payload);
            assert_eq!(signed.unwrap().signature, InnerSignature::Good, "{options:?}");
        }
    }
    let bzip2 = [&to_alice[..], &["--compress-algo", "bzip2"]].concat();
    assert_eq!(try_open(&bzip2, &small).unwrap_err(), NotOpened::Compression);
    let weak = [&to_alice[..], &["--cipher-algo", "3DES"]].concat();
    assert_eq!(try_open(&weak, &small).unwrap_err(), NotOpened::NotAuthentic);
}
