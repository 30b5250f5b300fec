//! The states of a session and what may be asked for in each.
//!
//! ```text
//!           LOGIN, AUTHENTICATE          SELECT, EXAMINE
//! not authenticated ----------> authenticated <----------> selected
//!                                          CLOSE, UNSELECT, failed SELECT
//! ```
//!
//! Beside the state stand two facts: whether the connection is protected, without which no password
//! is taken, and whether the account is unlocked, without which no mailbox is touched.
//!
//! # Standards
//! RFC 3501 §3 (states), §6.2.3 and RFC 8314 §4 (no password in clear).

use super::command::Command;

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody is logged in.
    NotAuthenticated,
    /// Somebody is, and no mailbox is selected.
    Authenticated,
    /// A mailbox is selected.
    Selected {
        /// By EXAMINE.
        read_only: bool,
    },
}

/// The facts that decide what may be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// The state.
    pub state: State,
    /// The connection is protected by TLS.
    pub protected: bool,
    /// The account is unlocked for this session.
    pub unlocked: bool,
}

/// Why a command is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// `BAD`: not in this state.
    State(&'static str),
    /// `NO [PRIVACYREQUIRED]`: no password in clear.
    PrivacyRequired,
    /// `NO [UNAVAILABLE]`: the account is locked.
    Locked,
    /// `NO [READ-ONLY]`: the mailbox was opened by EXAMINE.
    ReadOnly,
}

/// Which state a command needs.
enum Needs {
    Any,
    NotAuthenticated,
    Authenticated,
    Account,
    Selected { write: bool },
}

impl Session {
    /// A fresh session.
    pub fn new(protected: bool) -> Session {
        Session { state: State::NotAuthenticated, protected, unlocked: false }
    }

    /// Whether `command` may be given now.
    pub fn permits(&self, command: &Command) -> Result<(), Denial> {
        let (authenticated, selected) = match self.state {
            State::NotAuthenticated => (false, None),
            State::Authenticated => (true, None),
            State::Selected { read_only } => (true, Some(read_only)),
        };
        match needs(command) {
            Needs::Any => Ok(()),
            Needs::NotAuthenticated if authenticated => Err(Denial::State("Already logged in")),
            Needs::NotAuthenticated => self.permits_before_login(command),
            _ if !authenticated => Err(Denial::State("Log in first")),
            Needs::Authenticated => Ok(()),
            _ if !self.unlocked => Err(Denial::Locked),
            Needs::Account => Ok(()),
            Needs::Selected { write } => match selected {
                None => Err(Denial::State("Select a mailbox first")),
                Some(true) if write => Err(Denial::ReadOnly),
                Some(_) => Ok(()),
            },
        }
    }

    /// Whether APPEND may be given now.
    pub fn permits_append(&self) -> Result<(), Denial> {
        match self.state {
            State::NotAuthenticated => Err(Denial::State("Log in first")),
            _ if !self.unlocked => Err(Denial::Locked),
            _ => Ok(()),
        }
    }

    /// The capabilities of this moment.
    pub fn capabilities(&self) -> &'static str {
        capabilities(self.protected, self.state != State::NotAuthenticated)
    }

    fn permits_before_login(&self, command: &Command) -> Result<(), Denial> {
        match command {
            Command::StartTls if self.protected => Err(Denial::State("TLS is in use already")),
            Command::StartTls => Ok(()),
            _ if self.protected => Ok(()),
            // RFC 3501 §6.2.3: LOGINDISABLED was announced.
            _ => Err(Denial::PrivacyRequired),
        }
    }
}

fn needs(command: &Command) -> Needs {
    use Command::*;
    match command {
        Capability | Noop | Logout | Id => Needs::Any,
        StartTls | Authenticate { .. } | Login { .. } => Needs::NotAuthenticated,
        // Harmless while the account is locked: they show nothing of it.
        Enable(_) | Namespace | Idle => Needs::Authenticated,
        Select(..)
        | Examine(..)
        | Create(_)
        | Delete(_)
        | Rename { .. }
        | Subscribe(_)
        | Unsubscribe(_)
        | List(_)
        | Lsub { .. }
        | Status(..) => Needs::Account,
        Check | Close | Unselect | Search { .. } | Fetch { .. } | Copy { .. } => {
            Needs::Selected { write: false }
        }
        Expunge(_) | Store { .. } | Move { .. } => Needs::Selected { write: true },
    }
}

