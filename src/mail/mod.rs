//! The formats of mail, pure: addresses, headers, MIME structure, dates.
