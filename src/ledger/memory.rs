//! What is remembered, and what it makes of an outcome. No I/O, no clock.
//!
//! Two memories are kept apart. The long one knows for which addresses a valid key was ever seen:
//! for these an absence is news, and they never become *none* again. The short one knows what was
//! answered lately, each kind of answer for its own time, and is never written down.
//!
//! A key that is absent, or whose directory fails, is used on from the long memory: until it
//! expires, or until nobody has seen it for so long that mail is rather held. A failure is treated
//! so because whoever can bring one about can forge an absence, too. Once a directory says that
//! there is a key that cannot be used (a revoked one, say), the one in memory is given up.

use super::bounded::{Bounded, Dated, Name};
use super::record::Record;
use crate::base::clock::UnixTime;
use crate::discovery::{FailWhy, Outcome, Verdict};
use crate::mail::Address;
use crate::pgp::{self, Fingerprint, PeerCert, Unusable};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Addresses for which a key was once seen.
const KEYS_MAX: usize = 100_000;
/// Octets of certificates over all; beyond it the oldest are given up, and only that they were
/// there is remembered.
const CERT_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Answers that are remembered for a short while.
const RECENT_MAX: usize = 100_000;
/// Messages that were sealed here, and as many that came so, which are remembered: a year of a busy
/// site each. What strangers send can push out the latter alone.
const CONFIDENTIAL_MAX: usize = if cfg!(test) { 2_000 } else { 200_000 };

/// For how long what is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// A key that was found is used without asking.
    pub found: Duration,
    /// An absence, or a key that cannot be used.
    pub absent: Duration,
    /// A failure.
    pub failed: Duration,
    /// How long a key that is missing is used on.
    pub missing: Duration,
}

/// A key that was seen.
struct Known {
    cert: Held,
    primary: Fingerprint,
    first_seen: UnixTime,
    last_seen: UnixTime,
    missing_since: Option<UnixTime>,
}

/// Its certificate: as it was read, judged, or given up.
enum Held {
    Octets(Arc<[u8]>),
    Judged(Arc<PeerCert>),
    Gone,
}

impl Held {
    fn octets(&self) -> &[u8] {
        match self {
            Held::Octets(octets) => octets,
            Held::Judged(cert) => cert.bytes(),
            Held::Gone => &[],
        }
    }
}

impl Dated for Known {
    fn date(&self) -> i64 {
        self.last_seen.0
    }
}

/// What was answered lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recent {
    Absent,
    Unusable(Unusable),
    Failed(FailWhy),
}

impl Dated for (UnixTime, Recent) {
    fn date(&self) -> i64 {
        self.0.0
    }
}

impl Dated for UnixTime {
    fn date(&self) -> i64 {
        self.0
    }
}

/// What an outcome did to the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that is worth telling.
    None,
    /// A first key.
    First,
    /// Another key.
    Changed,
    /// A known key is not there any more.
    Missing,
}

/// All that is remembered.
pub(super) struct Memory {
    times: Times,
    keys: Bounded<Known>,
    cert_bytes: usize,
    recent: Bounded<(UnixTime, Recent)>,
    sealed: Bounded<UnixTime>,
    received: Bounded<UnixTime>,
    /// What the file does not have yet.
    pending: Vec<Record>,
    must_write: bool,
    /// Whose first or other key is among it, and whose is being written.
    unwritten: BTreeSet<Name>,
    being_written: BTreeSet<Name>,
}

impl Memory {
    pub fn new(times: Times) -> Memory {
        Memory {
            times,
            keys: Bounded::new(KEYS_MAX),
            cert_bytes: 0,
            recent: Bounded::new(RECENT_MAX),
            sealed: Bounded::new(CONFIDENTIAL_MAX),
            received: Bounded::new(CONFIDENTIAL_MAX),
            pending: Vec::new(),
            must_write: false,
            unwritten: BTreeSet::new(),
            being_written: BTreeSet::new(),
        }
    }

    /// Takes in a record of the file.
    pub fn replay(&mut self, record: Record) {
        match record {
            Record::Key { name, primary, cert, first_seen, last_seen, missing_since } => {
                let cert = if cert.is_empty() { Held::Gone } else { Held::Octets(cert.into()) };
                self.put(name, Known { cert, primary, first_seen, last_seen, missing_since });
            }
            Record::Asked { name, last_seen, missing_since } => {
                if let Some(known) = self.keys.get_mut(&name) {
                    (known.last_seen, known.missing_since) = (last_seen, missing_since);
                }
            }
            Record::Forgotten { name } => drop(self.take_out(&name)),
            Record::Sealed { name, at } => drop(self.sealed.insert(name, at)),
            Record::Received { name, at } => drop(self.received.insert(name, at)),
        }
    }

