//! The machine over a real journal in memory: each command, each kind of damage.

use super::*;
use crate::base::clock::UnixTime;
use crate::base::crypto::{Argon2Cost, Key};
use crate::base::disk::memory::MemoryDisk;
use crate::base::entropy::{Entropy, SeededEntropy};
use crate::base::ids::AccountNumber;
use crate::journal::{Address, Body, Class, Entry, Journal, Options, Reader};
use crate::mail::analyse;
use crate::store::{ArrivalRecord, Destination, Role, SealedArrival, seal};
use crate::vault::{Party, Password, ServerKeys, Unlocked};
use std::sync::{Arc, LazyLock};

mod letters;

const NOW: UnixTime = UnixTime(1_795_000_000);
const ACCOUNT: AccountNumber = AccountNumber(1);

/// Making keys is slow; all tests share one account's.
static CREATED: LazyLock<crate::vault::Created> = LazyLock::new(|| {
    let cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };
    let keys = ServerKeys::new(&Key::zeroed(), None).with_cost(cost);
    let password = Password::choose(b"correct horse battery").unwrap();
    let entropy = SeededEntropy::new(1);
    let address = "ann@example.org";
    crate::vault::create(&keys, ACCOUNT, address, &password, Party::Owner, NOW, &entropy).unwrap()
});
static UNLOCKED: LazyLock<Unlocked> = LazyLock::new(|| CREATED.unlocked.clone());

struct Rig {
    disk: MemoryDisk,
    entropy: Arc<SeededEntropy>,
    journal: Journal,
    machine: Machine,
}

fn open(disk: &MemoryDisk) -> Journal {
    let options =
        Options { segment_bytes_max: 8 << 20, reserve_bytes: 0, ..Options::new(Key::zeroed()) };
    // Always the same seed: two journals that begin with it have the same names.
    Journal::open(Arc::new(disk.clone()), options, Arc::new(SeededEntropy::new(5))).unwrap().0
}

fn load(reader: Reader, entropy: Arc<dyn Entropy>) -> Loaded {
    Machine::load(UNLOCKED.clone(), reader, entropy).unwrap()
}

impl Rig {
    fn new() -> Rig {
        let mut rig = Rig::bare();
        rig.settle();
        rig
    }

    fn bare() -> Rig {
        let disk = MemoryDisk::new();
        let journal = open(&disk);
        let entropy = Arc::new(SeededEntropy::new(9));
        let Loaded { machine, damage } = load(journal.reader(), entropy.clone());
        assert_eq!(damage, []);
        Rig { disk, entropy, journal, machine }
    }

    fn submit(&mut self, entries: Vec<Entry>) -> Vec<Address> {
        self.journal.append(&[entries]).remove(0).unwrap()
    }

    fn run(&mut self, mut planned: Planned) -> Outcome {
        let batches = planned.take_batches();
        let addresses = batches.into_iter().map(|batch| self.submit(batch)).collect();
        self.machine.commit(planned, addresses)
    }

    fn apply(&mut self, command: Command) -> Result<Outcome, Refusal> {
        let planned = self.machine.plan(command, NOW)?;
        Ok(self.run(planned))
    }

    fn settle(&mut self) {
        for _ in 0..100 {
            match self.machine.plan_upkeep(NOW) {
                Some(planned) => self.run(planned),
                None => return,
            };
        }
        panic!("upkeep does not end");
    }

    fn sealed(&self, text: &str, role: Role) -> SealedArrival {
        let server = self.journal.reader().identity().server;
        let to = Destination { server, account: ACCOUNT, key: UNLOCKED.seal_key() };
        let message = text.as_bytes();
        let record = ArrivalRecord::new(role, None, NOW, message, analyse(message)).unwrap();
        seal(&to, message, &record, &*self.entropy).unwrap()
    }

    fn deliver(&mut self, text: &str) -> Entry {
        let entry = self.sealed(text, Role::Inbox).into_entry();
        self.submit(vec![entry.clone()]);
        entry
    }

    fn fold(&mut self) -> Folded {
        let mut sum = Folded::default();
        while let Some(work) = self.machine.fold_work(3).unwrap() {
            let planned = self.machine.plan_fold(work.run(), NOW);
            if let Outcome::Folded(folded) = self.run(planned) {
                sum.messages += folded.messages;
                sum.placeholders += folded.placeholders;
                sum.opened += folded.opened;
                sum.repeated += folded.repeated;
            }
        }
        sum
    }

    fn append(&mut self, to: &str, text: &str, flags: FlagNames) -> Result<Outcome, Refusal> {
        let message = Box::new(self.sealed(text, Role::Filed));
        self.apply(Command::Append { to: to.into(), message, flags, received: NOW })
    }

    /// A mailbox `INBOX` with as many messages.
    fn with_messages(count: usize) -> Rig {
        let mut rig = Rig::new();
        for number in 0..count {
            rig.deliver(&format!("Subject: {number}\r\n\r\nbody {number}\r\n"));
        }
        assert_eq!(rig.fold().messages, count as u32);
        rig
    }

    fn id(&self, name: &str) -> MailboxId {
        self.machine.catalog().by_name(name).unwrap().id
    }

