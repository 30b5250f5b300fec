//! One small file for each way to break a rule, and some that look like it and are right.

/// A file that must be noticed, and the words that the breach is to be named by.
pub struct Seed {
    pub path: &'static str,
    pub text: &'static str,
    pub rule: &'static str,
}

const fn seed(rule: &'static str, path: &'static str, text: &'static str) -> Seed {
    Seed { path, text, rule }
}

const LONG: &str = concat!(
    "//! x\nproptest! { fn long() {\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n} }",
);
const WIDE: &str = concat!(
    "//! x\n// 45678901234567890123456789012345678901234567890",
    "12345678901234567890123456789012345678901234567890 102",
);
const MAIN: &str = concat!(
    "//! x\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n",
    "\n\n\n\n\n\n\n\n\n\nfn main() {}\n",
);

pub const SEEDS: &[Seed] = &[
    seed("is not below", "src/mail/mod.rs", "//! x\nuse crate::store::Log;"),
    seed("is not below", "src/imap/mod.rs", "//! x\nuse crate::{base::ids, smtp::Reply};"),
    seed("is not below", "src/imap/mod.rs", "//! x\nfn f() { crate::vault::unlock(); }"),
    seed("is not below", "src/mail/mod.rs", "//! x\n#[cfg(test)] mod t { use crate::pgp::x; }"),
    seed("is not below", "src/mail/mod.rs", "//! x\nm! { a, [crate::imap::Token] }"),
    seed("is not below", "src/mail/mod.rs", "//! x\n#[serde(with = \"crate::imap::x\")] struct A;"),
    seed("is not below", "src/mail/mod.rs", "//! x\npub(in crate::imap) fn f() {}"),
    seed("leaves the room by super", "src/imap/mod.rs", "//! x\nuse super::base::ids;"),
    seed("leaves the room by super", "src/imap/a.rs", "//! x\nfn f() { super::super::mail::x() }"),
    seed("leaves the room by super", "src/imap/a.rs", "//! x\nuse self::super::super::mail;"),
    seed("names no room", "src/imap/mod.rs", "//! x\nuse crate::Thing;"),
    seed("names no room", "src/imap/mod.rs", "//! x\nuse crate::*;"),
    seed("renames the root", "src/imap/mod.rs", "//! x\nuse crate as c;"),
    seed("renames the root", "src/host/mod.rs", "//! x\nextern crate sled as s;"),
    seed("hands on", "src/account/mod.rs", "//! x\npub use crate::store::Log;"),
    seed("hands on", "src/account/mod.rs", "//! x\npub(crate) use crate::{store::*};"),
    seed("hands on", "src/pgp/mod.rs", "//! x\npub use sequoia_openpgp::Cert;"),
    seed("hands on", "src/pgp/mod.rs", "//! x\npub type Cert = sequoia_openpgp::Cert;"),
    seed("belongs to other rooms", "src/vault/mod.rs", "//! x\nuse sequoia_openpgp as pgp;"),
    seed("belongs to other rooms", "src/store/mod.rs", "//! x\nfn f(d: &sled::Db) {}"),
    seed("belongs to other rooms", "src/imap/mod.rs", "//! x\nfn f() -> mail_parser::Message {}"),
    seed("belongs to other rooms", "src/store/mod.rs", "//! x\nuse tokio::sync::mpsc;"),
    seed("belongs to other rooms", "src/main.rs", "//! x\nfn main() { sled::open(1); }"),
    seed("is for tests only", "src/mail/mod.rs", "//! x\nuse proptest::prelude;"),
    seed("touches the world", "src/mailbox/mod.rs", "//! x\nuse std::{fs, io};"),
    seed("touches the world", "src/mailbox/mod.rs", "//! x\nuse std::fs::File;"),
    seed("touches the world", "src/relay/mod.rs", "//! x\nuse tokio::net::TcpStream;"),
    seed("touches the world", "src/relay/mod.rs", "//! x\nuse tokio as t; fn f() { t::fs::x(); }"),
    seed(
        "touches the world",
        "src/smtp/mod.rs",
        "//! x\nuse std::time::Instant; fn f() { Instant::now(); }",
    ),
    seed(
        "touches the world",
        "src/smtp/mod.rs",
        "//! x\n#[cfg(test)] mod t { fn f() { std::time::SystemTime::now(); } }",
    ),
    seed("touches the world", "src/journal/mod.rs", "//! x\nuse std::net::{IpAddr, TcpListener};"),
    seed("unwrap() outside tests", "src/mail/mod.rs", "//! x\nfn f() { g().unwrap(); }"),
    seed("unwrap() outside tests", "src/mail/mod.rs", "//! x\nm!(g().unwrap());"),
    seed(
        "unwrap() outside tests",
        "src/mail/mod.rs",
        "//! x\n#[cfg(test)] mod t {}\nfn f() { g().unwrap(); }",
    ),
    seed("expect() without a reason", "src/mail/mod.rs", "//! x\nfn f() { g().expect(\"oops\"); }"),
    seed("a function of", "src/mail/mod.rs", LONG),
    seed("columns", "src/mail/mod.rs", WIDE),
    seed("columns", "tests/x.py", WIDE),
    seed("does not open with //!", "src/mail/mod.rs", "// x\n"),
    seed("does not open with //!", "tests/x.rs", "fn main() {}"),
    seed("the word", "src/mail/mod.rs", concat!("//! x\n// TO", "DO: later")),
    seed("the word", "src/mail/mod.rs", concat!("//! x\nfn f() { to", "do!() }")),
    seed("the word", "tests/x.py", concat!("db", "g!(x)")),
    seed("is not part of the program", "src/mail/forgotten.rs", "//! x\n"),
    seed("is to stay small", "src/main.rs", MAIN),
    seed("does not parse", "src/mail/mod.rs", "//! x\nfn f( {"),
    seed("does not parse", "src/mail/mod.rs", "//! x\nfn f fn"),
    seed("pulls in text", "src/mail/mod.rs", "//! x\ninclude!(\"x.rs\");"),
    seed("pulls in text", "src/mail/mod.rs", "//! x\n#[path = \"y.rs\"] mod y;"),
    seed("stands in no row of the table of ranks", "src/extra/mod.rs", "//! x\n"),
];

