//! The simulated world: a disk, a journal, an account, and what happens to them.

use crate::letters;
use crate::oracle::{Change, Oracle};
use postseal::account::{
    Command, FlagMode, FlagNames, Flags, Loaded, Machine, MailboxView, Opener, Outcome, Planned,
    Tuning, UidSet,
};
use postseal::base::clock::{Clock, ManualClock, UnixTime};
use postseal::base::crypto::{Argon2Cost, Key};
use postseal::base::disk::memory::{Failure, Fault, Loss, MemoryDisk, Op};
use postseal::base::entropy::SeededEntropy;
use postseal::base::ids::AccountNumber;
use postseal::journal::{Address, AppendError, Budget, Entry, Journal, Options};
use postseal::mail::{ProvedFields, analyse};
use postseal::store::{ArrivalRecord, Destination, Role, SealedArrival, Sender, seal};
use postseal::vault::{
    self, AccountFile, Credential, IndexRekey, Login, Opened, Party, Password, Purpose, ServerKeys,
};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const START: UnixTime = UnixTime(1_795_000_000);
const ACCOUNT: AccountNumber = AccountNumber(1);
const ADDRESS: &str = "ann@example.org";
const PASSWORD: &[u8] = b"correct horse battery";

/// Snapshots often, and in several chunks.
const TUNING: Tuning = Tuning { snapshot_records: 12, chunk_bytes: 700 };

struct Registered {
    keys: ServerKeys,
    file: AccountFile,
}

/// Making keys is slow; all worlds begin with the same account file.
static REGISTERED: LazyLock<Registered> = LazyLock::new(|| {
    let cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let keys = ServerKeys::new(&Key::zeroed(), None).with_cost(cost);
    let password = Password::choose(PASSWORD).unwrap();
    let entropy = SeededEntropy::new(0);
    let created =
        vault::create(&keys, ACCOUNT, ADDRESS, &password, Party::Owner, START, &entropy).unwrap();
    Registered { keys, file: created.file }
});

/// Runs one seed.
pub fn run(seed: u64, steps: usize) {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.step();
    }
    world.unlock();
    world.fold_all();
    world.power_cut();
    world.unlock();
    world.fold_all();
    world.keep_up();
    world.check_octets();
    assert!(world.tray.iter().all(|arrival| !arrival.acknowledged), "acknowledged mail is lost");
}

/// A message that was handed to the journal and has no UID yet.
#[derive(Clone, Debug)]
struct Arrival {
    /// What is to be shown of it.
    text: String,
    acknowledged: bool,
    /// It may come out only after a restart.
    hidden: bool,
}

struct World {
    dice: SeededEntropy,
    entropy: Arc<SeededEntropy>,
    clock: ManualClock,
    disk: MemoryDisk,
    journal: Option<Journal>,
    file: AccountFile,
    machine: Option<Machine>,
    index_rekey: Option<IndexRekey>,
    oracle: Oracle,
    /// What the account may be instead after a restart: an append failed, and may have happened.
    instead: Option<Oracle>,
    /// How many arrivals the failed append would have folded.
    instead_folds: usize,
    tray: VecDeque<Arrival>,
    /// Which message each UID stood for.
    uids: BTreeMap<(u32, u32), String>,
    /// The UIDVALIDITY of each mailbox, by its maker.
    validities: BTreeMap<u64, u32>,
    /// The highest mod-sequence of each mailbox.
    modseqs: BTreeMap<u64, u64>,
    copies: u32,
    sent: u32,
}

impl World {
    fn new(seed: u64) -> World {
        let mut world = World {
            dice: SeededEntropy::new(seed),
            entropy: Arc::new(SeededEntropy::new(!seed)),
            clock: ManualClock::new(START),
            disk: MemoryDisk::new(),
            journal: None,
            file: REGISTERED.file.clone(),
            machine: None,
            index_rekey: None,
            oracle: Oracle::new(),
            instead: None,
            instead_folds: 0,
            tray: VecDeque::new(),
            uids: BTreeMap::new(),
            validities: BTreeMap::new(),
            modseqs: BTreeMap::new(),
            copies: 0,
            sent: 0,
        };
        world.boot();
        world.unlock();
        world
    }

    fn below(&self, bound: u64) -> u64 {
        self.dice.next_u64() % bound
    }

    fn one_of<T: Clone>(&self, these: &[T]) -> T {
        these[self.below(these.len() as u64) as usize].clone()
    }

