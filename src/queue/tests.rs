//! Tests of the machine.

