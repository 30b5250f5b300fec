//! How much each user may send: messages and recipients, within an hour and within a day.
//!
//! A stolen password is mostly used to send as much as goes; these limits bound what goes, and the
//! log says that they were met. Counts are in memory alone: a restart forgets them. An hour or day
//! begins with its first message.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::base::clock::Instant;
use crate::base::ids::AccountNumber;
use crate::smtp::{Reply, replies};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// How much one user may send; 0 is no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Messages within an hour.
    pub messages_per_hour: u32,
    /// Messages within a day.
    pub messages_per_day: u32,
    /// Recipients of all messages within an hour.
    pub recipients_per_hour: u32,
    /// Recipients of all messages within a day.
    pub recipients_per_day: u32,
}

/// What each user has sent. No more entries than there are accounts.
#[derive(Default)]
pub(super) struct Quotas(Mutex<BTreeMap<AccountNumber, Sent>>);

#[derive(Clone, Copy, Default)]
struct Sent {
    hour: Window,
    day: Window,
}

#[derive(Clone, Copy, Default)]
struct Window {
    began: Option<Instant>,
    messages: u32,
    recipients: u32,
}

impl Quotas {
    /// Whether `account` may send a message to so many recipients now. Counts nothing.
    pub fn check(
        &self,
        account: AccountNumber,
        recipients: u32,
        now: Instant,
        rates: &Rates,
    ) -> Result<(), Reply> {
        let sent = self.lock().get(&account).copied().unwrap_or_default();
        sent.with(recipients, now, rates).map(drop)
    }

    /// The same, and counts it.
    pub fn take(
        &self,
        account: AccountNumber,
        recipients: u32,
        now: Instant,
        rates: &Rates,
    ) -> Result<(), Reply> {
        let mut all = self.lock();
        let sent = all.entry(account).or_default();
        *sent = sent.with(recipients, now, rates)?;
        Ok(())
    }

    /// A message that was counted was not taken after all.
    pub fn give_back(&self, account: AccountNumber, recipients: u32) {
        if let Some(sent) = self.lock().get_mut(&account) {
            for window in [&mut sent.hour, &mut sent.day] {
                window.messages = window.messages.saturating_sub(1);
                window.recipients = window.recipients.saturating_sub(recipients);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<AccountNumber, Sent>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Sent {
    /// What has been sent with one message more, if that is within the limits.
    fn with(mut self, recipients: u32, now: Instant, rates: &Rates) -> Result<Sent, Reply> {
        self.hour.add(recipients, now, HOUR);
        self.day.add(recipients, now, DAY);
        let above = |count: u32, limit: u32| limit > 0 && count > limit;
        if above(self.hour.messages, rates.messages_per_hour)
            || above(self.day.messages, rates.messages_per_day)
        {
            return Err(replies::TOO_MANY_MESSAGES);
        }
        if above(self.hour.recipients, rates.recipients_per_hour)
            || above(self.day.recipients, rates.recipients_per_day)
        {
            return Err(replies::TOO_MANY_RECIPIENTS_SENT);
        }
        Ok(self)
    }
}

impl Window {
    fn add(&mut self, recipients: u32, now: Instant, length: Duration) {
        if self.began.is_none_or(|began| now.since(began) >= length) {
            *self = Window { began: Some(now), ..Window::default() };
        }
        self.messages = self.messages.saturating_add(1);
        self.recipients = self.recipients.saturating_add(recipients);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant(Duration::from_secs(seconds))
    }

    #[test]
    fn each_limit_holds_for_its_time_and_for_one_account() {
        let rates = Rates {
            messages_per_hour: 2,
            messages_per_day: 3,
            recipients_per_hour: 10,
            recipients_per_day: 12,
        };
        let (alice, bob) = (AccountNumber(1), AccountNumber(2));
        let quotas = Quotas::default();
        let take = |who, recipients, seconds| quotas.take(who, recipients, at(seconds), &rates);
        assert_eq!(take(alice, 11, 0), Err(replies::TOO_MANY_RECIPIENTS_SENT));
        assert_eq!(take(alice, 9, 10), Ok(()));
        assert_eq!(quotas.check(alice, 1, at(11), &rates), Ok(()));
        assert_eq!(quotas.check(alice, 2, at(11), &rates), Err(replies::TOO_MANY_RECIPIENTS_SENT));
        assert_eq!(take(alice, 1, 12), Ok(()));
        assert_eq!(take(alice, 1, 3609), Err(replies::TOO_MANY_MESSAGES));
        assert_eq!(take(bob, 1, 3609), Ok(()));
        // The hour is over, the day is not: two recipients are left, and one message.
        assert_eq!(take(alice, 3, 3610), Err(replies::TOO_MANY_RECIPIENTS_SENT));
        assert_eq!(take(alice, 1, 3610), Ok(()));
        assert_eq!(take(alice, 1, 9000), Err(replies::TOO_MANY_MESSAGES));
        quotas.give_back(alice, 1);
        assert_eq!(take(alice, 2, 9000), Ok(()));
        assert_eq!(take(alice, 1, 86_409), Err(replies::TOO_MANY_MESSAGES));
        assert_eq!(take(alice, 10, 86_410), Ok(()));
    }

    #[test]
    fn zero_is_no_limit() {
        let quotas = Quotas::default();
        for _ in 0..1000 {
            assert_eq!(quotas.take(AccountNumber(1), 1000, at(0), &Rates::default()), Ok(()));
        }
    }
}
