//! Who gets the mail for a recipient: aliases, the recipient delimiter, postmaster.
//!
//! All is decided at RCPT: what is accepted there can be delivered, so that no report has to be
//! sent to a sender who may be forged (backscatter).
//!
//! Only a user who has logged in reaches recipients elsewhere, and only by naming them: an alias
//! that leads elsewhere is refused, for whoever wrote to it did not ask for mail to leave.

use std::collections::{BTreeSet, VecDeque};

use super::events::RelayEvent;
use super::options::{Options, World};
use crate::base::ids::AccountNumber;
use crate::mail::Address;
use crate::seams::{LocalRecipient, RecipientVerdict};
use crate::smtp::{RecipientPath, Reply, replies};

/// Addresses that one recipient may lead to, over all aliases.
const EXPANSION_MAX: usize = 100;

/// Who gets the mail for a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Accounts here.
    Local(Vec<LocalRecipient>),
    /// Somebody elsewhere.
    Remote(Address),
}

impl Target {
    /// The accounts here.
    pub fn accounts(&self) -> &[LocalRecipient] {
        match self {
            Target::Local(accounts) => accounts,
            Target::Remote(_) => &[],
        }
    }
}

/// Who gets a user's mail for `path`: an account here, or anybody elsewhere if mail is sent there.
pub(super) async fn resolve_for_user(
    path: &RecipientPath,
    options: &Options,
    world: &World,
) -> Result<Target, Reply> {
    match (resolve(path, options, world).await, path) {
        (Ok(accounts), _) => Ok(Target::Local(accounts)),
        (Err(reply), RecipientPath::Mailbox(address))
            if reply == replies::NO_RELAYING && world.outbound.is_some() =>
        {
            // A literal names a machine, perhaps one that only this server can reach.
            match address.is_literal() {
                true => Err(replies::NO_LITERALS),
                false => Ok(Target::Remote(address.clone())),
            }
        }
        (Err(reply), _) => Err(reply),
    }
}

/// Whether `address` belongs to the account of `own` and to nobody else: its own address, the same
/// with a detail, or an alias that leads to this account alone.
pub(super) async fn is_own(
    address: &Address,
    account: AccountNumber,
    own: &Address,
    options: &Options,
    world: &World,
) -> Result<bool, Reply> {
    let base = match options.recipient_delimiter {
        Some(delimiter) => address.split_detail(delimiter).0,
        None => address.clone(),
    };
    let local = is_local(address, options);
    let aliased = options.aliases.lookup(address, local).is_some();
    let key = own.lookup_key();
    if address.lookup_key() == key {
        return Ok(true);
    }
    if base.lookup_key() == key && !aliased {
        // A whole name goes before a name with a detail: `mary-ann@` may be another account.
        match world.deliver.recipient(address).await {
            RecipientVerdict::Unknown => return Ok(true),
            RecipientVerdict::Local(other) => return Ok(other == account),
            RecipientVerdict::NotLocal => {}
            RecipientVerdict::OverQuota | RecipientVerdict::Unavailable => {
                return Err(replies::SENDER_UNCHECKED);
            }
        }
    }
    let path = RecipientPath::Mailbox(address.clone());
    match resolve(&path, options, world).await {
        Ok(accounts) => Ok(matches!(accounts.as_slice(), [only] if only.account == account)),
        Err(reply) if reply == replies::MAILBOX_FULL || reply == replies::MAILBOX_UNAVAILABLE => {
            Err(replies::SENDER_UNCHECKED)
        }
        Err(_) => Ok(false),
    }
}