    fn journal(&mut self) -> &mut Journal {
        self.journal.as_mut().expect("the server runs")
    }

    fn boot(&mut self) {
        let options = Options {
            segment_bytes_max: 256 << 10,
            reserve_bytes: 4096,
            ..Options::new(Key::zeroed())
        };
        let disk = Arc::new(self.disk.clone());
        let (journal, recovery) = Journal::open(disk, options, self.entropy.clone()).unwrap();
        assert_eq!(recovery.damage, []);
        self.journal = Some(journal);
    }

    fn step(&mut self) {
        match self.below(100) {
            0..24 => self.deliver(),
            24..40 => self.unlock_and_fold(),
            40..72 => self.unlock_and_change(),
            72..78 => self.unlock_and_keep_up(),
            78..82 => self.machine = None,
            82..85 => self.restart(),
            85..88 => self.power_cut(),
            88..93 => self.change_under_faults(),
            93..94 => self.keep_up_under_faults(),
            94..95 => self.fold_under_faults(),
            95..97 => self.deliver_under_faults(),
            97..98 => self.copy_directory(),
            98..99 => self.clock.advance(Duration::from_secs(2 * 24 * 60 * 60)),
            _ => {
                self.journal().maintain(Budget { frames: 100, bytes: 1 << 20 });
            }
        }
    }

    // What happens to the server.

    fn stop(&mut self) {
        self.machine = None;
        self.index_rekey = None;
        self.journal = None;
        self.tray.iter_mut().for_each(|arrival| arrival.hidden = false);
    }

    fn restart(&mut self) {
        let journal = self.journal.take().expect("the server runs");
        self.stop();
        match self.below(2) {
            0 => drop(journal.close().unwrap()),
            _ => {
                drop(journal);
                self.disk.kill();
            }
        }
        self.boot();
    }

    fn power_cut(&mut self) {
        self.stop();
        let loss = match self.below(3) {
            0 => Loss::All,
            _ => Loss::Some(self.dice.next_u64()),
        };
        self.disk.power_cut(loss);
        self.boot();
    }

    /// The directory is copied to another place, and the server started on the copy.
    fn copy_directory(&mut self) {
        let journal = self.journal.take().expect("the server runs");
        self.stop();
        journal.close().unwrap();
        self.disk = self.disk.duplicate();
        self.copies += 1;
        self.validities.values_mut().for_each(|validity| *validity += 1);
        self.boot();
    }

    // What happens to the account.

    fn unlock(&mut self) {
        if self.machine.is_some() {
            return;
        }
        let credential = Credential::parse(PASSWORD).unwrap();
        let (keys, file) = (&REGISTERED.keys, Some(&self.file));
        let login =
            vault::login(keys, ADDRESS, file, &credential, Purpose::Read, &*self.entropy).unwrap();
        let Login::Opened(Opened { unlocked, authority, .. }) = login else { panic!("opens") };
        let reader = self.journal().reader();
        let interrupted = unlocked.previous_index_key().is_some();
        let Loaded { mut machine, damage } =
            Machine::load(unlocked, reader, self.entropy.clone()).unwrap();
        machine = machine.tuned(TUNING);
        assert_eq!(damage, []);
        let now = self.clock.now();
        if interrupted {
            if machine.previous_index_key_is_unused() {
                self.file = authority.end_index_rekey(&self.file, &*self.entropy).unwrap();
            }
        } else if machine.wants_index_rekey(now) {
            let (file, unlocked, rekey) =
                authority.begin_index_rekey(&self.file, &*self.entropy).unwrap();
            self.file = file;
            machine.adopt(unlocked);
            self.index_rekey = Some(rekey);
        }
        self.machine = Some(machine);
        if self.oracle.folders.len() >= 6 && self.view("INBOX").is_some() {
            self.choose();
        }
        self.keep_up();
        self.check();
    }

    /// After a restart the account is what it was, or what a failed append would have made of it.
    fn choose(&mut self) {
        if let Some(instead) = self.instead.take()
            && self.differs(&self.oracle).is_some()
        {
            assert_eq!(self.differs(&instead), None, "neither before nor after the failed append");
            self.oracle = instead;
            self.tray.drain(..self.instead_folds);
        }
    }

