//! The rules of the house, each a function from the files to sentences about what breaks it.

use super::house::{House, Source};
use super::look;
use super::names::{Call, Found, Name};
use proc_macro2::{TokenStream, TokenTree};

/// The words by which breaches and seeds are matched: one a rule.
pub const NAMES: &[&str] = &[
    "is not below",
    "leaves the room by super",
    "names no room",
    "renames the root",
    "hands on",
    "belongs to other rooms",
    "is for tests only",
    "touches the world",
    "unwrap() outside tests",
    "expect() without a reason",
    "a function of",
    "columns",
    "does not open with //!",
    "the word",
    "is not part of the program",
    "is to stay small",
    "does not parse",
    "pulls in text",
    "stands in no row of the table of ranks",
];

/// The first rank that may touch files, sockets and clocks.
const WORLD_RANK: u32 = 8;

/// Who may name a crate.
enum Who {
    /// Any room: it only computes.
    Anyone,
    /// These rooms.
    Rooms(&'static [&'static str]),
    /// Rooms from this rank on; below it tests may.
    FromRank(u32),
    /// The same, and these rooms below it.
    FromRankAnd(u32, &'static [&'static str]),
    /// Nobody names it: it is there for its features.
    Nobody,
}

/// The second table: which crate is behind which room. `main` is `src/main.rs`.
const CRATES: &[(&str, Who)] = &[
    ("argon2", Who::Rooms(&["base"])),
    ("aws_lc_rs", Who::Rooms(&["base", "host"])),
    ("base64", Who::Anyone),
    ("clap", Who::Rooms(&["cli"])),
    ("hickory_resolver", Who::Rooms(&["host"])),
    ("http_body_util", Who::Rooms(&["host", "web"])),
    ("hyper", Who::Rooms(&["host", "web"])),
    ("hyper_util", Who::Rooms(&["host", "web"])),
    ("idna", Who::Rooms(&["mail", "config", "host"])),
    ("log", Who::Rooms(&["host"])),
    ("mail_auth", Who::Rooms(&["mailauth", "host"])),
    ("mail_builder", Who::Rooms(&["mail", "pgp"])),
    ("mail_parser", Who::Rooms(&["mail"])),
    ("memchr", Who::Rooms(&["imap", "mail", "smtp"])),
    ("miniz_oxide", Who::Rooms(&["pgp"])),
    ("ml_kem", Who::Rooms(&["base"])),
    ("openssl_sys", Who::Nobody),
    ("postcard", Who::Anyone),
    ("precis_profiles", Who::Rooms(&["vault"])),
    ("rcgen", Who::Rooms(&["host"])),
    ("rustix", Who::Rooms(&["host"])),
    ("rustls", Who::Rooms(&["host"])),
    ("rustls_native_certs", Who::Rooms(&["host"])),
    ("sequoia_openpgp", Who::Rooms(&["pgp"])),
    ("serde", Who::Anyone),
    ("serde_bytes", Who::Anyone),
    ("serde_json", Who::FromRank(8)),
    ("sled", Who::Rooms(&["host"])),
    ("strsim", Who::Rooms(&["config"])),
    // `seams` names the stream traits that the roles meet at; it runs nothing.
    ("tokio", Who::FromRankAnd(7, &["seams"])),
    ("tokio_rustls", Who::Rooms(&["host"])),
    ("toml_edit", Who::Rooms(&["config"])),
    ("twox_hash", Who::Rooms(&["journal"])),
    ("zeroize", Who::Anyone),
    ("zeroizing_alloc", Who::Rooms(&["host", "main"])),
];

/// What is an effect on the world, by the beginning of its path.
const EFFECTS: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "process"],
    &["std", "net", "TcpStream"],
    &["std", "net", "TcpListener"],
    &["std", "net", "UdpSocket"],
    &["std", "net", "ToSocketAddrs"],
    &["std", "net", "*"],
    &["std", "os", "unix", "net"],
    &["std", "time", "SystemTime", "now"],
    &["std", "time", "Instant", "now"],
    &["std", "thread", "sleep"],
    &["tokio", "net"],
    &["tokio", "fs"],
    &["tokio", "process"],
    &["tokio", "signal"],
    &["rand"],
    &["getrandom"],
];

/// Words that say that something was left undone, or that look beyond the project. Written in two
/// parts, so that this file does not breach its own rule.
const WORDS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX:"),
    concat!("db", "g!("),
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("/wo", "rk/"),
    concat!("CON", "TRACT.md"),
    concat!("-rev", "iew.md"),
];

/// Functions above [`look::FUNCTION_LINES_MAX`] that are let stand: file, name, why. To be emptied.
pub const LONG_FUNCTIONS: &[(&str, &str, &str)] = &[];

/// `src/main.rs` only starts the library.
const MAIN_LINES_MAX: usize = 39;

