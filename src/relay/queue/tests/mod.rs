//! The queue with its runner, without a wire: every promise of the role that sends.

mod faults;
mod house;
mod rounds;
mod sim;
