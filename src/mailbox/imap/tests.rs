//! Dialogs: what is sent and what is answered, over a pipe, against a whole mailbox role in memory.

mod long;

use super::{Connection, Imap, Options, Security, World};
use crate::base::BoxFuture;
use crate::base::budget::ByteBudget;
use crate::base::disk::memory::MemoryDisk;
use crate::base::event::Log;
use crate::mailbox;
use crate::mailbox::tests::house::{self, House, PASSWORD, message};
use crate::seams::{BoxStream, TlsFacts, TlsStream, UpgradeTls};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

const BOB: &str = "bob@example.org";
/// Octets that the pipe holds, so that a client that does not read stops the server.
const PIPE_BYTES: usize = 16 * 1024;

/// A handshake that changes nothing.
struct NoTls;

impl UpgradeTls for NoTls {
    fn accept(&self, stream: BoxStream) -> BoxFuture<'_, io::Result<TlsStream>> {
        let facts = TlsFacts { version: "TLSv1.3", cipher: "none", server_name: None };
        Box::pin(async move { Ok(TlsStream { stream, facts }) })
    }
}

/// One account with some mail, and IMAP over it.
struct Stage {
    house: House,
    imap: Arc<Imap>,
    drain: watch::Sender<bool>,
}

/// A client that reads answers line by line.
struct Client {
    stream: DuplexStream,
    buffer: Vec<u8>,
}

impl Stage {
    async fn new() -> Stage {
        Stage::with(Options::default()).await
    }

    async fn with(options: Options) -> Stage {
        Stage::with_budget(options, 1 << 20).await
    }

    async fn with_budget(options: Options, budget_bytes: u64) -> Stage {
        Stage::in_house(House::new(), options, budget_bytes).await
    }

    /// One where so many octets may be open, a quarter of them for one account.
    async fn with_opened(opened_bytes_max: u64) -> Stage {
        let options = mailbox::Options { opened_bytes_max, ..house::options() };
        let house = House::on(MemoryDisk::new(), options);
        Stage::in_house(house, Options::default(), 64 << 20).await
    }

    async fn in_house(house: House, options: Options, budget_bytes: u64) -> Stage {
        house.add(BOB).await;
        let world = World {
            mailboxes: house.mailboxes.clone(),
            tls: Some(Arc::new(NoTls)),
            message_budget: ByteBudget::new(budget_bytes),
            log: Log::new(house.events.clone()),
        };
        let imap = Imap::new(options, world);
        Stage { house, imap, drain: watch::Sender::new(false) }
    }

    /// A connection, its greeting read.
    async fn connect(&self, security: Security) -> Client {
        let mut client = self.pipe(security);
        let greeting = client.line().await;
        assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{greeting}");
        client
    }

    fn pipe(&self, security: Security) -> Client {
        let (stream, server) = tokio::io::duplex(PIPE_BYTES);
        let (imap, draining) = (self.imap.clone(), self.drain.subscribe());
        let peer = Some("192.0.2.7".parse().unwrap());
        tokio::spawn(async move {
            imap.serve(Connection { stream: Box::new(server), peer, security }, draining).await;
        });
        Client { stream, buffer: Vec::new() }
    }

    /// A session that is logged in.
    async fn session(&self) -> Client {
        self.session_of(BOB).await
    }

    async fn session_of(&self, user: &str) -> Client {
        let mut client = self.connect(Security::Done).await;
        let login = client.ask(&format!("LOGIN {user} \"{PASSWORD}\"")).await;
        assert!(login.last().unwrap().starts_with("t OK [CAPABILITY IMAP4rev1 "), "{login:?}");
        client
    }

    /// A session with a new, empty mailbox `Box` that is selected, and these messages in it.
    async fn with_box(&self, subjects: &[&str]) -> Client {
        let mut client = self.session().await;
        client.ok("CREATE Box").await;
        for subject in subjects {
            client.append("Box", "", &message(subject)).await;
        }
        client.ok("SELECT Box").await;
        client
    }
}

impl Client {
    async fn send(&mut self, text: &[u8]) {
        self.stream.write_all(text).await.unwrap();
    }

    /// The next line without its CRLF, literals included as they come. Empty at the end.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            let part = self.until(b"\r\n").await;
            line.extend_from_slice(&part);
            let Some(octets) = literal(&line) else { break };
            while self.buffer.len() < octets {
                self.fill().await;
            }
            line.extend(self.buffer.drain(..octets));
        }
        String::from_utf8_lossy(line.strip_suffix(b"\r\n").unwrap_or(&line)).into_owned()
    }

    async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            let found = self.buffer.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                return self.buffer.drain(..at + end.len()).collect();
            }
            if self.fill().await == 0 {
                return std::mem::take(&mut self.buffer);
            }
        }
    }

    async fn fill(&mut self) -> usize {
        let mut chunk = [0; 4096];
        let count = self.stream.read(&mut chunk).await.unwrap();
        self.buffer.extend_from_slice(&chunk[..count]);
        count
    }

    /// All lines as far as the one with tag `t`, or the end.
    async fn answer(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            let last = line.is_empty() || line.starts_with("t ") || line.starts_with("+ ");
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    async fn ask(&mut self, command: &str) -> Vec<String> {
        self.send(format!("t {command}\r\n").as_bytes()).await;
        self.answer().await
    }

    /// The untagged lines of a command that must succeed.
    async fn ok(&mut self, command: &str) -> Vec<String> {
        let mut lines = self.ask(command).await;
        let last = lines.pop().unwrap();
        assert!(last.starts_with("t OK"), "{command}: {lines:?} {last}");
        lines
    }

    /// The last line of a command that must not succeed, and of which nothing else is said.
    async fn refused(&mut self, command: &str) -> String {
        let lines = self.ask(command).await;
        assert_eq!(lines.len(), 1, "{command}: {lines:?}");
        assert!(!lines[0].starts_with("t OK"), "{command}: {lines:?}");
        lines[0].clone()
    }

    async fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) -> Vec<String> {
        let head = format!("t APPEND {mailbox} {flags}{{{}+}}\r\n", message.len());
        self.send(&[head.as_bytes(), message, b"\r\n"].concat()).await;
        self.answer().await
    }
}

