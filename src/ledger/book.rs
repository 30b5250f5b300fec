//! The book of keys: what is remembered first, a search if need be, and one search at a time for an
//! address.
//!
//! Who asks has a time limit of his own. If it ends before the search does, the search is given up,
//! and what is remembered answers in its place; nothing is learnt from that. A key that was not
//! known before is told to nobody until it is durable, so that no mail goes out sealed by a key
//! which a crash makes the book forget: the next one would be plain if the directory is hidden by
//! then. Only where the disk refuses it, it is told all the same, and the log complains.

use super::bounded::Name;
use super::events::LedgerEvent;
use super::file::{File, Opened};
use super::gate::Gate;
use super::memory::{Memory, News, Times};
use crate::base::BoxFuture;
use crate::base::blocking::Blocking;
use crate::base::clock::{Clock, Timer, within};
use crate::base::crypto::{self, Key};
use crate::base::disk::Disk;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::base::ids::AccountNumber;
use crate::discovery::{Circle, FailWhy, FindKey, Finder, Outcome, Search, Verdict};
use crate::mail::Address;
use crate::pgp::Unusable;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Octets of a Message-ID that count (RFC 5322 §2.1.1: a line has at most 998).
const MESSAGE_ID_BYTES_MAX: usize = 998;

/// For how long answers are believed, and how much is searched at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a key that was found is used without asking again.
    pub found: Duration,
    /// How long an absence, or a key that cannot be used, is believed.
    pub absent: Duration,
    /// How long after a failure it is asked again.
    pub failed: Duration,
    /// How long a key that was once seen is used on while it is not published.
    pub missing: Duration,
    /// Searches at once.
    pub searches_max: usize,
    /// Searches at once for addresses of one domain.
    pub searches_per_domain_max: usize,
    /// The domains of this server, whose mail never leaves it: nobody is asked about them.
    pub local_domains: Vec<String>,
}

/// What the book is made of.
pub struct Parts {
    /// Who searches.
    pub finder: Finder,
    /// Where the file lies.
    pub disk: Arc<dyn Disk>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Ends what takes too long.
    pub timer: Arc<dyn Timer>,
    /// Waits for the disk.
    pub blocking: Arc<dyn Blocking>,
    /// For nonces.
    pub entropy: Arc<dyn Entropy>,
    /// For events.
    pub log: Log,
    /// A key from outside the data directory; names and values get keys of their own from it.
    pub root: Key,
    /// How long and how much.
    pub options: Options,
}

/// A search that somebody asked for, and how it went.
#[derive(Clone, Debug)]
pub struct Report {
    /// What a sender would be told.
    pub verdict: Verdict,
    /// What was done and what is remembered, a sentence each. Names the address: never for a log.
    pub steps: Vec<String>,
}

/// The book of keys. Implements [`FindKey`].
pub struct KeyBook {
    finder: Finder,
    clock: Arc<dyn Clock>,
    timer: Arc<dyn Timer>,
    blocking: Arc<dyn Blocking>,
    log: Log,
    names: Key,
    options: Options,
    gate: Gate,
    pages: Arc<Pages>,
}

/// What is remembered, and where it is written.
struct Pages {
    memory: Mutex<Memory>,
    file: Mutex<File>,
    log: Log,
}

impl std::fmt::Debug for KeyBook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyBook")
    }
}

impl KeyBook {
    /// Opens the book; what cannot be read of its file is forgotten, and the log says so. Reads
    /// the disk.
    pub fn open(parts: Parts) -> KeyBook {
        let derive = |label| crypto::derive(parts.root.expose(), b"", label);
        let values = derive("postseal ledger values 1");
        let Opened { file, records, lost_bytes } = File::open(parts.disk, parts.entropy, values);
        let options = parts.options;
        let mut memory = Memory::new(Times {
            found: options.found,
            absent: options.absent,
            failed: options.failed,
            missing: options.missing,
        });
        records.into_iter().for_each(|record| memory.replay(record));
        if lost_bytes > 0 {
            parts.log.emit(&LedgerEvent::Damaged { lost_bytes });
        }
        let (keys, messages) = memory.counts();
        parts.log.emit(&LedgerEvent::Opened { keys, messages });
        KeyBook {
            finder: parts.finder,
            clock: parts.clock,
            timer: parts.timer,
            blocking: parts.blocking,
            names: derive("postseal ledger names 1"),
            options,
            gate: Gate::default(),
            pages: Arc::new(Pages {
                memory: Mutex::new(memory),
                file: Mutex::new(file),
                log: parts.log.clone(),
            }),
            log: parts.log,
        }
    }