    fn view(&self, name: &str) -> Arc<MailboxView> {
        self.machine.view(self.id(name)).unwrap()
    }

    fn uids(&self, name: &str) -> Vec<u32> {
        self.view(name).rows().map(|row| row.uid).collect()
    }

    fn bodies(&self, name: &str) -> Vec<String> {
        let opener = Opener::new(UNLOCKED.clone(), self.journal.reader());
        let text =
            |row: &Row| String::from_utf8(opener.body(row).unwrap().expose().to_vec()).unwrap();
        self.view(name).rows().map(text).collect()
    }

    fn names(&self) -> Vec<String> {
        self.machine.catalog().mailboxes().iter().map(|mailbox| mailbox.name.to_string()).collect()
    }

    fn store(&mut self, name: &str, uids: UidSet, flags: FlagNames) -> Outcome {
        let (mailbox, mode) = (self.id(name), FlagMode::Add);
        let unchanged_since = None;
        self.apply(Command::Store { mailbox, uids, mode, flags, unchanged_since }).unwrap()
    }

    /// Flips a bit of these octets, wherever they stand on the disk.
    fn flip(&mut self, octets: &[u8]) {
        for path in self.disk.paths() {
            let contents = self.disk.contents(&path).unwrap_or_default();
            if let Some(at) = contents.windows(octets.len()).position(|window| window == octets) {
                return self.disk.flip(&path, at as u64 + 20, 1);
            }
        }
        panic!("these octets are nowhere");
    }

    /// Snapshots come in many chunks from now on.
    fn cut_small(&mut self) {
        self.machine.want_small_chunks();
    }

    /// Loads anew and compares: what a crash at this moment would leave.
    fn reload(&mut self) {
        let before = picture(&self.machine);
        let Loaded { machine, damage } = load(self.journal.reader(), self.entropy.clone());
        assert_eq!(damage, []);
        assert_eq!(picture(&machine), before);
        self.machine = machine;
    }
}

/// All that clients see.
fn picture(machine: &Machine) -> Vec<String> {
    let catalog = machine.catalog();
    let mut lines: Vec<String> =
        catalog.subscriptions().iter().map(|name| format!("sub {name}")).collect();
    for mailbox in catalog.mailboxes() {
        let mut mailbox = (**mailbox).clone();
        // Claims to \Recent may be lost; that is tested apart.
        mailbox.status.recent = 0;
        lines.push(format!("{mailbox:?}"));
        let Some(view) = machine.view(mailbox.id) else { continue };
        lines.push(format!("{:?} {:?}", view, view.keywords));
        lines.extend(view.rows().map(|row| format!("{row:?} {} {:?}", row.size, row.received)));
    }
    lines
}

fn seen() -> FlagNames {
    FlagNames { system: Flags::SEEN, keywords: vec![] }
}

fn deleted() -> FlagNames {
    FlagNames { system: Flags::DELETED, keywords: vec![] }
}

fn keywords(names: &[&str]) -> FlagNames {
    FlagNames { system: 0, keywords: names.iter().map(|name| name.to_string()).collect() }
}

#[test]
fn a_row_is_small() {
    assert!(std::mem::size_of::<Row>() <= 64, "{}", std::mem::size_of::<Row>());
}

#[test]
fn a_new_account_has_the_folders_that_people_expect() {
    let mut rig = Rig::new();
    assert_eq!(rig.names(), ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]);
    let catalog = rig.machine.catalog();
    assert!(catalog.mailboxes().iter().all(|mailbox| mailbox.subscribed));
    assert_eq!(&*catalog.special(SpecialUse::Sent).unwrap().name, "Sent");
    assert_eq!(catalog.by_name("inBox").unwrap().status.uid_next, 1);
    rig.reload();
    assert!(rig.machine.plan_upkeep(NOW).is_none());
}

