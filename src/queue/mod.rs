//! Messages going out: items, their schedule, and how they are kept.
//!
//! Items are sealed to the queue's public half. The schedule is pure.
