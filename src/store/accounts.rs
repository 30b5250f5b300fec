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

use crate::base::crypto;
use crate::base::disk::{self, Disk};
use crate::base::ids::AccountNumber;
use crate::journal::AccountHead;
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
    /// The file that remembers the last number is damaged.
    doubtful: bool,
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
        disk.create_dir(DIRECTORY)?;
        disk.sync_dir("")?;
        for name in disk.list(DIRECTORY)?.iter().filter(|name| name.ends_with(BESIDE)) {
            // A replacement that was never finished; the file itself is whole.
            disk.remove(&path_of(name))?;
        }
        Accounts::read(disk, keys)
    }

    /// Reads the directory and changes nothing.
    pub fn read(disk: Arc<dyn Disk>, keys: Arc<ServerKeys>) -> Result<Accounts, AccountsError> {
        let mut accounts = Accounts {
            disk,
            keys,
            files: BTreeMap::new(),
            by_address: HashMap::new(),
            bad: Vec::new(),
            last_number: 0,
            doubtful: false,
        };
        let names = match accounts.disk.list(DIRECTORY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            names => names?,
        };
        let mut remembered = false;
        for name in names.into_iter().filter(|name| !name.ends_with(BESIDE)) {
            remembered |= name == LAST_NUMBER;
            if let Err(error) = accounts.load_one(&name) {
                let account = account_of(&name);
                accounts.bad.push(BadFile { name, account, error });
            }
        }
        // It is made before the first account is.
        accounts.doubtful |= !remembered && accounts.last_number > 0;
        Ok(accounts)
    }

    /// Tells what the journal holds of each account: those numbers were given. Returns the accounts
    /// that have octets there and no file here, readable or not. Removing an account takes the file
    /// first, so that a crash in the midst of it leaves the same.
    pub fn missing(&mut self, heads: &[(AccountNumber, AccountHead)]) -> Vec<AccountNumber> {
        let highest = heads.iter().map(|(account, _)| account.0).max().unwrap_or(0);
        self.doubtful |= highest > self.last_number;
        self.last_number = self.last_number.max(highest);
        let known = |account: &AccountNumber| {
            self.files.contains_key(account)
                || self.bad.iter().any(|bad| bad.account == Some(*account))
        };
        let stored = heads.iter().filter(|(_, head)| head.bytes > 0);
        stored.map(|(account, _)| *account).filter(|account| !known(account)).collect()
    }

    /// Whether there is no account's file at all.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.bad.is_empty()
    }

    fn load_one(&mut self, name: &str) -> Result<(), AccountsError> {
        if name == LAST_NUMBER {
            let text = disk::read_all(&*self.disk, &path_of(name), NUMBER_BYTES_MAX);
            let number = text.as_deref().ok().and_then(number_of);
            self.doubtful = number.is_none();
            self.last_number = self.last_number.max(number.unwrap_or(0));
            return number.map(drop).ok_or(AccountsError::Inconsistent);
        }
        let number = account_of(name).ok_or(AccountsError::Inconsistent)?;
        // The number stays taken, whatever is in the file.
        self.last_number = self.last_number.max(number.0);
        let bytes = disk::read_all(&*self.disk, &path_of(name), FILE_BYTES_MAX)?;
        let file = AccountFile::from_bytes(&bytes, &self.keys).map_err(AccountsError::File)?;
        let key = lookup_key(&file)?;
        if file.number() != number || self.by_address.contains_key(&key) {
            return Err(AccountsError::Inconsistent);
        }
        self.by_address.insert(key, number);
        self.files.insert(number, Arc::new(file));
        Ok(())
    }

    /// Files that could not be read or believed.
    pub fn bad_files(&self) -> &[BadFile] {
        &self.bad
    }

    /// Whose address this is: domain and local part in any case (see `Address::lookup_key`). A
    /// `+detail` is the caller's to split off first.
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

    /// Takes a number that was never given and never will be again; durable when it returns. Where
    /// the file that remembers them is damaged, `DOUBT_NUMBERS` are passed over.
    pub fn take_number(&mut self) -> Result<AccountNumber, AccountsError> {
        let step = if self.doubtful { DOUBT_NUMBERS } else { 1 };
        let number = self.last_number.checked_add(step).filter(|number| *number <= NUMBER_MAX);
        let number = number.ok_or(AccountsError::NoMoreNumbers)?;
        disk::replace(&*self.disk, &path_of(LAST_NUMBER), number_text(number).as_bytes())?;
        (self.last_number, self.doubtful) = (number, false);
        Ok(AccountNumber(number))
    }

    /// Adds a new account under a number that was [taken](Accounts::take_number); durable when it
    /// returns.
    pub fn create(&mut self, file: AccountFile) -> Result<(), AccountsError> {
        let (number, key) = (file.number(), lookup_key(&file)?);
        if self.by_address.contains_key(&key) {
            return Err(AccountsError::Address);
        }
        if self.files.contains_key(&number) || number.0 > self.last_number {
            return Err(AccountsError::Inconsistent);
        }
        self.write(file)?;
        self.by_address.insert(key, number);
        Ok(())
    }

    /// Replaces an account's file; durable when it returns. After an error that file is in force
    /// which then stands on the disk: the old one, or the new one if only its name is not durable.
    pub fn save(&mut self, file: AccountFile) -> Result<(), AccountsError> {
        let old = self.files.get(&file.number()).ok_or(AccountsError::NoSuchAccount)?;
        if lookup_key(old)? != lookup_key(&file)? {
            return Err(AccountsError::Inconsistent);
        }
        self.write(file)
    }

    fn write(&mut self, file: AccountFile) -> Result<(), AccountsError> {
        let path = path_of(&name_of(file.number()));
        let bytes = file.to_bytes(&self.keys);
        let replaced = disk::replace(&*self.disk, &path, &bytes);
        // The rename may have been made before the error: memory and disk must not disagree, or the
        // file that we wrote ourselves would look forged.
        if replaced.is_ok() || self.stands_there(&path, &bytes) {
            self.files.insert(file.number(), Arc::new(file));
        }
        Ok(replaced?)
    }

    fn stands_there(&self, path: &str, bytes: &[u8]) -> bool {
        disk::read_all(&*self.disk, path, bytes.len() as u64).is_ok_and(|held| held == bytes)
    }

    /// Removes an account's file; durable when it returns. What it stored is the caller's to erase.
    pub fn remove(&mut self, account: AccountNumber) -> Result<(), AccountsError> {
        let file = self.files.get(&account).ok_or(AccountsError::NoSuchAccount)?;
        let key = lookup_key(file)?;
        self.disk.remove(&path_of(&name_of(account)))?;
        self.disk.sync_dir(DIRECTORY)?;
        self.files.remove(&account);
        self.by_address.remove(&key);
        Ok(())
    }
}

