//! Mail from users: whose name it may bear, what leaves, and what becomes of it when one half of
//! its way fails.

use std::collections::BTreeMap;

use super::*;
use crate::mail::ProvedFields;
use crate::relay::outgoing::{
    Enqueue, EnqueueError, Outgoing, Prepare, Prepared, QueueId, Refusal,
};
use crate::relay::{Outbound, Rates};
use crate::seams::SenderProof;

/// A queue that keeps what it is given, and says what it is told to.
#[derive(Default)]
pub(super) struct Queue {
    hidden: Mutex<BTreeMap<QueueId, Outgoing>>,
    released: Mutex<Vec<Outgoing>>,
    withdrawn: Mutex<u32>,
    fails: Mutex<Option<EnqueueError>>,
    refuses: Mutex<Vec<Refusal>>,
}

impl Enqueue for Queue {
    fn accept(&self, message: Outgoing) -> BoxFuture<'_, Result<QueueId, EnqueueError>> {
        Box::pin(async move {
            if let Some(error) = *self.fails.lock().unwrap() {
                return Err(error);
            }
            let id = QueueId(self.released.lock().unwrap().len() as u64 + 1);
            self.hidden.lock().unwrap().insert(id, message);
            Ok(id)
        })
    }

    fn release(&self, id: QueueId) {
        let message = self.hidden.lock().unwrap().remove(&id).expect("it was accepted");
        self.released.lock().unwrap().push(message);
    }

    fn withdraw(&self, id: QueueId) -> BoxFuture<'_, ()> {
        self.hidden.lock().unwrap().remove(&id).expect("it was accepted");
        *self.withdrawn.lock().unwrap() += 1;
        Box::pin(async {})
    }

    fn abandon(&self, id: QueueId) {
        drop(self.withdraw(id));
    }
}

impl Prepare for Queue {
    fn prepare<'a>(&'a self, _: &'a Outgoing, _: &'a [usize]) -> BoxFuture<'a, Vec<Prepared>> {
        unreachable!("submission asks for refusals alone")
    }

    fn refusals<'a>(&'a self, _: &'a Outgoing) -> BoxFuture<'a, Vec<Refusal>> {
        Box::pin(async { self.refuses.lock().unwrap().clone() })
    }
}

impl Queue {
    /// The one message that was released.
    fn only(&self) -> Outgoing {
        assert!(self.hidden.lock().unwrap().is_empty());
        let released = self.released.lock().unwrap();
        assert_eq!(released.len(), 1);
        released[0].clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hidden.lock().unwrap().is_empty() && self.released.lock().unwrap().is_empty()
    }
}

const MORE_ALIASES: &str = "chief: alice\nboth: alice, bob\nchain: chief\nothers: bob\n\
    alice+shared: bob\ngone: nobody\nstuffed: full\n";

fn sending_with(change: impl FnOnce(&mut Options)) -> (Site, Arc<Queue>) {
    let mut options = options();
    let domains = options.local_domains.clone();
    options.aliases = Aliases::parse(MORE_ALIASES, &domains).unwrap();
    change(&mut options);
    let queue = Arc::new(Queue::default());
    let outbound = Outbound { enqueue: queue.clone(), prepare: queue.clone() };
    (site_in(options, Some(outbound)), queue)
}

pub(super) fn sending() -> (Site, Arc<Queue>) {
    sending_with(|_| {})
}

/// A session of alice's.
async fn alice(site: &Site) -> Client {
    let mut client = site.connect_to(ListenerKind::Submissions);
    client.send("HELLO\n").await;
    assert!(client.line().await.starts_with("220 "));
    client.ask("EHLO laptop.internal", "250").await;
    client.ask("AUTH PLAIN AGFsaWNlAHNlY3JldA==", "235").await;
    client
}

/// Sends `content` from alice to `recipients`.
async fn send(site: &Site, recipients: &[&str], content: &str, expected: &str) {
    let mut client = alice(site).await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    for recipient in recipients {
        client.ask(&format!("RCPT TO:<{recipient}>"), "250").await;
    }
    client.message(content, expected).await;
}

