//! Whole messages through the preparation: keys from a table, copies opened by what they show.

use super::compose::ALONE_MAX;
use super::*;
use crate::base::clock::{ManualClock, UnixTime};
use crate::base::entropy::SeededEntropy;
use crate::base::ids::AccountNumber;
use crate::discovery::Circle;
use crate::mail::header;
use crate::pgp::{generate_identity, judge_cert};
use crate::plan::{Policy, Rule};
use crate::queue::Owner;
use crate::relay::outgoing::OutgoingRecipient;
use crate::seams::Published;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

const NOW: UnixTime = UnixTime(1_795_000_000);

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap()
}

/// Keys in a table: who is not in it has none.
#[derive(Default)]
struct Table {
    verdicts: Mutex<BTreeMap<String, Verdict>>,
    searched: Mutex<Vec<String>>,
    confidential: Mutex<BTreeSet<String>>,
    /// Whose search never ends.
    stuck: Mutex<Option<String>>,
}

impl FindKey for Table {
    fn find<'a>(&'a self, address: &'a Address, _: Duration) -> BoxFuture<'a, Verdict> {
        let name = address.to_string();
        Box::pin(async move {
            self.searched.lock().unwrap().push(name.clone());
            if self.stuck.lock().unwrap().as_ref() == Some(&name) {
                std::future::pending::<()>().await;
            }
            self.verdicts.lock().unwrap().get(&name).cloned().unwrap_or(Verdict::None)
        })
    }

    fn known(&self, _: &Address) -> Option<Vec<u8>> {
        None
    }

    fn note_confidential(&self, _: Circle, message_id: &str) {
        self.confidential.lock().unwrap().insert(message_id.to_owned());
    }

    fn is_confidential(&self, _: Option<AccountNumber>, message_id: &str) -> bool {
        self.confidential.lock().unwrap().contains(message_id)
    }
}

struct OneCertificate(Vec<u8>);

impl Publish for OneCertificate {
    fn by_hash<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Option<Published>> {
        Box::pin(std::future::ready(None))
    }

    fn by_address<'a>(&'a self, address: &'a Address) -> BoxFuture<'a, Option<Published>> {
        let published = Published { address: address.clone(), certificate: self.0.clone() };
        let ours = address.domain() == "our.example";
        Box::pin(std::future::ready(ours.then_some(published)))
    }
}

/// Writes down what it signs over.
struct Marker;

impl Sign for Marker {
    fn sign(&self, message: &[u8], from_domain: &str) -> Option<Vec<u8>> {
        let bytes = message.len();
        (from_domain == "our.example")
            .then(|| format!("DKIM-Signature: over {bytes} octets\r\n").into_bytes())
    }
}

struct World {
    preparer: Preparer,
    keys: Arc<Table>,
    clock: Arc<ManualClock>,
}

fn world(options: PrepareOptions) -> World {
    let keys = Arc::new(Table::default());
    let clock = Arc::new(ManualClock::new(NOW));
    let certificate = generate_identity("alice@our.example", NOW).unwrap().public;
    let preparer = Preparer::new(
        options,
        PrepareWorld {
            keys: keys.clone(),
            publish: Arc::new(OneCertificate(certificate)),
            sign: Arc::new(Marker),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(11)),
            log: Log::silent(),
        },
    );
    World { preparer, keys, clock }
}

fn ruled(default: Policy, rules: &[&str]) -> PrepareOptions {
    let list = rules.iter().map(|text| Rule::parse(text).unwrap()).collect();
    let rules = Rules { default, list, delimiter: Some('+'), all_or_nothing: false };
    PrepareOptions { rules, autocrypt: true }
}

impl World {
    fn has_key(&self, name: &str) {
        let pair = generate_identity(name, NOW).unwrap();
        let cert = Arc::new(judge_cert(&pair.public, &address(name), NOW).unwrap());
        self.set(name, Verdict::Key { cert, stale: false });
    }

    fn set(&self, name: &str, verdict: Verdict) {
        self.keys.verdicts.lock().unwrap().insert(name.to_owned(), verdict);
    }

    /// What is done for each recipient: `seal`, `plain`, or another action with its reason.
    async fn done(&self, message: &Outgoing) -> Vec<String> {
        let which: Vec<usize> = (0..message.recipients.len()).collect();
        let prepared = self.preparer.prepare(message, &which).await;
        let mut all: Vec<usize> = prepared.iter().flat_map(|p| p.recipients.clone()).collect();
        all.sort_unstable();
        assert_eq!(all, which, "each recipient exactly once");
        let word = |at: usize| {
            let of = prepared.iter().find(|prepared| prepared.recipients.contains(&at)).unwrap();
            match &of.action {
                Action::Send { sealed: true, .. } => "seal".to_owned(),
                Action::Send { sealed: false, .. } => "plain".to_owned(),
                Action::Hold { why } => format!("hold: {why}"),
                Action::Bounce { status, .. } => format!("bounce: {status}"),
                Action::Defer { status, .. } => format!("defer: {status}"),
            }
        };
        which.into_iter().map(word).collect()
    }

