//! A whole mailbox role in memory, for tests: disk, journal, clock, and a log that can hold
//! durability back or fail.

use crate::account::MailboxView;
use crate::base::BoxFuture;
use crate::base::clock::{Clock, ManualClock, UnixTime};
use crate::base::crypto::{Argon2Cost, Key};
use crate::base::disk::memory::MemoryDisk;
use crate::base::entropy::SeededEntropy;
use crate::base::event::Log;
use crate::base::event::testing::Recorder;
use crate::base::ids::{AccountNumber, ObjectId};
use crate::base::secret::SecretBytes;
use crate::journal::{self, Address, AppendError, Entry, Journal, LargeBody, Reader};
use crate::mail;
use crate::mailbox::{AccountHandle, Login, Mailboxes, Options, Parts};
use crate::seams::{
    AuthRequest, Deliver, DeliverError, Delivery, LocalRecipient, RecipientVerdict, Role,
    SenderProof, Service,
};
use crate::store;
use crate::vault::ServerKeys;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// The password of every account made here.
pub const PASSWORD: &str = "six quiet words make one key";
/// When the tests begin.
pub const START: UnixTime = UnixTime(1_790_000_000);

/// The role and what is around it.
pub struct House {
    pub disk: MemoryDisk,
    pub log: Arc<TestLog>,
    pub clock: Arc<ManualClock>,
    pub events: Arc<Recorder>,
    pub mailboxes: Mailboxes,
}

/// A journal in the caller's own task.
pub struct TestLog {
    disk: MemoryDisk,
    journal: Mutex<Journal>,
    reader: Reader,
    /// While `false`, nothing becomes durable.
    pub open: watch::Sender<bool>,
}

impl store::Log for TestLog {
    fn submit(&self, batch: Vec<Entry>) -> BoxFuture<'_, Result<Vec<Address>, AppendError>> {
        Box::pin(async move {
            let mut open = self.open.subscribe();
            let _ = open.wait_for(|open| *open).await;
            self.journal.lock().unwrap().append(&[batch]).pop().unwrap()
        })
    }

    fn write_large(
        &self,
        object: ObjectId,
        bytes: Vec<u8>,
    ) -> BoxFuture<'_, Result<LargeBody, AppendError>> {
        Box::pin(async move {
            journal::write_large(&self.disk, object, &bytes).map_err(|error| match error.kind() {
                std::io::ErrorKind::StorageFull => AppendError::Full,
                _ => AppendError::Failed,
            })
        })
    }

    fn discard_large(&self, object: ObjectId) {
        // One that could not be written is gone already.
        let _ = journal::remove_large(&self.disk, object);
    }

    fn reader(&self) -> &Reader {
        &self.reader
    }
}

/// The options of the tests.
pub fn options() -> Options {
    Options { domains: vec!["example.org".into(), "example.net".into()], ..Options::default() }
}

impl House {
    /// A new server.
    pub fn new() -> House {
        House::on(MemoryDisk::new(), options())
    }

    /// A server on a disk that may have been used before.
    pub fn on(disk: MemoryDisk, options: Options) -> House {
        House::build(disk, options, Arc::new(ManualClock::new(START)))
    }

    /// The same server after a crash: what was not durable is gone.
    pub fn restart(self, options: Options) -> House {
        self.disk.kill();
        self.clock.advance(std::time::Duration::from_secs(60));
        House::build(self.disk.clone(), options, self.clock.clone())
    }

    fn build(disk: MemoryDisk, options: Options, clock: Arc<ManualClock>) -> House {
        let key = Key::copy_from(&[7; 32]).unwrap();
        // Another seed in each life, as a real source would give.
        let seed = clock.now().0 as u64;
        let entropy = Arc::new(SeededEntropy::new(seed));
        let settings = journal::Options {
            segment_bytes_max: 1 << 20,
            reserve_bytes: 0,
            ..journal::Options::new(key.clone())
        };
        let shared = Arc::new(disk.clone());
        let (journal, _) = Journal::open(shared.clone(), settings, entropy.clone()).unwrap();
        let log = Arc::new(TestLog {
            disk: disk.clone(),
            reader: journal.reader(),
            journal: Mutex::new(journal),
            open: watch::Sender::new(true),
        });
        let cost = Argon2Cost { memory_kib: 64, passes: 1, lanes: 1 };
        let events = Arc::new(Recorder::default());
        let mailboxes = Mailboxes::open(Parts {
            log: log.clone(),
            disk: shared,
            clock: clock.clone(),
            entropy,
            events: Log::new(events.clone()),
            keys: Arc::new(ServerKeys::new(&key, None).with_cost(cost)),
            options,
        })
        .unwrap();
        House { disk, log, clock, events, mailboxes }
    }

