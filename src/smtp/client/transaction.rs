//! One mail transaction: the commands in their order, pipelined where that is offered, and what
//! the replies mean for each recipient (RFC 5321 §3.3, RFC 2920 §3.1).

use std::sync::Arc;

use super::envelope::{Envelope, Lack};
use super::limits::GROUP_RECIPIENTS_MAX;
use super::reply::Reply;
use super::session::{Awaited, Broken, Client, Event, State};

/// How a transaction ended for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The server has the message for it.
    Accepted(Reply),
    /// The server said no: not now (4xx), or never (5xx).
    Refused(Reply),
    /// The server takes no more recipients in this transaction (RFC 5321 §4.5.3.1.10).
    Crowded(Reply),
    /// The server cannot take such a message; nothing was sent.
    Lacking(Lack),
    /// Its turn did not come in this transaction: it was not named to the server.
    Unnamed,
    /// The session broke before the whole message was sent: the server does not have it.
    Broken(Broken),
    /// The session broke behind the message's end: the server may have it.
    Unknown(Broken),
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Transaction {
    envelope: Arc<Envelope>,
    /// What is said next.
    step: Step,
    /// `None` while undecided.
    verdicts: Vec<Option<Verdict>>,
    mail_accepted: bool,
    /// Whether a recipient was accepted.
    rcpt_accepted: bool,
    sending: Option<Sending>,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Mail,
    Rcpt(usize),
    Data,
    Nothing,
}

/// How far a message has been written.
#[derive(Clone, Copy, Debug, Default)]
struct Sending {
    /// Nobody is to get it: only its end is sent.
    empty: bool,
    body_sent: usize,
    end_sent: usize,
}

/// Ends a message that nobody is to get.
const EMPTY_END: &[u8] = b".\r\n";

impl Transaction {
    pub fn new(envelope: Arc<Envelope>) -> Transaction {
        Transaction {
            verdicts: vec![None; envelope.recipients.len()],
            envelope,
            step: Step::Mail,
            mail_accepted: false,
            rcpt_accepted: false,
            sending: None,
            ended: false,
        }
    }

    /// What of the message is still to be written: body and end.
    pub fn output(&self) -> [&[u8]; 2] {
        let Some(sending) = &self.sending else { return [&[]; 2] };
        let content = &self.envelope.content;
        if sending.empty {
            return [&[], &EMPTY_END[sending.end_sent..]];
        }
        [&content.wire()[sending.body_sent..], &content.end()[sending.end_sent..]]
    }

    pub fn wrote(&mut self, count: usize) {
        let [body, end] = self.output().map(<[u8]>::len);
        if let Some(sending) = &mut self.sending {
            let of_body = count.min(body);
            sending.body_sent += of_body;
            sending.end_sent += (count - of_body).min(end);
        }
    }

    /// Whether something of the message is still to be written.
    pub fn is_sending(&self) -> bool {
        self.output().iter().any(|piece| !piece.is_empty())
    }

    /// Whether the whole message was written, so that the server may have it.
    fn is_sent(&self) -> bool {
        self.sending.is_some_and(|sending| !sending.empty) && !self.is_sending()
    }

    /// Names nobody more, once somebody was named.
    fn cut_short(&mut self) {
        if let Step::Rcpt(next @ 1..) = self.step {
            self.step = Step::Data;
            for place in self.verdicts.iter_mut().skip(next) {
                place.get_or_insert(Verdict::Unnamed);
            }
        }
    }

    /// Whether somebody may still get the message.
    fn is_live(&self) -> bool {
        self.verdicts.iter().any(Option::is_none)
    }

    fn decide_rest(&mut self, verdict: impl Fn() -> Verdict) {
        for place in self.verdicts.iter_mut().filter(|place| place.is_none()) {
            *place = Some(verdict());
        }
    }

    /// A bare 552 behind others who were accepted says "too many", as 452 should have; to the first
    /// one it speaks of his mailbox.
    fn refuse_recipient(&mut self, index: usize, reply: Reply) {
        let is_bare = reply.code == 552 && reply.said.is_none();
        let is_crowded = reply.is_too_many() || is_bare;
        if let Some(place) = self.verdicts.get_mut(index) {
            place.get_or_insert(match is_crowded && self.rcpt_accepted {
                true => Verdict::Crowded(reply),
                false => Verdict::Refused(reply),
            });
        }
    }

    pub fn refuse_rest(&mut self, reply: &Reply) {
        self.decide_rest(|| Verdict::Refused(reply.clone()));
    }

    /// The session is broken: what is undecided is lost, or not known.
    pub fn break_off(mut self, why: &Broken) -> Vec<Verdict> {
        let verdict = if self.is_sent() { Verdict::Unknown } else { Verdict::Broken };
        self.decide_rest(|| verdict(why.clone()));
        self.verdicts.into_iter().flatten().collect()
    }
}