/// Everything that is wrong, one sentence each, beginning with the file.
pub fn check(house: &House) -> Vec<String> {
    let mut breaches = Vec::new();
    for source in &house.sources {
        let mut out = Report { path: &source.path, breaches: &mut breaches };
        look::check_text(source, WORDS, &mut out);
        if source.path == "src/main.rs" && source.text.lines().count() > MAIN_LINES_MAX {
            out.say(1, "is to stay small: it only starts the library".to_owned());
        }
        if !source.is_rust() {
            continue;
        }
        match (Found::of(source), syn::parse_file(&source.text)) {
            (Ok(found), Ok(file)) => {
                look::check_functions(&found, LONG_FUNCTIONS, &mut out);
                if source.is_product() {
                    check_names(house, source, &found, &mut out);
                    check_calls(&found, &mut out);
                    look::check_items(house, source, &file, &mut out);
                }
            }
            (Err(error), _) => out.say(1, format!("does not parse: {error}")),
            (_, Err(error)) => out.say(1, format!("does not parse: {error}")),
        }
    }
    look::check_tree(house, &mut breaches);
    breaches
}

/// Crates of the manifest that the second table does not know, and rows without a crate.
pub fn undecided_crates(house: &House) -> Vec<String> {
    let known = |name: &str| CRATES.iter().any(|(row, _)| *row == name);
    let product = house.crates.iter().filter(|(_, only_tests)| !**only_tests);
    let unknown = product.map(|(name, _)| name.clone()).filter(|name| !known(name));
    let gone = CRATES.iter().map(|(row, _)| (*row).to_owned());
    unknown.chain(gone.filter(|row| !house.crates.contains_key(row))).collect()
}

/// Collects sentences about one file.
pub struct Report<'a> {
    pub path: &'a str,
    pub breaches: &'a mut Vec<String>,
}

impl Report<'_> {
    pub fn say(&mut self, line: usize, what: String) {
        self.breaches.push(format!("{}:{line}: {what}", self.path));
    }
}

fn check_names(house: &House, source: &Source, found: &Found, out: &mut Report) {
    for name in &found.names {
        let path = name.segments.join("::");
        if name.climbed_out && source.room().is_some() {
            out.say(name.line, format!("`{path}` leaves the room by super"));
        }
        if name.segments[0] == "crate" {
            check_rank(house, source, name, &path, out);
        } else if !found.modules.contains(&name.segments[0]) {
            check_crate(house, source, name, &path, out);
        }
    }
}

/// A room names only its own and strictly lower ones.
fn check_rank(house: &House, source: &Source, name: &Name, path: &str, out: &mut Report) {
    let Some(room) = source.room() else { return };
    let Some(target) = name.segments.get(1) else {
        return out.say(name.line, format!("`{path}` renames the root: rooms are named by name"));
    };
    let Some(own) = house.ranks.get(room).copied() else { return };
    match house.ranks.get(target) {
        None => out.say(name.line, format!("`{path}` names no room of the table of ranks")),
        Some(rank) if target != room && *rank >= own => {
            let sentence = format!("`{path}`: {target} ({rank}) is not below {room} ({own})");
            out.say(name.line, sentence);
        }
        Some(_) => {}
    }
}

fn check_crate(house: &House, source: &Source, name: &Name, path: &str, out: &mut Report) {
    let room = source.room().unwrap_or("main");
    let rank = house.ranks.get(room).copied().unwrap_or(u32::MAX);
    let effect = |effect: &&&[&str]| name.segments.iter().map(String::as_str).take(effect.len());
    let is_effect = EFFECTS.iter().any(|row| effect(&row).eq(row.iter().copied()));
    if rank < WORLD_RANK && is_effect {
        out.say(name.line, format!("`{path}` touches the world: only ranks from {WORLD_RANK} may"));
    }
    let root = name.segments[0].as_str();
    if house.crates.get(root) == Some(&true) && !name.in_test {
        out.say(name.line, format!("`{path}`: the crate {root} is for tests only"));
    }
    let Some((_, who)) = CRATES.iter().find(|(row, _)| *row == root) else { return };
    let allowed = match who {
        Who::Anyone => true,
        Who::Rooms(rooms) => rooms.contains(&room),
        Who::FromRank(first) => rank >= *first || name.in_test,
        Who::FromRankAnd(first, rooms) => rank >= *first || rooms.contains(&room) || name.in_test,
        Who::Nobody => false,
    };
    if !allowed {
        out.say(name.line, format!("`{path}`: the crate {root} belongs to other rooms"));
    }
}

fn check_calls(found: &Found, out: &mut Report) {
    for call in &found.calls {
        match (call.is_macro, call.name.as_str()) {
            (false, "unwrap") if !call.in_test && call.arguments.is_empty() => {
                out.say(call.line, "unwrap() outside tests".to_owned());
            }
            (false, "expect") if !call.in_test && !gives_a_reason(call) => {
                out.say(call.line, "expect() without a reason of some words".to_owned());
            }
            (true, "include") => out.say(call.line, "pulls in text as code".to_owned()),
            _ => {}
        }
    }
}

/// `Option::expect` takes one literal; a method of ours by that name takes something else.
fn gives_a_reason(call: &Call) -> bool {
    let arguments: Vec<TokenTree> = TokenStream::clone(&call.arguments).into_iter().collect();
    match arguments.as_slice() {
        [TokenTree::Literal(reason)] => {
            let reason = reason.to_string();
            !reason.starts_with('"') || reason.split_whitespace().count() >= 3
        }
        _ => true,
    }
}
