//! What a session holds of an unlocked account: views to read, a way to change, messages to open.
//!
//! A handle is made only by a login whose own credential opened a slot (the vault's witness is
//! asked for when it attaches to the account's task). Clones belong to the same session: they share
//! its cache of opened bodies, and the account counts them as one visitor.
//!
//! # Reading
//! [`AccountHandle::catalog`] and [`AccountHandle::view`] give immutable snapshots, at no cost.
//! [`AccountHandle::changes`] wakes when a newer one was published; a session compares the view it
//! has with the newest one at its own sync points, so that a client that stopped reading costs
//! nothing.
//!
//! # Opening messages
//! `card_now` and `body_now` read the disk and compute; call them inside
//! [`AccountHandle::blocking`], a chunk of rows at a time, never on the reactor. `card` and `body`
//! do that for a single row.
//!
//! # When the account locks
//! Everything answers [`Locked`] from that moment. The driver says BYE at the next point between
//! two responses and drops its handle, its views and its bodies: only then are the rows' keys gone
//! too.

use super::board::{Version, Visit};
use super::cache::BodyCache;
use super::core::Core;
use super::deliver;
use super::large::LargeBodies;
use super::opened::Room;
use super::resident::{Request, Resident, Shown};
use crate::account::{
    Catalog, Command, FlagNames, MailboxId, MailboxView, OpenFailure, Opener, Outcome, Refusal, Row,
};
use crate::base::budget::ByteBudget;
use crate::base::clock::UnixTime;
use crate::base::ids::AccountNumber;
use crate::base::secret::SecretBytes;
use crate::journal::Address;
use crate::mail;
use crate::store::{self, ArrivalRecord, Destination, SealedArrival};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{oneshot, watch};

/// A session's hold on an unlocked account.
#[derive(Clone)]
pub struct AccountHandle(Arc<Seat>);

/// What the clones of one session's handle share.
struct Seat {
    core: Arc<Core>,
    resident: Arc<Resident>,
    visit: Visit<Shown>,
    cache: Arc<Mutex<BodyCache<Address, Room>>>,
}

/// A message to be filed by APPEND.
#[derive(Debug)]
pub struct Append {
    /// The name of the mailbox that it goes to.
    pub mailbox: String,
    /// Its flags.
    pub flags: FlagNames,
    /// Its INTERNALDATE; `None` for now.
    pub received: Option<UnixTime>,
    /// Its octets.
    pub message: Vec<u8>,
}

/// Why a change was not made. Nothing of it was.
#[derive(Debug)]
pub enum ApplyError {
    /// The account's rules say no.
    Refused(Refusal),
    /// The account is locked.
    Locked,
    /// No space is left: `NO [OVERQUOTA]` or `NO [UNAVAILABLE]`.
    Full,
    /// It could not be made durable now: `NO [UNAVAILABLE]`.
    Unavailable,
}

/// Why a message cannot be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The account is locked.
    Locked,
    /// Another session has expunged the message and its octets are gone.
    Erased,
    /// The stored message is not what was written.
    Damaged,
    /// The disk cannot be read now.
    Unavailable,
}

impl AccountHandle {
    /// A session's hold on `resident`. The caller has shown that this session may have it.
    pub(super) fn attach(core: Arc<Core>, resident: Arc<Resident>) -> AccountHandle {
        let (visit, cache) = resident.seat(core.options.session_cache_bytes_max);
        AccountHandle(Arc::new(Seat { core, resident, visit, cache }))
    }

    /// Whose account this is.
    pub fn account(&self) -> AccountNumber {
        self.0.resident.account()
    }

    /// Whether the account was locked since.
    pub fn is_locked(&self) -> bool {
        self.0.visit.is_locked()
    }

    /// The mailboxes with their names and counts, as published last.
    pub fn catalog(&self) -> Result<Arc<Catalog>, Locked> {
        Ok(self.shown()?.catalog)
    }

    /// The messages of one mailbox, as published last; `None` if there is no such mailbox.
    pub fn view(&self, mailbox: MailboxId) -> Result<Option<Arc<MailboxView>>, Locked> {
        Ok(self.shown()?.views.get(&mailbox).cloned())
    }

