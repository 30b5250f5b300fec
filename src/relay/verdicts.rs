//! Who wrote a message that came from another server: asks for the verdicts, writes them in front,
//! and says where the message belongs.
//!
//! Verdicts are made on the original octets. Fields that claim to be ours are taken out whether or
//! not verdicts are wanted (RFC 8601 §5): whoever reads the mail believes the ones that bear our
//! name.
//!
//! Of sealed mail the id outside is remembered. Where the sender protected another one inside, the
//! opened view names this one as well, so that an answer does.

use std::net::IpAddr;
use std::time::Duration;

use super::events::RelayEvent;
use super::options::World;
use crate::base::ids::AccountNumber;
use crate::discovery::Circle;
use crate::mail::{ProvedFields, header, message_id, remove_forged};
use crate::mailauth::{self, DkimResult, Envelope, Policy, Verdicts};
use crate::pgp::already_sealed;
use crate::seams::{Role, SenderProof};

/// How long verdicts are waited for. A client waits ten minutes for the answer to its message
/// (RFC 5321 §4.5.3.2.6), and many give up far earlier.
const VERDICTS_TIME_MAX: Duration = Duration::from_secs(5);

/// Ids in one field that are remembered; an honest one has one.
const IDS_MAX: usize = 4;
/// How text begins that a program has sealed by itself (RFC 9580 §6.2).
const ARMOR: &[u8] = b"-----BEGIN PGP MESSAGE-----";

/// What is done with the verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Whether verdicts are made.
    pub authenticate: bool,
    /// Whether mail that fails DMARC, with a policy that asks for more than nothing, is junk.
    pub junk: bool,
}

impl Default for Incoming {
    fn default() -> Self {
        Incoming { authenticate: true, junk: true }
    }
}

/// What became of the verdicts.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub role: Role,
    pub sender: SenderProof,
    /// What is to be remembered once the message is stored.
    pub sealed: Sealed,
}

/// A message as it came: whether its writer sealed it.
#[derive(Debug, Default)]
pub(super) struct Sealed {
    /// Its ids, if it is sealed: answers to them are not sent in the clear unasked.
    ids: Vec<String>,
}

/// Looks whether `message` is sealed, and gives what is known of its author's certificate: by that
/// it is decided at the fold whether it is shown opened. What is no whole PGP/MIME loses it there.
pub(super) fn look(world: &World, message: &[u8]) -> (Sealed, Option<Vec<u8>>) {
    let Some(keys) = world.keys.as_ref().filter(|_| is_sealed(message)) else {
        return (Sealed::default(), None);
    };
    let block = &message[..header_bytes(message)];
    let author = mailauth::only_author(block);
    let mut named = header::fields(block).filter(|field| field.is("Message-ID"));
    // Of several fields some programs know a message by the first, and the opened view by the last.
    let ends = [named.next(), named.last()].into_iter().flatten();
    let ids =
        ends.flat_map(|field| message_id::named(field.body).take(IDS_MAX).collect::<Vec<_>>());
    (Sealed { ids: ids.collect() }, author.and_then(|author| keys.known(&author)))
}

impl Sealed {
    /// The message is stored in these accounts: their answers to it are to be as well guarded as it
    /// was.
    pub fn note(&self, accounts: &[AccountNumber], world: &World) {
        let Some(keys) = &world.keys else { return };
        for account in accounts {
            let circle = Circle::Account(*account);
            self.ids.iter().for_each(|id| keys.note_confidential(circle, id));
        }
    }
}

/// By what the root of a message says. Rather too often than too seldom: it makes answers wait.
fn is_sealed(message: &[u8]) -> bool {
    let (block, body) = message.split_at(header_bytes(message));
    // Of a field that stands twice the first counts, as in every reader.
    let field = header::fields(block).find(|field| field.is("Content-Type"));
    let kind = field.map_or_else(Vec::new, |field| header::unfold(field.body));
    let kind = kind.trim_ascii().to_ascii_lowercase();
    let is = |name: &str| kind.starts_with(name.as_bytes());
    match () {
        () if is("multipart/encrypted") => true,
        () if is("application/pkcs7-mime") || is("application/x-pkcs7-mime") => {
            already_sealed(message).is_some()
        }
        () if kind.is_empty() || is("text/plain") => body.trim_ascii_start().starts_with(ARMOR),
        () => false,
    }
}