impl Client {
    pub(super) fn begin_transaction(&mut self) {
        if std::mem::take(&mut self.needs_reset) {
            self.outbox.extend_from_slice(b"RSET\r\n");
            self.pending.push_back(Awaited::Reset);
        }
        if self.extensions.pipelining || self.pending.is_empty() {
            self.say_next();
        }
    }

    /// Names no recipient more: whoever was accepted gets the message, whoever was not named is
    /// left for another time.
    pub fn cut_short(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.cut_short();
        }
    }

    /// Says the next command, or where they may be sent together all up to the next place at which
    /// the transaction can be cut short.
    fn say_next(&mut self) {
        let Some(transaction) = &mut self.transaction else { return };
        let envelope = &transaction.envelope;
        let mut named = 0;
        loop {
            if named == GROUP_RECIPIENTS_MAX && matches!(transaction.step, Step::Rcpt(_)) {
                return;
            }
            let awaited = match transaction.step {
                Step::Mail => {
                    envelope.write_mail(&self.extensions, &mut self.outbox);
                    transaction.step = Step::Rcpt(0);
                    Awaited::Mail
                }
                Step::Rcpt(index) => {
                    envelope.write_rcpt(index, &self.extensions, &mut self.outbox);
                    let is_last = index + 1 >= envelope.recipients.len();
                    transaction.step = if is_last { Step::Data } else { Step::Rcpt(index + 1) };
                    named += 1;
                    Awaited::Rcpt(index)
                }
                Step::Data => {
                    self.outbox.extend_from_slice(b"DATA\r\n");
                    transaction.step = Step::Nothing;
                    Awaited::Data
                }
                Step::Nothing => return,
            };
            self.pending.push_back(awaited);
            if !self.extensions.pipelining {
                return;
            }
        }
    }

    pub(super) fn take_in_transaction(&mut self, awaited: Awaited, reply: Reply) {
        let Some(transaction) = &mut self.transaction else {
            return self.give_up(Broken::OutOfPlace(reply));
        };
        let refused = reply.code >= 400;
        let fits = match awaited {
            Awaited::Data => refused || reply.code == 354,
            Awaited::Reset => reply.is_positive(),
            _ => refused || reply.is_positive(),
        };
        if !fits {
            return self.give_up(Broken::OutOfPlace(reply));
        }
        match awaited {
            Awaited::Mail if refused => transaction.refuse_rest(&reply),
            Awaited::Mail => transaction.mail_accepted = true,
            Awaited::Rcpt(index) if refused => transaction.refuse_recipient(index, reply),
            Awaited::Rcpt(_) => transaction.rcpt_accepted = true,
            Awaited::Data if refused => transaction.refuse_rest(&reply),
            // RFC 2920 §3.1: a server may ask for a message that nobody is to get.
            Awaited::Data => {
                let empty = !transaction.is_live();
                transaction.sending = Some(Sending { empty, ..Sending::default() });
                self.pending.push_back(Awaited::End);
            }
            Awaited::End => return self.take_end(reply),
            _ => {}
        }
        self.go_on();
    }

    fn take_end(&mut self, reply: Reply) {
        let Some(transaction) = &mut self.transaction else { return };
        let early = transaction.is_sending();
        if reply.code >= 400 {
            transaction.refuse_rest(&reply);
        } else if !early {
            transaction.decide_rest(|| Verdict::Accepted(reply.clone()));
        }
        // Behind an answer that came ahead of the message's end nothing can be told apart.
        if early {
            return self.give_up(Broken::OutOfPlace(reply));
        }
        transaction.ended = true;
        self.go_on();
    }

    /// Says what comes next, if it is its turn; ends the transaction if nothing comes.
    fn go_on(&mut self) {
        let Some(transaction) = &self.transaction else { return };
        if !self.pending.is_empty() {
            return;
        }
        if transaction.step == Step::Nothing || !transaction.is_live() {
            return self.finish();
        }
        if self.reader.has_unread() {
            return self.give_up(Broken::Unsolicited);
        }
        self.say_next();
    }

    fn finish(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        self.needs_reset = transaction.mail_accepted && !transaction.ended;
        self.state = State::Ready;
        self.event = Some(Event::Done(transaction.verdicts.into_iter().flatten().collect()));
    }

    /// Ends a transaction before anything of it was said.
    pub(super) fn end_transaction(&mut self, verdict: impl Fn() -> Verdict) {
        if let Some(mut transaction) = self.transaction.take() {
            transaction.decide_rest(verdict);
            self.event = Some(Event::Done(transaction.verdicts.into_iter().flatten().collect()));
        }
    }
}
