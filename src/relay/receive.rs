//! Drives SMTP sessions: reads and writes, keeps the time, answers the machine's questions.

use std::net::IpAddr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::events::RelayEvent;
use super::networks::Networks;
use super::options::{Connection, Listener, ListenerKind, Options, World};
use super::quota::Quotas;
use super::recipients::{self, Broken, Target};
use super::submit::{Submission, Submitted, User};
use super::trace::{self, Arrival};
use super::verdicts::{self, Judged};
use crate::base::budget::{ByteBudget, Reservation, STEP_BYTES};
use crate::base::entropy;
use crate::base::ids::ObjectId;
use crate::base::secret::SecretBytes;
use crate::mail::Address;
use crate::mailauth::Envelope;
use crate::sasl::{self, Exchange, MECHANISMS, Mechanism, PasswordClaim, SaslError, Step};
use crate::seams::{
    AuthRequest, AuthVerdict, BoxStream, DeliverError, Delivery, LocalRecipient, RECIPIENTS_MAX,
    Service, TlsFacts, TlsStream,
};
use crate::smtp::{
    self, Answer, AuthAnswer, Ending, Event, RecipientPath, Reply, Session, Transaction, Waiting,
    replies,
};

/// Octets that are read at once; a usual message is one or two reads.
const READ_BYTES: usize = 16 * 1024;

/// The part (one of so many) that those who have not logged in leave to those who have, and the
/// part that one network may have without a login.
const NETWORK_SHARE: u64 = 4;

/// The receiving side of the role, shared by all connections.
pub struct Receiver {
    options: RwLock<Arc<Options>>,
    world: World,
    networks: Networks,
    quotas: Quotas,
}

impl Receiver {
    /// A receiver.
    pub fn new(options: Options, world: World) -> Arc<Receiver> {
        let options = RwLock::new(Arc::new(options));
        let (networks, quotas) = (Networks::default(), Quotas::default());
        Arc::new(Receiver { options, world, networks, quotas })
    }

    /// Puts new options in force for sessions that begin from now on.
    pub fn reload(&self, options: Options) {
        let mut place = self.options.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        *place = Arc::new(options);
    }

    /// What in the options leads to accounts that do not exist.
    pub async fn broken(&self) -> Broken {
        recipients::broken(&self.options(), &self.world).await
    }

    /// Reports it, an event for each.
    pub async fn report_broken(&self) {
        let Broken { aliases, postmaster } = self.broken().await;
        for (line, _) in aliases {
            self.world.log.emit(&RelayEvent::AliasBroken { line });
        }
        if postmaster {
            self.world.log.emit(&RelayEvent::PostmasterBroken);
        }
    }

    fn options(&self) -> Arc<Options> {
        self.options.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Serves one connection until it ends. When `draining` becomes true, a session is ended with
    /// 421 at once; one in the midst of a message may finish it. Dropping the future ends the
    /// session at any point without a false 250.
    pub async fn serve(&self, connection: Connection, draining: watch::Receiver<bool>) {
        let options = self.options();
        let Connection { stream, peer, listener } = connection;
        let now = self.world.clock.monotonic();
        let admitted = self.networks.admit(listener.kind, peer, now, &options.limits);
        let mut driver = Driver::new(stream, peer, &listener, options, self);
        if admitted.is_none() {
            self.world.log.emit(&RelayEvent::ConnectionRefused { peer });
            if listener.kind != ListenerKind::Submissions {
                driver.session.refuse(replies::TOO_MANY_SESSIONS);
                driver.flush().await;
            }
            return;
        }
        driver.share = admitted.as_ref().and_then(|admitted| admitted.share(driver.share_bytes()));
        if driver.begin(&listener).await {
            driver.run(draining).await;
        }
        driver.report_ending();
    }
}

/// One session.
struct Driver<'a> {
    stream: BoxStream,
    peer: IpAddr,
    kind: ListenerKind,
    world: &'a World,
    quotas: &'a Quotas,
    options: Arc<Options>,
    session: Session<Target>,
    /// Who has logged in: it is known to the machine as well, which forgets it where it must.
    user: Option<User>,
    tls: Option<TlsFacts>,
    exchange: Option<Exchange>,
    /// The session's random name, and how many messages it has brought.
    id: String,
    messages: u32,
    buffer: Box<[u8]>,
    message: Option<Incoming>,
    /// What its network may hold without a login.
    share: Option<ByteBudget>,
    /// Since when a command is waited for, and the machine's count then.
    waiting_since: Instant,
    turns: u64,
}