    /// Wakes at each publication, and when the account locks.
    pub fn changes(&self) -> watch::Receiver<Version> {
        self.0.visit.changes()
    }

    /// Waits until what has arrived is in the views, or the first batch of it if there is more, or
    /// the account locks; at most `limit`. A client that looks once and goes away (a script, a
    /// synchroniser) would else miss what came before it logged in.
    pub async fn settled(&self, limit: Duration) {
        let mut changes = self.changes();
        tokio::select! {
            () = self.0.resident.next_batch() => {}
            _ = changes.wait_for(|version| version.locked) => {}
            () = tokio::time::sleep(limit) => {}
        }
    }

    /// Makes a change. It is durable, and in the published views, when this returns. If the future
    /// is dropped, the change may be made all the same.
    pub async fn apply(&self, command: Command) -> Result<Outcome, ApplyError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Apply(command, reply)).await?;
        answer.await.map_err(|_| ApplyError::Locked)?
    }

    /// Seals a message and files it. It is durable, and in the published views, when this returns.
    /// Ask [`Catalog::by_name`] first, so that a literal is not read for a mailbox that is not
    /// there.
    pub async fn append(&self, append: Append) -> Result<Outcome, ApplyError> {
        let Append { mailbox, flags, received, message } = append;
        let received = received.unwrap_or_else(|| self.0.core.clock.now());
        if deliver::is_over_quota(&self.0.core, self.account()) {
            return Err(ApplyError::Full);
        }
        let mut sealed = self.seal(message, received).await?;
        let mut large = LargeBodies::new(self.0.core.log.clone());
        if sealed.is_large() {
            large.write(&mut sealed).await?;
        }
        let bodies = large.submitted();
        let message = Box::new(sealed);
        let filed = self.apply(Command::Append { to: mailbox, message, flags, received }).await;
        if matches!(filed, Err(ApplyError::Refused(_) | ApplyError::Full)) {
            large.refused(bodies);
        }
        filed
    }

    /// Octets of messages on their way in by APPEND, over all sessions of the account: they share
    /// `limit_bytes`, as the first of them says.
    pub fn append_share(&self, limit_bytes: u64) -> &ByteBudget {
        self.0.resident.appends(limit_bytes)
    }

    /// Claims messages as recent for this session (`\Recent`, RFC 3501 §2.3.2): the UIDs that no
    /// session has been told of. For SELECT, not for EXAMINE.
    pub async fn claim_recent(&self, mailbox: MailboxId) -> Result<Range<u32>, Locked> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::ClaimRecent(mailbox, reply)).await?;
        answer.await.map_err(|_| Locked)
    }

    /// Runs `work` where it may block, under the limit of the machine's cores: the place for
    /// [`AccountHandle::card_now`], [`AccountHandle::body_now`] and for rendering.
    /// Give it at most 256 rows or one large body at a time.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccountHandle) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let handle = self.clone();
        self.0.core.compute(move || work(&handle)).await.map_err(|_| ReadError::Unavailable)
    }

    /// [`AccountHandle::blocking`] for one chunk of a search. Searches together leave a core to
    /// others, where there are two.
    pub async fn searching<T: Send + 'static>(
        &self,
        work: impl FnOnce(&AccountHandle) -> T + Send + 'static,
    ) -> Result<T, ReadError> {
        let handle = self.clone();
        self.0.core.search(move || work(&handle)).await.map_err(|_| ReadError::Unavailable)
    }

    /// The arrival record of a message: headers, envelope, structure, size; complete (what was too
    /// large for the record is derived from the body). Reads one head from the disk and opens it
    /// (symmetric). May block.
    pub fn card_now(&self, row: &Row) -> Result<ArrivalRecord, ReadError> {
        let card = self.stored_card_now(row)?;
        if card.is_complete() {
            return Ok(card);
        }
        Ok(card.complete(self.body_now(row)?.expose()))
    }

    /// The same as it is stored: what was too large for it is missing. May block.
    pub fn stored_card_now(&self, row: &Row) -> Result<ArrivalRecord, ReadError> {
        Ok(self.opener()?.card(row)?)
    }

    /// Room for `bytes` octets of opened messages and answers, if there is enough now.
    pub fn room_now(&self, bytes: u64) -> Option<Room> {
        let all = &self.0.core.opened;
        Room::now(self.0.resident.opened(all), all, bytes)
    }

    /// Room for `bytes` octets, as soon as there is enough: what is only kept makes place. A
    /// session that has room gives it back before it asks again.
    pub async fn room(&self, bytes: u64) -> Room {
        let all = &self.0.core.opened;
        self.0.resident.forget_bodies();
        if let Some(room) = self.room_now(bytes) {
            return room;
        }
        self.0.core.registry.forget_bodies();
        Room::wait(self.0.resident.opened(all), all, bytes).await
    }

    /// The octets of a message, verified as a whole before the first one is given out. Kept for
    /// this session up to its byte budget, where there is room, so that a large body that is
    /// fetched in pieces is opened once. May block.
    pub fn body_now(&self, row: &Row) -> Result<Arc<SecretBytes>, ReadError> {
        // The opener comes first: a locked account gives nothing out, also what is kept.
        let opener = self.opener()?;
        if let Some(body) = self.cache().get(&row.frame) {
            return Ok(body);
        }
        let body = Arc::new(opener.body(row)?);
        if let Some(room) = self.room_to_keep(body.expose().len() as u64) {
            self.cache().put(row.frame, body.clone(), room);
        }
        if self.is_locked() {
            self.cache().clear();
        }
        Ok(body)
    }

    /// [`AccountHandle::card_now`], from async code.
    pub async fn card(&self, row: &Row) -> Result<ArrivalRecord, ReadError> {
        let row = row.clone();
        self.blocking(move |handle| handle.card_now(&row)).await?
    }

    /// [`AccountHandle::body_now`], from async code.
    pub async fn body(&self, row: &Row) -> Result<Arc<SecretBytes>, ReadError> {
        if let Some(body) = self.opener().map(|_| self.cache().get(&row.frame))? {
            return Ok(body);
        }
        let row = row.clone();
        self.blocking(move |handle| handle.body_now(&row)).await?
    }

    async fn seal(
        &self,
        message: Vec<u8>,
        received: UnixTime,
    ) -> Result<SealedArrival, ApplyError> {
        let unlocked = self.0.resident.unlocked().ok_or(ApplyError::Locked)?;
        let core = self.0.core.clone();
        let sealed = self.0.core.compute(move || {
            let analysis = mail::analyse(&message);
            let record =
                ArrivalRecord::new(store::Role::Filed, None, received, &message, analysis)?;
            let server = core.log.reader().identity().server;
            let account = unlocked.account();
            let to = Destination { server, account, key: unlocked.seal_key() };
            store::seal(&to, &message, &record, &*core.entropy)
        });
        sealed.await?.map_err(|_| ApplyError::Unavailable)
    }

    async fn ask(&self, request: Request) -> Result<(), Locked> {
        self.0.resident.requests().send(request).await.map_err(|_| Locked)
    }

    /// Room for a body that is kept. The session's own older ones make place.
    fn room_to_keep(&self, bytes: u64) -> Option<Room> {
        self.room_now(bytes).or_else(|| {
            self.cache().clear();
            self.room_now(bytes)
        })
    }

    fn opener(&self) -> Result<Opener, Locked> {
        Ok(self.shown()?.opener)
    }

    fn shown(&self) -> Result<Shown, Locked> {
        self.0.visit.shown().ok_or(Locked)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, BodyCache<Address, Room>> {
        self.0.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Locked> for ApplyError {
    fn from(_: Locked) -> Self {
        ApplyError::Locked
    }
}

impl From<Locked> for ReadError {
    fn from(_: Locked) -> Self {
        ReadError::Locked
    }
}

impl From<OpenFailure> for ReadError {
    fn from(failure: OpenFailure) -> Self {
        match failure {
            OpenFailure::Unavailable => ReadError::Unavailable,
            OpenFailure::Erased => ReadError::Erased,
            OpenFailure::Damaged => ReadError::Damaged,
        }
    }
}

impl std::fmt::Debug for AccountHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AccountHandle({})", self.account())
    }
}

/// The account is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Locked;