/// The octets of the literal that a line announces at its end.
fn literal(line: &[u8]) -> Option<usize> {
    let line = line.strip_suffix(b"}\r\n")?;
    let start = line.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&line[start + 1..]).ok()?.parse().ok()
}

fn has(lines: &[String], start: &str) -> bool {
    lines.iter().any(|line| line.starts_with(start))
}

#[tokio::test(start_paused = true)]
async fn a_session_from_greeting_to_logout() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    let capability = client.ok("CAPABILITY").await;
    for name in ["IDLE", "UIDPLUS", "MOVE", "SPECIAL-USE", "LIST-EXTENDED", "UNSELECT"] {
        assert!(capability[0].contains(name), "{capability:?}");
    }
    assert_eq!(client.ok("NAMESPACE").await, ["* NAMESPACE ((\"\" \"/\")) NIL NIL"]);
    assert_eq!(client.ok("ID (\"name\" \"x\")").await, ["* ID (\"name\" \"Postseal\")"]);
    assert_eq!(client.ok("ENABLE CONDSTORE").await, ["* ENABLED"]);
    let end = client.ask("LOGOUT").await;
    assert!(end[0].starts_with("* BYE") && end[1].starts_with("t OK"), "{end:?}");
    assert_eq!(client.line().await, "");
}

