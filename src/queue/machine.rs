//! The machine: items, their recipients, and whose turn it is.
//!
//! The recipients of an item that share a domain are a *leg*: they are tried together and have one
//! schedule. A leg waits for its time, then for its turn among the legs to its domain; domains take
//! turns, so that ten thousand messages to one of them do not keep the others waiting, and each has
//! only so many deliveries at once. A leg that goes out as several copies takes more places for
//! them while nothing else waits for these.

use super::item::{Envelope, ItemId, Notify, Owed, Progress, RecipientProgress, Standing, Trouble};
use super::schedule::Options;
use crate::base::clock::{Instant, UnixTime};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// All items.
#[derive(Debug)]
pub struct Machine {
    options: Options,
    dice: u64,
    items: HashMap<ItemId, Item>,
    timers: BTreeSet<(Instant, ItemId, u16)>,
    destinations: HashMap<Arc<str>, Destination>,
    /// Domains with legs that wait for their turn and places left; whose turn it is, first.
    rotation: VecDeque<Arc<str>>,
    running: usize,
}

/// An item as the machine is told of it.
#[derive(Debug)]
pub struct NewItem<'a> {
    /// Its name.
    pub id: ItemId,
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// Octets of the message.
    pub bytes: u64,
}

/// An item that was found on the disk.
#[derive(Debug)]
pub struct Restored<'a> {
    /// What it is.
    pub item: NewItem<'a>,
    /// How far it had come, if anything was recorded.
    pub progress: Option<Progress>,
}

/// Both clocks at one moment: the schedule follows the monotonic one, ages the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The monotonic clock.
    pub now: Instant,
    /// The wall clock.
    pub unix: UnixTime,
}

#[derive(Debug)]
struct Item {
    accepted: UnixTime,
    bytes: u64,
    /// Whether the runner may see it.
    released: bool,
    /// Whether the administrator holds it.
    held: bool,
    reportable: Reportable,
    legs: Vec<Leg>,
    recipients: Vec<Recipient>,
}

#[derive(Debug)]
struct Leg {
    domain: Arc<str>,
    attempts: u16,
    /// Reports in a row that could not be stored, in this process.
    reports_failed: u16,
    /// When it is due; what a restart begins with.
    due: Instant,
    place: Place,
}

/// What the owner is told, if anybody owns it.
#[derive(Clone, Copy, Debug)]
struct Reportable {
    /// What became of it. Not under the null path (RFC 5321 §6.1).
    outcomes: bool,
    /// That it is held, which is a question: without an answer it would lie there for ever.
    holds: bool,
}

/// Where a leg is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nowhere: there is nothing to do, or the item is held or hidden.
    Idle,
    /// Among the timers.
    Timed,
    /// Among those of its domain that wait for their turn.
    Ready,
    /// Being worked on.
    Running,
}

#[derive(Debug)]
struct Recipient {
    leg: u16,
    notify: Notify,
    progress: RecipientMark,
    /// Shared by all whom the same happened to.
    trouble: Option<Arc<Trouble>>,
}

/// [`RecipientProgress`] without the text.
#[derive(Clone, Copy, Debug, Default)]
struct RecipientMark {
    standing: Standing,
    owed: Option<Owed>,
    sealed: bool,
    told_delay: bool,
    permitted: bool,
}

#[derive(Debug, Default)]
struct Destination {
    ready: VecDeque<(ItemId, u16)>,
    running: usize,
    in_rotation: bool,
    /// What happened there last, so that a thousand refusals are one text.
    trouble: Option<Arc<Trouble>>,
}

/// A leg that is to be worked on. It must come back by [`Machine::settle`].
#[derive(Debug)]
#[must_use = "its place is taken until it is settled"]
pub struct Task {
    /// Of which item.
    pub id: ItemId,
    /// The domain.
    pub domain: Arc<str>,
    /// Recipients to be tried, by their positions in the envelope. May be none: then only reports
    /// are due.
    pub waiting: Vec<usize>,
    /// Recipients of the item, by their positions, for whom a hold of the plan was answered by a
    /// release.
    pub permitted: Vec<usize>,
    leg: u16,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The next server has it; whether that one makes the reports that were asked for.
    Delivered {
        /// What it said.
        reply: Trouble,
        /// Whether it promised reports (RFC 3461).
        dsn: bool,
    },
    /// Not now.
    Deferred(Trouble),
    /// Never.
    Failed(Trouble),
    /// Somebody has to decide.
    Held(Trouble),
}

