//! SASL mechanisms as machines: opaque octets in, opaque octets out, for SMTP and IMAP alike.
//!
//! A protocol starts an [`Exchange`] by the mechanism's name, feeds it each response and sends each
//! challenge until the exchange ends in a claim or a refusal. This room knows no account and checks
//! no password: a [`PasswordClaim`] is what somebody says, and the mailbox role judges it. It is
//! never printed and zeroed when dropped.
//!
//! [`mod@line`] has what both protocols share around the octets: base64, the empty response, the
//! cancel.
//!
//! # Standards
//! RFC 4422 (SASL), RFC 4616 (PLAIN), RFC 4954 §4 and RFC 9051 §6.2.2 (base64 lines), RFC 4954 §4.9
//! (line length). LOGIN has no standard: the prompts are those that clients expect.
//!
//! # Known gaps
//! SCRAM-SHA-256 and -PLUS are to come: they add a mechanism, and to [`Step`] one variant that asks
//! for the stored keys of a user and one that ends with a claim already proven.

pub mod line;

use crate::base::secret::SecretBytes;

/// Octets of a user name or password at most (RFC 4616 §2: implementations take at least 255).
pub const IDENTITY_BYTES_MAX: usize = 255;

/// Octets of a password at most. RFC 4616 §2 asks for 255; passphrases of recovery codes are below.
pub const PASSWORD_BYTES_MAX: usize = 1024;

/// The mechanisms offered, in the order in which they are announced.
pub const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];

/// A mechanism by which a client names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// The two prompts of old Outlook and of devices.
    Login,
}

impl Mechanism {
    /// The mechanism of that name, in any case (RFC 4422 §3.1).
    pub fn from_name(name: &[u8]) -> Option<Mechanism> {
        MECHANISMS.into_iter().find(|m| m.name().as_bytes().eq_ignore_ascii_case(name))
    }

    /// Its registered name.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
        }
    }
}

/// Who somebody says to be, and the password given for it. Nothing of it is verified.
#[derive(Debug)]
pub struct PasswordClaim {
    /// The user name: UTF-8, not empty, at most [`IDENTITY_BYTES_MAX`] octets, no NUL.
    pub user: String,
    /// The password as sent, not yet prepared (RFC 8265 is the judge's work).
    pub password: SecretBytes,
}

/// Why an exchange failed. No variant holds what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaslError {
    /// The octets do not have the mechanism's form.
    Malformed,
    /// A name or password is longer than the limit.
    TooLong,
    /// The client wants to act for another user; nobody may.
    OtherIdentity,
    /// The exchange has ended already.
    Ended,
}

/// What comes next.
#[derive(Debug)]
pub enum Step {
    /// Send this challenge (it may be empty) and feed the response.
    Challenge(Vec<u8>),
    /// The exchange has ended; the claim is to be judged.
    Claim(PasswordClaim),
    /// The exchange has ended without one.
    Refused(SaslError),
}

/// One exchange with a client.
#[derive(Debug)]
pub struct Exchange {
    state: State,
}

#[derive(Debug)]
enum State {
    Plain,
    LoginUser,
    LoginPassword(String),
    Ended,
}

impl Exchange {
    /// Starts an exchange. `initial` is the client's initial response, `None` where it sent none.
    pub fn start(mechanism: Mechanism, initial: Option<&[u8]>) -> (Exchange, Step) {
        let state = match mechanism {
            Mechanism::Plain => State::Plain,
            Mechanism::Login => State::LoginUser,
        };
        let mut exchange = Exchange { state };
        let step = match initial {
            Some(response) => exchange.respond(response),
            None => exchange.first_challenge(),
        };
        (exchange, step)
    }

    /// Takes the response to the last challenge.
    pub fn respond(&mut self, response: &[u8]) -> Step {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::Plain => parse_plain(response).map_or_else(Step::Refused, Step::Claim),
            State::LoginUser => match identity(response) {
                Ok(user) => {
                    self.state = State::LoginPassword(user);
                    Step::Challenge(b"Password:".to_vec())
                }
                Err(error) => Step::Refused(error),
            },
            State::LoginPassword(user) => password(response)
                .map(|password| PasswordClaim { user, password })
                .map_or_else(Step::Refused, Step::Claim),
            State::Ended => Step::Refused(SaslError::Ended),
        }
    }

    fn first_challenge(&self) -> Step {
        match self.state {
            // RFC 4616 §2: the client speaks first, so the challenge is empty.
            State::Plain => Step::Challenge(Vec::new()),
            _ => Step::Challenge(b"Username:".to_vec()),
        }
    }
}

/// RFC 4616 §2: `[authzid] NUL authcid NUL passwd`.
fn parse_plain(message: &[u8]) -> Result<PasswordClaim, SaslError> {
    let mut fields = message.splitn(3, |octet| *octet == 0);
    let (Some(authzid), Some(authcid), Some(passwd)) =
        (fields.next(), fields.next(), fields.next())
    else {
        return Err(SaslError::Malformed);
    };
    let user = identity(authcid)?;
    if !authzid.is_empty() && authzid != user.as_bytes() {
        return Err(SaslError::OtherIdentity);
    }
    Ok(PasswordClaim { user, password: password(passwd)? })
}

