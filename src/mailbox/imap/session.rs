//! One session from greeting to end: reads events, checks them against the state, hands them to the
//! file of their command.

use super::events::ImapEvent;
use super::link::{End, LOCKED, Link, SILENCE, locked};
use super::selected::Selected;
use super::{Connection, Options, Security, World};
use crate::imap::limits::{BAD_MAX, PREAUTH_BAD_MAX};
use crate::imap::{
    self, Budget, Code, Command, Denial, Event, Fatal, Refused, State, Tag, grammar::ErrorKind,
};
use crate::mailbox::{AccountHandle, Version};
use crate::seams::BoxStream;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// What every command that needs a mailbox is told while the account is locked. One text for all,
/// for clients show it each time.
pub(super) const LOCKED_TEXT: &str = "This mail is locked: unlock it with \
    `postseal account unlock`, or log in with a password that opens it";

/// One session.
pub(super) struct Session {
    pub(super) options: Arc<Options>,
    pub(super) world: World,
    pub(super) link: Link,
    pub(super) state: imap::Session,
    pub(super) peer: Option<IpAddr>,
    pub(super) account: Option<AccountHandle>,
    pub(super) selected: Option<Selected>,
    pub(super) login_failures: u32,
    pub(super) changes: Option<watch::Receiver<Version>>,
    draining: watch::Receiver<bool>,
    bad: u32,
    commands: u64,
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    options: Arc<Options>,
    world: World,
    connection: Connection,
    draining: watch::Receiver<bool>,
) {
    let Connection { stream, peer, security } = connection;
    let (stream, protected) = match security {
        Security::StartTls => (stream, false),
        Security::Done => (stream, true),
        Security::Implicit => match handshake(&options, &world, stream, peer).await {
            Some(stream) => (stream, true),
            None => return,
        },
    };
    let mut session = Session {
        link: Link::new(stream, options.write_timeout),
        state: imap::Session::new(protected),
        options,
        world,
        peer,
        account: None,
        selected: None,
        login_failures: 0,
        changes: None,
        draining,
        bad: 0,
        commands: 0,
    };
    session.greet();
    let end = session.run().await;
    session.finish(end).await;
}

/// The server's side of a TLS handshake, within its time.
async fn handshake(
    options: &Options,
    world: &World,
    stream: BoxStream,
    peer: Option<IpAddr>,
) -> Option<BoxStream> {
    let accept = world.tls.as_ref()?.accept(stream);
    match timeout(options.handshake_timeout, accept).await {
        Ok(Ok(tls)) => Some(tls.stream),
        _ => {
            world.log.emit(&ImapEvent::HandshakeFailed { peer });
            None
        }
    }
}

impl Session {
    fn greet(&mut self) {
        let capabilities = self.state.capabilities();
        self.link.out.line(&format!("* OK [CAPABILITY {capabilities}] Postseal is ready"));
    }