    /// Makes an account and empties its tray of the note about that.
    pub async fn add(&self, address: &str) -> AccountNumber {
        self.mailboxes.add(address, secret(PASSWORD)).await.unwrap().account
    }

    /// Tries to log in to read.
    pub async fn login(&self, user: &str, password: &str) -> Login {
        let request = AuthRequest {
            user: user.into(),
            password: secret(password),
            peer: Some("192.0.2.7".parse().unwrap()),
            service: Service::Imap,
        };
        self.mailboxes.login_to_read(request).await
    }

    /// Logs in to read with the right password.
    pub async fn open(&self, user: &str) -> AccountHandle {
        match self.login(user, PASSWORD).await {
            Login::Open(handle) => handle,
            other => panic!("{} is not open: {other:?}\n{}", user, self.events.all()),
        }
    }

    /// Delivers a message with this subject to these addresses.
    pub async fn deliver(&self, to: &[&str], subject: &str) -> Result<(), DeliverError> {
        self.deliver_octets(to, message(subject)).await
    }

    /// Delivers a message to these addresses.
    pub async fn deliver_octets(&self, to: &[&str], message: Vec<u8>) -> Result<(), DeliverError> {
        self.deliver_from(SenderProof::default(), to, message).await
    }

    /// Delivers a message of whose sender this is known.
    pub async fn deliver_from(
        &self,
        sender: SenderProof,
        to: &[&str],
        message: Vec<u8>,
    ) -> Result<(), DeliverError> {
        let mut recipients = Vec::new();
        for address in to {
            let address: mail::Address = address.parse().unwrap();
            match self.mailboxes.recipient(&address).await {
                RecipientVerdict::Local(account) => {
                    recipients.push(LocalRecipient { account, detail: None });
                }
                verdict => panic!("{address}: {verdict:?}"),
            }
        }
        let received = self.clock.now();
        let role = Role::Inbox;
        let delivery = Delivery { from: None, recipients, message, received, role, sender };
        self.mailboxes.deliver(delivery).await
    }

    /// What would be said of an address.
    pub async fn recipient(&self, address: &str) -> RecipientVerdict {
        self.mailboxes.recipient(&address.parse().unwrap()).await
    }
}

/// A secret.
pub fn secret(text: &str) -> SecretBytes {
    SecretBytes::new(text.as_bytes().to_vec())
}

/// A small message.
pub fn message(subject: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: {subject}\r\n\
         Date: Mon, 23 Nov 2026 03:00:00 +0000\r\nMessage-ID: <{subject}@example.com>\r\n\r\n\
         The body of {subject}.\r\n"
    )
    .into_bytes()
}

/// The newest INBOX.
pub fn inbox(handle: &AccountHandle) -> Arc<MailboxView> {
    let catalog = handle.catalog().unwrap();
    handle.view(catalog.by_name("INBOX").unwrap().id).unwrap().unwrap()
}

/// Waits until INBOX holds `count` messages.
pub async fn inbox_of(handle: &AccountHandle, count: u32) -> Arc<MailboxView> {
    let mut changes = handle.changes();
    loop {
        let view = inbox(handle);
        if view.exists() >= count {
            assert_eq!(view.exists(), count);
            return view;
        }
        changes.changed().await.unwrap();
    }
}

/// The subjects of a mailbox's messages, in the order of their UIDs.
pub async fn subjects(handle: &AccountHandle, view: &MailboxView) -> Vec<String> {
    let mut subjects = Vec::new();
    for row in view.rows() {
        let card = handle.card(row).await.unwrap();
        subjects.push(subject_of(&card.header.unwrap()));
    }
    subjects
}

fn subject_of(header: &[u8]) -> String {
    let text = String::from_utf8_lossy(header);
    let line = text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
    line.to_owned()
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Login::Open(_) => "Open",
            Login::Locked { .. } => "Locked",
            Login::Refused => "Refused",
            Login::TryLater => "TryLater",
        })
    }
}
