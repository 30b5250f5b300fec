//! The directory of accounts: one small file each, and which address is whose.
//!
//! Files are replaced atomically. A number is never given twice, also after its account is removed:
//! the highest number ever given stands in a file of its own, made durable before an account file
//! with a new number is. All files are read once, at start; a damaged one is named and kept apart,
//! its number stays taken and its address, which stands only in the file, is not known: mail to it
//! must be deferred, not refused, as long as [`Accounts::bad_files`] is not empty.
//!
//! # Known gaps
//! A file is believed under its MAC alone; what only the vault knows is compared at unlock.

use crate::base::disk::{self, Disk};
use crate::base::ids::AccountNumber;
use crate::mail::Address;
use crate::vault::{AccountFile, FILE_BYTES_MAX, FileError, ServerKeys};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::Arc;

/// The directory's name below the disk's root.
pub const DIRECTORY: &str = "accounts";

/// The account files of this server, in memory and on the disk.
pub struct Accounts {
    disk: Arc<dyn Disk>,
    keys: Arc<ServerKeys>,
    files: BTreeMap<AccountNumber, Arc<AccountFile>>,
    by_address: HashMap<String, AccountNumber>,
    bad: Vec<BadFile>,
    last_number: u32,
}

/// A file in the directory that is not an account's.
#[derive(Debug)]
pub struct BadFile {
    /// Its name within the directory.
    pub name: String,
    /// The account's number, if the name has the form of one.
    pub account: Option<AccountNumber>,
    /// What is wrong with it.
    pub error: AccountsError,
}

/// Why the directory could not be read or changed.
#[derive(Debug)]
pub enum AccountsError {
    /// The disk failed.
    Disk(io::Error),
    /// The file is not what it should be.
    File(FileError),
    /// The address is taken, or is no address.
    Address,
    /// There is no such account.
    NoSuchAccount,
    /// 4 G numbers have been given.
    NoMoreNumbers,
    /// The file's name and the number in it differ, or its address is another's.
    Inconsistent,
}

impl std::fmt::Display for AccountsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AccountsError::Disk(error) => write!(f, "{error}"),
            AccountsError::File(error) => write!(f, "{error}"),
            AccountsError::Address => write!(f, "the address is taken or is none"),
            AccountsError::NoSuchAccount => write!(f, "there is no such account"),
            AccountsError::NoMoreNumbers => write!(f, "all account numbers have been given"),
            AccountsError::Inconsistent => write!(f, "name, number and address do not agree"),
        }
    }
}

impl std::error::Error for AccountsError {}

impl Accounts {
    /// Reads the directory; makes it if it is not there.
    pub fn load(disk: Arc<dyn Disk>, keys: Arc<ServerKeys>) -> Result<Accounts, AccountsError> {
        let _ = (disk, keys);
        todo!()
    }

    /// Files that could not be read or believed.
    pub fn bad_files(&self) -> &[BadFile] {
        &self.bad
    }

    /// Whose address this is: as it is written, local part in any case (see `Address::lookup_key`).
    /// A `+detail` is the caller's to split off first.
    pub fn number(&self, address: &Address) -> Option<AccountNumber> {
        self.by_address.get(&address.lookup_key()).copied()
    }

    /// An account's file.
    pub fn get(&self, account: AccountNumber) -> Option<&Arc<AccountFile>> {
        self.files.get(&account)
    }

    /// All accounts by ascending number.
    pub fn list(&self) -> impl Iterator<Item = &Arc<AccountFile>> {
        self.files.values()
    }

    /// Takes a number that was never given and never will be again; durable when it returns.
    pub fn take_number(&mut self) -> Result<AccountNumber, AccountsError> {
        todo!()
    }

    /// Adds a new account under a number that was [taken](Accounts::take_number); durable when it
    /// returns.
    pub fn create(&mut self, file: AccountFile) -> Result<(), AccountsError> {
        let _ = file;
        todo!()
    }

    /// Replaces an account's file; durable when it returns.
    pub fn save(&mut self, file: AccountFile) -> Result<(), AccountsError> {
        let _ = file;
        todo!()
    }

    /// Removes an account's file; durable when it returns. What it stored is the caller's to erase.
    pub fn remove(&mut self, account: AccountNumber) -> Result<(), AccountsError> {
        let _ = account;
        todo!()
    }
}