    fn view(&self, name: &str) -> Option<Arc<MailboxView>> {
        let machine = self.machine.as_ref()?;
        machine.view(machine.catalog().by_name(name)?.id)
    }

    fn submit(&mut self, batch: Vec<Entry>) -> Result<Vec<Address>, AppendError> {
        self.journal().append(&[batch]).remove(0)
    }

    fn carry_out(&mut self, mut planned: Planned) -> Result<Outcome, AppendError> {
        let mut addresses = Vec::new();
        for batch in planned.take_batches() {
            addresses.push(self.submit(batch)?);
        }
        let machine = self.machine.as_mut().expect("unlocked");
        let before: Vec<Arc<MailboxView>> = views(machine);
        let outcome = machine.commit(planned, addresses);
        before.iter().for_each(|old| check_diff(machine, old));
        Ok(outcome)
    }

    fn keep_up(&mut self) {
        let now = self.clock.now();
        while let Some(planned) = self.machine.as_mut().expect("unlocked").plan_upkeep(now) {
            self.carry_out(planned).unwrap();
        }
        let machine = self.machine.as_ref().expect("unlocked");
        if machine.previous_index_key_is_unused()
            && let Some(rekey) = self.index_rekey.take()
        {
            self.file = rekey.end(&self.file, &*self.entropy).unwrap();
        }
    }

    fn unlock_and_keep_up(&mut self) {
        self.unlock();
        self.keep_up();
        self.check();
        self.check_octets();
    }

    fn sealed(&mut self, role: Role, message: &[u8], proved: ProvedFields) -> SealedArrival {
        let key = self.file.seal_key().unwrap();
        let server = self.journal().reader().identity().server;
        let to = Destination { server, account: ACCOUNT, key: &key };
        let now = self.clock.now();
        let record = ArrivalRecord::new(role, None, now, message, analyse(message)).unwrap();
        let record = record.with_sender(Sender { proved, certificate: None });
        seal(&to, message, &record, &*self.entropy).unwrap()
    }

    fn text(&mut self) -> String {
        self.sent += 1;
        let length = self.below(200) as usize;
        format!("Subject: {}\r\n\r\n{}\r\n", self.sent, "x".repeat(length))
    }

    /// A message on its way in, and what is to be shown of it: one of three came encrypted, and
    /// half of these are from a sender who is proved.
    fn mail(&mut self) -> (Entry, String) {
        let text = self.text();
        let proved = self.below(2) == 0;
        let fields = if proved { ProvedFields::ALL } else { ProvedFields::NONE };
        if self.below(3) > 0 {
            let entry = self.sealed(Role::Inbox, text.as_bytes(), fields).into_entry();
            return (entry, text);
        }
        let cert = self.file.identity_cert().to_vec();
        let letter = letters::write(&cert, self.sent, &text, self.clock.now());
        let entry = self.sealed(Role::Inbox, &letter.wire, fields).into_entry();
        match proved {
            true => (entry, letter.shown),
            false => (entry, String::from_utf8(letter.wire).unwrap()),
        }
    }

    fn deliver(&mut self) {
        let (entry, text) = self.mail();
        self.submit(vec![entry]).unwrap();
        self.tray.push_back(Arrival { text, acknowledged: true, hidden: false });
    }

    fn deliver_under_faults(&mut self) {
        let (entry, text) = self.mail();
        self.inject();
        let acknowledged = self.submit(vec![entry]).is_ok();
        self.disk.heal();
        self.tray.push_back(Arrival { text, acknowledged, hidden: !acknowledged });
        if self.below(2) == 0 {
            self.power_cut();
        }
    }

    /// A fold step; what it files is what waited longest.
    fn fold_step(&mut self, most: usize) -> bool {
        let now = self.clock.now();
        let machine = self.machine.as_mut().expect("unlocked");
        let Some(work) = machine.fold_work(most).unwrap() else { return false };
        let before = self.oracle.folders["INBOX"].uid_next;
        let planned = machine.plan_fold(work.run(), now);
        let Outcome::Folded(folded) = self.carry_out(planned).unwrap() else { panic!("folds") };
        assert_eq!((folded.placeholders, folded.repeated), (0, 0));
        let texts = self.texts_from(before);
        assert_eq!(texts.len(), folded.messages as usize);
        texts.iter().for_each(|text| self.take_from_tray(text));
        self.oracle = self.oracle.after(&Change::Fold { texts }).expect("a fold is never refused");
        self.instead = None;
        true
    }

