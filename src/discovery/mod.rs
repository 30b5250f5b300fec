//! Recipients' keys: finding and judging them.
//!
//! Asks by WKD (draft-koch-openpgp-webkey-service) through the traits `dns::Resolver` and
//! `base::fetch::Fetch`; what comes back is hostile until it was judged. What is asked and what an
//! answer means are pure functions (`wkd`, `vet`, `answer`); [`Finder`] only strings them together.
//!
//! A [`Finder`] remembers nothing. Whoever writes mail asks through the ledger, which does.

mod answer;
mod finder;
#[cfg(test)]
pub mod testing;
#[cfg(test)]
mod tests;
mod verdict;
mod vet;
mod wkd;

pub use answer::Outcome;
pub use finder::{Finder, Options, Search, World};
pub use verdict::{Circle, FailWhy, FindKey, Verdict};
pub use vet::{Network, NetworkError, Vet};
pub use wkd::wkd_hash;
