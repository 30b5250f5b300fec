//! STORE.
//!
//! # Standards
//! RFC 3501 §6.4.6, RFC 2180 §4.2.

use super::link::End;
use super::selected::{Targets, write_flags};
use super::session::Session;
use crate::account::{Command, FlagMode, FlagNames, Flags, MailboxView, UidSet};
use crate::imap::{Code, Flag, SequenceSet, StoreMode, Tag};

/// What STORE asks for.
pub(super) struct Request {
    pub(super) mode: StoreMode,
    pub(super) silent: bool,
    pub(super) flags: Vec<Flag>,
}

impl Session {
    pub(super) async fn store(
        &mut self,
        tag: &Tag,
        uid: bool,
        set: &SequenceSet,
        request: Request,
    ) -> Result<(), End> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let Ok(targets) = selected.targets(set, uid) else {
            return self.count_bad(Some(tag), "There is no such message");
        };
        let uids = targets.uids(&selected.view);
        let mode = flag_mode(request.mode);
        let flags = flag_names(&request.flags);
        if !uids.is_empty() {
            let command = Command::Store {
                mailbox: selected.id,
                uids: uids.clone(),
                mode,
                flags: flags.clone(),
                unchanged_since: None,
            };
            if let Err(error) = self.account()?.clone().apply(command).await {
                return self.apply_error(tag, error);
            }
        }
        // What this command itself changed is told by its own answers, or not at all; what somebody
        // else changed in the same messages is told in any case.
        self.sync_silently(false, |view, now, then| {
            uids.contains(now.uid) && now.flags == then.flags.changed(mode, bits(view, &flags))
        })
        .await?;
        if !request.silent {
            self.tell_flags(&uids).await?;
        }
        self.sync(uid).await?;
        self.finish_store(tag, &targets)
    }

    /// RFC 3501 §6.4.6: unless `.SILENT`, the flags of each message are told, changed or not.
    async fn tell_flags(&mut self, uids: &UidSet) -> Result<(), End> {
        let Some(selected) = &self.selected else { return Ok(()) };
        for row in selected.view.select(uids) {
            let index = selected.view.index_of(row.uid);
            let number = index.and_then(|index| selected.numbers.number(&*selected.view, index));
            if let Some(number) = number {
                write_flags(&mut self.link.out, number, row.uid, &selected.flags(row));
                self.link.flush_if_much().await?;
            }
        }
        Ok(())
    }

    fn finish_store(&mut self, tag: &Tag, targets: &Targets) -> Result<(), End> {
        match targets.gone {
            true => self.link.out.no(tag, Code::None, "Some of these messages are gone"),
            false => self.link.out.ok(tag, Code::None, "STORE completed"),
        }
        Ok(())
    }
}

fn flag_mode(mode: StoreMode) -> FlagMode {
    match mode {
        StoreMode::Replace => FlagMode::Replace,
        StoreMode::Add => FlagMode::Add,
        StoreMode::Remove => FlagMode::Remove,
    }
}

/// Flags as the account takes them.
pub(super) fn flag_names(flags: &[Flag]) -> FlagNames {
    let mut names = FlagNames::default();
    for flag in flags {
        match flag {
            Flag::Answered => names.system |= Flags::ANSWERED,
            Flag::Flagged => names.system |= Flags::FLAGGED,
            Flag::Deleted => names.system |= Flags::DELETED,
            Flag::Seen => names.system |= Flags::SEEN,
            Flag::Draft => names.system |= Flags::DRAFT,
            Flag::Keyword(keyword) => names.keywords.push(keyword.clone()),
        }
    }
    names
}

/// Flags as bits of a mailbox's table. A keyword that the table has not got has no bit.
fn bits(view: &MailboxView, names: &FlagNames) -> Flags {
    let bit = |name: &String| view.keyword_bit(name).map_or(0, |bit| 1u64 << bit);
    Flags { system: names.system, keywords: names.keywords.iter().map(bit).fold(0, |a, b| a | b) }
}