/// Judges `message`, of which the first `prefix` octets are the receiver's own, and writes the
/// verdicts in front of everything.
pub(super) async fn judge(
    world: &World,
    incoming: Incoming,
    session: &str,
    envelope: Envelope<'_>,
    message: &mut Vec<u8>,
    prefix: usize,
) -> Judged {
    let check = world.check_sender.as_ref().filter(|_| incoming.authenticate);
    let original = &message[prefix..];
    let (sealed, certificate) = look(world, original);
    let Some(check) = check else {
        remove_forged(message, envelope.hostname);
        let sender = SenderProof { proved: ProvedFields::NONE, certificate };
        return Judged { role: Role::default(), sender, sealed };
    };
    let verdicts = check.check(envelope, original, VERDICTS_TIME_MAX).await;
    let author = mailauth::only_author(&original[..header_bytes(original)]);
    let role = match verdicts.policy() {
        Policy::Quarantine | Policy::Reject if incoming.junk => Role::Junk,
        _ => Role::Inbox,
    };
    remove_forged(message, envelope.hostname);
    // What is proved of the octets that came is to be true of those that are stored.
    let stored = mailauth::only_author(&message[..header_bytes(message)]);
    let author = author.filter(|author| stored.as_ref() == Some(author));
    let proved = author.map(|author| verdicts.proved(author.domain())).unwrap_or_default();
    let mut field = Vec::new();
    mailauth::write_results(&mut field, envelope.hostname, &verdicts);
    message.splice(..0, field);
    report(world, session, envelope.peer, &verdicts, proved.author(), role);
    Judged { role, sender: SenderProof { proved, certificate }, sealed }
}

fn header_bytes(message: &[u8]) -> usize {
    header::header_bytes(message)
}

