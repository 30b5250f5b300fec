//! LIST and LSUB.
//!
//! # Standards
//! RFC 3501 §6.3.8-9, RFC 3348 (CHILDREN), RFC 5258, RFC 5819 (STATUS), RFC 6154 (special use).

use super::link::{End, LOCKED};
use super::select::{ARRIVALS_PATIENCE, write_status};
use super::session::Session;
use crate::account::{Catalog, Mailbox};
use crate::imap::limits::{LIST_MIDDLE_BYTES_MAX, LIST_WILDCARDS_MAX};
use crate::imap::{
    Code, ListCommand, ListReturn, ListSelect, MailboxName, Out, Patterns, StatusItem, Tag, TooMuch,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names that are looked at before others get their turn: at most 64 of 1000 octets, under 32
/// patterns, some milliseconds.
const NAMES_AT_ONCE: usize = 64;

impl Session {
    pub(super) async fn list(&mut self, tag: &Tag, list: &ListCommand) -> Result<(), End> {
        let account = self.account()?.clone();
        if list.returns.iter().any(|option| matches!(option, ListReturn::Status(_))) {
            account.settled(ARRIVALS_PATIENCE).await;
        }
        let catalog = account.catalog().map_err(|_| LOCKED)?;
        // RFC 3501 §6.3.8: an empty pattern asks for the separator and the root.
        if !list.extended && list.patterns.iter().all(String::is_empty) {
            self.link.out.line("* LIST (\\Noselect) \"/\" \"\"");
            return self.done(tag, "LIST completed").await;
        }
        let patterns = match Patterns::new(&list.reference, &list.patterns) {
            Ok(patterns) => patterns,
            Err(too_much) => return self.refuse_patterns(tag, too_much),
        };
        let mut listing = Listing::new(list, &catalog);
        for at in 0..listing.names.len() {
            listing.look_at(at, &patterns);
            self.next_name(at).await?;
        }
        for at in 0..listing.names.len() {
            listing.write(at, &mut self.link.out);
            self.next_name(at).await?;
        }
        self.done(tag, "LIST completed").await
    }

    /// RFC 3501 §6.3.9: where `%` stops short of a subscribed name, the level above it is shown
    /// with `\Noselect`, once.
    pub(super) async fn lsub(
        &mut self,
        tag: &Tag,
        reference: &str,
        pattern: &str,
    ) -> Result<(), End> {
        let catalog = self.account()?.catalog().map_err(|_| LOCKED)?;
        let patterns = match Patterns::new(reference, &[pattern.to_owned()]) {
            Ok(patterns) => patterns,
            Err(too_much) => return self.refuse_patterns(tag, too_much),
        };
        let mut shown: BTreeSet<&str> = BTreeSet::new();
        for (at, name) in catalog.subscriptions().iter().enumerate() {
            shown.extend(patterns.level(name));
            self.next_name(at).await?;
        }
        for (at, name) in shown.into_iter().enumerate() {
            write_lsub(&mut self.link.out, name, catalog.subscriptions().contains(name));
            self.next_name(at).await?;
        }
        self.done(tag, "LSUB completed").await
    }

    /// Between two names: what was written goes out, and others get their turn.
    async fn next_name(&mut self, at: usize) -> Result<(), End> {
        if at % NAMES_AT_ONCE == NAMES_AT_ONCE - 1 {
            self.link.flush_if_much().await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// RFC 5530 §3: LIMIT.
    fn refuse_patterns(&mut self, tag: &Tag, too_much: TooMuch) -> Result<(), End> {
        let text = match too_much {
            TooMuch::Wildcards => {
                format!("At most {LIST_WILDCARDS_MAX} wildcards are taken in one command")
            }
            TooMuch::Octets => format!(
                "At most {LIST_MIDDLE_BYTES_MAX} octets are taken from the first wildcard to the \
                 last"
            ),
        };
        self.link.out.no(tag, Code::Limit, &text);
        Ok(())
    }
}

fn write_lsub(out: &mut Out, name: &str, subscribed: bool) {
    out.raw(if subscribed { "* LSUB () \"/\" " } else { "* LSUB (\\Noselect) \"/\" " });
    out.mailbox(&MailboxName::from_decoded(name));
    out.crlf();
}

/// One LIST command over one catalog.
struct Listing<'a> {
    catalog: &'a Catalog,
    subscribed_only: bool,
    special_only: bool,
    recursive: bool,
    show_subscribed: bool,
    status: Option<&'a [StatusItem]>,
    /// In the order of octets, each once.
    names: Vec<&'a str>,
    /// Of the names that were looked at, whether the patterns mean them.
    meant: Vec<bool>,
    /// How many of the first `n` names meet the selection options and are not meant; one entry
    /// more than names were looked at.
    aside: Vec<usize>,
}

impl<'a> Listing<'a> {
    fn new(list: &'a ListCommand, catalog: &'a Catalog) -> Self {
        let selects = |option| list.select.contains(&option);
        let status = list.returns.iter().find_map(|option| match option {
            ListReturn::Status(items) => Some(&items[..]),
            _ => None,
        });
        let subscribed_only = selects(ListSelect::Subscribed);
        Listing {
            catalog,
            subscribed_only,
            special_only: selects(ListSelect::SpecialUse),
            recursive: selects(ListSelect::RecursiveMatch),
            // RFC 5258 §3.1: selecting by subscription implies showing it.
            show_subscribed: subscribed_only || list.returns.contains(&ListReturn::Subscribed),
            status,
            names: names(catalog, subscribed_only),
            meant: Vec::new(),
            aside: vec![0],
        }
    }

    /// Looks at the name at `at`; the ones before were looked at.
    fn look_at(&mut self, at: usize, patterns: &Patterns) {
        let name = self.names[at];
        let meant = patterns.matches(name);
        // Nothing else asks for what is not meant.
        let aside = self.recursive && !meant && self.selects(name, self.catalog.by_name(name));
        self.meant.push(meant);
        self.aside.push(self.aside[at] + usize::from(aside));
    }

    /// Writes the name at `at`, if it is one to be told.
    fn write(&self, at: usize, out: &mut Out) {
        if !self.meant[at] {
            return;
        }
        let name = self.names[at];
        let mailbox = self.catalog.by_name(name);
        let selected = self.selects(name, mailbox);
        let child_info = self.recursive && self.has_selected_child(name);
        if !selected && !child_info {
            return;
        }
        out.raw("* LIST (");
        out.raw(&self.attributes(name, mailbox).join(" "));
        out.raw(") \"/\" ");
        out.mailbox(&MailboxName::from_decoded(name));
        if child_info {
            let criterion = if self.subscribed_only { "SUBSCRIBED" } else { "SPECIAL-USE" };
            out.raw(&format!(" (\"CHILDINFO\" (\"{criterion}\"))"));
        }
        out.crlf();
        // RFC 5819 §2: no STATUS for what cannot be selected.
        if let (Some(items), Some(mailbox)) = (self.status, mailbox)
            && selected
            && !mailbox.no_select
        {
            write_status(out, mailbox, items);
        }
    }

    /// Whether a name meets the selection options.
    fn selects(&self, name: &str, mailbox: Option<&Arc<Mailbox>>) -> bool {
        let subscribed = self.catalog.subscriptions().contains(name);
        let special = mailbox.is_some_and(|mailbox| mailbox.special_use.is_some());
        (!self.subscribed_only || subscribed) && (!self.special_only || special)
    }

    /// RFC 5258 §3.5: whether a name below, which the patterns do not mean, meets them.
    fn has_selected_child(&self, name: &str) -> bool {
        // What is below a name stands together: from `name/` to the octet after the separator.
        let place = |end: char| {
            let limit = format!("{name}{end}");
            self.names.partition_point(|other| **other < *limit)
        };
        self.aside[place('0')] > self.aside[place('/')]
    }

    fn attributes(&self, name: &str, mailbox: Option<&Arc<Mailbox>>) -> Vec<&'static str> {
        let mut attributes = Vec::new();
        match mailbox {
            // RFC 5258 §3: `\NonExistent` implies `\Noselect`.
            None => attributes.push("\\NonExistent"),
            Some(mailbox) => {
                if mailbox.no_select {
                    attributes.push("\\Noselect");
                }
                attributes.push(match mailbox.has_children {
                    true => "\\HasChildren",
                    false => "\\HasNoChildren",
                });
                attributes.extend(mailbox.special_use.map(|special| special.attribute()));
            }
        }
        if self.show_subscribed && self.catalog.subscriptions().contains(name) {
            attributes.push("\\Subscribed");
        }
        attributes
    }
}

fn names(catalog: &Catalog, with_subscriptions: bool) -> Vec<&str> {
    let mut names: Vec<&str> = catalog.mailboxes().iter().map(|mailbox| &*mailbox.name).collect();
    if with_subscriptions {
        names.extend(catalog.subscriptions().iter().map(String::as_str));
    }
    names.sort_unstable();
    names.dedup();
    names
}