/// A message that is coming in.
struct Incoming {
    reservation: Reservation,
    /// The same of its network's share, where nobody has logged in.
    of_network: Option<Reservation>,
    prefix_bytes: usize,
    began: Instant,
}

impl<'a> Driver<'a> {
    fn new(
        stream: BoxStream,
        peer: IpAddr,
        listener: &Listener,
        options: Arc<Options>,
        receiver: &'a Receiver,
    ) -> Self {
        let Receiver { world, quotas, .. } = receiver;
        let limits = &options.limits;
        let machine = smtp::Options {
            hostname: options.hostname.clone(),
            kind: listener.kind.machine(),
            bare_newlines: listener.bare_newlines,
            mechanisms: MECHANISMS.iter().map(|mechanism| mechanism.name()).collect(),
            tls_offered: world.tls.is_some(),
            message_bytes_max: limits.message_bytes_max,
            recipients_max: limits.recipients_max,
            errors_max: limits.errors_max,
            commands_max: limits.commands_max,
            session_bytes_max: limits.session_bytes_max,
        };
        let protected = listener.kind == ListenerKind::Submissions;
        Driver {
            stream,
            peer,
            kind: listener.kind,
            world,
            quotas,
            options,
            user: None,
            session: Session::new(Arc::new(machine), protected),
            tls: None,
            exchange: None,
            id: ObjectId(entropy::bytes(world.entropy.as_ref())).to_string(),
            messages: 0,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            message: None,
            share: None,
            waiting_since: Instant::now(),
            turns: 0,
        }
    }

    /// What comes before the first command; `false` if nothing more is to be done.
    async fn begin(&mut self, listener: &Listener) -> bool {
        if listener.kind == ListenerKind::Submissions {
            if !self.shake_hands().await {
                return false;
            }
        } else {
            // Who speaks before the banner is no mail server: it does not listen to what we say.
            let early = timeout(Duration::ZERO, self.stream.read(&mut self.buffer)).await;
            match early {
                Ok(Ok(count)) if count > 0 => self.session.feed(&self.buffer[..count]),
                Ok(_) => return false,
                Err(_) => {}
            }
        }
        self.session.greet();
        true
    }

    async fn run(&mut self, mut draining: watch::Receiver<bool>) {
        let mut drained = false;
        loop {
            while let Some(event) = self.session.next_event() {
                if !self.answer(event).await {
                    return;
                }
            }
            self.reserve_more();
            if !self.flush().await || self.session.waiting() == Waiting::Closed {
                let _ =
                    timeout(self.options.limits.handshake_timeout, self.stream.shutdown()).await;
                return;
            }
            let deadline = self.deadline();
            tokio::select! {
                biased;
                Ok(_) = draining.wait_for(|draining| *draining), if !drained => {
                    drained = true;
                    self.session.drain();
                }
                read = timeout_at(deadline, self.stream.read(&mut self.buffer)) => match read {
                    Ok(Ok(0) | Err(_)) => return,
                    Ok(Ok(count)) => self.session.feed(&self.buffer[..count]),
                    Err(_) => self.session.time_out(),
                },
            }
        }
    }

    /// RFC 5321 §4.5.3.2: how long is waited. A command's time runs from the last one that was
    /// obeyed, however slowly its octets come.
    fn deadline(&mut self) -> Instant {
        let (limits, now) = (&self.options.limits, Instant::now());
        if self.turns != self.session.turns() {
            self.turns = self.session.turns();
            self.waiting_since = now;
        }
        match (self.session.waiting(), &self.message) {
            (Waiting::Data, Some(message)) => {
                (now + limits.data_timeout).min(message.began + limits.message_timeout)
            }
            _ => self.waiting_since + limits.command_timeout,
        }
    }