#[test]
fn arrivals_get_uids_in_their_order() {
    let rig = &mut Rig::with_messages(7);
    assert_eq!(rig.uids("INBOX"), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(rig.bodies("INBOX")[6], "Subject: 6\r\n\r\nbody 6\r\n");
    let view = rig.view("INBOX");
    assert_eq!((view.exists(), view.unseen, view.uid_next), (7, 7, 8));
    assert!(view.highest_modseq >= 2);
    rig.reload();
    assert_eq!(rig.machine.waiting().unwrap(), 0);
}

#[test]
fn a_card_holds_the_headers() {
    let rig = Rig::with_messages(1);
    let opener = Opener::new(UNLOCKED.clone(), rig.journal.reader());
    let card = opener.card(rig.view("INBOX").row(0).unwrap()).unwrap();
    assert_eq!(card.header.unwrap(), b"Subject: 0\r\n\r\n");
    assert_eq!(card.size as usize, "Subject: 0\r\n\r\nbody 0\r\n".len());
}

#[test]
fn junk_goes_where_junk_belongs() {
    let mut rig = Rig::new();
    let entry = rig.sealed("Subject: spam\r\n\r\n", Role::Junk).into_entry();
    rig.submit(vec![entry]);
    rig.fold();
    assert_eq!((rig.uids("INBOX").len(), rig.uids("Junk").len()), (0, 1));
}

#[test]
fn an_arrival_that_is_there_twice_is_dropped_and_counted() {
    let mut rig = Rig::with_messages(1);
    let entry = rig.deliver("Subject: once\r\n\r\n");
    rig.submit(vec![entry.clone(), entry.clone()]);
    let folded = rig.fold();
    assert_eq!((folded.messages, folded.repeated), (1, 2));
    rig.reload();
    rig.submit(vec![entry]);
    assert_eq!(rig.fold().repeated, 1);
    assert_eq!(rig.uids("INBOX").len(), 2);
    rig.settle();
    rig.reload();
}

#[test]
fn what_does_not_open_becomes_a_placeholder_and_the_rest_is_folded() {
    let mut rig = Rig::new();
    let whole = rig.sealed("Subject: x\r\n\r\n", Role::Inbox).into_entry();
    let mut forged = rig.sealed("Subject: y\r\n\r\n", Role::Inbox).into_entry();
    forged.head = whole.head.clone();
    let garbage = Entry { body: Body::Inline(vec![1, 2, 3]), ..forged.clone() };
    let garbage = Entry { object: crate::base::ids::ObjectId([9; 16]), ..garbage };
    rig.submit(vec![forged, garbage, whole]);
    let folded = rig.fold();
    assert_eq!((folded.messages, folded.placeholders), (3, 2));
    rig.reload();
    let bodies = rig.bodies("INBOX");
    assert!(bodies[0].contains("could not be opened") && bodies[1].contains("could not be"));
    assert_eq!(bodies[2], "Subject: x\r\n\r\n");
    let view = rig.view("INBOX");
    let opener = Opener::new(UNLOCKED.clone(), rig.journal.reader());
    let row = view.row(0).unwrap();
    assert_eq!(row.size as usize, bodies[0].len());
    assert!(opener.card(row).unwrap().is_complete());
}

#[test]
fn an_arrival_that_its_opening_does_not_survive_becomes_a_placeholder() {
    let mut rig = Rig::new();
    let entries: Vec<Entry> =
        ["a", "b", "c"].map(|text| rig.deliver(&format!("Subject: {text}\r\n\r\n"))).into();
    let work = rig.machine.fold_work(9).unwrap().unwrap();
    let bad = work.arrivals[1];
    let opened =
        work.run_by(|frame| if frame == bad { panic!("a test") } else { work.open(frame) });
    let planned = rig.machine.plan_fold(opened, NOW);
    let Outcome::Folded(folded) = rig.run(planned) else { panic!("no fold") };
    assert_eq!((folded.messages, folded.placeholders), (entries.len() as u32, 1));
    let bodies = rig.bodies("INBOX");
    assert!(bodies[1].contains("could not be opened"), "{bodies:?}");
    assert_eq!(bodies[2], "Subject: c\r\n\r\n");
}

#[test]
fn an_arrival_that_the_disk_does_not_give_keeps_no_other_back() {
    let mut rig = Rig::new();
    for text in ["a", "b", "c"] {
        rig.deliver(&format!("Subject: {text}\r\n\r\n"));
    }
    let failure = crate::journal::ReadError::Io(std::io::ErrorKind::Other);
    let mut first = None;
    // One at a time, so that the bad one would be the first of every step.
    while let Ok(Some(work)) = rig.machine.fold_work(1) {
        let is_first = work.arrivals[0] == *first.get_or_insert(work.arrivals[0]);
        let open = |frame| if is_first { Err(failure) } else { work.open(frame) };
        let planned = rig.machine.plan_fold(work.run_by(open), NOW);
        rig.run(planned);
    }
    assert_eq!(rig.bodies("INBOX"), ["Subject: b\r\n\r\n", "Subject: c\r\n\r\n"]);
    assert_eq!(rig.fold().messages, 1, "it is tried again");
    assert_eq!(rig.bodies("INBOX")[2], "Subject: a\r\n\r\n");
}

#[test]
fn flags_change_and_only_what_changes_gets_a_modseq() {
    let mut rig = Rig::with_messages(5);
    let old = rig.view("INBOX");
    let outcome = rig.store("INBOX", UidSet::range(2, 9), seen());
    let Outcome::Stored { changed, modified } = outcome else { panic!("{outcome:?}") };
    assert_eq!((changed.to_string(), modified.is_empty()), ("2:5".into(), true));
    let new = rig.view("INBOX");
    assert_eq!(new.highest_modseq, old.highest_modseq + 1);
    assert_eq!(new.row(1).unwrap().modseq, new.highest_modseq);
    assert_eq!(new.row(0).unwrap().modseq, old.row(0).unwrap().modseq);
    assert_eq!((new.unseen, new.first_unseen()), (1, Some(0)));
    let again = rig.store("INBOX", UidSet::range(2, 5), seen());
    assert!(matches!(again, Outcome::Stored { changed, .. } if changed.is_empty()));
    assert_eq!(rig.view("INBOX").highest_modseq, new.highest_modseq);
    rig.reload();
}

#[test]
fn unchanged_since_leaves_newer_messages_alone() {
    let mut rig = Rig::with_messages(2);
    let before = rig.view("INBOX").highest_modseq;
    rig.store("INBOX", UidSet::range(1, 1), seen());
    let (mailbox, flags) = (rig.id("INBOX"), deleted());
    let uids = UidSet::range(1, 2);
    let unchanged_since = Some(before);
    let mode = FlagMode::Add;
    let command = Command::Store { mailbox, uids, mode, flags, unchanged_since };
    let outcome = rig.apply(command).unwrap();
    let (changed, modified) = (UidSet::range(2, 2), UidSet::range(1, 1));
    assert_eq!(outcome, Outcome::Stored { changed, modified });
}

#[test]
fn keywords_have_a_bounded_table_whose_unused_places_are_used_again() {
    let mut rig = Rig::with_messages(2);
    for number in 0..KEYWORDS_MAX {
        rig.store("INBOX", UidSet::range(1, 1), keywords(&[&format!("k{number}")]));
    }
    let (mailbox, mode, unchanged_since) = (rig.id("INBOX"), FlagMode::Add, None);
    let uids = UidSet::range(1, 1);
    let flags = keywords(&["one-more"]);
    let command = Command::Store { mailbox, uids: uids.clone(), mode, flags, unchanged_since };
    assert_eq!(rig.apply(command).unwrap_err(), Refusal::TooManyKeywords);
    let (flags, mode) = (keywords(&["K7"]), FlagMode::Remove);
    rig.apply(Command::Store { mailbox, uids, mode, flags, unchanged_since }).unwrap();
    rig.store("INBOX", UidSet::range(2, 2), keywords(&["one-more", "k3"]));
    let view = rig.view("INBOX");
    let row = view.row(1).unwrap();
    let names: Vec<&str> = view.keyword_names(row.flags).collect();
    assert_eq!(names, ["k3", "one-more"]);
    assert_eq!(view.keyword_names(view.row(0).unwrap().flags).count(), KEYWORDS_MAX - 1);
    let bad = FlagNames { system: 0, keywords: vec!["a b".into()] };
    let uids = UidSet::range(1, 1);
    let command =
        Command::Store { mailbox, uids, mode: FlagMode::Add, flags: bad, unchanged_since };
    assert_eq!(rig.apply(command).unwrap_err(), Refusal::BadKeyword);
    rig.reload();
}

#[test]
fn expunge_takes_what_is_deleted_and_erases_it() {
    let mut rig = Rig::with_messages(4);
    rig.store("INBOX", [1, 3, 4].into_iter().collect(), deleted());
    let frame = rig.view("INBOX").row(0).unwrap().frame;
    let mailbox = rig.id("INBOX");
    let only = Some(UidSet::range(1, 3));
    let outcome = rig.apply(Command::Expunge { mailbox, uids: only }).unwrap();
    assert_eq!(outcome, Outcome::Expunged { uids: [1, 3].into_iter().collect() });
    assert_eq!(rig.uids("INBOX"), [2, 4]);
    assert!(!rig.journal.reader().info(frame).unwrap().dead);
    rig.reload();
    rig.settle();
    assert!(rig.journal.reader().info(frame).unwrap().dead);
    rig.reload();
    rig.apply(Command::Expunge { mailbox, uids: None }).unwrap();
    assert_eq!(rig.uids("INBOX"), [2]);
    rig.deliver("Subject: new\r\n\r\n");
    rig.fold();
    assert_eq!(rig.uids("INBOX"), [2, 5], "no UID is used twice");
}

#[test]
fn copies_share_a_frame_that_lives_as_long_as_one_of_them() {
    let mut rig = Rig::with_messages(3);
    rig.store("INBOX", UidSet::range(1, 2), keywords(&["$Work"]));
    let (from, uids) = (rig.id("INBOX"), UidSet::range(2, 9));
    let outcome = rig.apply(Command::Copy { from, uids, to: "Archive".into() }).unwrap();
    let Outcome::Copied { from: was, to, uid_validity, mailbox } = outcome else { panic!() };
    assert_eq!((was.to_string(), to.to_string()), ("2:3".into(), "1:2".into()));
    assert_eq!((mailbox, uid_validity), (rig.id("Archive"), rig.view("Archive").uid_validity));
    let copy = rig.view("Archive");
    let names: Vec<&str> = copy.keyword_names(copy.row(0).unwrap().flags).collect();
    assert_eq!(names, ["$Work"]);
    assert_eq!(rig.bodies("Archive"), rig.bodies("INBOX")[1..]);
    rig.reload();
    rig.store("INBOX", UidSet::range(1, 3), deleted());
    rig.apply(Command::Expunge { mailbox: from, uids: None }).unwrap();
    rig.settle();
    assert_eq!(rig.bodies("Archive").len(), 2);
    rig.reload();
    let frame = rig.view("Archive").row(0).unwrap().frame;
    rig.apply(Command::Delete { name: "Archive".into() }).unwrap();
    rig.settle();
    assert!(rig.journal.reader().info(frame).unwrap().dead);
    rig.reload();
}

#[test]
fn a_move_is_one_step() {
    let mut rig = Rig::with_messages(3);
    let bodies = rig.bodies("INBOX");
    let (from, uids) = (rig.id("INBOX"), [1, 3].into_iter().collect());
    rig.apply(Command::Move { from, uids, to: "trash".into() }).unwrap_err();
    let uids = [1, 3].into_iter().collect();
    rig.apply(Command::Move { from, uids, to: "Trash".into() }).unwrap();
    assert_eq!(rig.uids("INBOX"), [2]);
    assert_eq!(rig.bodies("Trash"), [bodies[0].clone(), bodies[2].clone()]);
    rig.reload();
    rig.settle();
    assert_eq!(rig.bodies("Trash").len(), 2, "the frames live");
    let uids = UidSet::range(1, 9);
    let inbox = rig.apply(Command::Move { from, uids, to: "INBOX".into() }).unwrap();
    assert!(matches!(inbox, Outcome::Copied { to, .. } if to.to_string() == "4"));
    assert_eq!(rig.uids("INBOX"), [4]);
    rig.reload();
}

#[test]
fn a_filed_message_is_not_folded_again() {
    let mut rig = Rig::with_messages(1);
    let flags = FlagNames { system: Flags::DRAFT, keywords: vec!["x".into()] };
    let outcome = rig.append("Drafts", "Subject: draft\r\n\r\n", flags).unwrap();
    assert!(matches!(outcome, Outcome::Appended { uid: 1, .. }));
    rig.deliver("Subject: later\r\n\r\n");
    rig.append("INBOX", "Subject: filed\r\n\r\n", seen()).unwrap();
    assert_eq!(rig.fold().messages, 1);
    assert_eq!(rig.bodies("Drafts"), ["Subject: draft\r\n\r\n"]);
    assert_eq!(rig.bodies("INBOX")[1..], ["Subject: filed\r\n\r\n", "Subject: later\r\n\r\n"]);
    rig.reload();
    assert_eq!(rig.fold(), Folded::default());
    assert_eq!(rig.append("nowhere", "x", seen()).unwrap_err(), Refusal::NoSuchDestination);
}

#[test]
fn a_filed_message_that_lost_its_record_is_not_shown() {
    let mut rig = Rig::new();
    let orphan = rig.sealed("Subject: never acknowledged\r\n\r\n", Role::Filed).into_entry();
    let frame = rig.submit(vec![orphan])[0];
    assert_eq!(rig.fold().messages, 0);
    rig.settle();
    assert!(rig.journal.reader().info(frame).unwrap().dead);
}

#[test]
fn mailboxes_are_made_with_the_levels_above_and_keep_them() {
    let mut rig = Rig::new();
    let create = |name: &str| Command::Create { name: name.into(), special_use: None };
    rig.apply(create("Lists/rust/users/")).unwrap();
    let catalog = rig.machine.catalog();
    let level = catalog.by_name("Lists/rust").unwrap();
    assert!(level.no_select && level.has_children && rig.machine.view(level.id).is_none());
    assert!(!catalog.by_name("Lists/rust/users").unwrap().no_select);
    assert_eq!(rig.apply(create("inbox")).unwrap_err(), Refusal::Exists);
    rig.apply(create("Lists/rust")).unwrap();
    assert!(!rig.machine.catalog().by_name("Lists/rust").unwrap().no_select);
    let delete = |name: &str| Command::Delete { name: name.into() };
    rig.apply(delete("Lists/rust")).unwrap();
    assert!(rig.machine.catalog().by_name("Lists/rust").unwrap().no_select);
    assert_eq!(rig.apply(delete("Lists/rust")).unwrap_err(), Refusal::HasChildren);
    assert_eq!(rig.apply(delete("inbox")).unwrap_err(), Refusal::Cannot);
    assert_eq!(rig.apply(delete("nothing")).unwrap_err(), Refusal::NoSuchMailbox);
    rig.apply(delete("Lists/rust/users")).unwrap();
    rig.apply(delete("Lists/rust")).unwrap();
    assert!(!rig.names().contains(&"Lists/rust".to_string()));
    rig.reload();
}

#[test]
fn a_default_mailbox_that_was_deleted_has_its_use_when_it_is_made_again() {
    let mut rig = Rig::new();
    let create = |name: &str| Command::Create { name: name.into(), special_use: None };
    let uses = |rig: &Rig, what| rig.machine.catalog().special(what).map(|m| m.name.to_string());
    rig.apply(Command::Delete { name: "Junk".into() }).unwrap();
    rig.apply(create("junk")).unwrap();
    assert_eq!(uses(&rig, SpecialUse::Junk), None, "names are told apart by case");
    rig.apply(create("Junk")).unwrap();
    assert_eq!(uses(&rig, SpecialUse::Junk), Some("Junk".into()));
    rig.reload();
    assert_eq!(uses(&rig, SpecialUse::Junk), Some("Junk".into()));
    // The use went with the mailbox; a new one of the old name has none.
    rig.apply(Command::Rename { from: "Sent".into(), to: "Gone out".into() }).unwrap();
    rig.apply(create("Sent")).unwrap();
    assert_eq!(uses(&rig, SpecialUse::Sent), Some("Gone out".into()));
}

/// A copy takes next to nothing of the disk: without a limit a few dozen commands take all memory.
#[test]
fn copies_do_not_double_without_end() {
    let mut rig = Rig::new();
    rig.append("Archive", "Subject: one\r\n\r\n", seen()).unwrap();
    let archive = rig.id("Archive");
    let copy =
        || Command::Copy { from: archive, uids: UidSet::range(1, u32::MAX), to: "Archive".into() };
    let refused = (0..32).find_map(|_| rig.apply(copy()).err());
    assert_eq!(refused, Some(Refusal::TooManyMessages));
    let exists = u64::from(rig.view("Archive").exists());
    assert!(exists <= COPIED_MESSAGES_MAX && 2 * exists > COPIED_MESSAGES_MAX);
    // What adds nothing goes on.
    let (uids, to) = (UidSet::range(1, 1), "Trash".to_string());
    rig.apply(Command::Move { from: archive, uids, to }).unwrap();
    rig.append("Archive", "Subject: two\r\n\r\n", seen()).unwrap();
}

#[test]
fn a_mailbox_made_anew_has_a_higher_uid_validity() {
    let mut rig = Rig::new();
    let create = || Command::Create { name: "x".into(), special_use: None };
    rig.apply(create()).unwrap();
    let first = rig.view("x").uid_validity;
    rig.apply(Command::Delete { name: "x".into() }).unwrap();
    rig.apply(create()).unwrap();
    assert!(rig.view("x").uid_validity > first);
    rig.reload();
}

#[test]
fn a_rename_takes_the_names_below_along() {
    let mut rig = Rig::new();
    let create = |name: &str| Command::Create { name: name.into(), special_use: None };
    for name in ["a/b/c", "ab", "q"] {
        rig.apply(create(name)).unwrap();
    }
    let id = rig.id("a/b/c");
    let rename = |from: &str, to: &str| Command::Rename { from: from.into(), to: to.into() };
    assert_eq!(rig.apply(rename("a", "a/x")).unwrap_err(), Refusal::Cannot);
    assert_eq!(rig.apply(rename("a", "q")).unwrap_err(), Refusal::Exists);
    assert_eq!(rig.apply(rename("zz", "y")).unwrap_err(), Refusal::NoSuchMailbox);
    rig.apply(rename("a", "new/top")).unwrap();
    assert_eq!(rig.id("new/top/b/c"), id);
    assert!(rig.names().contains(&"ab".into()) && rig.names().contains(&"new".into()));
    assert!(!rig.names().iter().any(|name| name.starts_with("a/")));
    rig.reload();
}

#[test]
fn renaming_inbox_moves_its_messages_and_leaves_it() {
    let mut rig = Rig::with_messages(3);
    rig.store("INBOX", UidSet::range(1, 1), keywords(&["kept"]));
    let bodies = rig.bodies("INBOX");
    let inbox = rig.view("INBOX");
    rig.apply(Command::Rename { from: "inbox".into(), to: "2026/old".into() }).unwrap();
    assert_eq!(rig.bodies("2026/old"), bodies);
    let empty = rig.view("INBOX");
    assert_eq!((empty.exists(), empty.uid_validity), (0, inbox.uid_validity));
    assert_eq!(empty.uid_next, inbox.uid_next);
    let old = rig.view("2026/old");
    assert_eq!(old.keyword_names(old.row(0).unwrap().flags).collect::<Vec<_>>(), ["kept"]);
    rig.reload();
    rig.settle();
    assert_eq!(rig.bodies("2026/old"), bodies);
}

#[test]
fn a_subscription_outlives_its_mailbox() {
    let mut rig = Rig::new();
    rig.apply(Command::Delete { name: "Junk".into() }).unwrap();
    assert!(rig.machine.catalog().subscriptions().contains("Junk"));
    rig.apply(Command::Unsubscribe { name: "Junk".into() }).unwrap();
    rig.apply(Command::Subscribe { name: "not/there".into() }).unwrap();
    let subscriptions = rig.machine.catalog().subscriptions().clone();
    assert!(!subscriptions.contains("Junk") && subscriptions.contains("not/there"));
    rig.reload();
}

#[test]
fn recent_belongs_to_the_first_who_asks() {
    let mut rig = Rig::with_messages(3);
    let inbox = rig.id("INBOX");
    assert_eq!(rig.machine.catalog().by_name("INBOX").unwrap().status.recent, 3);
    assert_eq!(rig.machine.claim_recent(inbox), 1..4);
    assert_eq!(rig.machine.claim_recent(inbox), 4..4);
    assert_eq!(rig.machine.catalog().by_name("INBOX").unwrap().status.recent, 0);
    rig.store("INBOX", UidSet::range(1, 1), seen());
    rig.reload();
    assert_eq!(rig.machine.claim_recent(inbox), 4..4, "the claim went with the record");
}

#[test]
fn a_snapshot_changes_nothing_and_frees_what_it_replaces() {
    let mut rig = Rig::with_messages(20);
    rig.store("INBOX", UidSet::range(1, 5), keywords(&["a", "b"]));
    rig.machine.want_snapshot();
    rig.settle();
    rig.reload();
    rig.deliver("Subject: behind\r\n\r\n");
    rig.reload();
    rig.fold();
    rig.store("INBOX", UidSet::range(21, 21), seen());
    let before = rig.journal.reader().account(ACCOUNT).bytes;
    rig.machine.want_snapshot();
    rig.settle();
    rig.machine.want_snapshot();
    rig.settle();
    assert!(rig.journal.reader().account(ACCOUNT).bytes < before);
    rig.reload();
    assert_eq!(rig.bodies("INBOX").len(), 21);
}

#[test]
fn a_snapshot_that_was_cut_off_does_not_count() {
    let mut rig = Rig::with_messages(3);
    rig.machine.want_snapshot();
    rig.settle();
    rig.store("INBOX", UidSet::range(1, 1), seen());
    rig.cut_small();
    rig.machine.want_snapshot();
    let mut planned = rig.machine.plan_upkeep(NOW).unwrap();
    let batches = planned.take_batches();
    assert!(batches.len() > 3);
    for batch in batches.into_iter().take(2) {
        rig.submit(batch);
    }
    let before = picture(&rig.machine);
    let Loaded { machine, damage } = load(rig.journal.reader(), rig.entropy.clone());
    assert_eq!((damage, picture(&machine)), (vec![], before));
    rig.machine = machine;
    rig.store("INBOX", UidSet::range(2, 2), seen());
    rig.reload();
    rig.cut_small();
    rig.machine.want_snapshot();
    rig.settle();
    rig.reload();
}

/// The account's frames, oldest first, as they can be appended again.
fn frames(reader: &Reader) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut next = reader.account(ACCOUNT).last;
    while let Some(at) = next {
        let info = reader.info(at).unwrap();
        let body = reader.body(at).unwrap();
        let body = if body.is_empty() { Body::None } else { Body::Inline(body) };
        let (class, account, object) = (info.class, info.account, info.object);
        entries.push(Entry { class, account, object, head: reader.head(at).unwrap(), body });
        next = info.previous;
    }
    entries.reverse();
    entries
}