    /// A fold while the disk fails: all that was opened has its UID, or none has.
    fn fold_under_faults(&mut self) {
        self.unlock();
        if self.tray.iter().any(|arrival| !arrival.acknowledged || arrival.hidden) {
            return;
        }
        let now = self.clock.now();
        let machine = self.machine.as_mut().expect("unlocked");
        let Some(work) = machine.fold_work(4).unwrap() else { return };
        let opened = work.run();
        let texts: Vec<String> =
            self.tray.iter().take(opened.len()).map(|arrival| arrival.text.clone()).collect();
        let planned = machine.plan_fold(opened, now);
        let after = self.oracle.after(&Change::Fold { texts: texts.clone() }).expect("it folds");
        self.inject();
        let result = self.carry_out(planned);
        self.disk.heal();
        match result {
            Ok(_) => {
                self.oracle = after;
                self.instead = None;
                self.tray.drain(..texts.len());
            }
            Err(_) => (self.instead, self.instead_folds) = (Some(after), texts.len()),
        }
        self.check();
        if self.below(2) == 0 {
            self.power_cut();
        }
    }

    /// The octets of messages in INBOX from this UID on.
    fn texts_from(&self, uid: u32) -> Vec<String> {
        let view = self.view("INBOX").expect("INBOX is always there");
        let opener = self.opener();
        view.rows().filter(|row| row.uid >= uid).map(|row| text_of(&opener, row)).collect()
    }

    fn opener(&self) -> Opener {
        let credential = Credential::parse(PASSWORD).unwrap();
        let (keys, file) = (&REGISTERED.keys, Some(&self.file));
        let login =
            vault::login(keys, ADDRESS, file, &credential, Purpose::Read, &*self.entropy).unwrap();
        let Login::Opened(opened) = login else { panic!("opens") };
        Opener::new(opened.unlocked, self.journal.as_ref().expect("the server runs").reader())
    }

    fn take_from_tray(&mut self, text: &str) {
        loop {
            let arrival = self.tray.pop_front().expect("what is folded has arrived");
            if arrival.text == text {
                assert!(!arrival.hidden, "seen before it was durable");
                return;
            }
            assert!(!arrival.acknowledged, "folded out of order, or lost: {:?}", arrival.text);
        }
    }

    fn fold_all(&mut self) {
        while self.fold_step(7) {}
        self.check();
    }

    fn unlock_and_fold(&mut self) {
        self.unlock();
        let most = 1 + self.below(6) as usize;
        self.fold_step(most);
        self.check();
    }

    fn unlock_and_change(&mut self) {
        self.unlock();
        let change = self.some_change();
        let after = self.oracle.after(&change);
        let command = self.command(&change);
        let planned = command.map(|command| {
            let now = self.clock.now();
            self.machine.as_mut().expect("unlocked").plan(command, now)
        });
        match (planned, after) {
            (Some(Ok(planned)), Some(after)) => {
                self.carry_out(planned).unwrap();
                self.oracle = after;
                self.instead = None;
                if self.below(3) == 0 {
                    self.keep_up();
                }
            }
            (None | Some(Err(_)), None) => {}
            (planned, after) => panic!(
                "{change:?}: planned {:?}, expected {}",
                planned.map(|planned| planned.map(drop)),
                if after.is_some() { "success" } else { "refusal" },
            ),
        }
        self.check();
    }

    /// A change while the disk fails: refused or done, and after a power cut one of the two.
    fn change_under_faults(&mut self) {
        self.unlock();
        self.fold_all();
        let change = self.some_change();
        let Some(after) = self.oracle.after(&change) else { return };
        let Some(command) = self.command(&change) else { return };
        let now = self.clock.now();
        let planned = self.machine.as_mut().expect("unlocked").plan(command, now).unwrap();
        self.inject();
        let result = self.carry_out(planned);
        self.disk.heal();
        match result {
            Ok(_) => {
                self.oracle = after;
                self.instead = None;
            }
            Err(_) => (self.instead, self.instead_folds) = (Some(after), 0),
        }
        self.check();
        if self.below(2) == 0 {
            self.power_cut();
        }
    }

