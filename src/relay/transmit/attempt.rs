//! One attempt: places, addresses, connections, and what becomes of each recipient.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use tokio::time::Instant;

use super::connection::{Bound, Connection, handshake, within};
use super::events::TransmitEvent;
use super::pool::{Key, close};
use super::trouble::{Trouble, refused};
use super::{Settings, TlsPolicy, Transmitter};
use crate::base::entropy;
use crate::relay::outgoing::{Consignment, Outcome};
use crate::relay::route::{self, Addresses, Place};
use crate::smtp::client::limits::{GROUP_RECIPIENTS_MAX, TRANSACTION_RECIPIENTS_MAX};
use crate::smtp::client::{self, Broken, Content, Envelope, Event, Recipient, Reply, Verdict};

/// Connections of one attempt. Postfix `smtp_mx_address_limit` is 5; each family counts here.
const CONNECTIONS_MAX: usize = 10;

/// Sessions of one attempt in which mail was offered. Postfix `smtp_mx_session_limit` is 2.
const SESSIONS_MAX: usize = 3;

/// The port at which TLS comes first (RFC 8314 §3.3).
const SUBMISSIONS_PORT: u16 = 465;

/// An attempt under way.
pub(super) struct Attempt<'a> {
    transmitter: &'a Transmitter,
    settings: &'a Settings,
    consignment: &'a Consignment,
    content: Content,
    /// `None` while another server may still be asked.
    outcomes: Vec<Option<Outcome>>,
    /// The best explanation so far for those.
    troubles: Vec<Option<Trouble>>,
    /// Until when another host, or another transaction, is begun.
    until: Instant,
    generation: u64,
    connections: usize,
    sessions: usize,
}

/// How a session ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The kept connection was dead: it is as if it had not been there.
    Stale,
    /// With replies.
    Answered,
    /// It broke.
    Broken,
}

/// Why a connection did not come to be.
enum NoSession {
    Handshake(std::io::Error),
    Trouble(Trouble),
}

impl<'a> Attempt<'a> {
    pub fn new(
        transmitter: &'a Transmitter,
        settings: &'a Settings,
        consignment: &'a Consignment,
        content: Content,
    ) -> Self {
        let count = consignment.recipients.len();
        Attempt {
            transmitter,
            settings,
            consignment,
            content,
            outcomes: vec![None; count],
            troubles: vec![None; count],
            until: Instant::now() + settings.options.timeouts.attempt,
            generation: transmitter.pool.generation(),
            connections: 0,
            sessions: 0,
        }
    }

    pub async fn run(mut self) -> Vec<Outcome> {
        match self.transmitter.places(&self.consignment.domain, self.settings).await {
            Ok(places) => {
                for place in &places {
                    if self.is_over() || self.try_place(place).await.is_break() {
                        break;
                    }
                }
            }
            Err(no_route) => {
                let (id, domain) = (self.consignment.id, self.consignment.domain.as_str());
                let status = no_route.status;
                let log = &self.transmitter.world.log;
                log.emit(&TransmitEvent::NoRoute { id, domain, status });
                self.note_open(&Trouble::no_route(no_route));
            }
        }
        let outcomes = self.outcomes.into_iter().zip(self.troubles);
        outcomes
            .map(|(outcome, trouble)| {
                outcome.unwrap_or_else(|| trouble.unwrap_or_else(Trouble::out_of_time).outcome())
            })
            .collect()
    }

    /// Nobody is left, or nothing more may be tried.
    fn is_over(&self) -> bool {
        self.is_settled()
            || Instant::now() >= self.until
            || self.sessions >= SESSIONS_MAX
            || self.connections >= CONNECTIONS_MAX
    }