fn report(
    world: &World,
    session: &str,
    peer: IpAddr,
    verdicts: &Verdicts,
    proved: bool,
    role: Role,
) {
    if *verdicts == Verdicts::default() {
        return;
    }
    let passes = verdicts.dkim.iter().any(|verdict| verdict.result == DkimResult::Pass);
    let dkim = match verdicts.dkim.first() {
        _ if passes => DkimResult::Pass.word(),
        first => first.map_or("none", |verdict| verdict.result.word()),
    };
    world.log.emit(&RelayEvent::Judged {
        session,
        peer,
        spf: verdicts.spf.as_ref().map_or("none", |verdict| verdict.result.word()),
        dkim,
        dmarc: verdicts.dmarc.as_ref().map_or("none", |verdict| verdict.result.word()),
        proved,
        junk: role == Role::Junk,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::BoxFuture;
    use crate::mailauth::{CheckSender, DkimVerdict, DmarcResult, DmarcVerdict};
    use std::sync::{Arc, Mutex};

    /// Gives the same verdicts to everybody and keeps what it was shown.
    #[derive(Default)]
    struct Judge {
        verdicts: Verdicts,
        shown: Mutex<Vec<Vec<u8>>>,
    }

    impl CheckSender for Judge {
        fn check<'a>(
            &'a self,
            _: Envelope<'a>,
            message: &'a [u8],
            _: Duration,
        ) -> BoxFuture<'a, Verdicts> {
            self.shown.lock().unwrap().push(message.to_vec());
            Box::pin(async { self.verdicts.clone() })
        }
    }

    fn failing(policy: Policy) -> Verdicts {
        let (result, domain) = (DmarcResult::Fail, "b.example".into());
        let dmarc = DmarcVerdict { result, policy, domain, strict_dkim: false };
        Verdicts { dmarc: Some(dmarc), ..Verdicts::default() }
    }

    fn passing() -> Verdicts {
        let domain = "b.example".into();
        let verdict = DkimVerdict { domain, ..DkimVerdict::unread(DkimResult::Pass) };
        Verdicts { dkim: vec![verdict], ..Verdicts::default() }
    }

    const PREFIX: &str = "Return-Path: <>\r\nReceived: by mx\r\n";
    const FORGED: &str = "Authentication-Results: mx.ours.example; dkim=pass\r\n";

    async fn judged(
        incoming: Incoming,
        verdicts: Verdicts,
        text: &str,
    ) -> (Judged, String, Vec<u8>) {
        let judge = Arc::new(Judge { verdicts, ..Judge::default() });
        let world = super::super::tests::world(Some(judge.clone()));
        let peer = "192.0.2.1".parse().unwrap();
        let envelope =
            Envelope { peer, helo: "x.example", from: None, hostname: "mx.ours.example" };
        let mut message = format!("{PREFIX}{text}").into_bytes();
        let prefix = PREFIX.len();
        let judged = super::judge(&world, incoming, "1", envelope, &mut message, prefix).await;
        let shown = judge.shown.lock().unwrap().pop().unwrap_or_default();
        (judged, String::from_utf8(message).unwrap(), shown)
    }

    #[tokio::test]
    async fn verdicts_are_made_on_the_original_and_stand_in_front() {
        let text = format!("From: a@b.example\r\n{FORGED}To: x\r\n\r\n{FORGED}");
        let (found, message, shown) = judged(Incoming::default(), passing(), &text).await;
        assert!(found.sender.proved.author() && found.role == Role::Inbox);
        assert_eq!(shown, text.as_bytes());
        let field =
            "Authentication-Results: mx.ours.example;\r\n\tdkim=pass header.d=b.example\r\n";
        let rest = format!("From: a@b.example\r\nTo: x\r\n\r\n{FORGED}");
        assert_eq!(message, format!("{field}{PREFIX}{rest}"));
    }

    #[tokio::test]
    async fn an_author_is_proved_only_where_there_is_one() {
        for (text, proved) in [
            ("From: a@b.example\r\n\r\n", true),
            ("From: a@sub.b.example\r\n\r\n", true),
            ("From: a@other.example\r\n\r\n", false),
            ("From: a@b.example\r\nFrom: a@b.example\r\n\r\n", false),
            ("From: a@b.example, c@b.example\r\n\r\n", false),
            ("Subject: x\r\n\r\nFrom: a@b.example\r\n", false),
            ("From : ceo@bank.example\r\nFrom: a@b.example\r\n\r\n", false),
            // What is taken out would join what is behind it to the header.
            ("From: a@b.example\r\nPostseal-\r\nFrom: ceo@bank.example\r\n\r\n", false),
        ] {
            let (found, ..) = judged(Incoming::default(), passing(), text).await;
            assert_eq!(found.sender.proved.author(), proved, "{text}");
        }
    }

    #[tokio::test]
    async fn what_its_domain_disowns_is_junk_or_marked() {
        let mark = Incoming { junk: false, ..Incoming::default() };
        for (incoming, policy, role) in [
            (Incoming::default(), Policy::Reject, Role::Junk),
            (Incoming::default(), Policy::Quarantine, Role::Junk),
            (Incoming::default(), Policy::None, Role::Inbox),
            (mark, Policy::Reject, Role::Inbox),
        ] {
            let text = "From: a@b.example\r\n\r\n";
            let (found, message, _) = judged(incoming, failing(policy), text).await;
            assert_eq!(found.role, role, "{policy:?}");
            assert!(message.contains("dmarc=fail") && !found.sender.proved.author());
        }
    }

    #[test]
    fn what_its_writer_sealed_is_known_by_its_root() {
        let world = super::super::tests::world(None);
        let armor = String::from_utf8_lossy(ARMOR);
        for (text, ids) in [
            ("Content-Type: multipart/encrypted; boundary=b\r\n\r\n", &["<1@b>", "<2@b>"][..]),
            ("content-type: Multipart/Encrypted\r\n\r\n", &["<1@b>", "<2@b>"]),
            (&format!("\r\n\r\n{armor}\r\n"), &["<1@b>", "<2@b>"]),
            (&format!("\r\nsee\r\n{armor}\r\n"), &[]),
            ("Content-Type: multipart/signed; boundary=b\r\n\r\n", &[]),
            ("Content-Type: application/pkcs7-mime\r\n\r\nxx", &[]),
            ("\r\nContent-Type: multipart/encrypted", &[]),
        ] {
            let message = format!("Message-ID: <1@b>\r\nMessage-ID: x <2@b>\r\n{text}");
            assert_eq!(look(&world, message.as_bytes()).0.ids, ids, "{text}");
        }
        let bare = b"Message-ID: 77@x.example\r\nContent-Type: multipart/encrypted\r\n\r\n";
        assert_eq!(look(&world, bare).0.ids, ["<77@x.example>"]);
        let many = "Message-ID: <0@b>\r\n".repeat(9);
        let sealed = format!("{many}Message-ID: <1@b>\r\nContent-Type: multipart/encrypted\r\n");
        assert_eq!(look(&world, sealed.as_bytes()).0.ids, ["<0@b>", "<1@b>"]);
    }

    #[tokio::test]
    async fn without_verdicts_forged_fields_still_go() {
        let off = Incoming { authenticate: false, ..Incoming::default() };
        let text = format!("From: a@b.example\r\n{FORGED}\r\nx");
        let (found, message, shown) = judged(off, passing(), &text).await;
        assert!(!found.sender.proved.author() && shown.is_empty());
        assert_eq!(message, format!("{PREFIX}From: a@b.example\r\n\r\nx"));
    }
}