    /// Upkeep while the disk fails: nothing that anybody sees may come of it.
    fn keep_up_under_faults(&mut self) {
        self.unlock();
        self.inject();
        let now = self.clock.now();
        let planned = self.machine.as_mut().expect("unlocked").plan_upkeep(now);
        let done = planned.map(|planned| self.carry_out(planned));
        self.disk.heal();
        if done.is_none_or(|done| done.is_err()) && self.below(2) == 0 {
            self.power_cut();
            self.unlock();
        }
        self.check();
    }

    fn inject(&mut self) {
        let op = self.one_of(&[Some(Op::Write), Some(Op::Sync), Some(Op::SyncDir), None]);
        let failure = self.one_of(&[Failure::Io, Failure::NoSpace]);
        let nth = 1 + self.below(3);
        self.disk.inject(Fault { op, nth, lasting: self.below(2) == 0, failure });
    }

    // Changes by chance.

    fn some_name(&self) -> String {
        match self.below(4) {
            0 => self.one_of(&["a", "a/b", "a/b/c", "x", "x/y", "Ünï", "gone"]).into(),
            1 => "INBOX".into(),
            _ => self.one_of(&self.oracle.folders.keys().cloned().collect::<Vec<_>>()),
        }
    }

    fn some_uids(&self, name: &str) -> Vec<u32> {
        let there = self.oracle.folders.get(name).map(|folder| folder.uid_next).unwrap_or(1);
        let (first, count) = (1 + self.below(u64::from(there)) as u32, self.below(6) as u32);
        (first..=first + count).collect()
    }

    fn some_change(&mut self) -> Change {
        let name = self.some_name();
        let uids = self.some_uids(&name);
        let system = self.below(32) as u8;
        match self.below(16) {
            0..5 => {
                let mode = self.one_of(&[FlagMode::Add, FlagMode::Remove, FlagMode::Replace]);
                let known = ["$Work", "NonJunk", "later"];
                let keywords = known.iter().filter(|_| self.below(3) == 0);
                let keywords = keywords.map(|keyword| keyword.to_string()).collect();
                Change::Store { name, uids, mode, system, keywords }
            }
            5..7 => Change::Expunge { name, uids: (system & 1 == 0).then_some(uids) },
            7..9 => Change::Copy { from: name, uids, to: self.some_name(), moved: false },
            9..11 => Change::Copy { from: name, uids, to: self.some_name(), moved: true },
            11 => Change::Append { to: name, text: self.text(), system },
            12 => Change::Create { name },
            13 => Change::Delete { name },
            14 => Change::Rename { from: name, to: self.some_name() },
            _ => Change::Subscribe { name, on: system & 1 == 0 },
        }
    }

    /// The command for a change; `None` if a mailbox that it needs is not there.
    fn command(&mut self, change: &Change) -> Option<Command> {
        let id = |world: &World, name: &str| {
            world.machine.as_ref()?.catalog().by_name(name).map(|mailbox| mailbox.id)
        };
        Some(match change.clone() {
            Change::Store { name, uids, mode, system, keywords } => Command::Store {
                mailbox: id(self, &name)?,
                uids: uids.into_iter().collect(),
                mode,
                flags: FlagNames { system, keywords },
                unchanged_since: None,
            },
            Change::Expunge { name, uids } => Command::Expunge {
                mailbox: id(self, &name)?,
                uids: uids.map(|uids| uids.into_iter().collect::<UidSet>()),
            },
            Change::Copy { from, uids, to, moved } => {
                let (from, uids) = (id(self, &from)?, uids.into_iter().collect());
                match moved {
                    true => Command::Move { from, uids, to },
                    false => Command::Copy { from, uids, to },
                }
            }
            Change::Append { to, text, system } => Command::Append {
                to,
                message: Box::new(self.sealed(Role::Filed, text.as_bytes(), ProvedFields::ALL)),
                flags: FlagNames { system, keywords: Vec::new() },
                received: self.clock.now(),
            },
            Change::Create { name } => Command::Create { name, special_use: None },
            Change::Delete { name } => Command::Delete { name },
            Change::Rename { from, to } => Command::Rename { from, to },
            Change::Subscribe { name, on: true } => Command::Subscribe { name },
            Change::Subscribe { name, on: false } => Command::Unsubscribe { name },
            Change::Fold { .. } => return None,
        })
    }

    // What must hold.

