//! One table of options, and what is made of it.
//!
//! The table in [`table`] is the only place that knows an option's name, type, unit, default, text
//! and whether a reload takes it up. From it come the typed [`Config`], the parser with its errors
//! ([`parse()`]), the sample file `config/postseal.toml` ([`mod@reference`]) and the list of what a
//! reload cannot change. `convert` turns a `Config` into each room's own options.
//!
//! A configuration is trusted: who can write it owns the server. What is guarded against here are
//! mistakes, so an unknown key is an error that names the nearest one, and all errors come at once.
//!
//! # Standards
//! TOML 1.0. Host names after RFC 1123 §2.1, mail domains after RFC 5321 §4.1.2.

pub mod convert;
mod parse;
pub mod reference;
mod review;
pub mod table;
pub mod values;

pub use parse::{CONFIG_BYTES_MAX, Invalid, Problem, parse, parse_without_credentials};
pub use review::{Remark, Weight, review};
pub use table::Config;
