//! The role without a network.