const SUFFIX: &str = ".account";
/// What `disk::replace` appends to the name of the file beside.
const BESIDE: &str = ".new";
/// The file that holds the highest number ever given.
const LAST_NUMBER: &str = "last-number";
const NUMBER_BYTES_MAX: u64 = 64;
/// Octets of the digest that tells a damaged number from a good one.
const NUMBER_DIGEST_BYTES: usize = 8;
/// Numbers that may have been given, for all that is known, where the file that remembers them is
/// damaged: accounts that were made and removed behind the last one that is left.
const DOUBT_NUMBERS: u32 = 1_000_000;
/// The highest number that eight digits can name.
const NUMBER_MAX: u32 = 99_999_999;

/// The line of the file [`LAST_NUMBER`]: number and digest.
fn number_text(number: u32) -> String {
    let digest = crypto::sha256(&[b"postseal last number 1", &number.to_be_bytes()]);
    let hex = digest[..NUMBER_DIGEST_BYTES].iter().map(|byte| format!("{byte:02x}"));
    format!("{number} {}\n", hex.collect::<String>())
}

/// The number of that line; `None` if it is not as it was written.
fn number_of(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let number = text.split(' ').next()?.parse().ok()?;
    (number_text(number) == text).then_some(number)
}

fn name_of(account: AccountNumber) -> String {
    format!("{:08}{SUFFIX}", account.0)
}

fn path_of(name: &str) -> String {
    format!("{DIRECTORY}/{name}")
}

fn account_of(name: &str) -> Option<AccountNumber> {
    let digits = name.strip_suffix(SUFFIX)?;
    let eight = digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    eight.then(|| digits.parse().ok().map(AccountNumber))?
}

fn lookup_key(file: &AccountFile) -> Result<String, AccountsError> {
    let address = Address::parse(file.address().as_bytes()).map_err(|_| AccountsError::Address)?;
    Ok(address.lookup_key())
}

impl From<io::Error> for AccountsError {
    fn from(error: io::Error) -> Self {
        AccountsError::Disk(error)
    }
}
