//! What every room stands on, and what knows no mail: time, entropy, secrets, primitives, limits,
//! byte budgets, log events and the traits [`disk::Disk`], [`fetch::Fetch`] and
//! [`blocking::Blocking`].
//!
//! Nothing here performs I/O; the real clock, entropy and disk are in `host`.

pub mod blocking;
pub mod budget;
pub mod clock;
pub mod crypto;
pub mod disk;
pub mod entropy;
pub mod event;
pub mod fetch;
pub mod ids;
pub mod kem;
pub mod secret;
pub mod zbase32;

use std::future::Future;
use std::pin::Pin;

/// A boxed future, for the traits that are used as objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
