//! One table of options, and what is made of it.
