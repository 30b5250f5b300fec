//! Role: seal and store, account tasks, IMAP sessions.
