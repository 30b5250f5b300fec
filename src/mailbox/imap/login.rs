//! LOGIN and AUTHENTICATE.
//!
//! # Standards
//! RFC 3501 §6.2.2-3, RFC 4959 (initial response), RFC 5530 §3.

use super::link::End;
use super::session::{Session, end_of};
use crate::base::secret::SecretBytes;
use crate::imap::{Code, Event, Tag};
use crate::mailbox::Login;
use crate::sasl::{Exchange, Mechanism, PasswordClaim, Step, line};
use crate::seams::{AuthRequest, Service};

impl Session {
    pub(super) async fn login(
        &mut self,
        tag: &Tag,
        user: SecretBytes,
        password: SecretBytes,
    ) -> Result<(), End> {
        match String::from_utf8(user.expose().to_vec()) {
            Ok(user) => self.judge(tag, PasswordClaim { user, password }).await,
            Err(_) => self.fail_login(tag),
        }
    }

    pub(super) async fn authenticate(
        &mut self,
        tag: &Tag,
        mechanism: &str,
        initial: Option<SecretBytes>,
    ) -> Result<(), End> {
        let Some(mechanism) = Mechanism::from_name(mechanism.as_bytes()) else {
            self.link.out.no(tag, Code::Cannot, "This mechanism is not offered");
            return Ok(());
        };
        let initial = match initial.map(|word| line::read_initial(word.expose())).transpose() {
            Ok(initial) => initial,
            Err(_) => return self.count_bad(Some(tag), "The response is no base64"),
        };
        let response = initial.as_ref().map(SecretBytes::expose);
        let (mut exchange, mut step) = Exchange::start(mechanism, response);
        loop {
            match step {
                Step::Claim(claim) => return self.judge(tag, claim).await,
                Step::Refused(_) => return self.fail_login(tag),
                Step::Challenge(challenge) => {
                    self.link.out.go_on(&line::write(&challenge));
                    match self.response(tag).await? {
                        Some(response) => step = exchange.respond(response.expose()),
                        None => return Ok(()),
                    }
                }
            }
        }
    }

    /// The client's answer to a challenge; `None` if it gave up or sent nonsense, and was told so.
    async fn response(&mut self, tag: &Tag) -> Result<Option<SecretBytes>, End> {
        let response = match self.next_line().await? {
            Event::Line(response) => response,
            Event::Fatal(fatal) => return Err(end_of(fatal)),
            _ => return Err(End::Closed),
        };
        match line::read(response.expose()) {
            Ok(line::Line::Response(response)) => return Ok(Some(response)),
            // RFC 3501 §6.2.2: a cancelled exchange is BAD.
            Ok(line::Line::Cancel) => self.link.out.bad(Some(tag), "AUTHENTICATE cancelled"),
            Err(_) => self.count_bad(Some(tag), "The response is no base64")?,
        }
        Ok(None)
    }

    async fn judge(&mut self, tag: &Tag, claim: PasswordClaim) -> Result<(), End> {
        let PasswordClaim { user, password } = claim;
        let request = AuthRequest { user, password, peer: self.peer, service: Service::Imap };
        let mailboxes = self.world.mailboxes.clone();
        match mailboxes.login_to_read(request).await {
            Login::Open(account) => {
                self.enter(Some(account));
                self.welcome(tag, "Logged in");
            }
            Login::Locked { .. } => {
                self.enter(None);
                self.welcome(tag, "Logged in; this mail is locked");
            }
            Login::Refused => return self.fail_login(tag),
            Login::TryLater => {
                self.link.out.no(tag, Code::Unavailable, "Too busy to check this now");
            }
        }
        Ok(())
    }

    /// The capabilities differ from those before login, so that they are told at once.
    fn welcome(&mut self, tag: &Tag, text: &str) {
        let capabilities = self.state.capabilities();
        let line = format!("{} OK [CAPABILITY {capabilities}] {text}", tag.as_str());
        self.link.out.line(&line);
    }

    fn fail_login(&mut self, tag: &Tag) -> Result<(), End> {
        let text = "No such user or wrong password";
        self.link.out.no(tag, Code::AuthenticationFailed, text);
        self.login_failures += 1;
        match self.login_failures >= self.options.login_failures_max {
            true => Err(End::Bye(Code::None, "Too many attempts", "login-failures")),
            false => Ok(()),
        }
    }
}
