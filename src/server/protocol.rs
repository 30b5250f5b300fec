//! What is said over the control socket: one JSON object a line in each direction.
//!
//! Requests may carry passwords and answers secrets to be shown once, so both types print nothing.

use crate::base::secret::SecretBytes;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a command asks for. Addresses are as people typed them.
#[derive(Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How the server does.
    Status {},
    /// Do what SIGHUP does.
    Reload {},
    /// What would happen to mail between two addresses, and why.
    Explain {
        /// From whom.
        from: String,
        /// To whom.
        to: String,
    },
    /// Make an account.
    AccountAdd {
        /// Its address.
        address: String,
        /// Its first password.
        password: Text,
    },
    /// Show all accounts.
    AccountList {},
    /// Remove an account and its mail.
    AccountRemove {
        /// Its address.
        address: String,
    },
    /// Set a new password.
    AccountPasswd {
        /// Whose.
        address: String,
        /// What opens now.
        credential: Text,
        /// What shall open.
        new_password: Text,
    },
    /// Make all keys anew.
    AccountRekey {
        /// Whose.
        address: String,
        /// What opens now.
        credential: Text,
        /// What shall open.
        new_password: Text,
    },
    /// Draw a password for one mail program.
    AccountAppPassword {
        /// Whose.
        address: String,
        /// What opens now.
        credential: Text,
        /// What it is for, in the owner's words; kept sealed.
        label: String,
        /// Whether it opens the mail or only logs in.
        unlocks: bool,
    },
    /// Draw a new recovery code.
    AccountRecovery {
        /// Whose.
        address: String,
        /// What opens now.
        credential: Text,
    },
    /// End a lock, and perhaps keep the account open.
    AccountUnlock {
        /// Whose.
        address: String,
        /// What opens.
        credential: Text,
        /// For how many hours to keep it open without a session.
        hours: Option<u32>,
    },
    /// Lock until `unlock`.
    AccountLock {
        /// Whose.
        address: String,
    },
    /// Show what is public of an identity.
    KeyShow {
        /// Whose.
        address: String,
    },
    /// Show secret keys.
    KeyExport {
        /// Whose.
        address: String,
        /// What opens.
        credential: Text,
        /// Those that stored mail is sealed to, not the one of the identity.
        storage: bool,
    },
    /// Replace an identity.
    KeyImport {
        /// Whose.
        address: String,
        /// What opens.
        credential: Text,
        /// A certificate or secret key, binary or in armour.
        key: Octets,
        /// What opens the secret key.
        passphrase: Option<Text>,
    },
    /// Search for the key of an address elsewhere.
    KeyLookup {
        /// Whose.
        address: String,
    },
    /// Give a certificate out, or no longer.
    KeyPublish {
        /// Whose.
        address: String,
        /// Whether it is given out.
        on: bool,
    },
    /// Look after the queue.
    Queue {
        /// What to do.
        what: QueueVerb,
        /// Of which message; all of them where `flush` has none. Of `list`, the last message of the
        /// page before.
        id: Option<String>,
        /// When the last message of the page before was accepted, in seconds since 1970.
        #[serde(default)]
        accepted: Option<i64>,
    },
}

/// What the server answers.
#[derive(Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It is done.
    Done {},
    /// It is done, and mail that led to the account leads to nobody.
    Removed {
        /// Aliases that named it: line in their file, and name.
        aliases: Vec<(usize, String)>,
        /// Whether mail.postmaster did.
        postmaster: bool,
    },
    /// It is done; this is to be shown once.
    Secret {
        /// What it is: `recovery code`, `app password` or `secret key`.
        what: String,
        /// It.
        secret: Text,
    },
    /// All accounts.
    Accounts {
        /// One for each, by address.
        accounts: Vec<AccountLine>,
    },
    /// What is public of an identity.
    Key {
        /// It.
        key: KeyLine,
    },
    /// What waits to go out.
    Queue {
        /// Messages, oldest first.
        items: Vec<QueueItem>,
        /// How many more there are behind them.
        more: u64,
    },
    /// How a search for a key went.
    Lookup {
        /// It.
        lookup: LookupLine,
    },
    /// How the server does.
    Status {
        /// The program's version.
        version: String,
        /// Whether it is a test set-up.
        test: bool,
        /// Sessions of each kind of listener.
        sessions: Vec<(String, u64)>,
    },
    /// What would happen to mail.
    Explained(Explained),
    /// It was not done.
    Failed {
        /// Why, in a sentence.
        error: String,
    },
}

/// One account in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountLine {
    /// Its number.
    pub number: u32,
    /// Its address; nothing where the file does not verify.
    pub address: Option<String>,
    /// `closed`, `unlocked`, `locked` or `damaged`.
    pub state: String,
    /// Whether the operator gave the password and the owner has not set one since.
    pub known_to_operator: bool,
    /// Sealed octets in the journal.
    pub bytes: u64,
    /// Messages that wait for the next unlock.
    pub waiting: u32,
}

/// What is public of an identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct KeyLine {
    /// Whose.
    pub address: String,
    /// The certificate's fingerprint, in hex.
    pub fingerprint: String,
    /// Its User IDs.
    pub user_ids: Vec<String>,
    /// Its keys, the primary one first.
    pub keys: Vec<KeyPart>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// When it ends, likewise; nothing if it does not.
    pub expires: Option<i64>,
    /// Whether it is revoked.
    pub revoked: bool,
    /// Whether it is given to whoever asks.
    pub published: bool,
    /// Its name in a Web Key Directory.
    pub wkd_hash: String,
    /// Where programs look for it: first the advanced method's place, then the direct one's.
    pub wkd_urls: Vec<String>,
    /// The certificate, public, binary; in base64.
    pub certificate: Octets,
}

