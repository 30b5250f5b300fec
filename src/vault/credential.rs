//! What a person or a mail program presents: prepared, and known by its form.
//!
//! # Standards
//! RFC 8265 §4.2 (OpaqueString): without it the same password typed on two systems (NFC and NFD)
//! would be two passwords.

use crate::base::secret::SecretBytes;
use std::fmt;

/// Octets of a presented secret, before preparation.
pub const CREDENTIAL_BYTES_MAX: usize = 1024;

/// Characters that a chosen password must have.
pub const PASSWORD_CHARACTERS_MIN: usize = 12;

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
        let _ = presented;
        todo!()
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
        let _ = presented;
        todo!()
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
