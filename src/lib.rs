//! Postseal: a mail server in one binary that seals every message to its owner.
//!
//! It accepts mail by SMTP, seals it with OpenPGP to the recipient before it touches a disk, and
//! serves it over IMAP, decrypted only while its owner has unlocked the key.
//!
//! # What this library is not
//! - It is no OpenPGP implementation: `pgp` wraps Sequoia, and no other room names it.
//! - The rooms below rank 8 perform no I/O of their own and read neither clock nor entropy: disk,
//!   time and randomness come in through the traits of `base`, so that a whole server runs in a
//!   test.
//! - It does not protect mail from the operator while its owner is logged in; see `manual::claims`.
//!
//! # The rooms and who may import whom
//! A module imports only from strictly lower ranks, never its own; `tests/tidy.rs` reads the table.
//!
//! | rank | room | what it is for |
//! |---|---|---|
//! | 0 | base | clock, entropy, secrets, primitives, limits, budgets, log events, the traits `Disk` and `Fetch`; knows no mail |
//! | 1 | journal | segments, batches, recovery, erase, compaction: a machine without thread or file |
//! | 1 | dns | names, records, the trait `Resolver`, a literal zone |
//! | 2 | mail | addresses, headers, MIME structure, dates |
//! | 3 | smtp | SMTP server and client as machines: bytes in, bytes and events out |
//! | 3 | imap | grammar, session machine, responses, sequence views |
//! | 3 | sasl | PLAIN and LOGIN: opaque bytes for smtp and imap |
//! | 3 | pgp | certificates, seal, open; the only room that names Sequoia |
//! | 4 | mailauth | SPF, DKIM, DMARC, ARC verdicts; DKIM signatures |
//! | 4 | discovery | recipients' keys: WKD |
//! | 4 | vault | slots, account master key, KDF; makes the `Unlocked` witness |
//! | 5 | plan | what is done for each recipient of a message going out; pure |
//! | 5 | queue | items and schedule of mail going out |
//! | 5 | ledger | what may be lost: key cache, key memory, counters |
//! | 5 | store | account files, arrival records, the index trait and its memory twin |
//! | 6 | account | one unlocked account as a machine: fold, change, views, search |
//! | 6 | seams | the traits where roles meet: Deliver, Authenticate, Publish; streams and dialling |
//! | 7 | relay | role: receive and submit mail, run the queue, deliver, bounce |
//! | 7 | mailbox | role: seal and store, account tasks, IMAP sessions |
//! | 7 | web | role: HTTPS, WKD |
//! | 8 | host | the real world: files, sockets, TLS, clock, entropy, journal thread, sled |
//! | 8 | config | one table of options and what is made of it |
//! | 9 | server | wires config, host and roles: supervision, control socket, signals |
//! | 10 | cli | one file a command |
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod account;
pub mod base;
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "rank 8 and above")]
pub mod cli;
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "rank 8 and above")]
pub mod config;
pub mod discovery;
pub mod dns;
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "rank 8 and above")]
pub mod host;
pub mod imap;
pub mod journal;
pub mod ledger;
pub mod mail;
pub mod mailauth;
pub mod mailbox;
pub mod manual;
pub mod pgp;
pub mod plan;
pub mod queue;
pub mod relay;
pub mod sasl;
pub mod seams;
#[allow(clippy::disallowed_types, clippy::disallowed_methods, reason = "rank 8 and above")]
pub mod server;
pub mod smtp;
pub mod store;
pub mod vault;
pub mod web;
