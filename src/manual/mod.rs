//! The manual, compiled with the code so that its links and names are checked.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("message.md")]
pub mod message {}

#[doc = include_str!("formats.md")]
pub mod formats {}

#[doc = include_str!("claims.md")]
pub mod claims {}

#[doc = include_str!("limits.md")]
pub mod limits {}
