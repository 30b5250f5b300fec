//! LIST and LSUB.
//!
//! # Standards
//! RFC 3501 §6.3.8-9, RFC 3348 (CHILDREN), RFC 5258, RFC 5819 (STATUS), RFC 6154 (special use).

use super::link::{End, LOCKED};
use super::select::{ARRIVALS_PATIENCE, write_status};
use super::session::Session;
use crate::account::{Catalog, Mailbox};
use crate::imap::{
    ListCommand, ListReturn, ListSelect, MailboxName, Out, Pattern, StatusItem, Tag,
};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

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
        let patterns = list.patterns.iter().map(|pattern| Pattern::new(&list.reference, pattern));
        let Some(patterns) = patterns.collect::<Option<Vec<_>>>() else {
            return self.count_bad(Some(tag), "A pattern has too many wildcards");
        };
        Listing::new(list, &catalog, patterns).write(&mut self.link.out);
        self.done(tag, "LIST completed").await
    }

    pub(super) async fn lsub(
        &mut self,
        tag: &Tag,
        reference: &str,
        pattern: &str,
    ) -> Result<(), End> {
        let catalog = self.account()?.catalog().map_err(|_| LOCKED)?;
        let Some(pattern) = Pattern::new(reference, pattern) else {
            return self.count_bad(Some(tag), "A pattern has too many wildcards");
        };
        write_lsub(&mut self.link.out, catalog.subscriptions(), &pattern);
        self.done(tag, "LSUB completed").await
    }
}

/// RFC 3501 §6.3.9: where `%` stops short of a subscribed name, the level above it is shown with
/// `\Noselect`, once.
fn write_lsub(out: &mut Out, subscriptions: &BTreeSet<String>, pattern: &Pattern) {
    let mut shown: BTreeSet<&str> = BTreeSet::new();
    for name in subscriptions {
        if pattern.matches(name) {
            shown.insert(name);
            continue;
        }
        let levels = name.match_indices('/').map(|(end, _)| &name[..end]);
        shown.extend(levels.filter(|level| pattern.matches(level)));
    }
    for name in shown {
        let subscribed = subscriptions.contains(name);
        out.raw(if subscribed { "* LSUB () \"/\" " } else { "* LSUB (\\Noselect) \"/\" " });
        out.mailbox(&MailboxName::from_decoded(name));
        out.crlf();
    }
}

/// One LIST command over one catalog.
struct Listing<'a> {
    catalog: &'a Catalog,
    patterns: Vec<Pattern>,
    subscribed_only: bool,
    special_only: bool,
    recursive: bool,
    show_subscribed: bool,
    status: Option<&'a [StatusItem]>,
}

impl<'a> Listing<'a> {
    fn new(list: &'a ListCommand, catalog: &'a Catalog, patterns: Vec<Pattern>) -> Self {
        let selects = |option| list.select.contains(&option);
        let status = list.returns.iter().find_map(|option| match option {
            ListReturn::Status(items) => Some(&items[..]),
            _ => None,
        });
        Listing {
            catalog,
            patterns,
            subscribed_only: selects(ListSelect::Subscribed),
            special_only: selects(ListSelect::SpecialUse),
            recursive: selects(ListSelect::RecursiveMatch),
            // RFC 5258 §3.1: selecting by subscription implies showing it.
            show_subscribed: selects(ListSelect::Subscribed)
                || list.returns.contains(&ListReturn::Subscribed),
            status,
        }
    }

    fn write(&self, out: &mut Out) {
        let there = self.catalog.mailboxes().iter().map(|mailbox| &*mailbox.name);
        let mut names: Vec<&str> = there.collect();
        if self.subscribed_only {
            names.extend(self.catalog.subscriptions().iter().map(String::as_str));
        }
        names.sort_unstable();
        names.dedup();
        for name in names {
            if self.patterns.iter().any(|pattern| pattern.matches(name)) {
                self.write_name(out, name);
            }
        }
    }

    fn write_name(&self, out: &mut Out, name: &str) {
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
        // Both lists are in the order of octets, where what is below a name stands together.
        let prefix = format!("{name}/");
        let below = |child: &&str| child.starts_with(&prefix);
        let mailboxes = self.catalog.mailboxes();
        let first = mailboxes.partition_point(|mailbox| *mailbox.name < *prefix);
        let there = mailboxes[first..].iter().map(|mailbox| &*mailbox.name).take_while(below);
        let from = (Bound::Included(&*prefix), Bound::Unbounded);
        let subscribed = self.catalog.subscriptions().range::<str, _>(from).map(String::as_str);
        there
            .chain(subscribed.take_while(below))
            .filter(|child| !self.patterns.iter().any(|pattern| pattern.matches(child)))
            .any(|child| self.selects(child, self.catalog.by_name(child)))
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
