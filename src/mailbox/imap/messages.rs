//! COPY and MOVE.
//!
//! # Standards
//! RFC 3501 §6.4.7, RFC 6851, RFC 4315 §3 (COPYUID).

use super::link::End;
use super::session::Session;
use crate::account::{Command, Outcome};
use crate::imap::{Code, MailboxName, SequenceSet, Tag};

impl Session {
    pub(super) async fn copy(
        &mut self,
        tag: &Tag,
        uid: bool,
        set: &SequenceSet,
        to: &MailboxName,
    ) -> Result<(), End> {
        self.transfer(tag, uid, set, to, false).await
    }

    pub(super) async fn move_(
        &mut self,
        tag: &Tag,
        uid: bool,
        set: &SequenceSet,
        to: &MailboxName,
    ) -> Result<(), End> {
        self.transfer(tag, uid, set, to, true).await
    }

    async fn transfer(
        &mut self,
        tag: &Tag,
        uid: bool,
        set: &SequenceSet,
        to: &MailboxName,
        moves: bool,
    ) -> Result<(), End> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let Ok(targets) = selected.targets(set, uid) else {
            return self.count_bad(Some(tag), "There is no such message");
        };
        if targets.gone {
            // RFC 2180 §4.4.2: all or nothing, and the client is told by the NO to look again.
            self.link.out.no(tag, Code::None, "Some of these messages are gone");
            return Ok(());
        }
        let (from, uids, to) = (selected.id, targets.uids(&selected.view), to.as_str().to_owned());
        let command = match moves {
            true => Command::Move { from, uids, to },
            false => Command::Copy { from, uids, to },
        };
        match self.account()?.clone().apply(command).await {
            Ok(outcome) => self.transferred(tag, &outcome, moves).await,
            Err(error) => self.apply_error(tag, error),
        }
    }

    /// RFC 6851 §4.3: MOVE tells COPYUID before the expunges, COPY in its OK.
    async fn transferred(&mut self, tag: &Tag, outcome: &Outcome, moves: bool) -> Result<(), End> {
        let copied = match outcome {
            Outcome::Copied { uid_validity, from, to, .. } if !from.is_empty() => {
                Some(format!("[COPYUID {uid_validity} {from} {to}]"))
            }
            _ => None,
        };
        match (moves, copied) {
            (true, copied) => {
                if let Some(code) = copied {
                    self.link.out.line(&format!("* OK {code} Moved"));
                }
                self.done(tag, "MOVE completed").await
            }
            (false, Some(code)) => self.done(tag, &format!("{code} COPY completed")).await,
            (false, None) => self.done(tag, "COPY completed; nothing was there").await,
        }
    }
}