/// The accounts that get the mail for `path`, or the reply that refuses it.
pub(super) async fn resolve(
    path: &RecipientPath,
    options: &Options,
    world: &World,
) -> Result<Vec<LocalRecipient>, Reply> {
    let address = match path {
        RecipientPath::Mailbox(address) if !names_server(address, options) => Some(address.clone()),
        RecipientPath::Mailbox(_) | RecipientPath::Postmaster => {
            let domain = options.local_domains.first();
            domain.and_then(|domain| format!("postmaster@{domain}").parse().ok())
        }
    };
    let found = match &address {
        Some(address) => expand(address, options, world).await,
        None => Err(replies::NO_SUCH_MAILBOX),
    };
    let postmaster = address.as_ref().is_none_or(|a| is_postmaster(a, options));
    if found != Err(replies::NO_SUCH_MAILBOX) || !postmaster {
        return found;
    }
    // RFC 5321 §4.5.1: mail for postmaster is always taken, in every domain of ours.
    let stand_in = match &options.postmaster {
        Some(stand_in) => expand(stand_in, options, world).await.ok(),
        None => None,
    };
    stand_in.ok_or_else(|| {
        world.log.emit(&RelayEvent::PostmasterMissing);
        replies::MISCONFIGURED
    })
}

/// Whether it is postmaster, or the sender of reports, at the server's own name, and that is no
/// mail domain: people answer reports and write to postmaster at the name that they see.
fn names_server(address: &Address, options: &Options) -> bool {
    let names = ["postmaster", "mailer-daemon"];
    address.domain().eq_ignore_ascii_case(&options.hostname)
        && !is_local(address, options)
        && names.iter().any(|name| address.local().eq_ignore_ascii_case(name))
}

fn is_postmaster(address: &Address, options: &Options) -> bool {
    let base = match options.recipient_delimiter {
        Some(delimiter) => address.split_detail(delimiter).0,
        None => address.clone(),
    };
    let sends_reports = address.local().eq_ignore_ascii_case("mailer-daemon")
        && address.domain().eq_ignore_ascii_case(&options.hostname);
    let is_named = base.local().eq_ignore_ascii_case("postmaster") || sends_reports;
    is_named && is_local(address, options)
}

pub(super) fn is_local(address: &Address, options: &Options) -> bool {
    options.local_domains.iter().any(|domain| domain == address.domain())
}

/// Follows aliases breadth first. An alias that names itself means the mailbox of that name.
async fn expand(
    address: &Address,
    options: &Options,
    world: &World,
) -> Result<Vec<LocalRecipient>, Reply> {
    let mut expansion = Expansion::default();
    let mut waiting = VecDeque::from([Named { address: address.clone(), by: None }]);
    for _ in 0..EXPANSION_MAX {
        if waiting.len() > EXPANSION_MAX {
            break;
        }
        let Some(next) = waiting.pop_front() else {
            return expansion.outcome(world);
        };
        let Named { address: next, by } = next;
        let (base, detail) = split(&next, options);
        if expansion.follow(&next, options, &mut waiting) {
            continue;
        }
        // A whole name goes before a name with a detail: `mary-ann@` may be another account.
        let whole = match &detail {
            Some(_) => world.deliver.recipient(&next).await,
            None => RecipientVerdict::Unknown,
        };
        match whole {
            RecipientVerdict::Unknown if expansion.follow(&base, options, &mut waiting) => {}
            RecipientVerdict::Unknown => {
                expansion.take(world.deliver.recipient(&base).await, detail, by);
            }
            verdict => expansion.take(verdict, None, by),
        }
    }
    // So many addresses come from an alias.
    let line = expansion.first.unwrap_or_default();
    world.log.emit(&RelayEvent::AliasBroken { line });
    Err(replies::MISCONFIGURED)
}

/// A name and its detail.
fn split(address: &Address, options: &Options) -> (Address, Option<String>) {
    match options.recipient_delimiter {
        Some(delimiter) => address.split_detail(delimiter),
        None => (address.clone(), None),
    }
}

/// An address that waits to be looked at.
struct Named {
    address: Address,
    /// The line of the alias that names it.
    by: Option<usize>,
}

/// What in the configuration leads to accounts that do not exist.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Broken {
    /// Aliases with a target that is nobody: line in their file, and name.
    pub aliases: Vec<(usize, String)>,
    /// Whether the stand-in for postmaster is nobody.
    pub postmaster: bool,
}