fn identity(octets: &[u8]) -> Result<String, SaslError> {
    if octets.len() > IDENTITY_BYTES_MAX {
        return Err(SaslError::TooLong);
    }
    text(octets).map(str::to_owned)
}

fn password(octets: &[u8]) -> Result<SecretBytes, SaslError> {
    if octets.len() > PASSWORD_BYTES_MAX {
        return Err(SaslError::TooLong);
    }
    text(octets).map(|text| SecretBytes::new(text.as_bytes().to_vec()))
}

/// RFC 4616 §2: both are UTF-8, at least one character, none of them NUL.
fn text(octets: &[u8]) -> Result<&str, SaslError> {
    match std::str::from_utf8(octets) {
        Ok(text) if !text.is_empty() && !text.contains('\0') => Ok(text),
        _ => Err(SaslError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(mechanism: Mechanism, responses: &[&[u8]]) -> Result<(String, Vec<u8>), SaslError> {
        let (mut exchange, mut step) = Exchange::start(mechanism, None);
        let mut responses = responses.iter();
        loop {
            step = match step {
                Step::Challenge(_) => exchange.respond(responses.next().expect("a response")),
                Step::Claim(claim) => return Ok((claim.user, claim.password.expose().to_vec())),
                Step::Refused(error) => return Err(error),
            }
        }
    }

    fn ok(user: &str, password: &str) -> Result<(String, Vec<u8>), SaslError> {
        Ok((user.into(), password.into()))
    }

    #[test]
    fn plain_takes_what_rfc_4616_shows() {
        let plain = |message: &[u8]| run(Mechanism::Plain, &[message]);
        assert_eq!(plain(b"\0tim\0tanstaaftanstaaf"), ok("tim", "tanstaaftanstaaf"));
        assert_eq!(plain(b"tim\0tim\0x"), ok("tim", "x"));
        // RFC 4616 §4: Kurt acts for Ursel; nobody may here.
        assert_eq!(plain(b"Ursel\0Kurt\0xipj3plmq"), Err(SaslError::OtherIdentity));
        assert_eq!(plain("\0jörg\0пароль".as_bytes()), ok("jörg", "пароль"));
    }

    #[test]
    fn plain_refuses_what_is_not_its_form() {
        let malformed: [&[u8]; 7] =
            [b"", b"\0", b"\0tim", b"\0tim\0", b"\0\0x", b"\0t\0x\0y", b"\0t\xff\0x"];
        for message in malformed {
            assert_eq!(run(Mechanism::Plain, &[message]), Err(SaslError::Malformed), "{message:?}");
        }
        let long = [b"\0".as_slice(), &[b'u'; IDENTITY_BYTES_MAX + 1], b"\0x"].concat();
        assert_eq!(run(Mechanism::Plain, &[&long]), Err(SaslError::TooLong));
        let long = [b"\0u\0".as_slice(), &[b'p'; PASSWORD_BYTES_MAX + 1]].concat();
        assert_eq!(run(Mechanism::Plain, &[&long]), Err(SaslError::TooLong));
    }

    #[test]
    fn login_asks_twice_and_takes_an_initial_user_name() {
        assert_eq!(run(Mechanism::Login, &[b"tim", b"secret"]), ok("tim", "secret"));
        assert_eq!(run(Mechanism::Login, &[b"", b"secret"]), Err(SaslError::Malformed));
        let (mut exchange, step) = Exchange::start(Mechanism::Login, Some(b"tim"));
        assert!(matches!(step, Step::Challenge(prompt) if prompt == b"Password:"));
        assert!(matches!(exchange.respond(b"secret"), Step::Claim(claim) if claim.user == "tim"));
    }

    #[test]
    fn an_exchange_that_has_ended_takes_nothing_more() {
        let (mut exchange, step) = Exchange::start(Mechanism::Plain, Some(b"\0u\0p"));
        assert!(matches!(step, Step::Claim(_)));
        assert!(matches!(exchange.respond(b"\0u\0p"), Step::Refused(SaslError::Ended)));
    }

    #[test]
    fn a_claim_does_not_print_its_password() {
        let (_, step) = Exchange::start(Mechanism::Plain, Some(b"\0u\0hunter2"));
        assert!(!format!("{step:?}").contains("hunter2"));
    }

    #[test]
    fn mechanisms_are_found_in_any_case() {
        assert_eq!(Mechanism::from_name(b"plain"), Some(Mechanism::Plain));
        assert_eq!(Mechanism::from_name(b"LOGIN"), Some(Mechanism::Login));
        assert_eq!(Mechanism::from_name(b"SCRAM-SHA-256"), None);
    }

    proptest! {
        #[test]
        fn any_octets_end_in_a_step(responses in prop::collection::vec(any::<Vec<u8>>(), 1..4)) {
            for mechanism in MECHANISMS {
                let (mut exchange, _) = Exchange::start(mechanism, None);
                for response in &responses {
                    exchange.respond(response);
                }
            }
        }
    }
}
