//! What an account should be, in the plainest words: maps of maps, no history, nothing shared.

use postseal::account::FlagMode;
use std::collections::{BTreeMap, BTreeSet};

/// One message in one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub text: String,
    pub system: u8,
    pub keywords: BTreeSet<String>,
}

/// One mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    pub messages: BTreeMap<u32, Message>,
    pub uid_next: u32,
    pub no_select: bool,
    /// Tells this mailbox from one of the same name that was made later.
    pub maker: u64,
}

/// An account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oracle {
    pub folders: BTreeMap<String, Folder>,
    pub subscriptions: BTreeSet<String>,
    pub made: u64,
}

/// A command refers to mailboxes by name here.
#[derive(Clone, Debug)]
pub enum Change {
    Store { name: String, uids: Vec<u32>, mode: FlagMode, system: u8, keywords: Vec<String> },
    Expunge { name: String, uids: Option<Vec<u32>> },
    Copy { from: String, uids: Vec<u32>, to: String, moved: bool },
    Append { to: String, text: String, system: u8 },
    Create { name: String },
    Delete { name: String },
    Rename { from: String, to: String },
    Subscribe { name: String, on: bool },
    Fold { texts: Vec<String> },
}

fn parents(name: &str) -> Vec<String> {
    name.match_indices('/').map(|(at, _)| name[..at].to_string()).collect()
}

impl Oracle {
    pub fn new() -> Oracle {
        let mut oracle = Oracle::default();
        for name in ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"] {
            oracle.make(name, false);
            oracle.subscriptions.insert(name.into());
        }
        oracle
    }

    fn make(&mut self, name: &str, no_select: bool) {
        self.made += 1;
        let folder = Folder { uid_next: 1, no_select, maker: self.made, ..Folder::default() };
        self.folders.insert(name.into(), folder);
    }

    fn selectable(&self, name: &str) -> bool {
        self.folders.get(name).is_some_and(|folder| !folder.no_select)
    }

    fn children(&self, name: &str) -> Vec<String> {
        let below = format!("{name}/");
        self.folders.keys().filter(|name| name.starts_with(&below)).cloned().collect()
    }

    fn make_parents(&mut self, name: &str) {
        for parent in parents(name) {
            if !self.folders.contains_key(&parent) {
                self.make(&parent, true);
            }
        }
    }

    fn add(&mut self, name: &str, message: Message) {
        let folder = self.folders.get_mut(name).expect("it is there");
        folder.messages.insert(folder.uid_next, message);
        folder.uid_next += 1;
    }

    /// The account after the change; `None` if it must be refused.
    pub fn after(&self, change: &Change) -> Option<Oracle> {
        let mut next = self.clone();
        let done = match change {
            Change::Store { name, uids, mode, system, keywords } => {
                next.store(name, uids, *mode, *system, keywords)
            }
            Change::Expunge { name, uids } => next.expunge(name, uids.as_deref()),
            Change::Copy { from, uids, to, moved } => next.copy(from, uids, to, *moved),
            Change::Append { to, text, system } => next.selectable(to).then(|| {
                let keywords = BTreeSet::new();
                next.add(to, Message { text: text.clone(), system: *system, keywords });
            }),
            Change::Create { name } => (!next.selectable(name)).then(|| {
                next.make_parents(name);
                next.make(name, false);
            }),
            Change::Delete { name } => next.delete(name),
            Change::Rename { from, to } => next.rename(from, to),
            Change::Subscribe { name, on } => {
                match on {
                    true => next.subscriptions.insert(name.clone()),
                    false => next.subscriptions.remove(name),
                };
                Some(())
            }
            Change::Fold { texts } => {
                for text in texts {
                    let (text, keywords) = (text.clone(), BTreeSet::new());
                    next.add("INBOX", Message { text, system: 0, keywords });
                }
                Some(())
            }
        };
        done.map(|()| next)
    }

    fn store(
        &mut self,
        name: &str,
        uids: &[u32],
        mode: FlagMode,
        system: u8,
        keywords: &[String],
    ) -> Option<()> {
        if !self.selectable(name) {
            return None;
        }
        let named: BTreeSet<String> = keywords.iter().cloned().collect();
        for (uid, message) in &mut self.folders.get_mut(name)?.messages {
            if !uids.contains(uid) {
                continue;
            }
            match mode {
                FlagMode::Add => {
                    message.system |= system;
                    message.keywords.extend(named.iter().cloned());
                }
                FlagMode::Remove => {
                    message.system &= !system;
                    message.keywords.retain(|keyword| !named.contains(keyword));
                }
                FlagMode::Replace => {
                    message.system = system;
                    message.keywords = named.clone();
                }
            }
        }
        Some(())
    }

    fn expunge(&mut self, name: &str, uids: Option<&[u32]>) -> Option<()> {
        if !self.selectable(name) {
            return None;
        }
        let meant = |uid: &u32| uids.is_none_or(|uids| uids.contains(uid));
        let messages = &mut self.folders.get_mut(name)?.messages;
        messages.retain(|uid, message| message.system & 8 == 0 || !meant(uid));
        Some(())
    }

    fn copy(&mut self, from: &str, uids: &[u32], to: &str, moved: bool) -> Option<()> {
        if !self.selectable(from) || !self.selectable(to) {
            return None;
        }
        let source = self.folders[from].messages.clone();
        for (uid, message) in source.into_iter().filter(|(uid, _)| uids.contains(uid)) {
            if moved {
                self.folders.get_mut(from)?.messages.remove(&uid);
            }
            self.add(to, message);
        }
        Some(())
    }

    fn delete(&mut self, name: &str) -> Option<()> {
        let parent = !self.children(name).is_empty();
        if name == "INBOX" || self.folders.get(name)?.no_select && parent {
            return None;
        }
        self.folders.remove(name);
        if parent {
            self.make(name, true);
        }
        Some(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Option<()> {
        let below = to.starts_with(&format!("{from}/"));
        if !self.folders.contains_key(from) || self.folders.contains_key(to) {
            return None;
        }
        if from == "INBOX" {
            self.make_parents(to);
            self.make(to, false);
            let uids: Vec<u32> = self.folders[from].messages.keys().copied().collect();
            return self.copy(from, &uids, to, true);
        }
        if below {
            return None;
        }
        let mut moving = self.children(from);
        moving.push(from.into());
        self.make_parents(to);
        for name in moving {
            let folder = self.folders.remove(&name)?;
            self.folders.insert(format!("{to}{}", &name[from.len()..]), folder);
        }
        Some(())
    }
}