/// Looks at every alias. One that leads to another that is broken is not broken itself.
pub(super) async fn broken(options: &Options, world: &World) -> Broken {
    let mut broken = Broken::default();
    for (name, alias) in options.aliases.iter() {
        for target in &alias.targets {
            if is_nobody(target, Some(alias.line), options, world).await {
                broken.aliases.push((alias.line, name.to_owned()));
                break;
            }
        }
    }
    broken.aliases.sort();
    if let Some(stand_in) = &options.postmaster {
        broken.postmaster = is_nobody(stand_in, None, options, world).await;
    }
    broken
}

/// Whether `address`, named by the alias in that line, is neither another alias nor an account.
async fn is_nobody(address: &Address, by: Option<usize>, options: &Options, world: &World) -> bool {
    let gone = |verdict| matches!(verdict, RecipientVerdict::Unknown | RecipientVerdict::NotLocal);
    let leads_on = |name: &Address| {
        let alias = options.aliases.lookup(name, is_local(name, options));
        alias.is_some_and(|alias| Some(alias.line) != by)
    };
    let (base, detail) = split(address, options);
    !leads_on(address)
        && gone(world.deliver.recipient(address).await)
        && (detail.is_none() || !leads_on(&base) && gone(world.deliver.recipient(&base).await))
}

/// What following an address has found so far.
#[derive(Default)]
struct Expansion {
    /// Aliases that have been followed, by lookup key.
    seen: BTreeSet<String>,
    /// The line of the first of them.
    first: Option<usize>,
    /// Lines of aliases with a target that is missing.
    broken: BTreeSet<usize>,
    found: Vec<LocalRecipient>,
    /// Somebody exists but cannot take mail now.
    put_off: Option<Reply>,
    /// Somebody does not exist, or is elsewhere.
    missing: Option<Reply>,
}

impl Expansion {
    /// Puts where the alias of that name leads to behind those that wait. `false` if there is none,
    /// or it was followed before.
    fn follow(&mut self, name: &Address, options: &Options, waiting: &mut VecDeque<Named>) -> bool {
        let Some(alias) = options.aliases.lookup(name, is_local(name, options)) else {
            return false;
        };
        let is_new = self.seen.insert(name.lookup_key());
        if is_new {
            let by = Some(alias.line);
            self.first = self.first.or(by);
            waiting.extend(alias.targets.iter().map(|to| Named { address: to.clone(), by }));
        }
        is_new
    }

    fn take(&mut self, verdict: RecipientVerdict, detail: Option<String>, by: Option<usize>) {
        if matches!(verdict, RecipientVerdict::Unknown | RecipientVerdict::NotLocal) {
            self.broken.extend(by);
        }
        match verdict {
            RecipientVerdict::Local(account) => {
                if self.found.iter().all(|other| other.account != account) {
                    self.found.push(LocalRecipient { account, detail });
                }
            }
            RecipientVerdict::Unknown => self.missing = Some(replies::NO_SUCH_MAILBOX),
            RecipientVerdict::NotLocal => self.missing = Some(replies::NO_RELAYING),
            RecipientVerdict::OverQuota => self.put_off = Some(replies::MAILBOX_FULL),
            RecipientVerdict::Unavailable => self.put_off = Some(replies::MAILBOX_UNAVAILABLE),
        }
    }

    fn outcome(self, world: &World) -> Result<Vec<LocalRecipient>, Reply> {
        let aliased = !self.seen.is_empty();
        self.broken
            .iter()
            .for_each(|line| world.log.emit(&RelayEvent::AliasBroken { line: *line }));
        match (self.put_off, self.missing, self.found.is_empty()) {
            (Some(reply), ..) => Err(reply),
            (None, Some(reply), _) if !aliased => Err(reply),
            // To the world outside, an alias that leads nowhere is nobody.
            (None, Some(_), true) => Err(replies::NO_SUCH_MAILBOX),
            // Those who are there get it: nobody's mail comes late for somebody who has gone.
            (None, _, _) => Ok(self.found),
        }
    }
}
