//! Preparation.