    /// What the file should have from now on, beyond what it has. [`Memory::written`] is to follow.
    pub fn take_pending(&mut self) -> Vec<Record> {
        self.being_written = std::mem::take(&mut self.unwritten);
        std::mem::take(&mut self.pending)
    }

    /// What was taken to be written is written, or the disk has refused it.
    pub fn written(&mut self) {
        self.being_written.clear();
    }

    /// Whether a first or another key was found for the name and the file was not asked yet, or has
    /// not answered, to take it.
    pub fn is_unwritten(&self, name: &Name) -> bool {
        self.unwritten.contains(name) || self.being_written.contains(name)
    }

    pub fn has_pending(&self) -> bool {
        self.must_write || !self.pending.is_empty()
    }

    /// Something was not written: the next time all is to be.
    pub fn must_write(&mut self) {
        self.must_write = true;
    }

    /// All that a new file should have. Nothing is pending afterwards. [`Memory::written`] is to
    /// follow.
    pub fn all(&mut self) -> Vec<Record> {
        drop(self.take_pending());
        self.must_write = false;
        let keys = self.keys.iter().map(|(name, known)| key_record(*name, known));
        let sealed = self.sealed.iter().map(|(name, at)| Record::Sealed { name: *name, at: *at });
        let received =
            self.received.iter().map(|(name, at)| Record::Received { name: *name, at: *at });
        keys.chain(sealed).chain(received).collect()
    }

    pub fn counts(&self) -> (usize, usize) {
        (self.keys.len(), self.sealed.len() + self.received.len())
    }

    /// What was found out lately, if it is recent enough to be believed.
    pub fn recall(&mut self, name: &Name, address: &Address, now: UnixTime) -> Option<Outcome> {
        if let Some((at, recent)) = self.recent.get(name) {
            let (time, outcome) = match recent {
                Recent::Absent => (self.times.absent, Outcome::Absent),
                Recent::Unusable(why) => (self.times.absent, Outcome::Unusable(*why)),
                Recent::Failed(why) => (self.times.failed, Outcome::Failed(*why)),
            };
            if is_within(*at, now, time) {
                return Some(outcome);
            }
        }
        let known = self.keys.get_mut(name)?;
        let fresh =
            known.missing_since.is_none() && is_within(known.last_seen, now, self.times.found);
        let cert = fresh.then(|| known.usable(address, now)).flatten()?;
        Some(Outcome::Key(cert))
    }

    /// Takes in what a search has found out.
    pub fn learn(&mut self, name: Name, outcome: &Outcome, now: UnixTime) -> News {
        let recent = match outcome {
            Outcome::Key(cert) => {
                self.recent.remove(&name);
                return self.saw(name, cert, now);
            }
            Outcome::Absent => Recent::Absent,
            Outcome::Unusable(why) => Recent::Unusable(*why),
            Outcome::Failed(why) => Recent::Failed(*why),
        };
        self.recent.insert(name, (now, recent));
        let Some(known) = self.keys.get_mut(&name) else { return News::None };
        let was_missing = known.missing_since.is_some();
        if let Recent::Unusable(_) = recent {
            self.cert_bytes -= known.cert.octets().len();
            known.cert = Held::Gone;
        }
        known.missing_since.get_or_insert(now);
        let record = key_record(name, known);
        self.pending.push(match record {
            Record::Key { name, last_seen, missing_since, .. }
                if !matches!(recent, Recent::Unusable(_)) =>
            {
                Record::Asked { name, last_seen, missing_since }
            }
            whole => whole,
        });
        if was_missing || recent != Recent::Absent { News::None } else { News::Missing }
    }

    /// What a sender is told: the outcome in the light of what is remembered.
    pub fn verdict(
        &mut self,
        name: &Name,
        address: &Address,
        outcome: Outcome,
        now: UnixTime,
    ) -> Verdict {
        let otherwise = match (outcome, self.keys.get(name).is_some()) {
            (Outcome::Key(cert), _) => return Verdict::Key { cert, stale: false },
            (Outcome::Unusable(why), _) => return Verdict::Unusable(why),
            (Outcome::Absent, false) => return Verdict::None,
            (Outcome::Failed(why), false) => return Verdict::Failed(why),
            (Outcome::Absent, true) => Verdict::Vanished,
            (Outcome::Failed(why), true) => Verdict::Failed(why),
        };
        match self.kept(name, address, now) {
            Some(cert) => Verdict::Key { cert, stale: true },
            None => otherwise,
        }
    }