/// Loads from a journal of the same names that holds these frames.
fn load_edited(edit: impl FnOnce(&mut Vec<Entry>)) -> (Loaded, Journal) {
    let mut rig = Rig::with_messages(2);
    for uid in 1..=2 {
        rig.store("INBOX", UidSet::range(uid, uid), seen());
        rig.store("INBOX", UidSet::range(uid, uid), deleted());
    }
    let mut entries = frames(&rig.journal.reader());
    edit(&mut entries);
    let mut journal = open(&MemoryDisk::new());
    for entry in entries {
        journal.append(&[vec![entry]]).remove(0).unwrap();
    }
    (load(journal.reader(), rig.entropy.clone()), journal)
}

fn records(entries: &[Entry]) -> Vec<usize> {
    (0..entries.len()).filter(|at| entries[*at].class == Class::Account).collect()
}

#[test]
fn the_same_frames_load_without_damage() {
    let (loaded, _) = load_edited(|_| {});
    assert_eq!(loaded.damage, []);
    let inbox = loaded.machine.catalog().by_name("INBOX").unwrap().clone();
    assert_eq!((inbox.status.messages, inbox.status.deleted), (2, 2));
}

#[test]
fn a_missing_record_is_noticed_and_uid_validity_is_raised() {
    let (whole, _) = load_edited(|_| {});
    let before = whole.machine.catalog().by_name("INBOX").unwrap().status.uid_validity;
    let (mut loaded, mut journal) = load_edited(|entries| {
        let at = records(entries)[3];
        entries.remove(at);
    });
    assert!(
        matches!(loaded.damage[..], [Damage::Missing { from: 4, to: 4 }]),
        "{:?}",
        loaded.damage
    );
    let mut planned = loaded.machine.plan_upkeep(NOW).unwrap();
    let batches = planned.take_batches();
    let addresses = batches.into_iter().map(|b| journal.append(&[b]).remove(0).unwrap()).collect();
    loaded.machine.commit(planned, addresses);
    let inbox = loaded.machine.catalog().by_name("INBOX").unwrap().clone();
    assert_eq!((inbox.status.messages, inbox.status.uid_validity), (2, before + 1));
}