/// An item as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub id: ItemId,
    /// When it was accepted.
    pub accepted: UnixTime,
    /// Octets of its message.
    pub bytes: u64,
    /// Whether the administrator holds it.
    pub held: bool,
    /// Whether it is given out already.
    pub released: bool,
    /// When the next attempt is, if one will be; now, if one is under way.
    pub next: Option<UnixTime>,
    /// Its recipients, in the order of the envelope.
    pub recipients: Vec<RecipientView>,
}

/// One recipient of a [`View`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientView {
    /// How it stands.
    pub standing: Standing,
    /// Attempts so far.
    pub attempts: u16,
    /// What happened last.
    pub trouble: Option<Arc<Trouble>>,
    /// Whether no report may quote the message.
    pub sealed: bool,
    /// What the owner is still to be told.
    pub owed: Option<Owed>,
}

impl Machine {
    /// An empty machine; `seed` decides the chance in its times.
    pub fn new(options: Options, seed: u64) -> Machine {
        Machine {
            options,
            dice: seed,
            items: HashMap::new(),
            timers: BTreeSet::new(),
            destinations: HashMap::new(),
            rotation: VecDeque::new(),
            running: 0,
        }
    }

    /// Other options, from now on.
    pub fn reload(&mut self, options: Options) {
        self.options = options;
        // More places may have come to be.
        let waiting: Vec<_> = self.destinations.keys().cloned().collect();
        waiting.iter().for_each(|domain| self.rotate(domain));
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Whether no more items are taken.
    pub fn is_full(&self) -> bool {
        self.items.len() >= self.options.items_max
    }

    /// How long an item is tried.
    pub fn lifetime(&self) -> Duration {
        self.options.schedule.lifetime
    }

    /// Whether there is an item of that name.
    pub fn contains(&self, id: ItemId) -> bool {
        self.items.contains_key(&id)
    }

    /// The names of all items, oldest first.
    pub fn ids(&self) -> Vec<ItemId> {
        self.ids_after(None)
    }

    /// The names of all items behind a place in that order, oldest first.
    pub fn ids_after(&self, place: Option<(UnixTime, ItemId)>) -> Vec<ItemId> {
        let all = self.items.iter().map(|(id, item)| (item.accepted, *id));
        let mut ids: Vec<_> = all.filter(|item| place.is_none_or(|place| *item > place)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes an item that was just stored. It is hidden until [`Machine::give`].
    pub fn insert(&mut self, new: &NewItem<'_>, at: Due) {
        let item = self.item(new, at.now);
        self.items.insert(new.id, item);
    }

    /// Takes an item that was found on the disk, and gives it out. Times that a clock which was
    /// wrong has made are cut to the longest wait there is.
    pub fn restore(&mut self, restored: Restored<'_>, at: Due) {
        let mut item = self.item(&restored.item, at.now);
        let progress = restored.progress.unwrap_or_default();
        let longest = self.options.schedule.longest;
        item.held = progress.held;
        for (leg, (attempts, next)) in item.legs.iter_mut().zip(progress.legs) {
            let wait = u64::try_from(next.0.saturating_sub(at.unix.0)).unwrap_or(0);
            leg.attempts = attempts;
            leg.due = at.now.after(Duration::from_secs(wait).min(longest));
        }
        for (recipient, stored) in item.recipients.iter_mut().zip(progress.recipients) {
            let RecipientProgress { standing, owed, sealed, told_delay, permitted, trouble } =
                stored;
            recipient.progress = RecipientMark { standing, owed, sealed, told_delay, permitted };
            let domain = item.legs[usize::from(recipient.leg)].domain.clone();
            recipient.trouble = trouble.map(|trouble| self.shared(&domain, trouble));
        }
        let id = restored.item.id;
        self.items.insert(id, item);
        self.give(id);
    }

    fn item(&self, new: &NewItem<'_>, now: Instant) -> Item {
        let mut legs: Vec<Leg> = Vec::new();
        let mut by_domain: HashMap<&str, u16> = HashMap::new();
        let mut recipients = Vec::with_capacity(new.envelope.recipients.len());
        for recipient in &new.envelope.recipients {
            let domain = recipient.address.domain();
            let leg = *by_domain.entry(domain).or_insert_with(|| {
                let known = self.destinations.get_key_value(domain);
                let domain = known.map_or_else(|| domain.into(), |(known, _)| Arc::clone(known));
                legs.push(Leg {
                    domain,
                    attempts: 0,
                    reports_failed: 0,
                    due: now,
                    place: Place::Idle,
                });
                (legs.len() - 1) as u16
            });
            let notify = recipient.notify.unwrap_or(Notify::UNSAID);
            let progress = RecipientMark::default();
            recipients.push(Recipient { leg, notify, progress, trouble: None });
        }
        Item {
            accepted: new.envelope.accepted,
            bytes: new.bytes,
            released: false,
            held: false,
            reportable: Reportable {
                outcomes: new.envelope.from.is_some() && new.envelope.owner.is_some(),
                holds: new.envelope.owner.is_some(),
            },
            legs,
            recipients,
        }
    }

    /// Gives a hidden item out.
    pub fn give(&mut self, id: ItemId) {
        let Some(item) = self.items.get_mut(&id) else { return };
        item.released = true;
        for leg in 0..item.legs.len() {
            self.schedule(id, leg as u16);
        }
    }

    /// Takes an item away. `false` if there is none.
    pub fn remove(&mut self, id: ItemId) -> bool {
        let Some(item) = self.items.remove(&id) else { return false };
        for (at, leg) in item.legs.iter().enumerate() {
            self.timers.remove(&(leg.due, id, at as u16));
        }
        true
    }

    /// What is to be done now, if there is a place for it.
    pub fn next(&mut self, now: Instant) -> Option<Task> {
        self.wake(now);
        while self.running < self.options.concurrency_max {
            let domain = self.rotation.pop_front()?;
            let Some(destination) = self.destinations.get_mut(&domain) else { continue };
            destination.in_rotation = false;
            let next = destination.ready.pop_front();
            let task = next.and_then(|(id, leg)| self.take(id, leg));
            if task.is_some() {
                self.running += 1;
                self.destinations.entry(Arc::clone(&domain)).or_default().running += 1;
            }
            self.rotate(&domain);
            if task.is_some() {
                return task;
            }
        }
        None
    }

    /// Takes one more place for what is under way to `domain`, if one is free that nothing else
    /// waits for. It must come back by [`Machine::give_back`].
    pub fn take_place(&mut self, domain: &Arc<str>) -> bool {
        let places = self.options.destination_concurrency_max;
        let is_free = self.running < self.options.concurrency_max && self.rotation.is_empty();
        let Some(destination) = self.destinations.get_mut(domain).filter(|_| is_free) else {
            return false;
        };
        if destination.running >= places || !destination.ready.is_empty() {
            return false;
        }
        self.running += 1;
        destination.running += 1;
        true
    }

    /// Gives a place back that [`Machine::take_place`] took.
    pub fn give_back(&mut self, domain: &Arc<str>) {
        self.free(domain);
    }

    /// When [`Machine::next`] will have something that waits for its time; nothing if all waits for
    /// places or there is nothing.
    pub fn next_at(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _, _)| *at)
    }

    /// Work that is under way.
    pub fn running(&self) -> usize {
        self.running
    }

    /// Takes the outcome of a task: a verdict for each of its recipients, whoever is left out being
    /// deferred without a word. What the owner is owed now stands in the item's [`View`]; whether
    /// that was told is said by [`Machine::reported`], before or after.
    pub fn settle(&mut self, task: Task, verdicts: Vec<(usize, Verdict, bool)>, at: Due) {
        let Task { id, domain, waiting, leg, .. } = task;
        self.free(&domain);
        let schedule = self.options.schedule;
        let troubles: Vec<_> = verdicts
            .into_iter()
            .map(|(recipient, verdict, sealed)| self.note(&domain, recipient, verdict, sealed))
            .collect();
        let Some(item) = self.items.get_mut(&id) else { return };
        let age = u64::try_from(at.unix.0.saturating_sub(item.accepted.0)).unwrap_or(0);
        let age = Duration::from_secs(age);
        let line = &mut item.legs[usize::from(leg)];
        line.place = Place::Idle;
        // Telling the owner, where that failed before, is an attempt like another.
        line.attempts = line.attempts.saturating_add(1);
        let attempts = line.attempts;
        if !waiting.is_empty() {
            let over = schedule.is_over(age, attempts);
            let is_late = !schedule.delay_notice.is_zero() && age >= schedule.delay_notice;
            let reportable = item.reportable;
            for noted in troubles {
                let Some(recipient) = item.recipients.get_mut(noted.recipient) else { continue };
                recipient.apply(noted, reportable, over, is_late);
            }
        }
        let wait = schedule.jittered(attempts, self.dice_roll());
        if let Some(item) = self.items.get_mut(&id) {
            item.legs[usize::from(leg)].due = at.now.after(wait);
        }
        self.schedule(id, leg);
    }

    /// What the owner is owed about the recipients of one domain: positions, and what.
    pub fn owed(&self, id: ItemId, domain: &str) -> Vec<(usize, Owed)> {
        let Some(item) = self.items.get(&id) else { return Vec::new() };
        let recipients = item.recipients.iter().enumerate();
        let here = recipients.filter(|(_, it)| *item.legs[usize::from(it.leg)].domain == *domain);
        here.filter_map(|(at, it)| Some((at, it.progress.owed?))).collect()
    }

    /// Whether nothing more is to be done for the item.
    pub fn is_finished(&self, id: ItemId) -> bool {
        self.items.get(&id).is_some_and(|item| item.recipients.iter().all(Recipient::is_finished))
    }

    /// Whether no attempt is under way or about to be: its message need not be at hand.
    pub fn is_quiet(&self, id: ItemId) -> bool {
        let is_quiet = |leg: &Leg| matches!(leg.place, Place::Idle | Place::Timed);
        self.items.get(&id).is_none_or(|item| item.legs.iter().all(is_quiet))
    }

    /// The owner was told about these recipients, or never will be.
    pub fn reported(&mut self, id: ItemId, recipients: &[usize]) {
        let Some(item) = self.items.get_mut(&id) else { return };
        for at in recipients {
            if let Some(recipient) = item.recipients.get_mut(*at) {
                recipient.progress.owed = None;
                item.legs[usize::from(recipient.leg)].reports_failed = 0;
            }
        }
        for (at, leg) in item.legs.iter_mut().enumerate() {
            let has_work = |it: &Recipient| usize::from(it.leg) == at && it.has_work();
            if leg.place == Place::Timed && !item.recipients.iter().any(has_work) {
                self.timers.remove(&(leg.due, id, at as u16));
                leg.place = Place::Idle;
            }
        }
    }

    /// The owner could not be told about a recipient; says how often in a row that was so for its
    /// domain.
    pub fn report_failed(&mut self, id: ItemId, recipient: usize) -> u16 {
        let Some(item) = self.items.get_mut(&id) else { return 0 };
        let Some(recipient) = item.recipients.get(recipient) else { return 0 };
        let leg = &mut item.legs[usize::from(recipient.leg)];
        leg.reports_failed = leg.reports_failed.saturating_add(1);
        leg.reports_failed
    }

    /// The administrator holds an item: nothing more is begun. `false` if there is none.
    pub fn hold(&mut self, id: ItemId) -> bool {
        let Some(item) = self.items.get_mut(&id) else { return false };
        item.held = true;
        for (at, leg) in item.legs.iter_mut().enumerate() {
            if leg.place != Place::Running {
                self.timers.remove(&(leg.due, id, at as u16));
                leg.place = Place::Idle;
            }
        }
        true
    }

    /// Ends every hold on an item, the plan's included; it is tried at once. Whoever is held by the
    /// plan is permitted from now on, and nobody else: about the others nobody was asked. `false`
    /// if there is none.
    pub fn unhold(&mut self, id: ItemId, now: Instant) -> bool {
        let Some(item) = self.items.get_mut(&id) else { return false };
        item.held = false;
        for recipient in &mut item.recipients {
            if recipient.progress.standing == Standing::Held {
                recipient.progress.standing = Standing::Waiting;
                recipient.progress.owed = None;
                recipient.progress.permitted = true;
            }
        }
        self.flush(id, now)
    }

    /// Tries an item now, unless it is held. `false` if there is none.
    pub fn flush(&mut self, id: ItemId, now: Instant) -> bool {
        let Some(item) = self.items.get_mut(&id) else { return false };
        for (at, leg) in item.legs.iter_mut().enumerate() {
            if matches!(leg.place, Place::Idle | Place::Timed) {
                self.timers.remove(&(leg.due, id, at as u16));
                leg.place = Place::Idle;
                leg.due = now;
            }
        }
        for leg in 0..item.legs.len() {
            self.schedule(id, leg as u16);
        }
        true
    }

    /// What is to be stored of an item.
    pub fn progress(&self, id: ItemId, at: Due) -> Option<Progress> {
        let item = self.items.get(&id)?;
        let legs = item.legs.iter().map(|leg| (leg.attempts, at.unix_of(leg.due)));
        let recipients = item.recipients.iter().map(|recipient| RecipientProgress {
            standing: recipient.progress.standing,
            owed: recipient.progress.owed,
            sealed: recipient.progress.sealed,
            told_delay: recipient.progress.told_delay,
            permitted: recipient.progress.permitted,
            trouble: recipient.trouble.as_deref().cloned(),
        });
        Some(Progress { held: item.held, legs: legs.collect(), recipients: recipients.collect() })
    }

    /// An item as it is shown.
    pub fn view(&self, id: ItemId, at: Due) -> Option<View> {
        let item = self.items.get(&id)?;
        let next = |leg: &Leg| match leg.place {
            Place::Idle => None,
            Place::Timed => Some(at.unix_of(leg.due)),
            Place::Ready | Place::Running => Some(at.unix),
        };
        let recipients = item.recipients.iter().map(|recipient| RecipientView {
            standing: recipient.progress.standing,
            attempts: item.legs[usize::from(recipient.leg)].attempts,
            trouble: recipient.trouble.clone(),
            sealed: recipient.progress.sealed,
            owed: recipient.progress.owed,
        });
        Some(View {
            id,
            accepted: item.accepted,
            bytes: item.bytes,
            held: item.held,
            released: item.released,
            next: item.legs.iter().filter_map(next).min(),
            recipients: recipients.collect(),
        })
    }
}

impl Machine {
    /// Moves what is due among those that wait for their turn.
    fn wake(&mut self, now: Instant) {
        while let Some((at, id, leg)) = self.timers.first().copied() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            self.make_ready(id, leg);
        }
    }

