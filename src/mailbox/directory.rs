//! The accounts as the role looks them up: address to number, number to verified file and sealing
//! key.
//!
//! Look-ups never wait for the disk: they read a table that each change replaces after the file is
//! durable. Changes go one at a time, on a thread that may block.
//!
//! # What it trusts
//! A file only under its MAC. Before mail is sealed to an account, the file on the disk must still
//! be the one that is in memory (by inode and birth): one that somebody put in its place is read
//! again, and unless it is authentic and no other than the one in memory, the account is *suspect*:
//! its mail is deferred and an alarm is raised until the server is started with the right file.
//!
//! # Known gaps
//! A file that is overwritten in place is noticed at the next start, not before; until then the
//! genuine key in memory is used.

use super::events::MailboxEvent;
use super::options::Options;
use super::publish;
use crate::base::disk::{self, Disk, FileIdentity};
use crate::base::event::Log;
use crate::base::ids::AccountNumber;
use crate::journal::AccountHead;
use crate::mail::Address;
use crate::pgp::SealKey;
use crate::store::{Accounts, AccountsError, DIRECTORY};
use crate::vault::{AccountFile, FILE_BYTES_MAX, FileError, ServerKeys};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The local part that RFC 5321 §4.5.1 wants every domain to take mail for.
const POSTMASTER: &str = "postmaster";

/// One account whose file verified.
pub struct Account {
    /// Its file.
    pub file: Arc<AccountFile>,
    /// Its address.
    pub address: Address,
    /// The one subkey that its mail is sealed to.
    pub seal_key: SealKey,
    /// The certificate that anybody gets; `None` if its owner wants none to be given out, or if it
    /// does not have the account's address.
    pub published: Option<Vec<u8>>,
    identity: Option<FileIdentity>,
}

/// What is found under an address.
pub enum Found {
    /// An account.
    Account(Arc<Account>),
    /// Nobody.
    Nobody,
    /// The domain is not ours.
    NotLocal,
    /// An account that is suspect; or nobody, while there is a file whose address cannot be known.
    Suspect,
}

/// The accounts.
pub struct Directory {
    disk: Arc<dyn Disk>,
    keys: Arc<ServerKeys>,
    events: Log,
    domains: Vec<String>,
    postmaster: Option<Address>,
    accounts: Mutex<Accounts>,
    /// There was no account's file at the start, and the journal holds mail: they were moved away,
    /// or are not restored yet. Mail is deferred, for nobody knows whose addresses are ours.
    all_are_missing: bool,
    table: RwLock<Table>,
}

#[derive(Default)]
struct Table {
    by_address: HashMap<String, AccountNumber>,
    by_hash: HashMap<String, AccountNumber>,
    accounts: BTreeMap<AccountNumber, Arc<Account>>,
    suspects: BTreeSet<AccountNumber>,
    some_file_is_bad: bool,
}

impl Directory {
    /// Reads and verifies all files; raises an alarm for each that does not verify.
    pub fn load(
        disk: Arc<dyn Disk>,
        keys: Arc<ServerKeys>,
        events: Log,
        options: &Options,
        stored: &[(AccountNumber, AccountHead)],
    ) -> Result<Directory, AccountsError> {
        let mut accounts = Accounts::load(disk.clone(), keys.clone())?;
        let missing = accounts.missing(stored);
        for account in &missing {
            events.emit(&MailboxEvent::AccountFileMissing { account: *account });
        }
        let directory = Directory {
            disk,
            keys,
            events,
            domains: options.domains.clone(),
            postmaster: options.postmaster.as_deref().and_then(|text| text.parse().ok()),
            all_are_missing: accounts.is_empty() && !missing.is_empty(),
            accounts: Mutex::new(accounts),
            table: RwLock::default(),
        };
        directory.fill();
        Ok(directory)
    }

    /// The account whose mail goes to `address`.
    pub fn find(&self, address: &Address) -> Found {
        self.look_up(address, true)
    }

    /// The account that has `address` itself: who logs in, whom a verb means.
    pub fn find_login(&self, address: &Address) -> Found {
        self.look_up(address, false)
    }

    fn look_up(&self, address: &Address, map_postmaster: bool) -> Found {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        if !self.domains.iter().any(|domain| domain == address.domain()) {
            return Found::NotLocal;
        }
        let mapped = || self.postmaster_of(&table, address).filter(|_| map_postmaster);
        match table.find(address).or_else(mapped) {
            Some(number) => table.get(number),
            None if table.some_file_is_bad => Found::Suspect,
            None => Found::Nobody,
        }
    }

