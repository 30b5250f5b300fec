//! Takes a message apart in one pass.

use super::envelope::Envelope;
use super::structure::Structure;

/// What [`analyse`] found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Analysis {
    /// Octets of the header block, the empty line that ends it included.
    pub header_bytes: usize,
    /// The message's envelope.
    pub envelope: Envelope,
    /// Its parts.
    pub structure: Structure,
}

/// Takes `message` apart. Total: any octets give an analysis.
pub fn analyse(message: &[u8]) -> Analysis {
    let _ = message;
    todo!()
}