/// What is announced. The lists differ so that no password is sent in clear, and so that a command
/// which needs a login is not tried before it.
pub fn capabilities(protected: bool, authenticated: bool) -> &'static str {
    match (authenticated, protected) {
        (false, false) => "IMAP4rev1 LITERAL+ ID ENABLE SASL-IR STARTTLS LOGINDISABLED",
        (false, true) => "IMAP4rev1 LITERAL+ ID ENABLE SASL-IR AUTH=PLAIN AUTH=LOGIN",
        (true, _) => {
            "IMAP4rev1 LITERAL+ ID ENABLE IDLE NAMESPACE CHILDREN LIST-EXTENDED LIST-STATUS \
             SPECIAL-USE UIDPLUS MOVE UNSELECT"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::grammar::command;
    use super::*;

    fn asked(session: &Session, text: &str) -> Result<(), Denial> {
        let (_, command) = command(format!("a {text}\r\n").as_bytes()).unwrap();
        session.permits(&command)
    }

    #[test]
    fn no_password_is_taken_in_clear() {
        let mut session = Session::new(false);
        for text in ["LOGIN a b", "AUTHENTICATE PLAIN", "AUTHENTICATE PLAIN AA=="] {
            assert_eq!(asked(&session, text), Err(Denial::PrivacyRequired), "{text}");
        }
        assert!(!session.capabilities().contains("AUTH="));
        assert_eq!(asked(&session, "STARTTLS"), Ok(()));
        session.protected = true;
        assert_eq!(asked(&session, "LOGIN a b"), Ok(()));
        assert!(matches!(asked(&session, "STARTTLS"), Err(Denial::State(_))));
        assert!(!session.capabilities().contains("STARTTLS"));
        assert!(!session.capabilities().contains("LOGINDISABLED"));
    }

    #[test]
    fn a_locked_account_answers_only_what_shows_nothing_of_it() {
        let locked = Session { state: State::Authenticated, protected: true, unlocked: false };
        for text in ["CAPABILITY", "NOOP", "ID NIL", "NAMESPACE", "LOGOUT", "ENABLE X", "IDLE"] {
            assert_eq!(asked(&locked, text), Ok(()), "{text}");
        }
        let refused = [
            "LIST \"\" *",
            "LSUB \"\" *",
            "STATUS x (MESSAGES)",
            "SELECT x",
            "EXAMINE x",
            "CREATE x",
            "DELETE x",
            "RENAME x y",
            "SUBSCRIBE x",
            "UNSUBSCRIBE x",
            "COPY 1 x",
            "SEARCH ALL",
        ];
        for text in refused {
            assert_eq!(asked(&locked, text), Err(Denial::Locked), "{text}");
        }
        assert_eq!(locked.permits_append(), Err(Denial::Locked));
    }

    #[test]
    fn each_command_waits_for_its_state() {
        let new = Session::new(true);
        for text in ["SELECT x", "LIST \"\" *", "FETCH 1 UID", "IDLE", "NAMESPACE"] {
            assert!(matches!(asked(&new, text), Err(Denial::State(_))), "{text}");
        }
        let open = Session { state: State::Authenticated, protected: true, unlocked: true };
        assert!(matches!(asked(&open, "LOGIN a b"), Err(Denial::State(_))));
        assert!(matches!(asked(&open, "FETCH 1 UID"), Err(Denial::State(_))));
        let examined = Session { state: State::Selected { read_only: true }, ..open };
        assert_eq!(asked(&examined, "STORE 1 FLAGS ()"), Err(Denial::ReadOnly));
        assert_eq!(asked(&examined, "FETCH 1 BODY[]"), Ok(()));
        assert_eq!(asked(&examined, "CLOSE"), Ok(()));
    }

    #[test]
    fn nothing_is_announced_that_is_not_there() {
        for (protected, authenticated) in [(false, false), (true, false), (true, true)] {
            let list = capabilities(protected, authenticated);
            for wrong in ["IMAP4rev2", "LITERAL-", "XLIST", "CONDSTORE", "UTF8", "  "] {
                assert!(!list.contains(wrong), "{wrong} in {list}");
            }
        }
    }
}