    /// The account with this name in the Web Key Directory of `domain`.
    pub fn find_hash(&self, hash: &str, domain: &str) -> Found {
        if !self.domains.iter().any(|known| known == domain) {
            return Found::NotLocal;
        }
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let number = table.by_hash.get(&publish::name(hash, domain));
        number.map_or(Found::Nobody, |number| table.get(*number))
    }

    /// An account by number, unless it is suspect.
    pub fn get(&self, account: AccountNumber) -> Option<Arc<Account>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        match table.get(account) {
            Found::Account(found) => Some(found),
            _ => None,
        }
    }

    /// Reads what a person typed: an address of ours, or a local part of the first domain.
    pub fn parse(&self, typed: &str) -> Option<Address> {
        match Address::parse(typed.as_bytes()) {
            Ok(address) => Some(address),
            Err(_) => format!("{typed}@{}", self.domains.first()?).parse().ok(),
        }
    }

    /// All accounts; `None` for those that are suspect or whose file does not verify.
    pub fn list(&self) -> Vec<(AccountNumber, Option<Arc<Account>>)> {
        let bad = self.lock().bad_files().iter().filter_map(|bad| bad.account).collect::<Vec<_>>();
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let good = table.accounts.iter().map(|(number, account)| {
            let suspect = table.suspects.contains(number);
            (*number, (!suspect).then(|| account.clone()))
        });
        good.chain(bad.into_iter().map(|number| (number, None))).collect()
    }

    /// The sealing key of an account, if the file on the disk is still the one in memory.
    pub fn seal_key(&self, account: AccountNumber) -> Option<Arc<Account>> {
        let known = self.get(account)?;
        match self.disk.identity(&path(account)) {
            Ok(identity) if known.identity == Some(identity) => Some(known),
            Ok(identity) => self.look_again(&known, identity),
            Err(error) => {
                self.events.emit(&MailboxEvent::AccountFileUnreadable {
                    account,
                    error: error.to_string(),
                });
                None
            }
        }
    }

    /// Marks an account whose file is not what it should be, and raises the alarm.
    pub fn suspect(&self, account: AccountNumber, what: &'static str) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).suspects.insert(account);
        self.events.emit(&MailboxEvent::AccountFileForged { account, what });
    }

    /// Makes an account: `make` gets a number that was never given. Blocks; durable on return.
    pub fn create<E: From<AccountsError>>(
        &self,
        make: impl FnOnce(AccountNumber) -> Result<AccountFile, E>,
    ) -> Result<AccountNumber, E> {
        let mut accounts = self.lock();
        let number = accounts.take_number()?;
        accounts.create(make(number)?)?;
        drop(accounts);
        self.fill();
        Ok(number)
    }

    /// Replaces an account's file by what `change` makes of the one that stands there now. `change`
    /// may decide that nothing is to be done. Blocks; durable on return.
    pub fn change<T, E: From<AccountsError>>(
        &self,
        account: AccountNumber,
        change: impl FnOnce(&AccountFile) -> Result<(Option<AccountFile>, T), E>,
    ) -> Result<T, E> {
        let mut accounts = self.lock();
        let file = accounts.get(account).cloned().ok_or(AccountsError::NoSuchAccount)?;
        let (changed, result) = change(&file)?;
        if let Some(changed) = changed {
            let saved = accounts.save(changed);
            drop(accounts);
            // After an error, too: what stands on the disk then is in force.
            self.fill();
            saved?;
        }
        Ok(result)
    }

    /// Removes an account's file. Blocks; durable on return.
    pub fn remove(&self, account: AccountNumber) -> Result<(), AccountsError> {
        self.lock().remove(account)?;
        self.fill();
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the table anew; entries whose file did not change are kept, so that no certificate is
    /// parsed twice.
    fn fill(&self) {
        let accounts = self.lock();
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Table { some_file_is_bad: false, ..Table::default() };
        next.suspects = std::mem::take(&mut table.suspects);
        for file in accounts.list() {
            let known = table.accounts.get(&file.number());
            let kept = known.filter(|known| Arc::ptr_eq(&known.file, file)).cloned();
            match kept.or_else(|| self.read(file)) {
                Some(account) => next.insert(account),
                None => next.some_file_is_bad = true,
            }
        }
        if table.accounts.is_empty() {
            accounts.bad_files().iter().for_each(|bad| self.report(bad));
        }
        next.some_file_is_bad |= self.all_are_missing || !accounts.bad_files().is_empty();
        *table = next;
    }

    fn read(&self, file: &Arc<AccountFile>) -> Option<Arc<Account>> {
        let account = file.number();
        let (Ok(address), Ok(seal_key)) = (file.address().parse(), file.seal_key()) else {
            self.events
                .emit(&MailboxEvent::AccountFileForged { account, what: "address-or-subkey" });
            return None;
        };
        let identity = self.disk.identity(&path(account)).ok();
        let published = publish::certificate(file);
        Some(Arc::new(Account { file: file.clone(), address, seal_key, published, identity }))
    }

    /// Somebody replaced the file under us: only a faithful copy of it is accepted.
    fn look_again(&self, known: &Account, identity: FileIdentity) -> Option<Arc<Account>> {
        let account = known.file.number();
        match self.read_disk(account) {
            Ok(file) if is_the_same(&file, &known.file) => {
                let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
                let same = Arc::new(Account {
                    file: known.file.clone(),
                    address: known.address.clone(),
                    seal_key: known.seal_key.clone(),
                    published: known.published.clone(),
                    identity: Some(identity),
                });
                table.insert_if_current(&known.file, same.clone());
                Some(same)
            }
            // A change of our own may be under way: its table is filled after its file is durable.
            Ok(file) if file.generation() > known.file.generation() => self.wait_for_change(&file),
            Ok(_) => self.alarm(account, "older-file"),
            // What cannot be read now is no forgery: the mail waits, and the next one looks again.
            Err(AccountsError::Disk(error)) => {
                let error = error.to_string();
                self.events.emit(&MailboxEvent::AccountFileUnreadable { account, error });
                None
            }
            Err(_) => self.alarm(account, "mac"),
        }
    }

    fn wait_for_change(&self, file: &AccountFile) -> Option<Arc<Account>> {
        let is_ours = self
            .lock()
            .get(file.number())
            .is_some_and(|ours| ours.generation() >= file.generation());
        match is_ours {
            true => self.get(file.number()),
            false => self.alarm(file.number(), "newer-file"),
        }
    }

    fn alarm(&self, account: AccountNumber, what: &'static str) -> Option<Arc<Account>> {
        self.suspect(account, what);
        None
    }

    fn read_disk(&self, account: AccountNumber) -> Result<AccountFile, AccountsError> {
        let bytes = disk::read_all(&*self.disk, &path(account), FILE_BYTES_MAX)
            .map_err(AccountsError::Disk)?;
        AccountFile::from_bytes(&bytes, &self.keys).map_err(AccountsError::File)
    }

    fn report(&self, bad: &crate::store::BadFile) {
        let account = bad.account.unwrap_or(AccountNumber(0));
        match &bad.error {
            AccountsError::Disk(error) => self
                .events
                .emit(&MailboxEvent::AccountFileUnreadable { account, error: error.to_string() }),
            AccountsError::File(FileError::Mac) => {
                self.events.emit(&MailboxEvent::AccountFileForged { account, what: "mac" });
            }
            _ => {
                self.events.emit(&MailboxEvent::AccountFileForged { account, what: "malformed" });
            }
        }
    }

    /// RFC 5321 §4.5.1: `postmaster` in any case, at each domain of ours.
    fn postmaster_of(&self, table: &Table, address: &Address) -> Option<AccountNumber> {
        let wanted = address.local().eq_ignore_ascii_case(POSTMASTER);
        self.postmaster.as_ref().filter(|_| wanted).and_then(|mapped| table.find(mapped))
    }
}

