//! Role: receive and submit mail.