    async fn copies(&self, message: &Outgoing) -> Vec<(Vec<usize>, Arc<Vec<u8>>)> {
        let which: Vec<usize> = (0..message.recipients.len()).collect();
        let prepared = self.preparer.prepare(message, &which).await;
        let copy = |prepared: Prepared| match prepared.action {
            Action::Send { message, .. } => Some((prepared.recipients, message)),
            _ => None,
        };
        prepared.into_iter().filter_map(copy).collect()
    }
}

fn outgoing(fields: &str, recipients: &[&str]) -> Outgoing {
    let recipient =
        |name: &&str| OutgoingRecipient { address: address(name), notify: None, original: None };
    let text = format!(
        "From: Alice <alice@our.example>\r\nSubject: secret plan\r\n{fields}\r\nsecret text\r\n"
    );
    Outgoing {
        from: Some(address("alice@our.example")),
        owner: Some(Owner {
            account: AccountNumber(1),
            address: "alice@our.example".parse().unwrap(),
        }),
        recipients: recipients.iter().map(recipient).collect(),
        message: Arc::new(text.into_bytes()),
        accepted: NOW,
        envelope_id: None,
        dsn_return: None,
        utf8: false,
        permitted: Vec::new(),
        seven_bit: false,
    }
}

fn text(message: &[u8]) -> String {
    String::from_utf8_lossy(message).into_owned()
}

/// How many session keys stand in front of a copy's ciphertext.
fn session_keys(message: &[u8]) -> usize {
    use base64::Engine;
    let text = text(message);
    let armor = text.split("BEGIN PGP MESSAGE-----\r\n\r\n").nth(1).unwrap();
    let armor: String = armor.split("\r\n=").next().unwrap().split_whitespace().collect();
    let binary = base64::engine::general_purpose::STANDARD.decode(armor).unwrap();
    // Each of ours is a packet of type 1 with a length of one octet.
    let (mut at, mut count) = (0, 0);
    while binary[at] == 0xC1 {
        at += 2 + usize::from(binary[at + 1]);
        count += 1;
    }
    count
}

#[tokio::test]
async fn visible_recipients_share_a_ciphertext_and_blind_ones_have_their_own() {
    let world = world(ruled(Policy::Prefer, &[]));
    let names = ["bob@one.example", "carol@two.example", "eve@one.example", "dan@two.example"];
    names.iter().for_each(|name| world.has_key(name));
    let message = outgoing("To: bob@one.example\r\nCc: Carol <carol@two.example>\r\n", &names);
    let copies = world.copies(&message).await;
    let mut shares: Vec<(Vec<usize>, usize)> =
        copies.iter().map(|(recipients, copy)| (recipients.clone(), session_keys(copy))).collect();
    shares.sort();
    assert_eq!(shares, [(vec![0, 1], 2), (vec![2], 1), (vec![3], 1)]);
    for (_, copy) in &copies {
        assert!(!text(copy).contains("secret") && !text(copy).contains("eve@"));
    }
}

