//! The SMTP server as a machine: bytes and time in, bytes and events out.
