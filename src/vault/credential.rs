//! What a person or a mail program presents: prepared, and known by its form.
//!
//! # Known gaps
//! A chosen password is held against its length and the number of its different characters, not
//! against a list of passwords that were leaked elsewhere. A generated passphrase is better.
//!
//! # Standards
//! RFC 8265 §4.2 (OpaqueString): without it the same password typed on two systems (NFC and NFD)
//! would be two passwords.

use super::passphrase;
use crate::base::secret::SecretBytes;
use precis_profiles::OpaqueString;
use precis_profiles::precis_core::profile::PrecisFastInvocation;
use std::collections::BTreeSet;
use std::fmt;

/// Octets of a presented secret, before preparation.
pub const CREDENTIAL_BYTES_MAX: usize = 1024;

/// Characters that a chosen password must have.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;

/// Different characters that a chosen password must have.
const PASSWORD_DIFFERENT_MIN: usize = 5;

/// What a credential is, by its form alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// Anything that is not of a generated form: costs a slow KDF.
    Chosen,
    /// An app password: prefix and check digits are right. Needs no slow KDF.
    App,
    /// A recovery code: prefix and check digits are right. Needs no slow KDF.
    Recovery,
}

/// A presented secret, prepared.
pub struct Credential {
    form: Form,
    prepared: SecretBytes,
}

/// Why octets make no credential. The answer to the client is that of a wrong password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialError {
    /// Empty, or above 1,024 octets.
    Length,
    /// Not UTF-8, or refused by OpaqueString (control characters, say).
    Characters,
}

/// A chosen password that may become a slot.
pub struct Password(Credential);

/// Why a password may not be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Fewer than twelve characters.
    TooShort,
    /// Above 1,024 octets.
    TooLong,
    /// Not UTF-8, or characters that no keyboard should send.
    Characters,
    /// Too few different characters to be called a password.
    TooSimple,
    /// It has the form of a secret that only the server generates.
    GeneratedForm,
}

impl Credential {
    /// Prepares what was presented.
    pub fn parse(presented: &[u8]) -> Result<Credential, CredentialError> {
        if presented.is_empty() || presented.len() > CREDENTIAL_BYTES_MAX {
            return Err(CredentialError::Length);
        }
        let text = std::str::from_utf8(presented).map_err(|_| CredentialError::Characters)?;
        if let Some((form, prepared)) = passphrase::recognise(text) {
            return Ok(Credential { form, prepared });
        }
        // RFC 8265 §4.2.2: spaces become U+0020, then NFC; control characters are refused.
        let prepared = OpaqueString::enforce(text).map_err(|_| CredentialError::Characters)?;
        // RFC 8264 §7: what is not stable under its own rules is refused. (NFC makes U+0387 a
        // middle dot, which stands between two letters l alone.)
        if !OpaqueString::enforce(&*prepared).is_ok_and(|again| again == prepared) {
            return Err(CredentialError::Characters);
        }
        let prepared = SecretBytes::new(prepared.into_owned().into_bytes());
        Ok(Credential { form: Form::Chosen, prepared })
    }

    /// Its form.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Whether trying it costs a run of Argon2id (and so a place in the [`super::KdfQueue`]).
    pub fn needs_kdf(&self) -> bool {
        self.form == Form::Chosen
    }

    pub(super) fn prepared(&self) -> &SecretBytes {
        &self.prepared
    }
}

impl Password {
    /// Takes a password that somebody chose, or says why not.
    pub fn choose(presented: &[u8]) -> Result<Password, PasswordError> {
        let credential = Credential::parse(presented).map_err(|error| match error {
            CredentialError::Length if presented.is_empty() => PasswordError::TooShort,
            CredentialError::Length => PasswordError::TooLong,
            CredentialError::Characters => PasswordError::Characters,
        })?;
        if credential.form != Form::Chosen {
            return Err(PasswordError::GeneratedForm);
        }
        let text = std::str::from_utf8(credential.prepared.expose())
            .expect("what OpaqueString prepares is a string");
        if text.chars().count() < PASSWORD_CHARACTERS_MIN {
            return Err(PasswordError::TooShort);
        }
        if text.chars().collect::<BTreeSet<_>>().len() < PASSWORD_DIFFERENT_MIN {
            return Err(PasswordError::TooSimple);
        }
        Ok(Password(credential))
    }