#[test]
fn a_lost_fold_is_folded_again_and_the_repair_happens_once() {
    let (loaded, journal) = load_edited(|entries| {
        let at = records(entries)[1];
        entries.remove(at);
    });
    assert!(!loaded.damage.is_empty());
    let entropy = Arc::new(SeededEntropy::new(3));
    let mut rig = Rig { disk: MemoryDisk::new(), entropy, journal, machine: loaded.machine };
    rig.settle();
    assert_eq!(rig.fold().messages, 2);
    assert_eq!(rig.bodies("INBOX").len(), 2);
    rig.settle();
    rig.reload();
}

#[test]
fn a_repeated_record_is_noticed_and_counts_once() {
    let (loaded, _) = load_edited(|entries| {
        let at = records(entries)[2];
        entries.push(entries[at].clone());
    });
    assert!(matches!(loaded.damage[..], [Damage::Repeated(_)]), "{:?}", loaded.damage);
    let inbox = loaded.machine.catalog().by_name("INBOX").unwrap().clone();
    assert_eq!((inbox.status.messages, inbox.status.deleted), (2, 2));
}

#[test]
fn swapped_records_are_noticed_and_read_in_their_order() {
    let (loaded, _) = load_edited(|entries| {
        let records = records(entries);
        entries.swap(records[3], records[4]);
    });
    assert!(matches!(loaded.damage[..], [Damage::Swapped(_)]), "{:?}", loaded.damage);
    assert_eq!(loaded.machine.catalog().by_name("INBOX").unwrap().status.deleted, 2);
}