impl Table {
    fn find(&self, address: &Address) -> Option<AccountNumber> {
        self.by_address.get(&address.lookup_key()).copied()
    }

    fn get(&self, number: AccountNumber) -> Found {
        match self.accounts.get(&number) {
            Some(_) if self.suspects.contains(&number) => Found::Suspect,
            Some(account) => Found::Account(account.clone()),
            None => Found::Nobody,
        }
    }

    fn insert(&mut self, account: Arc<Account>) {
        let number = account.file.number();
        self.by_address.insert(account.address.lookup_key(), number);
        let hash = publish::wkd_hash(&account.address);
        self.by_hash.insert(publish::name(&hash, account.address.domain()), number);
        self.accounts.insert(number, account);
    }

    fn insert_if_current(&mut self, file: &Arc<AccountFile>, account: Arc<Account>) {
        let current = self.accounts.get(&file.number());
        if current.is_some_and(|current| Arc::ptr_eq(&current.file, file)) {
            self.insert(account);
        }
    }
}

fn is_the_same(one: &AccountFile, other: &AccountFile) -> bool {
    one.number() == other.number()
        && one.generation() == other.generation()
        && one.subkey() == other.subkey()
}

/// Where `store` keeps the file of an account.
fn path(account: AccountNumber) -> String {
    format!("{DIRECTORY}/{:08}.account", account.0)
}
