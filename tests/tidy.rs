//! Keeps the house in order: who may import whom, where effects may happen, and the look of files.
//!
//! The table of ranks is read from the documentation of `src/lib.rs`; which room may name which
//! outside crate stands in [`rules`]. Every file is checked whole, tests and the insides of macro
//! calls included. Each rule is also run on a seeded breach and must turn red on it: a check that
//! cannot fail is worth nothing.
//!
//! # Known gaps
//! Paths are read as they are written, with the imports of the same file followed once. A crate
//! that another crate re-exports under its own name is seen only where that name is in the table.
//! What types resolve to is clippy's part (`.clippy.toml`).
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test that reads files")]

#[path = "tidy/house.rs"]
mod house;
#[path = "tidy/look.rs"]
mod look;
#[path = "tidy/names.rs"]
mod names;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/seeds.rs"]
mod seeds;

use house::{House, Source};

#[test]
fn the_house_is_tidy() {
    let house = House::read(env!("CARGO_MANIFEST_DIR"));
    assert!(house.sources.len() > 20, "only {} files were found", house.sources.len());
    let breaches = rules::check(&house);
    assert!(breaches.is_empty(), "{} breaches:\n{}", breaches.len(), breaches.join("\n"));
}

#[test]
fn every_rule_turns_red_on_its_seed() {
    let clean = House::read(env!("CARGO_MANIFEST_DIR"));
    for seed in seeds::SEEDS {
        let mut house = clean.only_the_plan();
        house.sources.push(Source::new(seed.path, seed.text));
        let breaches = rules::check(&house);
        assert!(
            breaches.iter().any(|breach| breach.contains(seed.rule)),
            "the seed {:?} was not noticed by {:?}; found: {breaches:?}",
            seed.text,
            seed.rule,
        );
    }
}

#[test]
fn what_is_allowed_stays_green() {
    let clean = House::read(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in seeds::ALLOWED {
        let mut house = clean.only_the_plan();
        house.sources.push(Source::new(path, text));
        let breaches = rules::check(&house);
        let of_this: Vec<_> = breaches.iter().filter(|breach| breach.starts_with(path)).collect();
        assert!(of_this.is_empty(), "{path}: {text:?}: {of_this:?}");
    }
}

#[test]
fn every_rule_has_a_seed() {
    for rule in rules::NAMES {
        assert!(seeds::SEEDS.iter().any(|seed| seed.rule == *rule), "{rule} has no seed");
    }
}

#[test]
fn every_crate_has_its_row() {
    let mut house = House::read(env!("CARGO_MANIFEST_DIR"));
    assert_eq!(rules::undecided_crates(&house), Vec::<String>::new());
    house.crates.insert("left_pad".to_owned(), false);
    assert_eq!(rules::undecided_crates(&house), ["left_pad"]);
    house.crates.remove("left_pad");
    house.crates.remove("sled");
    assert_eq!(rules::undecided_crates(&house), ["sled"]);
}

#[test]
fn no_long_function_is_excused_that_is_short() {
    let house = House::read(env!("CARGO_MANIFEST_DIR"));
    for (path, name, why) in rules::LONG_FUNCTIONS {
        let source = house.sources.iter().find(|source| source.path == *path);
        let found = names::Found::of(source.expect("the file of the excuse exists")).unwrap();
        let long = |f: &&names::Function| f.name == *name && f.lines > look::FUNCTION_LINES_MAX;
        assert!(found.functions.iter().any(|f| long(&f)), "{path}: {name} needs no excuse");
        assert!(why.split_whitespace().count() > 3, "{path}: {name}: say why");
    }
}