#[test]
fn a_record_of_another_place_is_noticed() {
    let (loaded, _) = load_edited(|entries| {
        let records = records(entries);
        let head = entries[records[2]].head.clone();
        entries[records[3]].head = head;
    });
    let forged = |damage: &Damage| matches!(damage, Damage::Forged(_));
    assert!(loaded.damage.iter().any(forged), "{:?}", loaded.damage);
}

#[test]
fn a_record_whose_append_failed_gives_way_to_the_one_written_instead() {
    let mut rig = Rig::with_messages(2);
    let (mailbox, mode, unchanged_since) = (rig.id("INBOX"), FlagMode::Add, None);
    let (uids, flags) = (UidSet::range(1, 2), deleted());
    let command = Command::Store { mailbox, uids, mode, flags, unchanged_since };
    let mut failed = rig.machine.plan(command, NOW).unwrap();
    // The journal said Failed, and yet the batch is there after a restart.
    rig.submit(failed.take_batches().remove(0));
    drop(failed);
    rig.store("INBOX", UidSet::range(1, 1), seen());
    rig.reload();
    rig.store("INBOX", UidSet::range(2, 2), seen());
    rig.reload();
    assert_eq!(rig.view("INBOX").deleted, 0);
}

#[test]
fn changes_between_two_views_are_found_page_by_page() {
    let mut rig = Rig::with_messages(6);
    let old = rig.view("INBOX");
    rig.store("INBOX", [2, 5].into_iter().collect(), deleted());
    rig.apply(Command::Expunge { mailbox: old.id, uids: Some(UidSet::range(2, 2)) }).unwrap();
    rig.deliver("Subject: new\r\n\r\n");
    rig.fold();
    let changes = rig.view("INBOX").changes_since(&old);
    assert_eq!(changes, Changes { expunged: vec![1], changed: vec![3], added: 5..6 });
    assert_eq!(old.changes_since(&old), Changes { added: 6..6, ..Changes::default() });
}

