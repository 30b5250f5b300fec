//! Recipients' keys: finding and judging them.
//!
//! Asks by WKD (draft-koch-openpgp-webkey-service) through the traits `dns::Resolver` and
//! `base::fetch::Fetch`; what comes back is hostile until it was judged.

mod verdict;

pub use verdict::{FailWhy, FindKey, Verdict};
