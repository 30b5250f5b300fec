//! Slots, the account master key and the KDF; makes the `Unlocked` witness.