    /// The key that is used without asking anybody.
    pub fn kept(&mut self, name: &Name, address: &Address, now: UnixTime) -> Option<Arc<PeerCert>> {
        let known = self.keys.get_mut(name)?;
        let since = known.missing_since.unwrap_or(now);
        let tolerated = is_within(since, now, self.times.missing);
        tolerated.then(|| known.usable(address, now)).flatten()
    }

    /// Since when a key is known, when it was last seen, and since when it is missing.
    pub fn history(&self, name: &Name) -> Option<(UnixTime, UnixTime, Option<UnixTime>)> {
        let known = self.keys.get(name)?;
        Some((known.first_seen, known.last_seen, known.missing_since))
    }

    /// Forgets that there ever was a key.
    pub fn forget(&mut self, name: &Name) -> bool {
        self.recent.remove(name);
        if self.take_out(name).is_none() {
            return false;
        }
        self.pending.push(Record::Forgotten { name: *name });
        true
    }

    pub fn note_confidential(&mut self, name: Name, is_ours: bool, now: UnixTime) {
        let (table, record) = match is_ours {
            true => (&mut self.sealed, Record::Sealed { name, at: now }),
            false => (&mut self.received, Record::Received { name, at: now }),
        };
        if table.get(&name).is_none() {
            table.insert(name, now);
            self.pending.push(record);
        }
    }

    pub fn is_confidential(&self, name: &Name) -> bool {
        self.sealed.get(name).or(self.received.get(name)).is_some()
    }

    fn saw(&mut self, name: Name, cert: &Arc<PeerCert>, now: UnixTime) -> News {
        let primary = cert.primary();
        let known = self.keys.get(&name);
        let news = match known {
            None => News::First,
            Some(known) if known.primary != primary => News::Changed,
            Some(_) => News::None,
        };
        let is_same = known.is_some_and(|known| known.cert.octets() == cert.bytes());
        let first_seen = known.map_or(now, |known| known.first_seen);
        let cert = Held::Judged(Arc::clone(cert));
        let known = Known { cert, primary, first_seen, last_seen: now, missing_since: None };
        self.pending.push(match is_same {
            true => Record::Asked { name, last_seen: now, missing_since: None },
            false => key_record(name, &known),
        });
        self.put(name, known);
        if news != News::None {
            self.unwritten.insert(name);
        }
        news
    }

    fn take_out(&mut self, name: &Name) -> Option<Known> {
        let known = self.keys.remove(name)?;
        self.cert_bytes -= known.cert.octets().len();
        Some(known)
    }

    fn put(&mut self, name: Name, known: Known) {
        self.cert_bytes += known.cert.octets().len();
        for gone in self.keys.insert(name, known) {
            self.cert_bytes -= gone.cert.octets().len();
        }
        if self.cert_bytes <= CERT_BYTES_MAX {
            return;
        }
        let mut oldest: Vec<&mut Known> = self.keys.values_mut().collect();
        oldest.sort_by_key(|known| known.last_seen);
        for known in oldest {
            if self.cert_bytes <= CERT_BYTES_MAX / 8 * 7 {
                break;
            }
            self.cert_bytes -= known.cert.octets().len();
            known.cert = Held::Gone;
        }
    }
}

impl Known {
    /// The certificate, if it can still be used for `address`.
    fn usable(&mut self, address: &Address, now: UnixTime) -> Option<Arc<PeerCert>> {
        if let Held::Octets(octets) = &self.cert {
            let judged = pgp::judge_cert(octets, address, now).ok()?;
            self.cert = Held::Judged(Arc::new(judged));
        }
        match &self.cert {
            Held::Judged(cert) if cert.is_usable_at(now) => Some(Arc::clone(cert)),
            _ => None,
        }
    }
}

fn key_record(name: Name, known: &Known) -> Record {
    Record::Key {
        name,
        primary: known.primary,
        cert: known.cert.octets().to_vec(),
        first_seen: known.first_seen,
        last_seen: known.last_seen,
        missing_since: known.missing_since,
    }
}

/// Whether `at` is no longer ago than `time`. What lies in the future is of a clock that was wrong
/// and is not believed.
fn is_within(at: UnixTime, now: UnixTime, time: Duration) -> bool {
    let age = u64::try_from(now.0.saturating_sub(at.0));
    age.is_ok_and(|age| age <= time.as_secs())
}
