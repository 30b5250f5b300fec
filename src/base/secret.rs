//! Secrets in memory: boxed, filled in place, zeroed when dropped, silent when printed.
//!
//! A secret is never passed by value as an array: moves would leave copies on stacks that nobody
//! zeroes. Hand out `&Secret` or move the box.

use super::entropy::Entropy;
use zeroize::Zeroize;

/// `N` secret bytes on the heap.
pub struct Secret<const N: usize>(Box<[u8; N]>);

/// Octets of stack that [`scrub_stack`] overwrites: more than the frames of a session take, in a
/// build without optimisation too. Some microseconds.
const SCRUBBED_STACK_BYTES: usize = 256 * 1024;

/// Overwrites what calls that have returned left on this thread's stack. The allocator clears what
/// is freed on the heap; nothing does so for stacks, and a thread that waits keeps its remains.
#[inline(never)]
pub fn scrub_stack() {
    let mut room = [0u8; SCRUBBED_STACK_BYTES];
    std::hint::black_box(&mut room);
    // A copy leaves what it moved in vector registers, which ones depends on its length. Copies of
    // zeros take their place.
    let (from, to) = room.split_at_mut(SCRUBBED_STACK_BYTES / 2);
    for bytes in [24, 48, 96, 200, 400, 800, 3000] {
        let bytes = std::hint::black_box(bytes);
        to[..bytes].copy_from_slice(&from[..bytes]);
        std::hint::black_box(&mut *to);
    }
}

impl<const N: usize> Secret<N> {
    /// A secret of zeros, to be filled through [`Secret::expose_mut`].
    pub fn zeroed() -> Self {
        Secret(Box::new([0; N]))
    }

    /// A fresh random secret, drawn straight into its place.
    pub fn random(entropy: &dyn Entropy) -> Self {
        let mut secret = Self::zeroed();
        entropy.fill(&mut secret.0[..]);
        secret
    }

    /// A copy of `bytes`; `None` if there are not exactly `N`.
    pub fn copy_from(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != N {
            return None;
        }
        let mut secret = Self::zeroed();
        secret.0.copy_from_slice(bytes);
        Some(secret)
    }

    /// The bytes, for the one call that needs them.
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }

    /// The place to write the bytes to.
    pub fn expose_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Clone for Secret<N> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed();
        copy.0.copy_from_slice(&self.0[..]);
        copy
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> std::fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret<{N}>(..)")
    }
}

/// Secret bytes of any length: plaintext of a message, a password, serialised keys.
#[derive(Clone, Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes `bytes` over; they are zeroed when this is dropped.
    pub fn new(bytes: Vec<u8>) -> Self {
        SecretBytes(bytes)
    }

    /// `len` zeros, to be filled through [`SecretBytes::expose_mut`]. The buffer never grows, so
    /// that no copy is left behind by a reallocation.
    pub fn zeroed(len: usize) -> Self {
        SecretBytes(vec![0; len])
    }

    /// A copy of `bytes`.
    pub fn copy_from(bytes: &[u8]) -> Self {
        SecretBytes(bytes.to_vec())
    }

    /// The bytes, for the one call that needs them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The place to write the bytes to.
    pub fn expose_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Keeps the part within `range` only, in the same buffer; the rest of the buffer is zeroed.
    ///
    /// # Panics
    /// If `range` is not within the bytes.
    pub fn keep(&mut self, range: std::ops::Range<usize>) {
        let kept = range.len();
        self.0.copy_within(range, 0);
        self.0[kept..].zeroize();
        self.0.truncate(kept);
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SecretBytes(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keep_moves_the_part_to_the_front_and_leaves_zeros_behind() {
        let mut secret = SecretBytes::copy_from(b"head body tail");
        secret.keep(5..9);
        assert_eq!(secret.expose(), b"body");
        assert_eq!(secret.0.capacity(), 14);
    }
}
