//! Wires configuration, host and roles.