/// What must not be called a breach.
pub const ALLOWED: &[(&str, &str)] = &[
    ("src/imap/mod.rs", "//! x\nuse crate::{base::ids, imap::View, mail::Envelope};"),
    ("src/imap/mod.rs", "//! x\nmod view { use super::x; }\nuse self::view as v;"),
    ("src/imap/mod.rs", "//! x\npub use self::view::View; pub mod view { pub struct View; }"),
    ("src/imap/mod.rs", "//! x\n#[cfg(test)] mod t { use proptest::x; fn f() { g().unwrap() } }"),
    ("src/imap/mod.rs", "//! x\n#[test]\nfn f() { g().unwrap() }"),
    ("src/imap/mod.rs", "//! x\nfn f() { g().unwrap_or(1); g().expect(\"why this holds here\"); }"),
    ("src/imap/mod.rs", "//! x\n/// See [`crate::store::Log`] and `std::fs`.\nfn f() {}"),
    ("src/pgp/mod.rs", "//! x\nuse sequoia_openpgp::Cert;\npub struct C(Cert);"),
    ("src/mailbox/mod.rs", "//! x\nuse tokio::time::Instant;\nfn f() { Instant::now(); }"),
    ("src/smtp/mod.rs", "//! x\nuse crate::base::clock::Instant;\nfn f() { Instant::now(); }"),
    ("src/store/mod.rs", "//! x\n#[cfg(test)] mod t { use tokio::runtime; }"),
    ("src/host/mod.rs", "//! x\nuse std::fs; mod log; use log::Sink; fn f() { fs::read(1); }"),
    ("src/main.rs", "//! x\nfn main() { postseal::cli::run(); }"),
    ("src/base/mod.rs", "//! x\npub type Key = Secret<32>;\nfn f<'log>(x: &'log u8) {}"),
];