    fn make_ready(&mut self, id: ItemId, leg: u16) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let line = &mut item.legs[usize::from(leg)];
        line.place = Place::Ready;
        let domain = Arc::clone(&line.domain);
        self.destinations.entry(Arc::clone(&domain)).or_default().ready.push_back((id, leg));
        self.rotate(&domain);
    }

    /// Puts a leg where it belongs after something about it has changed.
    fn schedule(&mut self, id: ItemId, leg: u16) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let has_work = |it: &Recipient| it.leg == leg && it.has_work();
        let is_wanted = item.released && !item.held && item.recipients.iter().any(has_work);
        let line = &mut item.legs[usize::from(leg)];
        if is_wanted && line.place == Place::Idle {
            line.place = Place::Timed;
            self.timers.insert((line.due, id, leg));
        }
    }

    /// The task of a leg whose turn has come; nothing if it is no longer what it was put in for.
    fn take(&mut self, id: ItemId, leg: u16) -> Option<Task> {
        let item = self.items.get_mut(&id)?;
        let line = &mut item.legs[usize::from(leg)];
        if line.place != Place::Ready {
            return None;
        }
        line.place = Place::Running;
        let domain = Arc::clone(&line.domain);
        let recipients = item.recipients.iter().enumerate();
        let waiting = recipients
            .filter(|(_, it)| it.leg == leg && it.progress.standing == Standing::Waiting)
            .map(|(at, _)| at)
            .collect();
        let recipients = item.recipients.iter().enumerate();
        let permitted = recipients.filter(|(_, it)| it.progress.permitted).map(|(at, _)| at);
        Some(Task { id, domain, waiting, permitted: permitted.collect(), leg })
    }

    /// Puts a domain into the rotation if it has work and a place, and forgets it if it has
    /// neither.
    fn rotate(&mut self, domain: &Arc<str>) {
        let Some(destination) = self.destinations.get_mut(domain) else { return };
        if destination.in_rotation {
            return;
        }
        if destination.ready.is_empty() {
            if destination.running == 0 && destination.trouble.is_none() {
                self.destinations.remove(domain);
            }
        } else if destination.running < self.options.destination_concurrency_max {
            destination.in_rotation = true;
            self.rotation.push_back(Arc::clone(domain));
        }
    }

    fn free(&mut self, domain: &Arc<str>) {
        self.running = self.running.saturating_sub(1);
        if let Some(destination) = self.destinations.get_mut(domain) {
            destination.running = destination.running.saturating_sub(1);
        }
        self.rotate(domain);
    }

    fn note(
        &mut self,
        domain: &Arc<str>,
        recipient: usize,
        verdict: Verdict,
        sealed: bool,
    ) -> Noted {
        let (kind, trouble) = match verdict {
            Verdict::Delivered { reply, dsn } => (Kind::Delivered { dsn }, reply),
            Verdict::Deferred(trouble) => (Kind::Deferred, trouble),
            Verdict::Failed(trouble) => (Kind::Failed, trouble),
            Verdict::Held(trouble) => (Kind::Held, trouble),
        };
        let trouble = self.shared(domain, trouble);
        Noted { recipient, kind, trouble, sealed }
    }

    /// The trouble as others to the same domain have it already.
    fn shared(&mut self, domain: &Arc<str>, trouble: Trouble) -> Arc<Trouble> {
        let destination = self.destinations.entry(Arc::clone(domain)).or_default();
        match &destination.trouble {
            Some(known) if **known == trouble => Arc::clone(known),
            _ => {
                let trouble = Arc::new(trouble);
                destination.trouble = Some(Arc::clone(&trouble));
                trouble
            }
        }
    }

    /// SplitMix64. Nothing secret depends on it.
    fn dice_roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.dice ^ (self.dice >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^ (z >> 31)
    }

    /// Forgets what happened at domains that nothing is queued for. To be called now and then.
    pub fn tidy(&mut self) {
        self.destinations.retain(|_, destination| {
            let is_used = destination.running > 0 || !destination.ready.is_empty();
            let trouble = destination.trouble.as_ref();
            is_used || trouble.is_some_and(|trouble| Arc::strong_count(trouble) > 1)
        });
    }
}

