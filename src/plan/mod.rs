//! What is done for each recipient of a message going out: sealed, plain, held or refused.
//!
//! Pure: one file to read.