    /// Sends what is to be sent; `false` if that cannot be done.
    async fn flush(&mut self) -> bool {
        let output = self.session.take_output();
        if output.is_empty() {
            return true;
        }
        let sending = async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        };
        matches!(timeout(self.options.limits.command_timeout, sending).await, Ok(Ok(())))
    }

    /// Answers one question of the machine; `false` if the session is over.
    async fn answer(&mut self, event: Event<Target>) -> bool {
        match event {
            Event::StartTls => {
                if !self.flush().await || !self.shake_hands().await {
                    return false;
                }
                self.session.tls_established();
            }
            Event::Auth { mechanism, initial } => self.auth_begins(mechanism, initial).await,
            Event::AuthLine(line) => self.auth_goes_on(line.expose()).await,
            Event::Sender(from) => {
                let answer = match self.submission() {
                    Some(submission) => submission.sender(from.as_ref()).await,
                    None => Err(replies::LOGIN_FIRST),
                };
                self.session.answer_sender(answer);
            }
            Event::Recipient(path) => self.recipient(path).await,
            Event::Message { declared_bytes } => self.admit(declared_bytes),
            Event::Received(transaction) => self.deliver(transaction).await,
        }
        true
    }

    /// Nothing that was read before is kept: the machine has made sure that there is nothing.
    async fn shake_hands(&mut self) -> bool {
        let plain: BoxStream = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let Some(tls) = &self.world.tls else { return false };
        let limit = self.options.limits.handshake_timeout;
        match timeout(limit, tls.accept(plain)).await {
            Ok(Ok(TlsStream { stream, facts })) => {
                self.stream = stream;
                self.tls = Some(facts);
                true
            }
            _ => {
                let (session, peer) = (self.id.as_str(), self.peer);
                self.world.log.emit(&RelayEvent::HandshakeFailed { session, peer });
                false
            }
        }
    }

    async fn auth_begins(&mut self, mechanism: &str, initial: Option<SecretBytes>) {
        let initial = initial.map(|word| sasl::line::read_initial(word.expose())).transpose();
        let (Some(mechanism), Ok(initial)) = (Mechanism::from_name(mechanism.as_bytes()), initial)
        else {
            return self.session.answer_login(AuthAnswer::BadBase64);
        };
        let (exchange, step) = Exchange::start(mechanism, initial.as_ref().map(|i| i.expose()));
        self.exchange = Some(exchange);
        self.auth_step(step).await;
    }

    async fn auth_goes_on(&mut self, line: &[u8]) {
        match (sasl::line::read(line), &mut self.exchange) {
            (Ok(sasl::line::Line::Response(response)), Some(exchange)) => {
                let step = exchange.respond(response.expose());
                self.auth_step(step).await;
            }
            (Ok(sasl::line::Line::Cancel), _) => self.session.answer_login(AuthAnswer::Cancelled),
            _ => self.session.answer_login(AuthAnswer::BadBase64),
        }
    }

    async fn auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(challenge) => self.session.challenge(&sasl::line::write(&challenge)),
            Step::Claim(claim) => self.login(claim).await,
            Step::Refused(SaslError::Malformed | SaslError::TooLong) => {
                self.session.answer_login(AuthAnswer::Malformed);
            }
            Step::Refused(_) => self.session.answer_login(AuthAnswer::Refused),
        }
    }

    async fn login(&mut self, claim: PasswordClaim) {
        let PasswordClaim { user, password } = claim;
        let (peer, service) = (Some(self.peer), Service::Submission);
        let request = AuthRequest { user, password, peer, service };
        let answer = match self.world.authenticate.login(request).await {
            AuthVerdict::Accepted { account, address } => {
                let name = address.to_string();
                self.user = Some(User { account, address });
                AuthAnswer::Accepted(name)
            }
            AuthVerdict::Refused => AuthAnswer::Refused,
            AuthVerdict::TryLater => AuthAnswer::TryLater,
        };
        if answer != AuthAnswer::TryLater {
            let accepted = answer != AuthAnswer::Refused;
            let (session, peer) = (self.id.as_str(), self.peer);
            self.world.log.emit(&RelayEvent::Login { session, peer, accepted });
        }
        self.session.answer_login(answer);
    }

    /// What judges and carries the mail of the user who has logged in.
    fn submission(&self) -> Option<Submission<'_>> {
        let user = self.user.as_ref().filter(|_| self.session.user().is_some())?;
        let (options, world, quotas) = (&*self.options, self.world, self.quotas);
        Some(Submission { session: &self.id, user, options, world, quotas })
    }

    async fn recipient(&mut self, path: RecipientPath) {
        let found = self.resolve(&path).await;
        let found = found.and_then(|target| self.within_one_batch(target));
        if let (Err(reply), RecipientPath::Mailbox(recipient)) = (&found, &path) {
            let (session, reply) = (self.id.as_str(), *reply);
            self.world.log.emit(&RelayEvent::RecipientRefused { session, recipient, reply });
        }
        self.session.answer_recipient(found);
    }

    async fn resolve(&mut self, path: &RecipientPath) -> Result<Target, Reply> {
        let Some(submission) = self.submission() else {
            return recipients::resolve(path, &self.options, self.world).await.map(Target::Local);
        };
        let held = self.session.transaction().map_or(0, |transaction| transaction.recipients.len());
        submission.within_rates(held + 1)?;
        recipients::resolve_for_user(path, &self.options, self.world).await
    }

    /// RFC 5321 §4.5.3.1.10: whom one batch cannot hold any more gets the message in another
    /// transaction. The first recipient is always taken: an alias stands for a hundred at most.
    fn within_one_batch(&self, target: Target) -> Result<Target, Reply> {
        let held = self.session.transaction().map_or(0, |transaction| {
            let tags = transaction.recipients.iter().map(|recipient| &recipient.tag);
            tags.map(|tag| tag.accounts().len()).sum::<usize>()
        });
        match held + target.accounts().len() > RECIPIENTS_MAX {
            true => Err(replies::TOO_MANY_RECIPIENTS),
            false => Ok(target),
        }
    }

    /// Whether there is room for a message. What SIZE declares is reserved before DATA is answered.
    fn admit(&mut self, declared_bytes: Option<u64>) {
        let bytes = declared_bytes.unwrap_or(STEP_BYTES).max(1);
        match self.leaves_room(bytes, bytes).then(|| self.reserve(bytes)).flatten() {
            Some((reservation, of_network)) => {
                let prefix = self.trace();
                let (prefix_bytes, began) = (prefix.len(), Instant::now());
                self.message = Some(Incoming { reservation, of_network, prefix_bytes, began });
                self.session.begin_message(prefix);
            }
            None => self.session.refuse_message(replies::NO_ROOM),
        }
    }

    fn reserve(&self, bytes: u64) -> Option<(Reservation, Option<Reservation>)> {
        let share = self.share.as_ref().filter(|_| self.session.user().is_none());
        let of_network = match share {
            Some(share) => Some(share.reserve(bytes)?),
            None => None,
        };
        Some((self.world.message_budget.reserve(bytes)?, of_network))
    }

    /// What one network may hold without a login: always one message of the largest size.
    fn share_bytes(&self) -> u64 {
        let largest = self.options.limits.message_bytes_max.saturating_add(STEP_BYTES);
        (self.world.message_budget.limit_bytes() / NETWORK_SHARE).max(largest)
    }

    /// Whether `more` octets for a message of `whole` octets leave enough for small ones, and for
    /// those who have logged in. A few clients that declare much and send it slowly would else keep
    /// everybody's mail out.
    fn leaves_room(&self, whole: u64, more: u64) -> bool {
        let budget = &self.world.message_budget;
        let spare = budget.limit_bytes().saturating_sub(self.options.limits.message_bytes_max);
        let for_small = budget.for_small_bytes(self.options.limits.message_bytes_max);
        let for_users = match self.session.user() {
            Some(_) => 0,
            None => (budget.limit_bytes() / NETWORK_SHARE).min(spare - for_small),
        };
        let left = for_small.saturating_add(for_users).saturating_add(more);
        whole <= STEP_BYTES || budget.free_bytes() >= left
    }

    /// What stands in front of the message.
    fn trace(&mut self) -> Vec<u8> {
        self.messages = self.messages.wrapping_add(1);
        let id = format!("{}.{}", self.id, self.messages);
        let transaction = self.session.transaction();
        let recipients = transaction.map_or(&[][..], |transaction| &transaction.recipients);
        let only_recipient = match recipients {
            [only] => match &only.path {
                RecipientPath::Mailbox(address) => Some(address),
                RecipientPath::Postmaster => None,
            },
            _ => None,
        };
        let authenticated = self.session.user().is_some();
        trace::fields(&Arrival {
            hostname: &self.options.hostname,
            id: &id,
            from: transaction.and_then(|transaction| transaction.from.as_ref()),
            peer: Some(self.peer).filter(|_| !authenticated),
            helo: self.session.helo(),
            tls: self.tls.as_ref(),
            authenticated,
            utf8: transaction.is_some_and(|transaction| transaction.utf8),
            only_recipient,
            at: self.world.clock.now(),
        })
    }

    /// A message that grows beyond its reservation reserves more, or is refused at its end; one
    /// that has ended gives back what it held.
    fn reserve_more(&mut self) {
        if self.session.waiting() != Waiting::Data {
            self.message = None;
        }
        let held = self.session.message_bytes() as u64;
        let reserved = self.message.as_ref().map_or(0, |message| message.reservation.bytes());
        let step = STEP_BYTES.max(held.saturating_sub(reserved));
        let leaves_room = self.leaves_room(reserved + step, step);
        let Some(message) = &mut self.message else { return };
        if held <= reserved {
            return;
        }
        let mut of_network = message.of_network.as_mut();
        let grows = leaves_room
            && of_network.as_mut().is_none_or(|share| share.grow(step))
            && message.reservation.grow(step);
        if !grows {
            self.session.abandon_message(replies::NO_ROOM);
            (message.reservation, message.of_network) = (self.world.message_budget.empty(), None);
        }
    }

    async fn deliver(&mut self, transaction: Transaction<Target>) {
        let incoming = self.message.take();
        let bytes = transaction.message.len();
        let (from, recipients) = (transaction.from.clone(), transaction.recipients.len());
        let answer = self.store(transaction, incoming).await;
        let (session, peer) = (self.id.as_str(), self.peer);
        let from = from.as_ref();
        match &answer {
            Ok(()) => self.world.log.emit(&RelayEvent::Accepted {
                session,
                peer,
                from,
                recipients,
                bytes,
            }),
            Err(answer) => {
                self.world.log.emit(&RelayEvent::MessageRefused { session, answer, bytes })
            }
        }
        self.session.answer_message(answer);
    }

    async fn store(
        &mut self,
        mut transaction: Transaction<Target>,
        incoming: Option<Incoming>,
    ) -> Result<(), Answer> {
        // What the network has is given back with this, when all is stored.
        let (prefix_bytes, reservation, _of_network) = match incoming {
            Some(Incoming { prefix_bytes, reservation, of_network, .. }) => {
                (prefix_bytes, reservation, of_network)
            }
            None => (0, self.world.message_budget.empty(), None),
        };
        trace::drop_mbox_lines(&mut transaction.message, prefix_bytes);
        // RFC 5321 §6.3.
        let content = &transaction.message[prefix_bytes..];
        if trace::hops(content) > self.options.limits.hops_max {
            return Err(replies::TOO_MANY_HOPS.into());
        }
        match self.submission() {
            Some(submission) => {
                submission.store(Submitted { transaction, prefix_bytes, reservation }).await
            }
            None => {
                let stored = self.store_arrival(transaction, prefix_bytes).await;
                drop(reservation);
                stored
            }
        }
    }

    /// Mail from another server.
    async fn store_arrival(
        &mut self,
        transaction: Transaction<Target>,
        prefix_bytes: usize,
    ) -> Result<(), Answer> {
        let recipients = copies(&transaction);
        let accounts: Vec<_> = recipients.iter().map(|recipient| recipient.account).collect();
        let mut message = transaction.message;
        let judged = self.judge(transaction.from.as_ref(), &mut message, prefix_bytes).await;
        let delivery = Delivery {
            from: transaction.from,
            recipients,
            message,
            received: self.world.clock.now(),
            role: judged.role,
            sender: judged.sender,
        };
        self.world.deliver.deliver(delivery).await.map_err(refusal_of)?;
        judged.sealed.note(&accounts, self.world);
        Ok(())
    }

    /// Who wrote a message that another server brought.
    async fn judge(
        &mut self,
        from: Option<&Address>,
        message: &mut Vec<u8>,
        prefix: usize,
    ) -> Judged {
        if self.kind != ListenerKind::Mx {
            return Judged::default();
        }
        let helo = self.session.helo().map_or("", |(name, _)| name);
        let hostname = &self.options.hostname;
        let envelope = Envelope { peer: self.peer, helo, from, hostname };
        let (incoming, session) = (self.options.incoming, self.id.as_str());
        verdicts::judge(self.world, incoming, session, envelope, message, prefix).await
    }

    fn report_ending(&self) {
        let (session, peer) = (self.id.as_str(), self.peer);
        match self.session.ending() {
            None | Some(Ending::Quit | Ending::Refused) => {}
            Some(ending) => self.world.log.emit(&RelayEvent::Ended { session, peer, ending }),
        }
    }
}

/// The accounts here that get a message, each once.
pub(super) fn copies(transaction: &Transaction<Target>) -> Vec<LocalRecipient> {
    let mut out: Vec<LocalRecipient> = Vec::new();
    for copy in transaction.recipients.iter().flat_map(|recipient| recipient.tag.accounts()) {
        if out.iter().all(|other| other.account != copy.account) {
            out.push(copy.clone());
        }
    }
    out
}

/// What a sender is told when the mailbox role has not taken a message.
pub(super) fn refusal_of(error: DeliverError) -> Reply {
    match error {
        DeliverError::Full => replies::NO_ROOM,
        DeliverError::TryLater => replies::STORE_UNAVAILABLE,
    }
}
