//! Own keys of every sort.