/// A verdict whose text is shared.
struct Noted {
    recipient: usize,
    kind: Kind,
    trouble: Arc<Trouble>,
    sealed: bool,
}

enum Kind {
    Delivered { dsn: bool },
    Deferred,
    Failed,
    Held,
}

impl Recipient {
    fn apply(&mut self, noted: Noted, reportable: Reportable, over: bool, is_late: bool) {
        let mark = &mut self.progress;
        if mark.standing != Standing::Waiting {
            return;
        }
        mark.sealed |= noted.sealed;
        let mut owe = |wanted: bool, what: Owed| {
            let is_told = if what == Owed::Hold { reportable.holds } else { reportable.outcomes };
            mark.owed = (is_told && wanted).then_some(what);
        };
        match noted.kind {
            Kind::Delivered { dsn } => {
                owe(self.notify.success && !dsn, Owed::Relayed);
                mark.standing = Standing::Delivered;
            }
            Kind::Failed => {
                owe(self.notify.failure, Owed::Failure);
                mark.standing = Standing::Failed;
            }
            Kind::Held => {
                owe(true, Owed::Hold);
                mark.standing = Standing::Held;
            }
            Kind::Deferred if over => {
                owe(self.notify.failure, Owed::Failure);
                mark.standing = Standing::Failed;
            }
            Kind::Deferred if is_late && !mark.told_delay => {
                owe(self.notify.delay, Owed::Delay);
                mark.told_delay = true;
            }
            Kind::Deferred => {}
        }
        self.trouble = Some(noted.trouble);
    }

    fn has_work(&self) -> bool {
        self.progress.standing == Standing::Waiting || self.progress.owed.is_some()
    }

    fn is_finished(&self) -> bool {
        matches!(self.progress.standing, Standing::Delivered | Standing::Failed)
            && self.progress.owed.is_none()
    }
}

impl Due {
    /// The wall clock's time of a moment of the monotonic one.
    fn unix_of(&self, at: Instant) -> UnixTime {
        let ahead = at.since(self.now).as_secs_f64().ceil() as i64;
        UnixTime(self.unix.0.saturating_add(ahead))
    }
}