const CONTENT: &str = "From: Alice <alice@ours.example>\r\n\
    Date: Fri, 21 Nov 1997 09:55:06 -0600\r\nMessage-ID: <1@laptop>\r\nUser-Agent: x\r\n\
    Bcc: secret@else.example\r\nSubject: s\r\n\r\nhello";

const SENT: &str = "From: Alice <alice@ours.example>\r\nDate: Fri, 21 Nov 1997 15:55:06 +0000\r\n\
    Message-ID: <1@laptop>\r\nSubject: s\r\n\r\nhello\r\n";

#[tokio::test(start_paused = true)]
async fn a_message_for_elsewhere_goes_to_the_queue() {
    let (site, queue) = sending();
    let mut client = alice(&site).await;
    client.ask("MAIL FROM:<alice@ours.example> RET=HDRS ENVID=e1", "250").await;
    client.ask("RCPT TO:<x@Else.example> NOTIFY=DELAY ORCPT=rfc822;x@y", "250").await;
    client.ask("RCPT TO:<x@else.example>", "250").await;
    client.message(CONTENT, "250 2.0.0").await;
    let sent = queue.only();
    assert_eq!(sent.from.as_ref().unwrap().to_string(), "alice@ours.example");
    assert_eq!(
        (sent.owner.map(|owner| owner.account), sent.accepted),
        (Some(AccountNumber(1)), UnixTime(880_127_706))
    );
    assert_eq!(sent.envelope_id.as_deref(), Some("e1"));
    assert_eq!(sent.dsn_return, Some(crate::smtp::DsnReturn::Headers));
    assert_eq!(sent.recipients.len(), 1);
    assert_eq!(sent.recipients[0].address.to_string(), "x@else.example");
    assert_eq!(sent.recipients[0].original.as_deref(), Some("rfc822;x@y"));
    assert!(sent.recipients[0].notify.unwrap().delay);
    let text = String::from_utf8(sent.message.to_vec()).unwrap();
    let trace = text.strip_suffix(SENT).unwrap();
    assert!(trace.starts_with("Received: by mx.ours.example with ESMTPSA (TLSv1.3 TEST)\r\n\tid "));
    for told in ["laptop.internal", "192.0.2.7", "Return-Path", "for <"] {
        assert!(!trace.contains(told), "{trace}");
    }
    assert!(site.stored().is_empty());
    assert!(site.logged("smtp.message-queued") && site.logged("smtp.message-accepted"));
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn a_mixed_message_goes_both_ways_or_not_at_all() {
    let (site, queue) = sending();
    let both = ["bob@ours.example", "x@else.example"];
    *site.mailbox.fails.lock().unwrap() = Some(DeliverError::Full);
    send(&site, &both, CONTENT, "452 4.3.1").await;
    assert!(queue.is_empty());
    assert_eq!(*queue.withdrawn.lock().unwrap(), 1);
    *site.mailbox.fails.lock().unwrap() = None;
    for (error, expected) in
        [(EnqueueError::Full, "452 4.3.1"), (EnqueueError::TryLater, "451 4.3.0")]
    {
        *queue.fails.lock().unwrap() = Some(error);
        send(&site, &both, CONTENT, expected).await;
        send(&site, &both[1..], CONTENT, expected).await;
    }
    assert!(site.stored().is_empty() && queue.is_empty());
    *queue.fails.lock().unwrap() = None;
    send(&site, &both, CONTENT, "250").await;
    let stored = site.stored().remove(0);
    assert!(stored.sender.proved.author());
    assert_eq!(stored.recipients[0].account, AccountNumber(2));
    let (here, there) = (stored.message, queue.only().message);
    assert_eq!(here.strip_prefix(b"Return-Path: <alice@ours.example>\r\n"), Some(&there[..]));
    assert_eq!(queue.only().recipients[0].address.to_string(), "x@else.example");
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn the_hidden_half_is_released_only_when_the_other_is_stored() {
    let (site, queue) = sending();
    let watched = queue.clone();
    *site.mailbox.before.lock().unwrap() = Some(Box::new(move || {
        assert_eq!(watched.hidden.lock().unwrap().len(), 1);
        assert!(watched.released.lock().unwrap().is_empty());
    }));
    send(&site, &["bob@ours.example", "x@else.example"], CONTENT, "250").await;
    assert_eq!(site.stored().len(), 1);
    queue.only();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_dropped_leaves_nothing_hidden() {
    let (site, queue) = sending();
    *site.mailbox.stuck.lock().unwrap() = true;
    let mut client = alice(&site).await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    client.ask("RCPT TO:<bob@ours.example>", "250").await;
    client.ask("RCPT TO:<x@else.example>", "250").await;
    client.ask("DATA", "354").await;
    client.send(&format!("{CONTENT}\r\n.\r\n")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(queue.hidden.lock().unwrap().len(), 1);
    client.served.abort();
    assert!(client.served.await.unwrap_err().is_cancelled());
    assert!(queue.is_empty());
    assert_eq!(*queue.withdrawn.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_would_never_be_sent_to_refuses_the_whole_message() {
    let (site, queue) = sending();
    let both = ["bob@ours.example", "x@else.example", "y@else.example"];
    for (status, expected) in [
        ("5.7.10", "523 5.7.10 <y@else.example>: no key was found"),
        ("5.7.1", "550 5.7.1 <y@else.example>: no key was found"),
    ] {
        let why = "no key was found".into();
        *queue.refuses.lock().unwrap() = vec![Refusal { recipient: 1, status, why }];
        send(&site, &both, CONTENT, expected).await;
        assert!(queue.is_empty() && site.stored().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_blind_copy_that_would_become_text_refuses_the_message() {
    let (site, queue) = sending();
    let both = ["bob@ours.example", "x@else.example"];
    let odd = "From: alice@ours.example\r\nthis line has no colon\r\nBcc: hidden@else.example\r\n";
    let refused = "550 5.6.0 Line 2 is no header field, and a Bcc field stands below it";
    send(&site, &both, &format!("{odd}\r\nhello"), refused).await;
    assert!(queue.is_empty() && site.stored().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_user_writes_under_his_own_names_alone() {
    let (site, queue) = sending();
    for (name, own) in [
        ("<>", true),
        ("<alice@ours.example>", true),
        ("<ALICE@Ours.Example>", true),
        ("<\"alice\"@ours.example>", true),
        ("<alice+lists@ours.example>", true),
        ("<chief@ours.example>", true),
        ("<chief+x@also.example>", true),
        ("<chain@ours.example>", true),
        ("<both@ours.example>", false),
        ("<others@ours.example>", false),
        ("<bob@ours.example>", false),
        ("<bob+alice@ours.example>", false),
        ("<alice+shared@ours.example>", false),
        ("<alice+club@ours.example>", false),
        ("<gone@ours.example>", false),
        ("<nobody@ours.example>", false),
        ("<postmaster@ours.example>", false),
        ("<alice@else.example>", false),
        ("<alice%ours.example@else.example>", false),
        ("<\"alice@ours.example\"@ours.example>", false),
        ("<al\u{456}ce@ours.example>", false),
    ] {
        let mut client = alice(&site).await;
        let expected = if own { "250" } else { "553 5." };
        client.ask(&format!("MAIL FROM:{name}"), expected).await;
        if name == "<>" || !name.is_ascii() {
            continue;
        }
        for field in ["From", "Sender"] {
            let mut content = format!("{field}: X {name}\r\n\r\nx");
            if field == "Sender" {
                content.insert_str(0, "From: alice@ours.example\r\n");
            }
            let expected = if own { "250" } else { "550 5.7.1 " };
            send(&site, &["x@else.example"], &content, expected).await;
        }
    }
    send_as(&site, "<stuffed@ours.example>", "451 4.3.0").await;
    assert_eq!(queue.released.lock().unwrap().len(), 2 * 7);
    assert!(site.logged("smtp.sender-refused"));
}

async fn send_as(site: &Site, sender: &str, expected: &str) {
    let mut client = alice(site).await;
    client.ask(&format!("MAIL FROM:{sender}"), expected).await;
}

#[tokio::test(start_paused = true)]
async fn headers_that_claim_more_than_is_proved_are_refused() {
    let (site, queue) = sending();
    for (header, expected) in [
        ("From: ceo@bank.example", "550 5.7.1 From has <ceo@bank.example>"),
        ("From: alice@ours.example\r\nfrom: ceo@bank.example", "550 5.6.0 The message has more"),
        ("From: alice@ours.example, ceo@bank.example", "550 5.6.0 From has several"),
        (
            "From: alice@ours.example, bob@ours.example\r\nSender: alice@ours.example",
            "550 5.7.1 From has <bob@ours.example>",
        ),
        (
            "From: x@bank.example, y@bank.example\r\nSender: alice@ours.example",
            "550 5.7.1 From has <x@bank.example>",
        ),
        (
            "From: ceo@bank.example, alice@ours.example\r\nSender: alice@ours.example",
            "550 5.7.1 From has <ceo@bank.example>",
        ),
        ("From: alice@ours.example\r\nSender: bob@ours.example", "550 5.7.1 Sender has"),
        (
            "From: alice@ours.example\r\nResent-From: alice@ours.example, bob@ours.example",
            "550 5.7.1 A Resent field has <bob@ours.example>",
        ),
        (
            "Resent-Sender: x@bank.example\r\nResent-Sender : bob@ours.example",
            "550 5.7.1 A Resent field has <bob@ours.example>",
        ),
        ("Resent-From: bob@ours.example;", "550 5.6.0 The Resent-From field"),
        ("From: ceo@bank.example <alice@ours.example>", "550 5.6.0 The From field"),
        ("From: undisclosed:;", "550 5.6.0"),
        ("Subject: a\r\nSubject: b", "550 5.6.0 The message has more than one Subject field"),
    ] {
        for recipient in ["bob@ours.example", "x@else.example"] {
            send(&site, &[recipient], &format!("{header}\r\n\r\nx"), expected).await;
        }
    }
    assert!(queue.is_empty() && site.stored().is_empty());
    // Several authors, all of them the user: taken, but there is no one author who is proved.
    let several =
        "From: alice@ours.example, chief@ours.example\r\nSender: alice@ours.example\r\n\r\nx";
    send(&site, &["bob@ours.example"], several, "250").await;
    assert!(!site.stored()[0].sender.proved.author());
    // Others may have sent on elsewhere what he sends on now.
    let resent = "From: alice@ours.example\r\nResent-From: alice@ours.example\r\n\
                  Resent-From: x@else.example\r\n\r\nx";
    send(&site, &["bob@ours.example"], resent, "250").await;
    assert!(site.stored()[1].sender.proved.author());
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_added_and_names_no_machine() {
    let (site, queue) = sending();
    send(&site, &["x@else.example"], "Subject: s\r\n\r\nhello", "250").await;
    let message = queue.only().message;
    let fields: Vec<_> = crate::mail::header::fields(&message).collect();
    let names: Vec<_> = fields.iter().map(|f| std::str::from_utf8(f.name).unwrap()).collect();
    assert_eq!(names, ["Received", "Date", "From", "Message-ID", "Subject"]);
    assert_eq!(fields[1].body, b" Fri, 21 Nov 1997 15:55:06 +0000");
    assert_eq!(fields[2].body, b" <alice@ours.example>");
    let id = std::str::from_utf8(fields[3].body).unwrap();
    assert!(id.starts_with(" <") && id.ends_with("@ours.example>") && id.len() == 48, "{id}");
    assert!(message.ends_with(b"\r\n\r\nhello\r\n"));
}

#[tokio::test(start_paused = true)]
async fn only_users_reach_others_and_only_by_naming_them() {
    let (site, queue) = sending_with(|options| {
        options.aliases = Aliases::read("away: x@else.example\n", &options.local_domains).unwrap();
    });
    let mut client = site.connect().await;
    for sender in ["<>", "<alice@ours.example>", "<x@else.example>"] {
        client.ask(&format!("MAIL FROM:{sender}"), "250").await;
        client.ask("RCPT TO:<x@else.example>", "550 5.7.1").await;
        client.ask("RCPT TO:<away@ours.example>", "550 5.1.1").await;
        client.ask("RSET", "250").await;
    }
    let mut client = alice(&site).await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    for (recipient, expected) in [
        ("away@ours.example", "550 5.1.1"),
        ("x@[192.0.2.1]", "550 5.1.2"),
        ("x@[IPv6:::1]", "550 5.1.2"),
        ("nobody@ours.example", "550 5.1.1"),
        ("full@ours.example", "452 4.2.2"),
        ("postmaster@else.example", "250"),
    ] {
        client.ask(&format!("RCPT TO:<{recipient}>"), expected).await;
    }
    drop(client);
    // Without the way out all is as on port 25.
    let site = super::site();
    let mut client = alice(&site).await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    client.ask("RCPT TO:<x@else.example>", "550 5.7.1 relaying is not offered").await;
    assert!(queue.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_user_sends_no_more_than_his_share() {
    let (site, queue) = sending_with(|options| {
        options.submission.rates =
            Rates { messages_per_hour: 2, recipients_per_day: 4, ..Rates::default() };
    });
    // What is not taken is not counted.
    send(&site, &["x@else.example"], "From: bob@ours.example\r\n\r\n", "550").await;
    *queue.fails.lock().unwrap() = Some(EnqueueError::Full);
    send(&site, &["x@else.example", "y@else.example"], CONTENT, "452 4.3.1").await;
    *queue.fails.lock().unwrap() = None;
    // Sessions side by side share one count.
    let mut early = alice(&site).await;
    early.ask("MAIL FROM:<alice@ours.example>", "250").await;
    early.ask("RCPT TO:<x@else.example>", "250").await;
    send(&site, &["x@else.example"], CONTENT, "250").await;
    send(&site, &["x@else.example", "bob@ours.example"], CONTENT, "250").await;
    early.message(CONTENT, "451 4.7.1").await;
    send_as(&site, "<alice@ours.example>", "451 4.7.1").await;
    assert!(site.logged("smtp.rate-reached"));
    site.clock.advance(Duration::from_secs(3600));
    let mut client = alice(&site).await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    client.ask("RCPT TO:<x@else.example>", "250").await;
    client.ask("RCPT TO:<y@else.example>", "452 4.7.1").await;
    client.message(CONTENT, "250").await;
    site.clock.advance(Duration::from_secs(23 * 3600));
    send(&site, &["x@else.example"], CONTENT, "250").await;
    assert_eq!(queue.released.lock().unwrap().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn both_halves_of_a_message_are_within_the_budget() {
    let (site, queue) = sending_with(|options| options.limits.message_bytes_max = 800_000);
    let body = "x".repeat(700).repeat(1000);
    let content = format!("From: alice@ours.example\r\n\r\n{body}");
    send(&site, &["bob@ours.example", "x@else.example"], &content, "452 4.3.1").await;
    assert!(queue.is_empty() && site.stored().is_empty());
    send(&site, &["x@else.example"], &content, "250").await;
    assert_eq!(site.budget.free_bytes(), 1024 * 1024);
}

#[tokio::test(start_paused = true)]
async fn pieces_and_utf8_go_the_same_way() {
    let (site, queue) = sending();
    let mut client = alice(&site).await;
    client.ask("MAIL FROM:<alice@ours.example> SMTPUTF8", "250").await;
    client.ask("RCPT TO:<j\u{fc}rgen@b\u{fc}cher.example>", "250").await;
    client.send("BDAT 29\r\nFrom: alice@ours.example\r\n\r\nh").await;
    assert!(client.reply().await.starts_with("250 2.0.0 The piece"));
    client.send("BDAT 4 LAST\r\nello").await;
    assert!(client.reply().await.starts_with("250 2.0.0 Message accepted"));
    let sent = queue.only();
    assert!(sent.utf8);
    let to = sent.recipients[0].address.to_string();
    assert_eq!(to, "j\u{fc}rgen@xn--bcher-kva.example");
    let text = String::from_utf8(sent.message.to_vec()).unwrap();
    assert!(text.starts_with("Received: by mx.ours.example with UTF8SMTPSA "), "{text}");
    assert!(text.ends_with("\r\n\r\nhello\r\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_report_of_success_comes_to_the_user_who_asked_for_it() {
    let (site, _) = sending();
    let ask = async |sender: &str, notify: &str| {
        let mut client = alice(&site).await;
        client.ask(&format!("MAIL FROM:<{sender}> ENVID=e+2B1 RET=FULL"), "250").await;
        client.ask(&format!("RCPT TO:<bob+x@ours.example>{notify} ORCPT=rfc822;b@y"), "250").await;
        client.ask("RCPT TO:<x@else.example> NOTIFY=SUCCESS", "250").await;
        client.ask("RCPT TO:<others@ours.example> NOTIFY=FAILURE", "250").await;
        client.message(CONTENT, "250").await;
    };
    for (sender, notify) in [
        ("alice@ours.example", ""),
        ("alice@ours.example", " NOTIFY=NEVER"),
        ("alice@ours.example", " NOTIFY=FAILURE,DELAY"),
        ("", " NOTIFY=SUCCESS"),
    ] {
        ask(sender, notify).await;
    }
    assert_eq!(site.stored().len(), 4);
    ask("alice+x@ours.example", " NOTIFY=SUCCESS,FAILURE").await;
    let stored = site.stored();
    assert_eq!(stored.len(), 6);
    let report = &stored[5];
    assert_eq!((report.from.as_ref(), report.recipients[0].account), (None, AccountNumber(1)));
    let text = String::from_utf8(report.message.clone()).unwrap();
    for line in [
        "Return-Path: <>\r\n",
        "\r\nTo: <alice+x@ours.example>\r\n",
        "\r\nOriginal-Envelope-Id: e+1\r\n",
        "\r\nOriginal-Recipient: rfc822; b@y\r\nFinal-Recipient: rfc822; bob+x@ours.example\r\n\
         Action: delivered\r\nStatus: 2.1.5\r\n",
        "\r\nSubject: s\r\n",
    ] {
        assert!(text.contains(line), "{line} {text}");
    }
    for other in ["else.example", "others@", "hello"] {
        assert!(!text.contains(other), "{other} {text}");
    }
    // What is not stored is not reported.
    *site.mailbox.fails.lock().unwrap() = Some(DeliverError::Full);
    let mut client = alice(&site).await;
    client.ask("MAIL FROM:<alice@ours.example>", "250").await;
    client.ask("RCPT TO:<bob@ours.example> NOTIFY=SUCCESS", "250").await;
    client.message(CONTENT, "452").await;
    assert_eq!(site.stored().len(), 6);
}

const SEALED: &str = "Message-ID: <7@b.example>\r\nContent-Type: multipart/encrypted; \
    protocol=\"application/pgp-encrypted\"; boundary=b\r\n\r\n--b\r\n\
    Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\
    Content-Type: application/octet-stream\r\n\r\nx\r\n--b--";

#[tokio::test(start_paused = true)]
async fn sealed_mail_is_remembered_once_it_is_stored() {
    let (site, _) = sending();
    let remembered = || site.keys.0.lock().unwrap().clone();
    let from_outside = format!("From: a@b.example\r\n{SEALED}");
    for (fails, expected) in [(Some(DeliverError::TryLater), "451"), (None, "250")] {
        assert_eq!(remembered(), [""; 0]);
        *site.mailbox.fails.lock().unwrap() = fails;
        let mut client = site.connect().await;
        client.begin(&["bob@ours.example"]).await;
        client.message(&from_outside, expected).await;
    }
    assert_eq!(remembered(), ["<7@b.example>"]);
    let sender = site.stored().remove(0).sender;
    assert_eq!(
        sender,
        SenderProof { proved: ProvedFields::NONE, certificate: Some(KNOWN.to_vec()) }
    );
    // What one user's program sealed to another is guarded as well.
    let from_alice = format!("From: alice@ours.example\r\n{SEALED}").replace("<7@", "<8@");
    send(&site, &["bob@ours.example"], &from_alice, "250").await;
    assert_eq!(remembered()[1..], ["<8@b.example>"]);
    let mut client = site.connect().await;
    client.begin(&["bob@ours.example"]).await;
    client.message("From: a@b.example\r\nMessage-ID: <9@b.example>\r\n\r\nx", "250").await;
    assert_eq!(remembered().len(), 2);
    assert_eq!(site.stored()[2].sender, SenderProof::default());
}