    fn check(&mut self) {
        assert_eq!(self.differs(&self.oracle), None);
        let opener = self.opener();
        for (name, folder) in &self.oracle.folders {
            let Some(view) = self.view(name) else { continue };
            let validity = *self.validities.entry(folder.maker).or_insert(view.uid_validity);
            assert_eq!(view.uid_validity, validity, "UIDVALIDITY of {name}");
            let modseq = self.modseqs.entry(folder.maker).or_insert(0);
            assert!(view.highest_modseq >= *modseq, "a mod-sequence of {name} fell");
            *modseq = view.highest_modseq;
            for row in view.rows() {
                assert!(row.modseq <= view.highest_modseq && row.uid < view.uid_next);
                let text = &folder.messages[&row.uid].text;
                let first = self.uids.entry((validity, row.uid)).or_insert_with(|| text.clone());
                assert_eq!(first, text, "UID {} of {name} stands for another message", row.uid);
            }
            // Opening is slow; see `check_octets` for all of them.
            let some = self.dice.next_u64() % u64::from(view.exists().max(1));
            if let Some(row) = view.row(some as u32) {
                assert_eq!(text_of(&opener, row), folder.messages[&row.uid].text);
                assert_eq!(opener.card(row).unwrap().size, row.size);
            }
        }
    }

    /// Every message opens, and is the one that was stored.
    fn check_octets(&self) {
        let opener = self.opener();
        for (name, folder) in &self.oracle.folders {
            let view = self.view(name);
            for row in view.iter().flat_map(|view| view.rows()) {
                assert_eq!(text_of(&opener, row), folder.messages[&row.uid].text, "in {name}");
            }
        }
    }

    /// The first difference between the account and what it should be.
    fn differs(&self, oracle: &Oracle) -> Option<String> {
        let machine = self.machine.as_ref()?;
        let catalog = machine.catalog();
        let names: Vec<&str> = catalog.mailboxes().iter().map(|mailbox| &*mailbox.name).collect();
        let expected: Vec<&str> = oracle.folders.keys().map(String::as_str).collect();
        if names != expected || *catalog.subscriptions() != oracle.subscriptions {
            return Some(format!("names {names:?}, expected {expected:?}"));
        }
        catalog.mailboxes().iter().find_map(|mailbox| {
            let folder = &oracle.folders[&*mailbox.name];
            let view = machine.view(mailbox.id);
            if mailbox.no_select != folder.no_select || view.is_none() != folder.no_select {
                return Some(format!("{} can be selected or not", mailbox.name));
            }
            let view = view?;
            let rows: Vec<_> = view.rows().map(|row| (row.uid, shown(&view, row.flags))).collect();
            let expected: Vec<_> = folder
                .messages
                .iter()
                .map(|(uid, m)| (*uid, (m.system, m.keywords.iter().cloned().collect::<Vec<_>>())))
                .collect();
            let same = rows == expected && view.uid_next == folder.uid_next;
            let name = &mailbox.name;
            (!same).then(|| format!("{name}: {rows:?}, expected {expected:?} and {folder:?}"))
        })
    }
}

fn shown(view: &MailboxView, flags: Flags) -> (u8, Vec<String>) {
    let mut names: Vec<String> = view.keyword_names(flags).map(str::to_owned).collect();
    names.sort();
    (flags.system, names)
}

fn text_of(opener: &Opener, row: &postseal::account::Row) -> String {
    String::from_utf8(opener.body(row).unwrap().expose().to_vec()).unwrap()
}

fn views(machine: &Machine) -> Vec<Arc<MailboxView>> {
    let catalog = machine.catalog();
    catalog.mailboxes().iter().filter_map(|mailbox| machine.view(mailbox.id)).collect()
}

/// The quick comparison of two views says what a plain one says.
fn check_diff(machine: &Machine, old: &MailboxView) {
    let Some(new) = machine.view(old.id) else { return };
    let changes = new.changes_since(old);
    let gone: Vec<u32> =
        (0..).zip(old.rows()).filter(|(_, r)| new.index_of(r.uid).is_none()).map(|p| p.0).collect();
    let changed: Vec<u32> = (0..)
        .zip(new.rows())
        .filter(|(_, row)| {
            let was = old.index_of(row.uid).and_then(|index| old.row(index));
            was.is_some_and(|was| was.flags != row.flags || was.modseq != row.modseq)
        })
        .map(|pair| pair.0)
        .collect();
    let kept = old.exists() - gone.len() as u32;
    assert_eq!((changes.expunged, changes.changed), (gone, changed));
    assert_eq!(changes.added, kept..new.exists());
}
