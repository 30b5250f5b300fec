//! The sample configuration in `config/` is what the table of options makes.
//!
//! To renew it: `POSTSEAL_WRITE=1 cargo test --test config`.

use postseal::config::reference::sample;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/postseal.toml");

#[test]
fn the_committed_sample_is_the_generated_one() {
    if std::env::var_os("POSTSEAL_WRITE").is_some() {
        std::fs::write(FILE, sample()).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(committed == sample(), "config/postseal.toml is out of date; see tests/config.rs");
}
