//! A whole account in simulation: deliveries, logins, folds, commands, locks, faults and crashes in
//! an order that a seed decides, against an oracle that knows nothing of records or snapshots.
//!
//! Disk, clock and entropy are virtual; journal, vault, OpenPGP and account machine are the real
//! ones. Two things only are not from the seed: the key pairs, and the encapsulations inside
//! OpenPGP.
//!
//! What is checked after every step and every restart: names, subscriptions, UIDs, flags, keywords
//! and octets are those that were acknowledged, or the opened view of what came encrypted; no UID
//! ever stands for another message; UIDVALIDITY changes only when the directory was copied;
//! mod-sequences never fall; nothing is reported as damage.
//!
//! `SEED=n cargo test --test sim` replays one seed; `SEEDS=n` runs as many.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed simulation")]

mod letters;
mod oracle;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Seeds of a normal run, over all tests of this file.
const SEEDS: u64 = 200;
/// Tests among which the seeds are divided, so that they run side by side.
const SHARES: u64 = 4;
const STEPS: usize = 80;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

fn run_share(share: u64) {
    let seeds: Vec<u64> = match number("SEED") {
        Some(seed) => [seed].into_iter().filter(|_| share == 0).collect(),
        None => (share..number("SEEDS").unwrap_or(SEEDS)).step_by(SHARES as usize).collect(),
    };
    for seed in seeds {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world::run(seed, STEPS))) {
            println!("\nthe simulation failed; replay it with SEED={seed}\n");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn seeds_1() {
    run_share(0);
}

#[test]
fn seeds_2() {
    run_share(1);
}

#[test]
fn seeds_3() {
    run_share(2);
}

#[test]
fn seeds_4() {
    run_share(3);
}
