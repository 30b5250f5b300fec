//! The vault: all an account's secrets, and the slots that open it.
//!
//! An account is one small file ([`AccountFile`]). Its vault is sealed under a random account
//! master key (AMK); each *slot* is one wrapping of the AMK, by a chosen password, a generated app
//! password or a recovery code. A login-only credential has a slot without a wrapped key: it can be
//! checked and opens nothing.
//!
//! [`login()`] tries a credential. What comes out of it when it opens:
//! - [`Unlocked`], the witness that mail may be read: index key, epoch keys, the
//!   identity's encryption subkeys; cheap to clone, zeroed when the last clone is dropped. The AMK
//!   is **not** in it: who orders the operator of a running server about gets no slot made or
//!   changed without the owner's credential.
//! - [`SlotAuthority`], which holds the AMK, and is consumed by the one change it allows.
//!
//! Both can only be made here, by a credential that opened its slot.
//!
//! The room computes and never waits; a run of Argon2id takes 64 MiB and a tenth of a second, and
//! [`KdfQueue`] decides whose turn it is, [`Guesses`] how many wrong passwords are tried. No file
//! is read here: bytes come in and go out.
//!
//! # What is trusted
//! The vault, once opened, is the authority: it names the fingerprints of both certificates and the
//! subkey of each epoch, and the slots that may exist. Every unlock compares what the file shows in
//! clear; between unlocks a MAC under the server's journal key stands in.
//!
//! # Known gaps
//! - `passwd` does not take back what an old file and the old password open; `rekey` does, for mail
//!   that arrives after it.
//! - A whole old file put back with its old MAC is not noticed here; the owner of the journal can
//!   compare [`AccountFile::generation`].
//!
//! # Standards
//! RFC 8265 (passwords), RFC 9106 (Argon2), RFC 5869 (HKDF), RFC 8452 (AES-256-GCM-SIV).

mod authority;
mod credential;
mod file;
mod guesses;
mod identity;
mod kdf_queue;
mod keys;
mod login;
mod passphrase;
mod sealed;
mod slot;

pub use authority::{
    Created, Denied, DenyReason, IndexRekey, Party, Rekeyed, Scope, SlotAuthority, SlotInfo, create,
};
pub use credential::{Credential, CredentialError, Form, Password, PasswordError};
pub use file::{AccountFile, FILE_BYTES_MAX, FileError, SlotId, SlotKind};
pub use guesses::Guesses;
pub use kdf_queue::{KdfLimits, KdfQueue, Network, Source, Ticket, TryLater};
pub use keys::{ServerKeys, Unlocked};
pub use login::{Login, Opened, Purpose, Refusal, Tampered, Verified, WhyShut, login};
pub use passphrase::{GeneratedSecret, PASSPHRASE_BITS, generate_passphrase};

#[cfg(test)]
mod tests;
