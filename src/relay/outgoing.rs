//! What passes between the parts of the role that send: submission, queue runner, preparation,
//! transmission. Each part sees the others by these types and traits only.

use std::sync::Arc;

use crate::base::BoxFuture;
use crate::base::clock::UnixTime;
use crate::mail::Address;
use crate::queue::Owner;
use crate::smtp::{DsnNotify, DsnReturn};

/// A message that goes out, as it was submitted: before any recipient's key was looked up.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The reverse path; `None` for the null one (reports).
    pub from: Option<Address>,
    /// Whose message it is: a user of ours. Reports have no owner.
    pub owner: Option<Owner>,
    /// Who gets it, each on another server.
    pub recipients: Vec<OutgoingRecipient>,
    /// The message with CRLF line ends, complete: Date, Message-ID, From, no Bcc, no DKIM
    /// signature yet.
    pub message: Arc<Vec<u8>>,
    /// When it was accepted.
    pub accepted: UnixTime,
    /// ENVID of RFC 3461, as xtext.
    pub envelope_id: Option<String>,
    /// RET of RFC 3461.
    pub dsn_return: Option<DsnReturn>,
    /// Whether SMTPUTF8 was asked for (RFC 6531).
    pub utf8: bool,
    /// Recipients, by their positions, for whom somebody who may has released it from a hold: where
    /// the plan would hold it for them again, it goes out plain.
    pub permitted: Vec<usize>,
    /// Whether a server was met that takes no 8-bit text: contents are encoded, where no signature
    /// and no encryption of the sender's program breaks by that.
    pub seven_bit: bool,
}

/// One recipient of an [`Outgoing`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingRecipient {
    /// The address.
    pub address: Address,
    /// NOTIFY of RFC 3461.
    pub notify: Option<DsnNotify>,
    /// ORCPT of RFC 3461: `type;xtext`.
    pub original: Option<String>,
}

/// Takes messages that go out. Implemented by the queue's runner.
pub trait Enqueue: Send + Sync {
    /// Stores a message. `Ok` means that it is durable and hidden: the runner sees it only after
    /// [`Enqueue::release`]. So a message for recipients here and elsewhere is acknowledged when
    /// both halves are stored, and neither goes out alone.
    fn accept(&self, message: Outgoing) -> BoxFuture<'_, Result<QueueId, EnqueueError>>;
    /// Gives a stored message to the runner. Does not wait.
    fn release(&self, id: QueueId);
    /// Takes a stored message back that was never released.
    fn withdraw(&self, id: QueueId) -> BoxFuture<'_, ()>;
    /// The same, for who cannot wait: that it is gone becomes durable later.
    fn abandon(&self, id: QueueId);
}

/// The name of a message in the queue: what logs and commands call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

impl std::fmt::Display for QueueId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:012X}", self.0)
    }
}

/// Why a message was not queued. Nothing of it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnqueueError {
    /// No space: 452 4.3.1.
    Full,
    /// It could not be made durable: 451 4.3.0.
    TryLater,
}

/// What is to be done for some of the recipients, after keys were looked up and the plan was made.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Positions in [`Outgoing::recipients`]. No position is in more than one `Prepared`.
    pub recipients: Vec<usize>,
    /// What.
    pub action: Action,
}

/// See [`Prepared`].
#[derive(Clone, Debug)]
pub enum Action {
    /// Send these octets: sealed or plain, signed, ready for the wire but for dot-stuffing.
    Send {
        /// The message, CRLF line ends, no line above 998 octets.
        message: Arc<Vec<u8>>,
        /// Whether its content is sealed to the recipients: a report must not quote it.
        sealed: bool,
        /// Whether a header field of it needs SMTPUTF8, as the sender has said.
        utf8: bool,
    },
    /// Keep it until its owner or the administrator decides.
    Hold {
        /// Why, in a sentence for the owner.
        why: String,
    },
    /// Give up: the owner gets a report.
    Bounce {
        /// The enhanced status code (RFC 3463), as in `5.7.10`.
        status: &'static str,
        /// Why, in a sentence for the owner.
        why: String,
    },
    /// Try again later: what is needed could not be learnt.
    Defer {
        /// The enhanced status code, as in `4.7.5`.
        status: &'static str,
        /// Why, in a sentence for the owner.
        why: String,
    },
}

/// Looks up keys, plans, seals and signs. The runner asks before each attempt.
pub trait Prepare: Send + Sync {
    /// Says what to do for the recipients at `which`, or for some of them: for the others it is
    /// asked again when that is done. So the copies that are in memory at once stay few.
    fn prepare<'a>(
        &'a self,
        message: &'a Outgoing,
        which: &'a [usize],
    ) -> BoxFuture<'a, Vec<Prepared>>;

    /// The same question asked while the user waits, about all recipients: who would be refused
    /// for good? Bounded by a short deadline; whom nothing is known about in time is not refused
    /// now. Makes no message.
    fn refusals<'a>(&'a self, message: &'a Outgoing) -> BoxFuture<'a, Vec<Refusal>>;
}

/// A recipient whom a message will not be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Position in [`Outgoing::recipients`].
    pub recipient: usize,
    /// The enhanced status code (RFC 3463).
    pub status: &'static str,
    /// Why, in a sentence for the owner.
    pub why: String,
}

/// One delivery to one destination: recipients of one domain, one octet-identical message.
#[derive(Clone, Debug)]
pub struct Consignment {
    /// The queue's name for it, for logs.
    pub id: QueueId,
    /// The reverse path.
    pub from: Option<Address>,
    /// The domain that all recipients share.
    pub domain: String,
    /// The recipients.
    pub recipients: Vec<OutgoingRecipient>,
    /// The message, ready for the wire but for dot-stuffing.
    pub message: Arc<Vec<u8>>,
    /// ENVID.
    pub envelope_id: Option<String>,
    /// RET.
    pub dsn_return: Option<DsnReturn>,
    /// Whether a header field needs SMTPUTF8; addresses speak for themselves.
    pub utf8: bool,
}

/// How a delivery ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The next server has it.
    Delivered {
        /// Which one: its name.
        host: String,
        /// Its reply.
        reply: String,
        /// Whether the connection was protected.
        tls: bool,
        /// Whether it promised the reports that RFC 3461 asks for.
        dsn: bool,
    },
    /// Not now.
    Deferred(Failure),
    /// Never.
    Failed(Failure),
    /// Never as it is: it has 8-bit text, which no server of the domain takes (RFC 6152 §3).
    EightBit(Failure),
}

/// Why a recipient was not reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The server that said so, if one did.
    pub host: Option<String>,
    /// The enhanced status code (RFC 3463): the server's, or ours.
    pub status: String,
    /// The server's reply or our sentence: one line, printable.
    pub text: String,
}

/// Delivers consignments. Implemented by the part that speaks SMTP to others.
pub trait Transmit: Send + Sync {
    /// Tries once. One [`Outcome`] for each recipient, in their order.
    fn transmit(&self, consignment: Consignment) -> BoxFuture<'_, Vec<Outcome>>;
}
