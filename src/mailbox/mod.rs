//! Role: seal and store, account tasks, IMAP sessions.

mod events;
mod options;
pub use options::Options;
