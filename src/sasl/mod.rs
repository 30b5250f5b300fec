//! SASL mechanisms: opaque bytes for smtp and imap.
