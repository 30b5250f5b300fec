//! What the process does for the secrets in its memory: no core dumps, no debugger of the same
//! user, files that only the owner reads, and panics that say where but not what.
//!
//! # Known gaps
//! Memory is not locked: what the system swaps out is the administrator's to encrypt (the systemd
//! unit forbids swap). Root with a debugger reads everything.

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Open files that the server asks for: the sessions of the default limits, and segments, with
/// room.
const OPEN_FILES_WISHED: u64 = 65_536;

/// Takes all measures. Called first of all, before there is a secret or a second thread.
pub fn harden() -> std::io::Result<()> {
    quiet_panics();
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    Ok(())
}

/// Raises the soft limit of open files to the hard one, as far as it is wished for.
pub fn raise_open_files() {
    let mut limit = rustix::process::getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(OPEN_FILES_WISHED).min(OPEN_FILES_WISHED);
    if limit.current.is_some_and(|current| current < most) {
        limit.current = Some(most);
        // Refused only where a sandbox forbids it; then the old limit holds.
        let _ = rustix::process::setrlimit(Resource::Nofile, limit);
    }
}

/// A panic's message may quote what was being handled, so only its place is printed.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|info| match info.location() {
        Some(at) => eprintln!("postseal: internal error at {}:{}", at.file(), at.line()),
        None => eprintln!("postseal: internal error"),
    }));
}

/// The user that the process acts as.
pub fn uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_hardening_nothing_is_dumped() {
        harden().unwrap();
        assert_eq!(rustix::process::getrlimit(Resource::Core).current, Some(0));
        let dumpable = rustix::process::dumpable_behavior().unwrap();
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
    }
}