#[tokio::test]
async fn many_blind_recipients_get_their_copies_in_parts() {
    let world = world(ruled(Policy::Prefer, &[]));
    let names: Vec<String> = (0..ALONE_MAX + 5).map(|n| format!("u{n}@one.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.iter().for_each(|name| world.has_key(name));
    let message = outgoing("To: x@our.example\r\n", &names);
    let mut left: Vec<usize> = (0..names.len()).collect();
    for count in [ALONE_MAX, 5] {
        let prepared = world.preparer.prepare(&message, &left).await;
        assert_eq!(prepared.len(), count);
        left.retain(|at| prepared.iter().all(|one| one.recipients != [*at]));
    }
    assert_eq!(left, [0; 0]);
}

/// A program of 2022 was seen to refuse a whole message for one session key that it did not know.
#[tokio::test]
async fn old_and_new_programs_do_not_share_a_ciphertext() {
    let world = world(ruled(Policy::Prefer, &[]));
    let names = ["bob@one.example", "new@one.example", "carol@two.example", "newer@two.example"];
    world.has_key(names[0]);
    world.has_key(names[2]);
    for name in [names[1], names[3]] {
        let cert = crate::pgp::testing::current(name, NOW);
        let cert = Arc::new(judge_cert(&cert, &address(name), NOW).unwrap());
        world.set(name, Verdict::Key { cert, stale: false });
    }
    let message = outgoing(&format!("To: {}\r\n", names.join(", ")), &names);
    let copies = world.copies(&message).await;
    let mut shares: Vec<Vec<usize>> = copies.into_iter().map(|copy| copy.0).collect();
    shares.sort();
    assert_eq!(shares, [[0, 2], [1, 3]]);
}

#[tokio::test]
async fn the_order_of_copies_tells_nothing() {
    let world = world(ruled(Policy::Prefer, &[]));
    let names: Vec<String> = (0..6).map(|at| format!("r{at}@one.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.iter().for_each(|name| world.has_key(name));
    let message = outgoing("To: list@our.example\r\n", &names);
    let mut orders = BTreeSet::new();
    for _ in 0..8 {
        let copies = world.copies(&message).await;
        orders.insert(copies.into_iter().flat_map(|copy| copy.0).collect::<Vec<_>>());
    }
    assert!(orders.len() > 4, "{orders:?}");
}

#[tokio::test]
async fn each_recipient_gets_what_was_planned() {
    let world = world(ruled(
        Policy::Prefer,
        &["strict.example require", "kept.example hold", "plain@one.example plain"],
    ));
    world.has_key("key@one.example");
    world.has_key("plain@one.example");
    world.set("old@one.example", Verdict::Unusable(Unusable::Expired));
    world.set("down@one.example", Verdict::Failed(FailWhy::Tls));
    world.set("gone@one.example", Verdict::Vanished);
    let message = outgoing(
        "To: key@one.example\r\n",
        &[
            "key@one.example",
            "none@one.example",
            "none@strict.example",
            "none@kept.example",
            "plain@one.example",
            "old@one.example",
            "down@one.example",
            "gone@one.example",
        ],
    );
    let held = "hold: no key is published for this recipient";
    let old = "hold: the published certificate has expired";
    let gone = "hold: a key was published for this recipient once, and is not any more";
    let expected = ["seal", "plain", "bounce: 5.7.10", held, "plain", old, "defer: 4.7.5", gone];
    assert_eq!(world.done(&message).await, expected);
    let searched = world.keys.searched.lock().unwrap().clone();
    assert_eq!(searched.len(), 7);
    assert!(!searched.contains(&"plain@one.example".to_owned()));
}

#[tokio::test]
async fn copies_are_signed_last_and_carry_the_sender_s_certificate() {
    let world = world(ruled(Policy::Prefer, &[]));
    world.has_key("bob@one.example");
    let message = outgoing("To: x@one.example\r\n", &["bob@one.example", "x@two.example"]);
    for (recipients, copy) in world.copies(&message).await {
        let field = header::fields(&copy).next().unwrap();
        let signed = String::from_utf8(header::unfold(field.body)).unwrap();
        let rest = copy.len() - field.raw.len();
        assert_eq!(signed, format!("over {rest} octets"));
        let autocrypt = |field: &header::Field<'_>| field.is("Autocrypt");
        assert_eq!(header::fields(&copy).filter(autocrypt).count(), 1);
        assert_eq!(text(&copy).contains("secret text"), recipients == [1]);
    }
    let other = outgoing("Autocrypt: own\r\n", &["x@two.example"]);
    let (_, copy) = world.copies(&other).await.remove(0);
    assert!(text(&copy).contains("Autocrypt: own") && !text(&copy).contains("keydata"));
    let mut options = ruled(Policy::Prefer, &[]);
    options.autocrypt = false;
    world.preparer.reload(options);
    let (_, copy) = world.copies(&message).await.remove(0);
    assert!(!text(&copy).contains("Autocrypt"));
}

#[tokio::test]
async fn answers_to_sealed_mail_are_not_sent_plain() {
    let world = world(ruled(Policy::Prefer, &["plain.example plain"]));
    world.has_key("bob@one.example");
    let first = outgoing("Message-ID: <1@our.example>\r\n", &["bob@one.example"]);
    assert_eq!(world.done(&first).await, ["seal"]);
    let to = ["bob@one.example", "x@two.example", "y@plain.example"];
    for fields in [
        "In-Reply-To: <1@our.example>\r\n",
        "References: <0@other.example>\r\n <1@our.example> <2@other.example>\r\n",
        "In-Reply-To: 1@our.example\r\n",
        "X-Forwarded-Message-Id: <1@our.example>\r\n",
    ] {
        let done = world.done(&outgoing(fields, &to)).await;
        assert_eq!(done[0], "seal");
        assert!(done[1].starts_with("hold: it answers or forwards sealed mail"), "{done:?}");
        assert!(done[2].starts_with("hold: it answers or forwards sealed mail"), "{done:?}");
    }
    let other = outgoing("In-Reply-To: <9@our.example>\r\nMessage-ID: <8@a>\r\n", &to[1..]);
    assert_eq!(world.done(&other).await, ["plain", "plain"]);
    // What went out plain does not bind its answers.
    assert!(!world.keys.is_confidential(None, "<8@a>"));
}

#[tokio::test]
async fn what_the_sender_s_program_sealed_passes_untouched() {
    let world = world(ruled(Policy::Require, &[]));
    world.has_key("bob@one.example");
    let sealed = world.copies(&outgoing("Message-ID: <1@a>\r\n", &["bob@one.example"])).await;
    world.keys.confidential.lock().unwrap().clear();
    let own = outgoing("", &["bob@one.example", "x@two.example"]);
    let own = Outgoing { message: sealed[0].1.clone(), ..own };
    let copies = world.copies(&own).await;
    assert_eq!(copies.len(), 1);
    assert!(copies[0].1.ends_with(&own.message[..]));
    assert_eq!(world.done(&own).await, ["seal", "seal"]);
    assert!(world.keys.is_confidential(None, "<1@a>"));
    assert_eq!(world.keys.searched.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_expired_meanwhile_is_not_used() {
    let world = world(ruled(Policy::Prefer, &[]));
    let hour = Duration::from_secs(3600);
    let cert = crate::pgp::testing::expiring("bob@one.example", NOW, hour);
    let cert = Arc::new(judge_cert(&cert, &address("bob@one.example"), NOW).unwrap());
    world.set("bob@one.example", Verdict::Key { cert, stale: false });
    let message = outgoing("", &["bob@one.example"]);
    world.clock.advance(hour - Duration::from_secs(1));
    assert_eq!(world.done(&message).await, ["seal"]);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.done(&message).await, ["hold: the published certificate has expired"]);
}

#[tokio::test]
async fn no_rule_about_a_sender_is_evaded_by_another_name_of_his() {
    for rule in ["from alice@our.example require", "from our.example require"] {
        let world = world(ruled(Policy::Prefer, &[rule]));
        let plain = outgoing("", &["bob@one.example"]);
        let named = |name: &str| Outgoing { from: Some(address(name)), ..plain.clone() };
        let text = b"From: Info <info@second.example>\r\n\r\nx\r\n".to_vec();
        let alias = Outgoing { message: Arc::new(text), ..named("info@second.example") };
        let null = Outgoing { from: None, ..plain.clone() };
        for message in [plain.clone(), null, named("alice+x@our.example"), alias] {
            let done = world.done(&message).await;
            assert!(done[0].starts_with("bounce: 5.7.10"), "{rule}: {done:?}");
        }
    }
    // What an application without an account claims of its author counts, too.
    let world = world(ruled(Policy::Prefer, &["from alice@our.example hold"]));
    let relayed = Outgoing { from: None, owner: None, ..outgoing("", &["bob@one.example"]) };
    let of = world
        .preparer
        .options()
        .rules
        .find(&[address("alice@our.example")], &address("x@y.example"))
        .0;
    assert_eq!((of, world.done(&relayed).await), (Policy::Hold, vec!["plain".to_owned()]));
}

#[tokio::test]
async fn a_release_permits_nothing_for_those_who_were_not_held() {
    let world = world(ruled(Policy::Hold, &[]));
    let message = outgoing("", &["bob@one.example", "carol@two.example"]);
    let released = Outgoing { permitted: vec![0], ..message };
    let done = world.done(&released).await;
    assert_eq!(done[0], "plain");
    assert!(done[1].starts_with("hold: "), "{done:?}");
}

#[tokio::test]
async fn reports_and_unfit_messages() {
    let world = world(ruled(Policy::Require, &[]));
    let report = Outgoing { from: None, owner: None, ..outgoing("", &["bob@one.example"]) };
    assert_eq!(world.done(&report).await, ["plain"]);
    world.has_key("bob@one.example");
    let field = format!("X: {}\r\n", "x".repeat(1200));
    let unfit = outgoing(&field, &["bob@one.example", "x@two.example"]);
    world.preparer.reload(ruled(Policy::Prefer, &[]));
    // The field is sealed with the rest, and no line of what goes over the wire is too long.
    assert_eq!(world.done(&unfit).await, ["seal", "bounce: 5.6.3"]);
}

#[tokio::test]
async fn the_null_path_does_not_make_a_user_s_mail_a_report() {
    let world = world(ruled(Policy::Require, &[]));
    let receipt = Outgoing { from: None, ..outgoing("", &["bob@one.example"]) };
    assert_eq!(world.done(&receipt).await, ["bounce: 5.7.10"]);
    world.has_key("bob@one.example");
    assert_eq!(world.done(&receipt).await, ["seal"]);
}

#[tokio::test]
async fn large_messages_are_worked_on_elsewhere_and_come_out_the_same() {
    let world = world(ruled(Policy::Prefer, &[]));
    world.has_key("bob@one.example");
    let mut message = outgoing("", &["bob@one.example", "x@two.example"]);
    let long = [&message.message[..], &b"line\r\n".repeat(100_000)].concat();
    message.message = Arc::new(long);
    assert_eq!(world.done(&message).await, ["seal", "plain"]);
}

#[tokio::test]
async fn all_or_nothing_looks_at_recipients_that_are_not_asked_about() {
    let mut options = ruled(Policy::Prefer, &[]);
    options.rules.all_or_nothing = true;
    let world = world(options);
    world.has_key("bob@one.example");
    let message = outgoing("", &["bob@one.example", "x@two.example"]);
    let prepared = world.preparer.prepare(&message, &[0]).await;
    assert_eq!(prepared.len(), 1);
    assert!(matches!(prepared[0].action, Action::Hold { .. }));
    world.has_key("x@two.example");
    assert_eq!(world.done(&message).await, ["seal", "seal"]);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_in_time_and_only_those_that_are_sure() {
    let world = world(ruled(Policy::Require, &["kept.example hold"]));
    world.has_key("bob@one.example");
    world.set("down@one.example", Verdict::Failed(FailWhy::Timeout));
    *world.keys.stuck.lock().unwrap() = Some("slow@one.example".to_owned());
    let message = outgoing(
        "",
        &[
            "bob@one.example",
            "none@one.example",
            "down@one.example",
            "slow@one.example",
            "x@kept.example",
        ],
    );
    let start = Instant::now();
    let refusals = world.preparer.refusals(&message).await;
    assert!(start.elapsed() <= REFUSAL_TIME_MAX + Duration::from_millis(50));
    let told: Vec<_> = refusals.iter().map(|refusal| (refusal.recipient, refusal.status)).collect();
    assert_eq!(told, [(1, "5.7.10")]);
}

#[tokio::test]
async fn explanations_name_rule_and_reason() {
    let world = world(ruled(Policy::Hold, &["one.example require"]));
    let (alice, bob) = (address("alice@our.example"), address("bob@one.example"));
    let refused = world.preparer.explain(&alice, &bob).await;
    assert_eq!(refused.plan.as_str(), "bounce");
    assert_eq!(refused.rule.unwrap().to_string(), "one.example require");
    world.has_key("bob@one.example");
    assert_eq!(world.preparer.explain(&alice, &bob).await.plan.as_str(), "seal");
    let other = world.preparer.explain(&alice, &address("x@two.example")).await;
    assert_eq!((other.plan.as_str(), other.policy, other.rule), ("hold", Policy::Hold, None));
}

/// RFC 6531 §3.6: it may be said without need, and then no server has to have it.
#[tokio::test]
async fn smtputf8_is_needed_where_it_was_said_and_a_header_is_not_ascii() {
    let world = world(ruled(Policy::Prefer, &[]));
    for (fields, said, needed) in [
        ("To: bob@b.example\r\n", true, false),
        ("To: B\u{fc}b <bob@b.example>\r\n", true, true),
        ("To: B\u{fc}b <bob@b.example>\r\n", false, false),
    ] {
        let message = Outgoing { utf8: said, ..outgoing(fields, &["bob@b.example"]) };
        let prepared = world.preparer.prepare(&message, &[0]).await;
        let Action::Send { utf8, .. } = &prepared[0].action else { panic!("{prepared:?}") };
        assert_eq!(*utf8, needed, "{fields:?} {said}");
    }
}

#[tokio::test]
async fn text_for_a_server_of_seven_bits_is_encoded_and_signed_anew() {
    let world = world(ruled(Policy::Prefer, &[]));
    let mut message = outgoing("To: bob@b.example\r\n", &["bob@b.example"]);
    let text = "From: alice@our.example\r\nTo: bob@b.example\r\n\r\nGr\u{fc}\u{df}e\r\n";
    message.message = Arc::new(text.as_bytes().to_vec());
    for seven_bit in [false, true] {
        message.seven_bit = seven_bit;
        let copies = world.copies(&message).await;
        assert_eq!((copies.len(), copies[0].1.is_ascii()), (1, seven_bit));
    }
}
