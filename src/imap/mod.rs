//! IMAP as a machine: grammar, session state, responses, sequence views.