    /// The same as a credential, as the next login will present it.
    pub fn as_credential(&self) -> &Credential {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({:?})", self.form)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialError::Length => "empty, or above 1,024 octets",
            CredentialError::Characters => "characters that no password has",
        })
    }
}

impl std::error::Error for CredentialError {}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PasswordError::TooShort => "a password needs at least 12 characters",
            PasswordError::TooLong => "a password has at most 1,024 octets",
            PasswordError::Characters => "the password has characters that cannot be typed",
            PasswordError::TooSimple => "the password has too few different characters",
            PasswordError::GeneratedForm => "this form is kept for generated secrets",
        })
    }
}

impl std::error::Error for PasswordError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;

    fn prepared(text: &str) -> Vec<u8> {
        Credential::parse(text.as_bytes()).unwrap().prepared().expose().to_vec()
    }

    #[test]
    fn composed_and_decomposed_spellings_are_one_password() {
        assert_eq!(
            prepared("Gr\u{fc}\u{df}e aus K\u{f6}ln"),
            prepared("Gru\u{308}\u{df}e aus Ko\u{308}ln")
        );
        // RFC 8265 §4.2.2: a no-break space is mapped, case and width are not.
        assert_eq!(prepared("a\u{a0}b"), prepared("a b"));
        assert_ne!(prepared("ABC"), prepared("abc"));
        assert_ne!(prepared("\u{ff21}"), prepared("A"));
    }

    #[test]
    fn what_no_password_can_be_is_refused_without_a_panic() {
        let cases: [(&[u8], CredentialError); 5] = [
            (b"", CredentialError::Length),
            (&[b'a'; 1025], CredentialError::Length),
            (b"tab\there", CredentialError::Characters),
            (b"nul\0", CredentialError::Characters),
            (&[0xff, 0xfe], CredentialError::Characters),
        ];
        for (presented, error) in cases {
            assert_eq!(Credential::parse(presented).unwrap_err(), error);
        }
        proptest::proptest!(|(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80))| {
            let _ = Credential::parse(&bytes);
        });
    }

    #[test]
    fn what_is_not_stable_when_prepared_is_refused() {
        let ano_teleia = Credential::parse("\u{387}".as_bytes());
        assert_eq!(ano_teleia.err(), Some(CredentialError::Characters));
    }

    #[test]
    fn preparing_twice_changes_nothing() {
        proptest::proptest!(|(text in "\\PC{1,40}")| {
            if let Ok(once) = Credential::parse(text.as_bytes()) {
                let twice = Credential::parse(once.prepared().expose()).unwrap();
                proptest::prop_assert_eq!(once.prepared().expose(), twice.prepared().expose());
            }
        });
    }

    #[test]
    fn a_chosen_password_needs_length_and_variety() {
        let cases: [(&str, Result<(), PasswordError>); 6] = [
            ("short", Err(PasswordError::TooShort)),
            ("", Err(PasswordError::TooShort)),
            ("aaaaaaaaaaaaaaaaaaaaaa", Err(PasswordError::TooSimple)),
            ("elf Zeichen", Err(PasswordError::TooShort)),
            ("zw\u{f6}lf Zeiche", Ok(())),
            ("correct horse battery", Ok(())),
        ];
        for (presented, expected) in cases {
            assert_eq!(Password::choose(presented.as_bytes()).map(drop), expected, "{presented}");
        }
        let long = "abcdefgh".repeat(200);
        assert_eq!(Password::choose(long.as_bytes()).unwrap_err(), PasswordError::TooLong);
    }

    #[test]
    fn a_generated_form_cannot_be_chosen_and_needs_no_slow_kdf() {
        let code = passphrase::generate_code(Form::App, &SeededEntropy::new(1));
        let presented = code.expose().as_bytes();
        assert_eq!(Password::choose(presented).unwrap_err(), PasswordError::GeneratedForm);
        let credential = Credential::parse(presented).unwrap();
        assert_eq!((credential.form(), credential.needs_kdf()), (Form::App, false));
        let passphrase = passphrase::generate_passphrase(&SeededEntropy::new(1));
        assert!(Password::choose(passphrase.expose().as_bytes()).is_ok());
    }
}