#[tokio::test(start_paused = true)]
async fn clear_text_takes_no_password_and_starttls_forgets_all() {
    let stage = Stage::new().await;
    let mut client = stage.connect(Security::StartTls).await;
    let refused = client.refused(&format!("LOGIN {BOB} \"{PASSWORD}\"")).await;
    assert!(refused.starts_with("t NO [PRIVACYREQUIRED]"), "{refused}");
    assert!(client.ok("CAPABILITY").await[0].contains("STARTTLS LOGINDISABLED"));
    client.ok("STARTTLS").await;
    let inside = client.ok("CAPABILITY").await;
    assert!(inside[0].contains("AUTH=PLAIN") && !inside[0].contains("STARTTLS"), "{inside:?}");
    client.ok(&format!("LOGIN {BOB} \"{PASSWORD}\"")).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_follows_starttls_ends_the_session() {
    let stage = Stage::new().await;
    for behind in ["x NOOP\r\n", "x", "\r\n", "x LOGIN a b\r\n"] {
        let mut client = stage.connect(Security::StartTls).await;
        client.send(format!("t STARTTLS\r\n{behind}").as_bytes()).await;
        let answer = client.answer().await;
        assert!(answer[0].starts_with("* BYE"), "{behind:?}: {answer:?}");
        assert_eq!(client.line().await, "", "{behind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_way_to_log_in() {
    use base64::Engine;
    let encode = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let stage = Stage::new().await;
    let plain = encode(format!("\0{BOB}\0{PASSWORD}"));
    let mut client = stage.connect(Security::Done).await;
    client.ok(&format!("AUTHENTICATE PLAIN {plain}")).await;

    let mut client = stage.connect(Security::Done).await;
    assert_eq!(client.ask("authenticate plain").await, ["+ "]);
    client.send(format!("{plain}\r\n").as_bytes()).await;
    assert!(client.answer().await[0].starts_with("t OK [CAPABILITY"));

    let mut client = stage.connect(Security::Done).await;
    client.ask("AUTHENTICATE LOGIN").await;
    client.send(format!("{}\r\n", encode(BOB.into())).as_bytes()).await;
    assert!(client.line().await.starts_with("+ "));
    client.send(format!("{}\r\n", encode(PASSWORD.into())).as_bytes()).await;
    assert!(client.answer().await[0].starts_with("t OK [CAPABILITY"));

    let mut client = stage.connect(Security::Done).await;
    let half = format!("t LOGIN {{{}}}\r\n", BOB.len());
    client.send(half.as_bytes()).await;
    assert!(client.line().await.starts_with("+ "));
    client.send(format!("{BOB} {{{}+}}\r\n{PASSWORD}\r\n", PASSWORD.len()).as_bytes()).await;
    assert!(client.answer().await[0].starts_with("t OK [CAPABILITY"));

    let mut client = stage.connect(Security::Done).await;
    client.ask("AUTHENTICATE PLAIN").await;
    client.send(b"*\r\n").await;
    assert!(client.answer().await[0].starts_with("t BAD"));
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_and_an_unknown_user_get_the_same_words() {
    let stage = Stage::new().await;
    let mut client = stage.connect(Security::Done).await;
    let wrong = client.refused(&format!("LOGIN {BOB} wrong")).await;
    assert!(wrong.starts_with("t NO [AUTHENTICATIONFAILED]"), "{wrong}");
    assert_eq!(client.refused("LOGIN nobody@example.org wrong").await, wrong);
    let last = client.ask(&format!("LOGIN {BOB} wrong")).await;
    assert_eq!(last[0], wrong);
    assert!(client.line().await.starts_with("* BYE"));
}

#[tokio::test(start_paused = true)]
async fn somebody_who_speaks_another_protocol_is_turned_away() {
    let stage = Stage::new().await;
    let mut client = stage.connect(Security::Done).await;
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: y\r\n\r\n").await;
    let mut lines = Vec::new();
    loop {
        match client.line().await {
            end if end.is_empty() => break,
            line => lines.push(line),
        }
    }
    assert!(lines.len() <= 4 && lines.last().unwrap().starts_with("* BYE"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn selecting_says_what_a_client_needs_and_messages_are_fetched() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one", "two"]).await;
    let select = client.ok("SELECT \"Box\" (CONDSTORE)").await;
    for start in ["* FLAGS (\\Answered", "* OK [PERMANENTFLAGS (", "* 2 EXISTS", "* OK [UNSEEN 1]"]
    {
        assert!(has(&select, start), "{start}: {select:?}");
    }
    assert!(
        select.iter().any(|line| line.starts_with("* OK [PERMANENTFLAGS") && line.contains("\\*"))
    );
    assert!(has(&select, "* OK [UIDNEXT 3]") && has(&select, "* OK [UIDVALIDITY "), "{select:?}");
    assert!(!select.iter().any(|line| line.contains("MODSEQ")), "{select:?}");

    let size = message("one").len();
    let fetched = client.ok("UID FETCH 1:* (RFC822.SIZE FLAGS UID)").await;
    assert_eq!(fetched[0], format!("* 1 FETCH (UID 1 RFC822.SIZE {size} FLAGS ())"));
    assert_eq!(fetched.len(), 2);
    let body = client.ok("UID FETCH 2 BODY.PEEK[]").await;
    let text = String::from_utf8(message("two")).unwrap();
    assert_eq!(body, [format!("* 2 FETCH (UID 2 BODY[] {{{size}}}\r\n{text})")]);
    let part = client.ok("FETCH 2 BODY.PEEK[]<6.3>").await;
    assert_eq!(part, ["* 2 FETCH (BODY[]<6> {3}\r\nAnn)"]);
    let beyond = client.ok("FETCH 2 BODY.PEEK[]<9999.3>").await;
    assert_eq!(beyond, ["* 2 FETCH (BODY[]<9999> {0}\r\n)"]);
    let fields = client.ok("UID FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject X-None)])").await;
    let expected = "UID 1 BODY[HEADER.FIELDS (Subject X-None)] {16}\r\nSubject: one\r\n\r\n";
    assert_eq!(fields, [format!("* 1 FETCH ({expected})")]);
    let text = client.ok("FETCH 1 (BODY.PEEK[TEXT] BODY.PEEK[1])").await;
    let body = "The body of one.\r\n";
    assert_eq!(text, [format!("* 1 FETCH (BODY[TEXT] {{18}}\r\n{body} BODY[1] {{18}}\r\n{body})")]);
    let envelope = client.ok("FETCH 1 ENVELOPE").await;
    let ann = "((\"Ann\" NIL \"ann\" \"example.com\"))";
    assert_eq!(
        envelope,
        [format!(
            "* 1 FETCH (ENVELOPE (\"Mon, 23 Nov 2026 03:00:00 +0000\" \"one\" {ann} {ann} {ann} \
             ((NIL NIL \"bob\" \"example.org\")) NIL NIL NIL \"<one@example.com>\"))"
        )]
    );
    let structure = client.ok("FETCH 1 (BODY BODYSTRUCTURE)").await;
    let leaf = "\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 18 1";
    let plain = leaf.replace("(\"CHARSET\" \"US-ASCII\")", "NIL");
    let shown =
        |leaf: &str| format!("* 1 FETCH (BODY ({leaf}) BODYSTRUCTURE ({leaf} NIL NIL NIL NIL))");
    assert!(structure == [shown(leaf)] || structure == [shown(&plain)], "{structure:?}");
}

#[tokio::test(start_paused = true)]
async fn reading_a_body_sets_seen_and_peeking_does_not() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one", "two"]).await;
    client.ok("FETCH 1 BODY.PEEK[]").await;
    client.ok("FETCH 1 RFC822.HEADER").await;
    let flags = client.ok("FETCH 1 FLAGS").await;
    assert!(!flags[0].contains("Seen"), "{flags:?}");
    let read = client.ok("UID FETCH 1 BODY[TEXT]").await;
    assert!(read[0].contains("FLAGS (\\Seen"), "{read:?}");
    assert_eq!(read.len(), 1, "told once: {read:?}");
    let again = client.ok("UID FETCH 1 BODY[TEXT]").await;
    assert!(!again[0].contains("FLAGS"), "{again:?}");
    client.ok("EXAMINE Box").await;
    let examined = client.ok("UID FETCH 2 BODY[TEXT]").await;
    assert!(!examined[0].contains("FLAGS"), "{examined:?}");
}

#[tokio::test(start_paused = true)]
async fn flags_and_keywords_are_stored_and_told() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one", "two"]).await;
    let stored = client.ok("UID STORE 1 +Flags (\\Seen)").await;
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert!(stored[0].starts_with("* 1 FETCH (UID 1 FLAGS (\\Seen"), "{stored:?}");
    let same = client.ok("UID STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(same, stored, "told also where nothing changes");
    assert!(client.ok("STORE 2 +FLAGS.SILENT (\\Flagged)").await.is_empty());
    let keyword = client.ok("UID STORE 1:2 +FLAGS ($label1 Junk)").await;
    assert!(
        keyword[0].starts_with("* FLAGS (") && keyword[0].contains("$label1 Junk"),
        "{keyword:?}"
    );
    assert!(has(&keyword, "* 2 FETCH (UID 2 FLAGS (\\Flagged $label1 Junk"), "{keyword:?}");
    let removed = client.ok("STORE 1 -FLAGS (\\Seen $label1)").await;
    assert!(removed[0].starts_with("* 1 FETCH (UID 1 FLAGS (Junk"), "{removed:?}");
    let replaced = client.ok("STORE 1 FLAGS (\\Draft)").await;
    assert!(replaced[0].starts_with("* 1 FETCH (UID 1 FLAGS (\\Draft"), "{replaced:?}");
    assert!(client.refused("STORE 3 FLAGS ()").await.starts_with("t BAD"));
    assert!(client.ok("UID STORE 99 FLAGS ()").await.is_empty());
    client.ok("EXAMINE Box").await;
    assert!(client.refused("STORE 1 FLAGS ()").await.starts_with("t NO [READ-ONLY]"));
}

#[tokio::test(start_paused = true)]
async fn copy_move_and_expunge_say_which_uids() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one", "two", "three", "four"]).await;
    client.ok("CREATE Other").await;
    let copied = client.ask("UID COPY 1,3 Other").await;
    let code = copied[0].strip_prefix("t OK [COPYUID ").unwrap_or_else(|| panic!("{copied:?}"));
    assert!(code.contains(" 1,3 1:2] "), "{copied:?}");
    assert!(client.refused("COPY 1 Nowhere").await.starts_with("t NO [TRYCREATE]"));
    let moved = client.ok("UID MOVE 2 Other").await;
    assert!(moved[0].starts_with("* OK [COPYUID ") && moved[0].contains(" 2 3] "), "{moved:?}");
    assert_eq!(moved[1], "* 2 EXPUNGE");
    client.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(client.ok("UID EXPUNGE 3").await, ["* 2 EXPUNGE"]);
    assert_eq!(client.ok("EXPUNGE").await, ["* 2 EXPUNGE", "* 1 EXPUNGE"]);
    let status = client.ok("STATUS Other (MESSAGES UNSEEN UIDNEXT)").await;
    assert_eq!(status, ["* STATUS \"Other\" (MESSAGES 3 UNSEEN 3 UIDNEXT 4)"]);
    client.ok("SELECT Other").await;
    client.ok("STORE 1 +FLAGS (\\Deleted)").await;
    assert!(client.ok("CLOSE").await.is_empty());
    assert!(has(&client.ok("EXAMINE Other").await, "* 2 EXISTS"));
    client.ok("UNSELECT").await;
    assert!(client.refused("FETCH 1 UID").await.starts_with("t BAD"));
}

#[tokio::test(start_paused = true)]
async fn append_files_a_message_and_says_its_uid() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    let filed = client
        .append("Drafts", "(\\Draft $x) \"01-Feb-2020 10:00:00 +0200\" ", b"A: b\r\n\r\nc")
        .await;
    assert!(filed[0].starts_with("t OK [APPENDUID ") && filed[0].contains(" 1] "), "{filed:?}");
    client.send(b"t APPEND Drafts {3}\r\n").await;
    assert!(client.line().await.starts_with("+ "));
    client.send(b"a:b\r\n").await;
    assert!(client.answer().await[0].starts_with("t OK [APPENDUID "));
    client.ok("SELECT Drafts").await;
    let shown = client.ok("UID FETCH 1 (FLAGS INTERNALDATE BODY.PEEK[])").await;
    assert!(shown[0].contains("\\Draft $x"), "{shown:?}");
    assert!(shown[0].contains("INTERNALDATE \" 1-Feb-2020 08:00:00 +0000\""), "{shown:?}");
    let here = client.append("Drafts", "", b"x: y\r\n\r\n").await;
    assert!(has(&here, "* 3 EXISTS"), "{here:?}");
}

#[tokio::test(start_paused = true)]
async fn append_refuses_before_the_message_comes_and_stays_in_step() {
    let stage = Stage::with(Options { message_bytes_max: 1000, ..Options::default() }).await;
    let mut client = stage.session().await;
    for (mailbox, octets, code) in [
        ("Nowhere", 10, "t NO [TRYCREATE]"),
        ("Drafts", 1001, "t NO [TOOBIG]"),
        ("Drafts", 0, "t NO "),
    ] {
        let answer = client.append(mailbox, "", &vec![b'x'; octets]).await;
        assert!(answer[0].starts_with(code), "{answer:?}");
        client.ok("NOOP").await;
        let waits = client.refused(&format!("APPEND {mailbox} {{{octets}}}")).await;
        assert!(waits.starts_with(code), "{waits}");
        client.ok("NOOP").await;
    }
    let nul = client.append("Drafts", "", b"a: b\r\n\r\n\0").await;
    assert!(nul[0].starts_with("t BAD"), "{nul:?}");
    let status = client.ok("STATUS Drafts (MESSAGES)").await;
    assert_eq!(status, ["* STATUS \"Drafts\" (MESSAGES 0)"]);
}

#[tokio::test(start_paused = true)]
async fn a_mistake_before_a_large_message_is_answered_with_the_tag() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    let message = vec![b'x'; 70_029];
    for (arguments, answer) in [
        ("\"bad&name\"", "t NO [CANNOT]"),
        ("Drafts (\\Foo)", "t BAD"),
        ("Drafts \"31-Foo-2026 00:00:00 +0000\"", "t BAD"),
    ] {
        let said = client.append(arguments, "", &message).await;
        assert!(said[0].starts_with(answer), "{said:?}");
        client.ok("NOOP").await;
        let waits = client.refused(&format!("APPEND {arguments} {{70029}}")).await;
        assert!(waits.starts_with(answer), "{waits}");
        client.ok("NOOP").await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_budget_for_messages_is_shared_and_given_back() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    let taken = stage.imap.world.message_budget.reserve(1 << 20).unwrap();
    let answer = client.append("Drafts", "", b"a: b\r\n\r\n").await;
    assert!(answer[0].starts_with("t NO [UNAVAILABLE]"), "{answer:?}");
    drop(taken);
    let answer = client.append("Drafts", "", b"a: b\r\n\r\n").await;
    assert!(answer[0].starts_with("t OK"), "{answer:?}");
    assert_eq!(stage.imap.world.message_budget.free_bytes(), 1 << 20);
}

/// Sessions that have announced a message of a megabyte: those that may send it, and how many may
/// not. The largest message is as large, and all may hold eight.
async fn announced(stage: &Stage, sessions: usize) -> (Vec<Client>, usize) {
    let (mut waiting, mut refused) = (Vec::new(), 0);
    for _ in 0..sessions {
        let mut client = stage.session().await;
        match &client.ask("APPEND INBOX {1048576}").await[0] {
            line if line.starts_with("+ ") => waiting.push(client),
            line => {
                assert!(line.starts_with("t NO [UNAVAILABLE]"), "{line}");
                refused += 1;
            }
        }
    }
    (waiting, refused)
}

async fn eight_megabytes() -> Stage {
    let options = Options { message_bytes_max: 1 << 20, ..Options::default() };
    Stage::with_budget(options, 8 << 20).await
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_only_announced_keep_nobody_out() {
    let stage = eight_megabytes().await;
    let budget = &stage.imap.world.message_budget;
    let (mut waiting, refused) = announced(&stage, 12).await;
    assert!(waiting.len() > 2 && refused > 0, "{refused}");
    let held = (8 << 20) - budget.free_bytes();
    assert!(held <= 2 << 20, "{held} octets are held for what has not come");
    let mut small = stage.session().await;
    let answer = small.append("Drafts", "", &message("small")).await;
    assert!(answer[0].starts_with("t OK") || answer[0].starts_with("* "), "{answer:?}");
    tokio::time::sleep(Duration::from_secs(200)).await;
    for client in &mut waiting {
        assert!(client.line().await.starts_with("* BYE"), "silence within a message");
    }
    assert_eq!(budget.free_bytes(), 8 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_drips_ends_with_its_time() {
    let stage = eight_megabytes().await;
    let (mut clients, _) = announced(&stage, 1).await;
    let began = tokio::time::Instant::now();
    while clients[0].stream.write_all(b"x").await.is_ok() && began.elapsed().as_secs() < 7200 {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert!(clients[0].line().await.starts_with("* BYE"));
    assert!(began.elapsed().as_secs() < 3700, "{:?}", began.elapsed());
    assert_eq!(stage.imap.world.message_budget.free_bytes(), 8 << 20);
}

#[tokio::test(start_paused = true)]
async fn large_messages_leave_a_quarter_to_small_ones() {
    let stage = eight_megabytes().await;
    let budget = stage.imap.world.message_budget.clone();
    let (mut clients, _) = announced(&stage, 1).await;
    let taken = budget.reserve(budget.free_bytes() - (2 << 20)).unwrap();
    // What was begun ends with NO where there is no more room, and the session stays in step.
    clients[0].send(&[&vec![b'x'; 1 << 20][..], b"\r\n"].concat()).await;
    let answer = clients[0].answer().await;
    assert!(answer[0].starts_with("t NO [UNAVAILABLE]"), "{answer:?}");
    clients[0].ok("NOOP").await;
    for octets in [1 << 20, 256 * 1024 + 1] {
        let waits = clients[0].refused(&format!("APPEND INBOX {{{octets}}}")).await;
        assert!(waits.starts_with("t NO [UNAVAILABLE]"), "{waits}");
    }
    let answer = clients[0].append("INBOX", "", &vec![b'x'; 256 * 1024]).await;
    assert!(answer[0].starts_with("t OK"), "{answer:?}");
    drop(taken);
    let answer = clients[0].append("INBOX", "", &vec![b'x'; 1 << 20]).await;
    assert!(answer[0].starts_with("t OK"), "{answer:?}");
    assert_eq!(budget.free_bytes(), 8 << 20);
}

#[tokio::test(start_paused = true)]
async fn a_lock_ends_a_message_that_is_coming() {
    let stage = eight_megabytes().await;
    let (mut clients, _) = announced(&stage, 1).await;
    stage.house.mailboxes.lock(BOB).await.unwrap();
    assert!(clients[0].line().await.starts_with("* BYE [UNAVAILABLE]"));
    assert_eq!(stage.imap.world.message_budget.free_bytes(), 8 << 20);
}

#[tokio::test(start_paused = true)]
async fn idle_tells_what_happens_elsewhere_as_it_happens() {
    let stage = Stage::new().await;
    let mut watcher = stage.with_box(&["one", "two"]).await;
    let mut actor = stage.session().await;
    actor.ok("SELECT Box").await;
    assert_eq!(watcher.ask("IDLE").await, ["+ idling"]);
    actor.append("Box", "", &message("three")).await;
    assert_eq!(watcher.line().await, "* 3 EXISTS");
    assert!(watcher.line().await.ends_with(" RECENT"));
    actor.ok("UID STORE 2 +FLAGS (\\Deleted)").await;
    assert!(watcher.line().await.starts_with("* 2 FETCH (UID 2 FLAGS (\\Deleted"));
    actor.ok("EXPUNGE").await;
    assert_eq!(watcher.line().await, "* 2 EXPUNGE");
    watcher.send(b"DONE\r\n").await;
    assert!(watcher.answer().await[0].starts_with("t OK IDLE"));
    assert_eq!(watcher.ask("IDLE").await, ["+ idling"]);
    watcher.send(b"t NOOP\r\n").await;
    assert_eq!(watcher.answer().await, ["t BAD Expected DONE"]);
}

#[tokio::test(start_paused = true)]
async fn an_expunge_elsewhere_is_not_told_while_numbers_are_in_use() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one", "two", "three"]).await;
    let mut other = stage.session().await;
    other.ok("SELECT Box").await;
    other.ok("STORE 1 +FLAGS (\\Deleted)").await;
    other.ok("EXPUNGE").await;
    let fetched = client.ok("FETCH 2 UID").await;
    assert_eq!(fetched, ["* 2 FETCH (UID 2)"], "no EXPUNGE in the answer to FETCH");
    let silent = client.ask("STORE 1 +FLAGS (\\Seen)").await;
    assert!(silent.iter().all(|line| !line.contains("EXPUNGE")), "{silent:?}");
    assert!(silent.last().unwrap().starts_with("t NO"), "message 1 is gone: {silent:?}");
    let found = client.ok("SEARCH ALL").await;
    assert_eq!(found, ["* SEARCH 2 3"]);
    assert_eq!(client.ok("NOOP").await, ["* 1 EXPUNGE"]);
    assert_eq!(client.ok("SEARCH ALL").await, ["* SEARCH 1 2"]);
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH 2 3"]);
}

#[tokio::test(start_paused = true)]
async fn search_finds_by_flags_headers_and_text() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one", "two", "three"]).await;
    client
        .append(
            "Box",
            "(\\Seen) ",
            "Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?=\r\n\
        Content-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZSBhdXMgS8O2bG4=\r\n"
                .as_bytes(),
        )
        .await;
    for (program, found) in [
        ("SUBJECT two", " 2"),
        ("SUBJECT \"T\" NOT SUBJECT three", " 2"),
        ("OR SUBJECT one SUBJECT three", " 1 3"),
        ("UNDELETED HEADER Message-ID <two@example.com>", " 2"),
        ("BODY \"body of one\"", " 1"),
        ("TEXT example.com", " 1 2 3"),
        ("SEEN", " 4"),
        ("UNSEEN", " 1 2 3"),
        ("2:*", " 2 3 4"),
        ("UID 2:3 FROM ann", " 2 3"),
        ("SENTON 23-Nov-2026", " 1 2 3"),
        ("SENTSINCE 24-Nov-2026", ""),
        ("LARGER 100000", ""),
        ("SMALLER 100000 KEYWORD none", ""),
        ("(SUBJECT one)", " 1"),
        ("CHARSET UTF-8 SUBJECT \"GRÜSSE\"", ""),
        ("CHARSET UTF-8 SUBJECT \"grüße\"", " 4"),
        ("CHARSET UTF-8 BODY \"köln\"", " 4"),
        ("HEADER Subject \"\"", " 1 2 3 4"),
    ] {
        let answer = client.ok(&format!("SEARCH {program}")).await;
        assert_eq!(answer.last().unwrap(), &format!("* SEARCH{found}"), "{program}");
    }
    let charset = client.refused("SEARCH CHARSET KOI8-R SUBJECT x").await;
    assert!(charset.starts_with("t NO [BADCHARSET"), "{charset}");
    assert!(client.refused("SEARCH RETURN (ALL) ALL").await.starts_with("t BAD"));
}

#[tokio::test(start_paused = true)]
async fn folders_are_listed_as_clients_expect() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    let listed = client.ok("list (subscribed) \"\" \"*\" return (special-use)").await;
    for (name, attribute) in
        [("Sent", "\\Sent"), ("Drafts", "\\Drafts"), ("Trash", "\\Trash"), ("Junk", "\\Junk")]
    {
        let line = listed.iter().find(|line| line.ends_with(&format!("\"{name}\"")));
        assert!(line.is_some_and(|line| line.contains(attribute)), "{name}: {listed:?}");
        assert!(line.is_some_and(|line| line.contains("\\Subscribed")), "{name}: {listed:?}");
    }
    assert_eq!(client.ok("LIST \"\" \"\"").await, ["* LIST (\\Noselect) \"/\" \"\""]);
    assert!(client.ok("list \"\" \"inbox\"").await[0].ends_with("\"INBOX\""));
    client.ok("create \"Kind &APw-/Deep\"").await;
    let level = client.ok("LIST \"\" %").await;
    assert!(
        level.iter().any(|l| l.contains("\\HasChildren") && l.ends_with("\"Kind &APw-\"")),
        "{level:?}"
    );
    assert!(!level.iter().any(|l| l.contains("Deep")), "{level:?}");
    let deep = client.ok("LIST \"Kind &APw-/\" %").await;
    assert_eq!(deep, ["* LIST (\\HasNoChildren) \"/\" \"Kind &APw-/Deep\""]);
    client.ok("SUBSCRIBE \"Kind &APw-/Deep\"").await;
    client.ok("SUBSCRIBE gone").await;
    let lsub = client.ok("LSUB \"\" %").await;
    assert!(has(&lsub, "* LSUB (\\Noselect) \"/\" \"Kind &APw-\""), "{lsub:?}");
    assert!(has(&lsub, "* LSUB () \"/\" \"gone\""), "{lsub:?}");
    let gone = client.ok("LIST (SUBSCRIBED) \"\" gone").await;
    assert_eq!(gone, ["* LIST (\\NonExistent \\Subscribed) \"/\" \"gone\""]);
    let recursive = client.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" Kind*").await;
    assert!(has(&recursive, "* LIST (\\HasNoChildren \\Subscribed)"), "{recursive:?}");
    let info = client.ok("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" K%").await;
    assert!(info[0].ends_with("\"Kind &APw-\" (\"CHILDINFO\" (\"SUBSCRIBED\"))"), "{info:?}");
    let status = client.ok("LIST \"\" (Sent Junk) RETURN (STATUS (MESSAGES UIDNEXT))").await;
    assert!(has(&status, "* STATUS \"Sent\" (MESSAGES 0 UIDNEXT 1)"), "{status:?}");
    assert_eq!(status.len(), 4, "{status:?}");
    client.ok("RENAME \"Kind &APw-/Deep\" Shallow").await;
    client.ok("DELETE Shallow").await;
    for (command, code) in [
        ("SELECT Shallow", "t NO [NONEXISTENT]"),
        ("CREATE Sent", "t NO [ALREADYEXISTS]"),
        ("CREATE \"a//b\"", "t NO [CANNOT]"),
        ("DELETE INBOX", "t NO [CANNOT]"),
        ("CREATE &", "t NO [CANNOT]"),
        ("STATUS none (MESSAGES)", "t NO [NONEXISTENT]"),
        ("XLIST \"\" *", "t BAD"),
    ] {
        let answer = client.refused(command).await;
        assert!(answer.starts_with(code), "{command}: {answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_locked_account_shows_nothing_and_loses_nothing() {
    let stage = Stage::new().await;
    stage.house.mailboxes.lock(BOB).await.unwrap();
    let mut client = stage.session().await;
    for command in [
        "LIST \"\" *",
        "LIST \"\" \"\"",
        "LSUB \"\" *",
        "STATUS INBOX (MESSAGES)",
        "SELECT INBOX",
        "EXAMINE INBOX",
        "CREATE x",
        "DELETE x",
        "RENAME x y",
        "SUBSCRIBE x",
        "APPEND INBOX {3}",
    ] {
        let answer = client.refused(command).await;
        assert!(answer.starts_with("t NO [UNAVAILABLE]"), "{command}: {answer}");
    }
    let answer = client.append("INBOX", "", b"abc").await;
    assert!(answer.len() == 1 && answer[0].starts_with("t NO [UNAVAILABLE]"), "{answer:?}");
    for command in ["CAPABILITY", "NOOP", "NAMESPACE", "ID NIL", "ENABLE X"] {
        client.ok(command).await;
    }
    assert_eq!(client.ask("IDLE").await, ["+ idling"]);
    client.send(b"DONE\r\n").await;
    assert!(client.answer().await[0].starts_with("t OK"));
}

#[tokio::test(start_paused = true)]
async fn locking_ends_sessions_with_bye_between_responses() {
    let stage = Stage::new().await;
    let mut idle = stage.with_box(&["one"]).await;
    let mut quiet = stage.session().await;
    idle.ask("IDLE").await;
    stage.house.mailboxes.lock(BOB).await.unwrap();
    for client in [&mut idle, &mut quiet] {
        assert!(client.line().await.starts_with("* BYE [UNAVAILABLE]"));
        assert_eq!(client.line().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_does_not_outlive_the_lock() {
    let stage = Stage::new().await;
    let mut stuck = stage.session().await;
    let body = vec![b'x'; 8 * PIPE_BYTES];
    stuck.append("INBOX", "", &body).await;
    stuck.ok("SELECT INBOX").await;
    stuck.send(b"t FETCH * BODY.PEEK[]\r\n").await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    stage.house.mailboxes.lock(BOB).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut rest = Vec::new();
    stuck.stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() <= PIPE_BYTES, "{} octets after the lock", rest.len());
}

#[tokio::test(start_paused = true)]
async fn silence_and_the_end_of_the_server_end_a_session() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    tokio::time::sleep(Duration::from_secs(29 * 60)).await;
    client.ok("NOOP").await;
    assert!(client.line().await.starts_with("* BYE"), "after thirty minutes");
    let mut client = stage.connect(Security::Done).await;
    assert!(client.line().await.starts_with("* BYE"), "nobody logged in");
    let mut client = stage.connect(Security::Done).await;
    stage.drain.send(true).unwrap();
    assert!(client.line().await.starts_with("* BYE"));
}

#[tokio::test(start_paused = true)]
async fn commands_may_be_sent_without_waiting() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one"]).await;
    let many: String = (0..200).map(|n| format!("n{n} NOOP\r\n")).collect();
    client.send(many.as_bytes()).await;
    for n in 0..200 {
        assert_eq!(client.line().await, format!("n{n} OK NOOP completed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_mailbox_that_is_deleted_is_left_and_elsewhere_the_session_ends() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one"]).await;
    let mut other = stage.session().await;
    other.ok("SELECT Box").await;
    client.ask("IDLE").await;
    assert!(other.ok("DELETE Box").await[0].starts_with("* OK [CLOSED]"));
    assert!(other.refused("FETCH 1 UID").await.starts_with("t BAD"));
    assert_eq!(client.line().await, "* BYE The selected mailbox was deleted");
    assert_eq!(client.line().await, "");
}

#[tokio::test(start_paused = true)]
async fn close_removes_what_another_session_marked_too() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one", "two"]).await;
    let mut other = stage.session().await;
    other.ok("SELECT Box").await;
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    let mut reader = stage.session().await;
    reader.ok("EXAMINE Box").await;
    reader.ok("CLOSE").await;
    client.ok("CLOSE").await;
    let status = client.ok("STATUS Box (MESSAGES)").await;
    assert_eq!(status[0], "* STATUS \"Box\" (MESSAGES 1)");
}

/// A keyword that no message has makes room for another one: the table is as long as before.
#[tokio::test(start_paused = true)]
async fn a_keyword_in_the_place_of_another_is_told_before_it_is_used() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one"]).await;
    let all: Vec<String> =
        (0..crate::account::KEYWORDS_MAX).map(|number| format!("k{number}")).collect();
    client.ok(&format!("STORE 1 FLAGS ({})", all.join(" "))).await;
    let mut other = stage.session().await;
    other.ok("SELECT Box").await;
    client.ok("STORE 1 -FLAGS.SILENT (k7)").await;
    other.ok("NOOP").await;
    client.ok("STORE 1 +FLAGS.SILENT (fresh)").await;
    let told = other.ok("NOOP").await;
    assert!(told[0].starts_with("* FLAGS (") && told[0].contains(" fresh"), "{told:?}");
    assert!(told.iter().any(|line| line.contains("FETCH (UID 1 FLAGS (")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn mail_that_is_delivered_appears_and_is_recent_once() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    client.ok("SELECT INBOX").await;
    stage.house.deliver(&[BOB], "news").await.unwrap();
    client.ask("IDLE").await;
    // A new account has a note in its INBOX, which may be folded before or after SELECT.
    while client.line().await != "* 2 EXISTS" {}
    assert!(client.line().await.ends_with(" RECENT"));
    client.send(b"DONE\r\n").await;
    client.answer().await;
    let flags = client.ok("FETCH * FLAGS").await;
    assert!(flags[0].contains("\\Recent"), "{flags:?}");
    let mut other = stage.session().await;
    other.ok("SELECT INBOX").await;
    let flags = other.ok("FETCH * FLAGS").await;
    assert!(!flags[0].contains("\\Recent"), "{flags:?}");
}

#[tokio::test(start_paused = true)]
async fn odd_octets_come_back_as_they_were_sent() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    let long = vec![b'x'; 5000];
    for odd in [
        b"no header at all".to_vec(),
        b"A: b\n\nbare line feeds\n".to_vec(),
        b"Subject: \xff\xfe\r\n\r\n8-bit \x80\x81\r\n".to_vec(),
        [b"A: b\r\n\r\n".to_vec(), long].concat(),
        b"\r\n".to_vec(),
    ] {
        let uid = client.append("Drafts", "", &odd).await.pop().unwrap();
        let uid = uid.split(']').next().unwrap().rsplit(' ').next().unwrap().to_owned();
        client.ok("SELECT Drafts").await;
        client.send(format!("t UID FETCH {uid} (RFC822.SIZE BODY.PEEK[])\r\n").as_bytes()).await;
        let head = String::from_utf8(client.until(b"\r\n").await).unwrap();
        let size = odd.len();
        assert!(head.ends_with(&format!("RFC822.SIZE {size} BODY[] {{{size}}}\r\n")), "{head}");
        while client.buffer.len() < size {
            client.fill().await;
        }
        assert_eq!(client.buffer.drain(..size).collect::<Vec<_>>(), odd);
        client.answer().await;
    }
}

/// A message of so many octets, no two of them alike for long.
fn counted(octets: usize) -> Vec<u8> {
    let mut message = b"Subject: counted\r\n\r\n".to_vec();
    let mut line = 0;
    while message.len() < octets {
        message.extend(format!("line {line} of many\r\n").bytes());
        line += 1;
    }
    message.truncate(octets);
    message
}

#[tokio::test(start_paused = true)]
async fn a_large_part_that_is_asked_for_many_times_comes_as_often() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one"]).await;
    let large = counted(700_000);
    client.append("Box", "", &large).await;
    let items: Vec<String> = (0..9).map(|at| format!("BODY.PEEK[]<{at}.999999>")).collect();
    client.send(format!("t FETCH 1:2 (UID {} FLAGS)\r\n", items.join(" ")).as_bytes()).await;
    let small = message("one");
    for (number, message) in [(1, &small), (2, &large)] {
        let mut wanted = format!("* {number} FETCH (UID {number}").into_bytes();
        for at in 0..9 {
            let rest = &message[at..];
            wanted.extend(format!(" BODY[]<{at}> {{{}}}\r\n", rest.len()).bytes());
            wanted.extend_from_slice(rest);
        }
        wanted.extend(b" FLAGS (");
        while client.buffer.len() < wanted.len() {
            assert!(client.fill().await > 0, "{number}: the connection has ended");
        }
        assert!(client.buffer.starts_with(&wanted), "{number}");
        client.buffer.drain(..wanted.len());
        client.until(b")\r\n").await;
    }
    assert!(client.answer().await[0].starts_with("t OK"));
}

#[tokio::test(start_paused = true)]
async fn a_header_that_no_record_holds_is_taken_from_the_message() {
    let stage = Stage::with_opened(4 << 20).await;
    let mut client = stage.session().await;
    let field = |n| format!("X-Field-{n}: {}\r\n", "x".repeat(120));
    let fields: String = (0..900).map(field).collect();
    let header = format!("Subject: long\r\n{fields}\r\n");
    client.append("Drafts", "", format!("{header}text\r\n").as_bytes()).await;
    client.append("Drafts", "", &message("short")).await;
    client.ok("SELECT Drafts").await;
    let one = client.ok("FETCH 1:2 (ENVELOPE BODY.PEEK[HEADER])").await;
    assert!(one[0].contains("(NIL \"long\" ") && one[0].contains(&header));
    assert!(one[1].contains("\"short\""), "{}", one[1]);
    let picked = client.ok("FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT)]<5.150000>").await;
    assert!(picked[0].ends_with(&format!("{}\r\n)", &fields[5..])));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_read_keeps_no_other_account_waiting_and_his_own_for_his_time() {
    const ANN: &str = "ann@example.org";
    // One account has four megabytes: a message of two and its answer, and not two of them.
    let stage = Stage::with_opened(16 << 20).await;
    stage.house.add(ANN).await;
    let mut readers = Vec::new();
    for user in [BOB, BOB, ANN] {
        let mut client = stage.session_of(user).await;
        client.ok("SELECT Drafts").await;
        client.append("Drafts", "", &counted(2 << 20)).await;
        readers.push(client);
    }
    let [stuck, waits, other] = &mut readers[..] else { panic!("three") };
    stuck.send(b"t FETCH 1 (BODY.PEEK[] BODY.PEEK[]<1.9999999> RFC822.SIZE)\r\n").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = tokio::time::Instant::now();
    other.ok("FETCH 1 BODY.PEEK[]").await;
    waits.ok("FETCH 1 (FLAGS RFC822.SIZE)").await;
    assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
    waits.ok("FETCH 1 BODY.PEEK[]").await;
    let waited = began.elapsed().as_secs();
    assert!((290..310).contains(&waited), "the write's time, not {waited} s");
    let mut rest = Vec::new();
    stuck.stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.len() <= PIPE_BYTES, "{}", rest.len());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_makes_room_for_what_is_read() {
    let stage = Stage::with_opened(16 << 20).await;
    let mut first = stage.session().await;
    let mut second = stage.session().await;
    first.append("Drafts", "", &counted(2 << 20)).await;
    let began = tokio::time::Instant::now();
    for client in [&mut first, &mut second] {
        client.ok("SELECT Drafts").await;
        client.ok("FETCH 1 BODY.PEEK[]").await;
        client.ok("FETCH 1 BODY.PEEK[]<100.1000>").await;
    }
    assert!(began.elapsed().as_secs() < 1, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lock_within_a_literal_says_nothing_more() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    client.append("Drafts", "", &counted(900_000)).await;
    client.ok("SELECT Drafts").await;
    client.send(b"t FETCH 1 BODY.PEEK[]\r\n").await;
    client.until(b"{900000}\r\n").await;
    stage.house.mailboxes.lock(BOB).await.unwrap();
    while client.fill().await > 0 {}
    assert!(client.buffer.len() < 900_000, "{}", client.buffer.len());
    assert!(counted(900_000).starts_with(&client.buffer));
}