    /// Makes durable what has changed. Writes to the disk and waits for it; after an error all
    /// stays in memory, and the next call tries again.
    pub fn flush(&self) {
        self.pages.flush();
    }

    /// Searches anew for the key of `address`, whatever was answered lately, and tells how.
    pub async fn look_up(&self, address: &Address, time_max: Duration) -> Report {
        let name = self.name_of(address);
        let mut steps = Vec::new();
        let work = async {
            let _inside = self.gate.enter(self.kinds(name, address)).await.ok()?;
            let search = self.search(address).await;
            self.learn(name, address, &search);
            self.make_durable(&name).await;
            Some(search)
        };
        let outcome = match within(&*self.timer, time_max, work).await {
            Some(Some(search)) => {
                steps.extend(search.steps);
                search.outcome
            }
            Some(None) => Outcome::Failed(FailWhy::Busy),
            None => Outcome::Failed(FailWhy::Timeout),
        };
        let now = self.clock.now();
        let mut memory = self.memory();
        let day = |then: crate::base::clock::UnixTime| now.0.saturating_sub(then.0) / 86_400;
        if let Some((first, last, missing)) = memory.history(&name) {
            let (first, last) = (day(first), day(last));
            steps.push(format!("a key is known for {first} days, last seen {last} days ago"));
            steps.extend(missing.map(|since| format!("it is missing for {} days", day(since))));
        }
        Report { verdict: memory.verdict(&name, address, outcome, now), steps }
    }

    /// Forgets that there ever was a key for `address`; whether there was one. What is absent is
    /// *none* again then.
    pub fn forget(&self, address: &Address) -> bool {
        let name = self.name_of(address);
        self.memory().forget(&name)
    }

    async fn find_anew(&self, name: Name, address: &Address) -> Outcome {
        if let Some(outcome) = self.recall(&name, address) {
            return outcome;
        }
        let Ok(_inside) = self.gate.enter(self.kinds(name, address)).await else {
            return Outcome::Failed(FailWhy::Busy);
        };
        // Somebody else may have searched while this one waited.
        if let Some(outcome) = self.recall(&name, address) {
            return outcome;
        }
        let search = self.search(address).await;
        self.learn(name, address, &search);
        search.outcome
    }

    async fn search(&self, address: &Address) -> Search {
        if self.options.local_domains.iter().any(|domain| domain == address.domain()) {
            let steps = vec![format!("{} is at home here: nobody is asked", address.domain())];
            return Search { outcome: Outcome::Absent, steps, armored: false };
        }
        self.finder.search(address).await
    }

    fn recall(&self, name: &Name, address: &Address) -> Option<Outcome> {
        self.memory().recall(name, address, self.clock.now())
    }

    /// Takes in what was found out.
    fn learn(&self, name: Name, address: &Address, search: &Search) {
        let news = self.memory().learn(name, &search.outcome, self.clock.now());
        self.tell(address, search, news);
    }

    /// Waits until a key that was not known before is written, whoever found it.
    async fn make_durable(&self, name: &Name) {
        if self.memory().is_unwritten(name) {
            let pages = Arc::clone(&self.pages);
            self.blocking.run(Box::new(move || pages.flush())).await;
        }
    }

    fn tell(&self, address: &Address, search: &Search, news: News) {
        match (&search.outcome, news) {
            (_, News::Changed) => self.log.emit(&LedgerEvent::KeyChanged { address }),
            (_, News::Missing) => self.log.emit(&LedgerEvent::KeyMissing { address }),
            (_, News::First) => {
                self.log.emit(&LedgerEvent::KeyFound { address, armored: search.armored });
            }
            (Outcome::Unusable(why), News::None) => {
                self.log.emit(&LedgerEvent::KeyUnusable { address, why: unusable_word(*why) });
            }
            (Outcome::Failed(why), News::None) => {
                self.log.emit(&LedgerEvent::SearchFailed { address, why: failure_word(*why) });
            }
            (Outcome::Key(_) | Outcome::Absent, News::None) => {}
        }
    }