#[test]
fn a_damaged_snapshot_is_replaced_by_the_one_before() {
    let mut rig = Rig::with_messages(4);
    rig.machine.want_snapshot();
    rig.settle();
    rig.store("INBOX", UidSet::range(2, 3), keywords(&["kept"]));
    rig.machine.want_snapshot();
    rig.settle();
    let before = picture(&rig.machine);
    let reader = rig.journal.reader();
    rig.flip(&reader.head(reader.account(ACCOUNT).last.unwrap()).unwrap());
    let loaded = load(reader, rig.entropy.clone());
    assert!(matches!(loaded.damage[..], [Damage::Unreadable(_)]), "{:?}", loaded.damage);
    let inbox = loaded.machine.catalog().by_name("INBOX").unwrap().clone();
    assert_eq!(inbox.status.messages, 4);
    assert_eq!(picture(&loaded.machine).len(), before.len());
    let view = loaded.machine.view(inbox.id).unwrap();
    assert_eq!(view.keyword_names(view.row(1).unwrap().flags).collect::<Vec<_>>(), ["kept"]);
}

#[test]
fn without_any_snapshot_mail_is_found_again_from_its_frames() {
    let mut rig = Rig::with_messages(3);
    rig.append("Drafts", "Subject: filed\r\n\r\n", seen()).unwrap();
    let mut entries = frames(&rig.journal.reader());
    entries.retain(|entry| entry.class == Class::Arrival);
    let mut journal = open(&MemoryDisk::new());
    // What is left of the records are octets that do not open.
    let head = vec![1; 300];
    let object = crate::base::ids::ObjectId([3; 16]);
    let class = Class::Account;
    entries.push(Entry { class, account: ACCOUNT, object, head, body: Body::None });
    for entry in entries {
        journal.append(&[vec![entry]]).remove(0).unwrap();
    }
    let loaded = load(journal.reader(), rig.entropy.clone());
    assert!(!loaded.damage.is_empty());
    let mut rig = Rig { journal, machine: loaded.machine, ..rig };
    rig.settle();
    assert_eq!(rig.fold().messages, 4);
    assert_eq!(rig.bodies("INBOX")[3], "Subject: filed\r\n\r\n");
    rig.settle();
    rig.reload();
}

proptest::proptest! {
    #[test]
    fn octets_that_are_no_record_never_panic(
        head in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
    ) {
        let _ = super::snapshot::decode(&head);
        let _ = super::record::Record::from_padded(&head);
    }
}
