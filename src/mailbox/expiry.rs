//! Tells owners that their public key ends: of a key that they imported, for those made here do not
//! end. Who does not notice it gets no sealed mail any more, and others' mail to them waits.
//!
//! Nothing is stored for it: the care is taken from time to time, and a note is left when a term
//! lies between two times. Of a term that falls into a time when the server did not run nothing is
//! said, but there are others.

use super::core::{Core, blocking};
use super::note::{self, Note};
use crate::base::clock::UnixTime;
use crate::base::ids::AccountNumber;
use crate::pgp;
use std::sync::Arc;

/// How many days before the end a note is left: there is time to make another key, then there is
/// little, then none. The last one is when it has ended.
const TERMS_DAYS: [i64; 4] = [30, 7, 1, 0];

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Leaves notes for all terms after `since`, up to `until`.
pub async fn announce(core: &Arc<Core>, since: UnixTime, until: UnixTime) {
    let shared = core.clone();
    let Ok(due) = blocking(move || due(&shared, since, until)).await else { return };
    for (account, ends) in due {
        note::leave(core, account, Note::KeyEnds { ends, over: ends.0 <= until.0 }).await;
    }
}

fn due(core: &Core, since: UnixTime, until: UnixTime) -> Vec<(AccountNumber, UnixTime)> {
    let accounts = core.directory.list().into_iter();
    let known = accounts.filter_map(|(number, account)| Some((number, account?)));
    let ends = known.filter_map(|(number, account)| {
        let facts = pgp::facts(account.file.identity_cert(), until).ok()?;
        Some((number, facts.expires?))
    });
    ends.filter(|(_, ends)| is_due(*ends, since, until)).collect()
}

fn is_due(ends: UnixTime, since: UnixTime, until: UnixTime) -> bool {
    let terms = TERMS_DAYS.iter().map(|days| ends.0 - days * DAY_SECONDS);
    terms.into_iter().any(|term| since.0 < term && term <= until.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_term_is_due_once_however_often_the_care_is_taken() {
        let ends = UnixTime(100 * DAY_SECONDS + 17);
        for every in [3600, 7 * 3600, DAY_SECONDS] {
            let times = (0..).map(|n| n * every).take_while(|time| *time < 120 * DAY_SECONDS);
            let dues = times.filter(|time| is_due(ends, UnixTime(time - every), UnixTime(*time)));
            assert_eq!(dues.count(), TERMS_DAYS.len());
        }
        assert!(!is_due(ends, UnixTime(ends.0), UnixTime(ends.0 + DAY_SECONDS)));
    }
}