    /// Runs until the session ends, and says why it did.
    async fn run(&mut self) -> End {
        loop {
            let step = match self.link.ready() {
                Some(event) => self.event(event).await,
                None => self.wait().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn finish(mut self, end: End) {
        let account = self.account.as_ref().map(AccountHandle::account);
        // What is of the account goes first: its keys die with the last session's hold on it.
        self.selected = None;
        self.account = None;
        self.link.close(end).await;
        let why = match end {
            End::Closed => "closed",
            End::Logout => "logout",
            End::Bye(_, _, why) => why,
        };
        let (peer, commands, sent_bytes) = (self.peer, self.commands, self.link.sent_bytes);
        self.world.log.emit(&ImapEvent::Ended { account, peer, why, commands, sent_bytes });
    }

    /// Between commands: writes what waits, then waits for the client, the lock or the end.
    async fn wait(&mut self) -> Result<(), End> {
        self.link.flush().await?;
        let silence = match self.state.state {
            State::NotAuthenticated => self.options.login_timeout,
            _ => self.options.autologout,
        };
        let Session { link, changes, draining, .. } = self;
        tokio::select! {
            biased;
            () = locked(changes) => Err(LOCKED),
            () = drained(draining) => Err(stopping()),
            read = link.read() => read,
            () = sleep(silence) => Err(SILENCE),
        }
    }

    async fn event(&mut self, event: Event) -> Result<(), End> {
        match event {
            Event::Command(tag, command) => self.command(tag, command).await,
            Event::Append(tag, append) => {
                self.commands += 1;
                self.append(tag, append).await
            }
            Event::Continue => {
                self.link.out.go_on("go on");
                Ok(())
            }
            Event::Refused(tag, refused) => self.refused(tag, refused),
            Event::Fatal(fatal) => Err(end_of(fatal)),
            // The rest of an exchange that has ended; nothing waits for it.
            Event::Line(_) | Event::AppendOctets(_) | Event::AppendEnd(_) => Ok(()),
        }
    }

    async fn command(&mut self, tag: Tag, command: Command) -> Result<(), End> {
        self.commands += 1;
        if self.account.as_ref().is_some_and(AccountHandle::is_locked) {
            return Err(LOCKED);
        }
        if let Err(denial) = self.state.permits(&command) {
            return self.deny(&tag, denial);
        }
        self.bad = 0;
        self.dispatch(tag, command).await?;
        self.link.flush_if_much().await
    }

    async fn dispatch(&mut self, tag: Tag, command: Command) -> Result<(), End> {
        use Command::*;
        match command {
            Capability => self.capability(&tag).await,
            Noop => self.done(&tag, "NOOP completed").await,
            Check => self.done(&tag, "CHECK completed").await,
            Logout => self.logout(&tag),
            Id => self.id(&tag).await,
            Enable(_) => self.enable(&tag),
            Namespace => self.namespace(&tag).await,
            StartTls => self.start_tls(&tag).await,
            Authenticate { mechanism, initial } => {
                self.authenticate(&tag, &mechanism, initial).await
            }
            Login { user, password } => self.login(&tag, user, password).await,
            Select(name, _) => self.select(&tag, &name, false).await,
            Examine(name, _) => self.select(&tag, &name, true).await,
            Create(name) => self.create(&tag, &name).await,
            Delete(name) => self.delete(&tag, &name).await,
            Rename { from, to } => self.rename(&tag, &from, &to).await,
            Subscribe(name) => self.subscribe(&tag, &name).await,
            Unsubscribe(name) => self.unsubscribe(&tag, &name).await,
            List(list) => self.list(&tag, &list).await,
            Lsub { reference, pattern } => self.lsub(&tag, &reference, &pattern).await,
            Status(name, items) => self.status(&tag, &name, &items).await,
            Idle => self.idle(&tag).await,
            Close => self.close(&tag).await,
            Unselect => self.unselect(&tag),
            Expunge(uids) => self.expunge(&tag, uids.as_ref()).await,
            Search { uid, key } => self.search(&tag, uid, key).await,
            Fetch { uid, set, items } => self.fetch(&tag, uid, &set, &items).await,
            Store { uid, set, mode, silent, flags } => {
                self.store(&tag, uid, &set, store_request(mode, silent, flags)).await
            }
            Copy { uid, set, to } => self.copy(&tag, uid, &set, &to).await,
            Move { uid, set, to } => self.move_(&tag, uid, &set, &to).await,
        }
    }

    pub(super) fn deny(&mut self, tag: &Tag, denial: Denial) -> Result<(), End> {
        match denial {
            Denial::State(text) => return self.count_bad(Some(tag), text),
            Denial::PrivacyRequired => {
                self.link.out.no(tag, Code::PrivacyRequired, "Passwords are taken over TLS only");
            }
            Denial::Locked => self.link.out.no(tag, Code::Unavailable, LOCKED_TEXT),
            Denial::ReadOnly => self.link.out.no(tag, Code::ReadOnly, "The mailbox is read-only"),
        }
        Ok(())
    }

    fn refused(&mut self, tag: Option<Tag>, refused: Refused) -> Result<(), End> {
        let Refused::Syntax(error) = refused else {
            return self.count_bad(tag.as_ref(), "This literal is too large");
        };
        match (error.kind, &tag) {
            (ErrorKind::Charset, Some(tag)) => {
                self.link.out.no(tag, Code::BadCharset, "This charset is not known");
                Ok(())
            }
            (ErrorKind::MailboxName, Some(tag)) => {
                let text = "A mailbox name is written in modified UTF-7";
                self.link.out.no(tag, Code::Cannot, text);
                Ok(())
            }
            (ErrorKind::UnknownCommand, _) => self.count_bad(tag.as_ref(), "Unknown command"),
            _ => {
                let text = format!("Expected {} at octet {}", error.expected, error.offset);
                self.count_bad(tag.as_ref(), &text)
            }
        }
    }

    /// Says BAD; too many of them in a row end the session, before login after very few: then it is
    /// somebody who speaks another protocol.
    pub(super) fn count_bad(&mut self, tag: Option<&Tag>, text: &str) -> Result<(), End> {
        self.link.out.bad(tag, text);
        self.bad += 1;
        let most = match self.state.state {
            State::NotAuthenticated => PREAUTH_BAD_MAX,
            _ => BAD_MAX,
        };
        match self.bad >= most {
            true => Err(End::Bye(Code::None, "Too many commands that are none", "bad-commands")),
            false => Ok(()),
        }
    }

    async fn capability(&mut self, tag: &Tag) -> Result<(), End> {
        let capabilities = self.state.capabilities();
        self.link.out.line(&format!("* CAPABILITY {capabilities}"));
        self.done(tag, "CAPABILITY completed").await
    }

    fn logout(&mut self, tag: &Tag) -> Result<(), End> {
        self.link.out.bye(Code::None, "Goodbye");
        self.link.out.ok(tag, Code::None, "LOGOUT completed");
        Err(End::Logout)
    }

    /// RFC 2971: our name; a version would help nobody but an attacker.
    async fn id(&mut self, tag: &Tag) -> Result<(), End> {
        self.link.out.line("* ID (\"name\" \"Postseal\")");
        self.done(tag, "ID completed").await
    }

    /// RFC 5161 §3.1: nothing that can be enabled is announced.
    fn enable(&mut self, tag: &Tag) -> Result<(), End> {
        self.link.out.line("* ENABLED");
        self.link.out.ok(tag, Code::None, "ENABLE completed");
        Ok(())
    }

    async fn namespace(&mut self, tag: &Tag) -> Result<(), End> {
        self.link.out.line("* NAMESPACE ((\"\" \"/\")) NIL NIL");
        self.done(tag, "NAMESPACE completed").await
    }

    async fn start_tls(&mut self, tag: &Tag) -> Result<(), End> {
        if self.world.tls.is_none() {
            self.link.out.no(tag, Code::Unavailable, "No certificate is configured");
            return Ok(());
        }
        // What stands behind STARTTLS was sent in clear, by whomever; it never reaches the
        // protected session (CVE-2011-0411).
        if self.link.receiver().has_pending() {
            return Err(End::Bye(Code::None, "Nothing may follow STARTTLS", "starttls-injection"));
        }
        self.link.out.ok(tag, Code::None, "Begin TLS now");
        self.link.flush().await?;
        let stream = self.link.take_stream().ok_or(End::Closed)?;
        let stream = handshake(&self.options, &self.world, stream, self.peer).await;
        self.link.put_stream(stream.ok_or(End::Closed)?);
        self.state = imap::Session::new(true);
        Ok(())
    }

    /// Tells what has changed, expunges too, and says OK: the end of most commands.
    pub(super) async fn done(&mut self, tag: &Tag, text: &str) -> Result<(), End> {
        self.done_with(tag, Code::None, text).await
    }

    pub(super) async fn done_with(&mut self, tag: &Tag, code: Code, text: &str) -> Result<(), End> {
        self.sync(true).await?;
        self.link.out.ok(tag, code, text);
        Ok(())
    }

    /// Somebody has logged in; `account` is there if the credential opened it.
    pub(super) fn enter(&mut self, account: Option<AccountHandle>) {
        self.state.state = State::Authenticated;
        self.state.unlocked = account.is_some();
        self.changes = account.as_ref().map(AccountHandle::changes);
        self.link.watch(self.changes.clone());
        self.account = account;
        self.link.receiver().set_budget(Budget::AFTER_LOGIN);
        self.bad = 0;
    }

    /// Becomes true when the server is about to stop.
    pub(super) fn draining(&self) -> watch::Receiver<bool> {
        self.draining.clone()
    }

    /// The account. Commands that need one are let in only while it is there.
    pub(super) fn account(&self) -> Result<&AccountHandle, End> {
        self.account.as_ref().ok_or(LOCKED)
    }

    /// Waits for the next line, for at most `autologout` (before login, `login_timeout`).
    pub(super) async fn next_line(&mut self) -> Result<Event, End> {
        self.link.receiver().expect_line();
        loop {
            match self.link.ready() {
                Some(event) => return Ok(event),
                None => self.wait().await?,
            }
        }
    }
}

fn store_request(
    mode: imap::StoreMode,
    silent: bool,
    flags: Vec<imap::Flag>,
) -> super::store::Request {
    super::store::Request { mode, silent, flags }
}

/// Ends when the server is about to stop.
async fn drained(draining: &mut watch::Receiver<bool>) {
    if draining.wait_for(|draining| *draining).await.is_err() {
        std::future::pending().await
    }
}

pub(super) fn stopping() -> End {
    End::Bye(Code::Unavailable, "The server is stopping", "stopping")
}

pub(super) fn end_of(fatal: Fatal) -> End {
    match fatal {
        Fatal::TooLong => End::Bye(Code::None, "A command is too long", "too-long"),
        Fatal::LiteralTooLarge => End::Bye(Code::TooBig, "A literal is too large", "literal"),
        Fatal::OutOfStep => End::Bye(Code::None, "One message a command", "out-of-step"),
    }
}