    fn kinds(&self, name: Name, address: &Address) -> Vec<(Name, usize)> {
        let domain = self.hmac(b"domain\0", address.domain().as_bytes());
        vec![
            (name, 1),
            (domain, self.options.searches_per_domain_max),
            ([0; 32], self.options.searches_max),
        ]
    }

    /// The local part counts without the case of its ASCII letters, as directories have it.
    fn name_of(&self, address: &Address) -> Name {
        let text = format!("{}@{}", address.local().to_ascii_lowercase(), address.domain());
        self.hmac(b"address\0", text.as_bytes())
    }

    fn message(&self, circle: Circle, message_id: &str) -> Option<Name> {
        let id = message_id.trim();
        let id = id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id);
        let is_one = !id.is_empty() && id.len() <= MESSAGE_ID_BYTES_MAX;
        is_one.then(|| match circle {
            Circle::Everybody => self.hmac(b"message\0", id.as_bytes()),
            Circle::Account(AccountNumber(number)) => {
                self.hmac(&[&b"received\0"[..], &number.to_le_bytes()].concat(), id.as_bytes())
            }
        })
    }

    fn hmac(&self, kind: &[u8], text: &[u8]) -> Name {
        crypto::hmac(&self.names, &[kind, text])
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.pages.memory()
    }
}

impl Pages {
    /// Who comes while another one writes waits for him, and finds nothing left to write.
    fn flush(&self) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let records = {
            let mut memory = self.memory();
            match (memory.has_pending(), file.wants_all()) {
                (false, _) => return,
                (true, true) => memory.all(),
                (true, false) => memory.take_pending(),
            }
        };
        let outcome = file.write(&records);
        self.memory().written();
        if let Err(error) = outcome {
            // The file has no tail now, so that the next call writes everything.
            self.memory().must_write();
            self.log.emit(&LedgerEvent::NotWritten { error: &error.to_string() });
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FindKey for KeyBook {
    fn find<'a>(&'a self, address: &'a Address, time_max: Duration) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            let name = self.name_of(address);
            let work = async {
                let outcome = self.find_anew(name, address).await;
                self.make_durable(&name).await;
                outcome
            };
            let found = within(&*self.timer, time_max, work).await;
            let mut memory = self.memory();
            if memory.is_unwritten(&name) {
                // The time was over while the disk was at it.
                return Verdict::Failed(FailWhy::Timeout);
            }
            let outcome = found.unwrap_or(Outcome::Failed(FailWhy::Timeout));
            memory.verdict(&name, address, outcome, self.clock.now())
        })
    }

    fn known(&self, address: &Address) -> Option<Vec<u8>> {
        let name = self.name_of(address);
        let kept = self.memory().kept(&name, address, self.clock.now());
        kept.map(|cert| cert.bytes().to_vec())
    }

    fn note_confidential(&self, circle: Circle, message_id: &str) {
        if let Some(name) = self.message(circle, message_id) {
            let is_ours = circle == Circle::Everybody;
            self.memory().note_confidential(name, is_ours, self.clock.now());
        }
    }

    fn is_confidential(&self, reader: Option<AccountNumber>, message_id: &str) -> bool {
        let circles = [Some(Circle::Everybody), reader.map(Circle::Account)];
        let mut names =
            circles.into_iter().flatten().filter_map(|circle| self.message(circle, message_id));
        names.any(|name| self.memory().is_confidential(&name))
    }
}

fn unusable_word(why: Unusable) -> &'static str {
    match why {
        Unusable::Malformed => "malformed",
        Unusable::TooLarge => "too-large",
        Unusable::WrongUserId => "wrong-user-id",
        Unusable::Weak => "weak",
        Unusable::NoEncryptionKey => "no-encryption-key",
        Unusable::Revoked => "revoked",
        Unusable::Expired => "expired",
    }
}

fn failure_word(why: FailWhy) -> &'static str {
    match why {
        FailWhy::Dns => "dns",
        FailWhy::Bogus => "bogus",
        FailWhy::Connect => "connect",
        FailWhy::Tls => "tls",
        FailWhy::Timeout => "timeout",
        FailWhy::Status(_) => "status",
        FailWhy::NotADirectory => "not-a-directory",
        FailWhy::TooLarge => "too-large",
        FailWhy::Forbidden => "forbidden",
        FailWhy::Busy => "busy",
    }
}
