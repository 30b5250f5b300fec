//! SELECT, EXAMINE, CLOSE, UNSELECT, EXPUNGE and STATUS.
//!
//! # Standards
//! RFC 3501 §6.3.1-2, §6.3.10, §6.4.2-3; RFC 3691; RFC 4315 §2.1.

use super::link::{End, LOCKED};
use super::selected::{Recent, Selected};
use super::session::Session;
use crate::account::{Command, Mailbox, MailboxView, Refusal, UidSet};
use crate::imap::{Code, MailboxName, Out, SequenceSet, State, StatusItem, Tag};
use crate::mailbox::ApplyError;
use std::sync::Arc;
use std::time::Duration;

/// How long to wait for the first batch of what arrived: LOGIN is answered before it, but who looks
/// into a mailbox shall find what was there. A batch takes a tenth of this.
pub(super) const ARRIVALS_PATIENCE: Duration = Duration::from_secs(1);

impl Session {
    pub(super) async fn select(
        &mut self,
        tag: &Tag,
        name: &MailboxName,
        read_only: bool,
    ) -> Result<(), End> {
        // RFC 3501 §6.3.1: the mailbox that was selected is left also if this fails.
        self.leave();
        let account = self.account()?.clone();
        account.settled(ARRIVALS_PATIENCE).await;
        let catalog = account.catalog().map_err(|_| LOCKED)?;
        let mailbox = match catalog.by_name(name.as_str()) {
            Some(mailbox) if !mailbox.no_select => mailbox.clone(),
            Some(_) => {
                self.link.out.no(tag, Code::Cannot, "This name holds no messages");
                return Ok(());
            }
            None => {
                self.link.out.no(tag, Code::NonExistent, "There is no such mailbox");
                return Ok(());
            }
        };
        let recent = match read_only {
            true => None,
            false => Some(account.claim_recent(mailbox.id).await.map_err(|_| LOCKED)?),
        };
        let Some(view) = account.view(mailbox.id).map_err(|_| LOCKED)? else {
            self.link.out.no(tag, Code::NonExistent, "There is no such mailbox");
            return Ok(());
        };
        let mut claimed = Recent::default();
        claimed.add(recent.unwrap_or_else(|| unclaimed(&mailbox, &view)));
        let selected = Selected::new(view, read_only, claimed);
        write_selected(&mut self.link.out, &selected);
        self.selected = Some(selected);
        self.state.state = State::Selected { read_only };
        match read_only {
            true => self.link.out.ok(tag, Code::ReadOnly, "EXAMINE completed"),
            false => self.link.out.ok(tag, Code::ReadWrite, "SELECT completed"),
        }
        Ok(())
    }

    /// RFC 3501 §6.4.2: removes silently what has `\Deleted`, also what another session has marked
    /// meanwhile, unless it was opened by EXAMINE.
    pub(super) async fn close(&mut self, tag: &Tag) -> Result<(), End> {
        if let Some(selected) = &self.selected
            && !selected.read_only
        {
            let command = Command::Expunge { mailbox: selected.id, uids: None };
            match self.account()?.clone().apply(command).await {
                // What is gone has nothing to remove.
                Ok(_) | Err(ApplyError::Refused(Refusal::NoSuchMailbox)) => {}
                Err(error) => return self.apply_error(tag, error),
            }
        }
        self.leave();
        self.link.out.ok(tag, Code::None, "CLOSE completed");
        Ok(())
    }

    pub(super) fn unselect(&mut self, tag: &Tag) -> Result<(), End> {
        self.leave();
        self.link.out.ok(tag, Code::None, "UNSELECT completed");
        Ok(())
    }

    pub(super) async fn expunge(
        &mut self,
        tag: &Tag,
        set: Option<&SequenceSet>,
    ) -> Result<(), End> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let uids = match set.map(|set| selected.targets(set, true)) {
            Some(Ok(targets)) => Some(targets.uids(&selected.view)),
            _ => None,
        };
        let nothing = uids.as_ref().is_some_and(UidSet::is_empty);
        let command = Command::Expunge { mailbox: selected.id, uids };
        if !nothing && let Err(error) = self.account()?.clone().apply(command).await {
            return self.apply_error(tag, error);
        }
        self.done(tag, "EXPUNGE completed").await
    }

    pub(super) async fn status(
        &mut self,
        tag: &Tag,
        name: &MailboxName,
        items: &[StatusItem],
    ) -> Result<(), End> {
        let account = self.account()?.clone();
        account.settled(ARRIVALS_PATIENCE).await;
        let catalog = account.catalog().map_err(|_| LOCKED)?;
        match catalog.by_name(name.as_str()) {
            Some(mailbox) if !mailbox.no_select => {
                write_status(&mut self.link.out, mailbox, items);
                self.done(tag, "STATUS completed").await
            }
            Some(_) => {
                self.link.out.no(tag, Code::Cannot, "This name holds no messages");
                Ok(())
            }
            None => {
                self.link.out.no(tag, Code::NonExistent, "There is no such mailbox");
                Ok(())
            }
        }
    }

    /// Leaves the selected mailbox, if there is one.
    pub(super) fn leave(&mut self) {
        if self.selected.take().is_some() {
            self.state.state = State::Authenticated;
        }
    }
}

/// What EXAMINE shows as recent without claiming it: the messages that arrived last.
fn unclaimed(mailbox: &Mailbox, view: &MailboxView) -> std::ops::Range<u32> {
    let first = view.exists().saturating_sub(mailbox.status.recent);
    view.row(first).map_or(0..0, |row| row.uid..view.uid_next)
}

/// The untagged answers to SELECT. HIGHESTMODSEQ is not among them: CONDSTORE is not announced, and
/// Thunderbird would begin to use it.
fn write_selected(out: &mut Out, selected: &Selected) {
    let view = &selected.view;
    selected.write_flag_lists(out);
    out.line(&format!("* {} EXISTS", view.exists()));
    out.line(&format!("* {} RECENT", selected.recent_count()));
    if let Some(first) = view.first_unseen() {
        out.line(&format!("* OK [UNSEEN {}] First unseen", first + 1));
    }
    out.line(&format!("* OK [UIDVALIDITY {}] UIDs are valid", view.uid_validity));
    out.line(&format!("* OK [UIDNEXT {}] Next UID", view.uid_next));
}

/// `* STATUS name (..)`, from the catalog: no view is looked at.
pub(super) fn write_status(out: &mut Out, mailbox: &Arc<Mailbox>, items: &[StatusItem]) {
    let status = &mailbox.status;
    out.raw("* STATUS ");
    out.mailbox(&MailboxName::from_decoded(&mailbox.name));
    for (at, &item) in items.iter().enumerate() {
        out.raw(if at == 0 { " (" } else { " " });
        out.raw(item.as_str());
        out.byte(b' ');
        out.number(u64::from(match item {
            StatusItem::Messages => status.messages,
            StatusItem::Recent => status.recent,
            StatusItem::UidNext => status.uid_next,
            StatusItem::UidValidity => status.uid_validity,
            StatusItem::Unseen => status.unseen,
        }));
    }
    out.raw(")");
    out.crlf();
}
