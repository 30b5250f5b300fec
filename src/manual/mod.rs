//! The manual, compiled with the code.