    fn is_settled(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    /// Asks one server. Break: it and all that come behind it are ourselves.
    async fn try_place(&mut self, place: &Place) -> ControlFlow<()> {
        let (transmitter, options) = (self.transmitter, &self.settings.options);
        let host: Arc<str> = place.name().into();
        let key = (Arc::clone(&host), options.port());
        if let Some(connection) = transmitter.pool.take(&key).await
            && self.transact(connection, &key, true).await != Ended::Stale
        {
            return ControlFlow::Continue(());
        }
        let resolver = transmitter.world.resolver.as_ref();
        let addresses = match route::addresses(place, resolver, options.ipv6).await {
            Addresses::Some(addresses) => addresses,
            Addresses::None(why) => {
                self.note_failed(Trouble::no_address(why), None);
                return ControlFlow::Continue(());
            }
            Addresses::Unknown(why) => {
                self.note_failed(Trouble::no_route(why), None);
                return ControlFlow::Continue(());
            }
        };
        for address in addresses {
            let target = SocketAddr::new(address, options.port());
            if options.is_ours(target) {
                return self.it_is_us();
            }
            match self.open(target, &host).await {
                Ok(connection) if self.answers_by_our_name(&connection) => {
                    close(connection);
                    return self.it_is_us();
                }
                Ok(connection) => {
                    if self.transact(connection, &key, false).await == Ended::Answered {
                        break;
                    }
                }
                Err(trouble) => self.note_failed(trouble, Some(target)),
            }
            if self.is_over() {
                break;
            }
        }
        ControlFlow::Continue(())
    }

    fn it_is_us(&mut self) -> ControlFlow<()> {
        let trouble = Trouble::no_route(route::loops(&self.consignment.domain));
        self.note_failed(trouble, None);
        ControlFlow::Break(())
    }

    /// A wildcard listener is met by addresses that are not known here; its name tells it.
    fn answers_by_our_name(&self, connection: &Connection) -> bool {
        let options = &self.settings.options;
        let name = connection.client.server_name();
        options.relayhost.is_none() && name.eq_ignore_ascii_case(&options.hostname)
    }

    /// A connection that is ready for mail.
    async fn open(&mut self, target: SocketAddr, host: &Arc<str>) -> Result<Connection, Trouble> {
        let settings = self.settings;
        let error = match self.open_as(target, host, &settings.usual).await {
            Err(NoSession::Handshake(error)) => error,
            Err(NoSession::Trouble(trouble)) => return Err(trouble),
            Ok(mut connection) => {
                if connection.client.extensions().starttls && !connection.client.is_protected() {
                    self.falls_back(&mut connection);
                }
                return Ok(connection);
            }
        };
        if settings.policy != TlsPolicy::May || target.port() == SUBMISSIONS_PORT {
            return Err(Trouble::handshake(host, &error));
        }
        match self.open_as(target, host, &settings.clear).await {
            Err(NoSession::Handshake(error)) => Err(Trouble::handshake(host, &error)),
            Err(NoSession::Trouble(trouble)) => Err(trouble),
            Ok(mut connection) => {
                self.falls_back(&mut connection);
                Ok(connection)
            }
        }
    }

    /// The server offers TLS, and this connection has none. It is for this message alone: the next
    /// one tries TLS anew, so that one handshake that fails, or is made to, exposes one message.
    fn falls_back(&self, connection: &mut Connection) {
        connection.is_last_resort = true;
        let (id, peer) = (self.consignment.id, connection.peer.ip());
        self.transmitter.world.log.emit(&TransmitEvent::SentInClear { id, peer });
    }

    async fn open_as(
        &mut self,
        target: SocketAddr,
        host: &Arc<str>,
        told: &Arc<client::Options>,
    ) -> Result<Connection, NoSession> {
        self.connections += 1;
        let (settings, dial) = (self.settings, self.transmitter.world.dial.as_ref());
        let timeouts = &settings.timeouts;
        let failed = |error| NoSession::Trouble(Trouble::connect(host, &error));
        let mut stream = within(timeouts.connect, dial.connect(target)).await.map_err(failed)?;
        let mut tls = None;
        if target.port() == SUBMISSIONS_PORT {
            let secured = handshake(dial, stream, host, settings.check, timeouts).await;
            let (secured, facts) = secured.map_err(NoSession::Handshake)?;
            (stream, tls) = (secured, Some(facts));
        }
        let (host, told, timeouts) = (Arc::clone(host), Arc::clone(told), Arc::clone(timeouts));
        let mut connection = Connection::new(stream, target, host, told, tls, timeouts);
        loop {
            match connection.event(Bound::All(self.until)).await {
                Event::Ready => return Ok(connection),
                Event::StartTls => {
                    let secured = connection.secure(dial, settings.check).await;
                    secured.map_err(NoSession::Handshake)?;
                }
                Event::Broken(broken) => {
                    let trouble = Trouble::broken(&connection.host, &broken);
                    close(connection);
                    return Err(NoSession::Trouble(trouble));
                }
                Event::Done(_) => {}
            }
        }
    }

    /// Offers the message for all that are undecided, and keeps the connection for the next.
    async fn transact(&mut self, mut connection: Connection, key: &Key, reused: bool) -> Ended {
        let mut undecided = VecDeque::from(self.undecided_in_turn());
        let (mut ended, mut first) = (Ended::Answered, reused);
        loop {
            let many = undecided.len().min(TRANSACTION_RECIPIENTS_MAX);
            let which: Vec<usize> = undecided.drain(..many).collect();
            let before = connection.client.turns();
            connection.client.begin(Arc::new(self.envelope(&which)));
            let naming = Instant::now() + self.settings.options.timeouts.recipients;
            let Event::Done(verdicts) = connection.event(Bound::Naming(naming)).await else {
                ended = Ended::Broken;
                break;
            };
            let replies = connection.client.turns() - before;
            if std::mem::take(&mut first) && is_stale(&verdicts, replies) {
                close(connection);
                return Ended::Stale;
            }
            connection.transactions += 1;
            self.report(&connection, &verdicts, reused);
            undecided.extend(crowded(&which, &verdicts));
            for (index, verdict) in which.iter().zip(verdicts) {
                self.judge(*index, verdict, &connection);
            }
            if !connection.client.is_ready() {
                ended = Ended::Broken;
                break;
            }
            if undecided.is_empty() || Instant::now() >= self.until {
                break;
            }
        }
        self.sessions += 1;
        let (pool, options) = (&self.transmitter.pool, &self.settings.options);
        pool.park(key.clone(), connection, &options.reuse, self.generation);
        ended
    }

    fn undecided(&self) -> impl Iterator<Item = usize> {
        let outcomes = self.outcomes.iter().enumerate();
        outcomes.filter(|(_, outcome)| outcome.is_none()).map(|(index, _)| index)
    }

    /// The same, from anywhere where not all may have their turn in time: none of them stands
    /// behind slow ones in each attempt.
    fn undecided_in_turn(&self) -> Vec<usize> {
        let mut undecided: Vec<usize> = self.undecided().collect();
        if undecided.len() > GROUP_RECIPIENTS_MAX {
            let entropy = self.transmitter.world.entropy.as_ref();
            let random = u64::from_le_bytes(entropy::bytes(entropy));
            let first = random % undecided.len() as u64;
            undecided.rotate_left(first as usize);
        }
        undecided
    }

    fn envelope(&self, which: &[usize]) -> Envelope {
        let consignment = self.consignment;
        let recipients = which.iter().filter_map(|index| consignment.recipients.get(*index));
        Envelope {
            from: consignment.from.clone(),
            recipients: recipients
                .map(|recipient| Recipient {
                    address: recipient.address.clone(),
                    notify: recipient.notify,
                    original: recipient.original.clone(),
                })
                .collect(),
            envelope_id: consignment.envelope_id.clone(),
            dsn_return: consignment.dsn_return,
            utf8: consignment.utf8,
            content: self.content.clone(),
        }
    }

    /// What a verdict means for the recipient at `index`.
    fn judge(&mut self, index: usize, verdict: Verdict, connection: &Connection) {
        let host = connection.host.as_ref();
        let protected = connection.client.is_protected();
        let outcome = match verdict {
            Verdict::Accepted(reply) => Outcome::Delivered {
                host: host.to_owned(),
                reply: reply.to_string(),
                tls: protected,
                dsn: connection.client.extensions().dsn,
            },
            Verdict::Refused(reply) if is_final(&reply, protected) => {
                Outcome::Failed(refused(host, &reply))
            }
            Verdict::Refused(reply) => return self.note(index, &Trouble::reply(host, &reply)),
            Verdict::Crowded(reply) => return self.note(index, &Trouble::crowded(host, &reply)),
            Verdict::Unnamed => return self.note(index, &Trouble::unnamed(host)),
            Verdict::Lacking(lack) => return self.note(index, &Trouble::lacking(host, lack)),
            Verdict::Broken(broken) => return self.note(index, &Trouble::broken(host, &broken)),
            Verdict::Unknown(broken) => Trouble::broken(host, &broken).outcome(),
        };
        if let Some(place) = self.outcomes.get_mut(index) {
            *place = Some(outcome);
        }
    }

    /// Remembers the better of two explanations: what may change before what will not, a server's
    /// words before ours, the later before the earlier.
    fn note(&mut self, index: usize, trouble: &Trouble) {
        let weight = |trouble: &Trouble| (!trouble.permanent, trouble.failure.host.is_some());
        if let Some(place) = self.troubles.get_mut(index)
            && place.as_ref().is_none_or(|known| weight(known) <= weight(trouble))
        {
            *place = Some(trouble.clone());
        }
    }

    fn note_open(&mut self, trouble: &Trouble) {
        let undecided: Vec<usize> = self.undecided().collect();
        undecided.into_iter().for_each(|index| self.note(index, trouble));
    }

    fn note_failed(&mut self, trouble: Trouble, target: Option<SocketAddr>) {
        let (status, why) = (trouble.status, trouble.why);
        let (id, peer) = (self.consignment.id, target.map(|target| target.ip()));
        let event = TransmitEvent::ServerFailed { id, peer, status, why };
        self.transmitter.world.log.emit(&event);
        self.note_open(&trouble);
    }

    fn report(&self, connection: &Connection, verdicts: &[Verdict], reused: bool) {
        let accepted = |verdict: &&Verdict| matches!(verdict, Verdict::Accepted(_));
        self.transmitter.world.log.emit(&TransmitEvent::Sent {
            id: self.consignment.id,
            peer: connection.peer.ip(),
            tls: connection.tls.as_ref(),
            recipients: verdicts.len(),
            accepted: verdicts.iter().filter(accepted).count(),
            bytes: self.content.bytes(),
            reused,
        });
    }
}

/// Who may be taken in another transaction, because this one was too many: it has to have been of
/// use to somebody, or it would be the same again.
fn crowded<'a>(which: &'a [usize], verdicts: &'a [Verdict]) -> impl Iterator<Item = usize> + 'a {
    let of_use = verdicts.iter().any(|verdict| matches!(verdict, Verdict::Accepted(_)));
    let both = which.iter().zip(verdicts).filter(move |_| of_use);
    both.filter(|(_, verdict)| matches!(verdict, Verdict::Crowded(_))).map(|(index, _)| *index)
}

/// Whether a no is believed for ever. Who asks for TLS after a handshake failed does not speak of
/// the mail, and where there were too many recipients fewer may do (RFC 5321 §4.5.3.1.10).
fn is_final(reply: &Reply, protected: bool) -> bool {
    reply.is_permanent() && !reply.is_too_many() && (protected || reply.code != 530)
}

/// The kept connection had died: the server said nothing to this message, or only goodbye.
fn is_stale(verdicts: &[Verdict], replies: u64) -> bool {
    let dead = |verdict: &Verdict| match verdict {
        Verdict::Broken(Broken::Closed) => replies == 0,
        Verdict::Refused(reply) => reply.code == 421 && replies == 1,
        _ => false,
    };
    verdicts.iter().all(dead)
}