/// How a search for a key went, and what mail to the address would be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupLine {
    /// Whose key.
    pub address: String,
    /// `key`, `none`, `unusable`, `failed` or `vanished`.
    pub verdict: String,
    /// Whether the key comes from memory because its directory has it no longer, or fails.
    pub stale: bool,
    /// The certificate's fingerprint, in hex.
    pub fingerprint: Option<String>,
    /// The fingerprint of the key that mail is sealed to.
    pub encryption_key: Option<String>,
    /// When that key ends, in seconds since 1970; nothing if it does not.
    pub expires: Option<i64>,
    /// Why there is no key, in a sentence.
    pub why: Option<String>,
    /// What was done, a sentence each.
    pub steps: Vec<String>,
}

/// One key of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPart {
    /// Its fingerprint, in hex.
    pub fingerprint: String,
    /// Its algorithm.
    pub algorithm: String,
    /// Whether mail is encrypted to it.
    pub encrypts: bool,
}

/// What would happen to mail between two addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The address that it is from, in its one form.
    pub from: String,
    /// The address that it is to.
    pub to: String,
    /// The rule of `seal.rules` that holds; nothing where `seal.policy` does.
    pub rule: Option<String>,
    /// The policy: `prefer`, `require`, `hold` or `plain`.
    pub policy: String,
    /// What is known of the recipient's key, in a sentence.
    pub key: String,
    /// The fingerprint of the key that mail is sealed to.
    pub fingerprint: Option<String>,
    /// When that key expires, in seconds since 1970.
    pub expires: Option<i64>,
    /// What is done: `seal`, `plain`, `hold`, `bounce` or `defer`.
    pub plan: String,
    /// Why, in a sentence; sealing needs no reason.
    pub why: Option<String>,
    /// Where it would go: hosts in the order in which they are tried, or a sentence.
    pub route: Vec<String>,
}

/// What is done with the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QueueVerb {
    /// Show all.
    List,
    /// Show one.
    Show,
    /// Try now.
    Flush,
    /// Stop trying.
    Hold,
    /// Go on.
    Release,
    /// Take away.
    Delete,
}

/// A message that waits to go out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueItem {
    /// Its name.
    pub id: String,
    /// When it was accepted, in seconds since 1970-01-01 UTC.
    pub accepted: i64,
    /// Its octets; after a restart those of its sealed form.
    pub bytes: u64,
    /// `waiting`, `held` or `accepting`.
    pub state: String,
    /// When the next attempt is, in seconds since 1970-01-01 UTC.
    pub next_attempt: Option<i64>,
    /// The reverse path; nothing for the null one.
    pub from: Option<String>,
    /// Its recipients.
    pub recipients: Vec<QueueRecipient>,
}

/// A recipient of a [`QueueItem`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecipient {
    /// The address.
    pub address: String,
    /// `waiting`, `held`, `delivered` or `failed`.
    pub state: String,
    /// Attempts so far.
    pub attempts: u32,
    /// The status code of what happened last (RFC 3463).
    pub status: Option<String>,
    /// What happened last, in words.
    pub text: Option<String>,
}

/// A secret text.
pub struct Text(pub SecretBytes);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = std::str::from_utf8(self.0.expose());
        serializer.serialize_str(text.map_err(|_| serde::ser::Error::custom("not UTF-8"))?)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Text(SecretBytes::new(text.into_bytes())))
    }
}

/// Octets that may be secret, written in base64.
#[derive(Clone)]
pub struct Octets(pub SecretBytes);

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let octets = self.0.expose();
        let mut text = SecretBytes::zeroed(octets.len().div_ceil(3) * 4);
        let written = BASE64.encode_slice(octets, text.expose_mut());
        written.map_err(serde::ser::Error::custom)?;
        let text = std::str::from_utf8(text.expose()).map_err(serde::ser::Error::custom)?;
        serializer.serialize_str(text)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?.0;
        let mut octets = SecretBytes::zeroed(text.expose().len().div_ceil(4) * 3);
        // What is wrong with it could quote it, so that stays here.
        let length = BASE64
            .decode_slice(text.expose(), octets.expose_mut())
            .map_err(|_| serde::de::Error::custom("not base64"))?;
        octets.keep(0..length);
        Ok(Octets(octets))
    }
}

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Octets(..)")
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request(..)")
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_look_as_documented_and_unknown_fields_are_refused() {
        let text = r#"{"verb":"account-add","address":"a@example.org","password":"pass word"}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        assert_eq!(format!("{request:?}"), "Request(..)");
        for bad in [r#"{"verb":"account-list","x":1}"#, r#"{"verb":"shutdown"}"#, "[]", "{}"] {
            assert!(serde_json::from_str::<Request>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn octets_come_through_as_they_are_and_are_not_shown() {
        for octets in [&b""[..], b"a", &[0, 255, 10], &[7; 1000]] {
            let octets = Octets(SecretBytes::new(octets.to_vec()));
            let text = serde_json::to_string(&octets).unwrap();
            let read: Octets = serde_json::from_str(&text).unwrap();
            assert_eq!(read.0.expose(), octets.0.expose());
        }
        assert!(serde_json::from_str::<Octets>("\"???\"").is_err());
        assert_eq!(format!("{:?}", Octets(SecretBytes::new(b"x".to_vec()))), "Octets(..)");
    }

    #[test]
    fn a_password_that_is_no_text_is_refused_when_it_is_sent() {
        let password = Text(SecretBytes::new(vec![0xff]));
        let request = Request::AccountAdd { address: String::new(), password };
        assert!(serde_json::to_string(&request).is_err());
    }
}
