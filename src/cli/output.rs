//! Standard output and standard error: everything that a command says goes through here.
//!
//! What cannot be written is a failure like any other: a full disk under a redirection must not
//! look like success, and not like an internal error either. Where the reader has gone (a closed
//! pipe), the command fails without a word, for nobody reads it.

use super::Failure;
use serde::Serialize;
use std::io::{self, ErrorKind, Write};
use zeroize::Zeroizing;

/// Writes one line.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    put(&mut io::stdout().lock(), &[text.as_bytes(), b"\n"])
}

/// Writes a text that has its own line ends.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    octets(text.as_bytes())
}

/// Writes octets as they are.
pub(super) fn octets(octets: &[u8]) -> Result<(), Failure> {
    put(&mut io::stdout().lock(), &[octets])
}

/// Writes JSON for people and programs.
pub(super) fn json<T: Serialize>(value: &T) -> Result<(), Failure> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Says something beside the answer. That nobody can read it changes nothing.
pub(super) fn remark(text: &str) {
    let _ = put(&mut io::stderr().lock(), &[text.as_bytes(), b"\n"]);
}

/// Shows a secret that the server does not show again.
pub(super) fn secret_once(what: &str, secret: &str) -> Result<(), Failure> {
    hand_over(&mut io::stdout().lock(), &mut io::stderr().lock(), what, secret)
}

/// The server has already made the change: where standard output takes nothing, the secret goes to
/// standard error, for the one before it opens nothing any more.
fn hand_over(
    out: &mut dyn Write,
    err: &mut dyn Write,
    what: &str,
    secret: &str,
) -> Result<(), Failure> {
    let shown = Zeroizing::new(format!("{what}: {secret}\n"));
    let written = put(out, &[shown.as_bytes()]);
    let also: &[u8] = match written {
        Ok(()) => b"It is shown this once and kept nowhere in clear.\n",
        Err(_) => {
            b"The change has been made. The above is shown this once, and here because \
                    standard output could not be written.\n"
        }
    };
    let again = if written.is_ok() { &[][..] } else { shown.as_bytes() };
    let _ = put(err, &[again, also]);
    written
}

fn put(out: &mut dyn Write, pieces: &[&[u8]]) -> Result<(), Failure> {
    let written = pieces.iter().try_for_each(|piece| out.write_all(piece));
    written.and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure(String::new()),
        _ => Failure(format!("standard output cannot be written: {error}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Full(ErrorKind);

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    fn show(out: &mut dyn Write, err: &mut dyn Write) -> Result<(), String> {
        hand_over(out, err, "recovery code", "open-sesame").map_err(|Failure(why)| why)
    }

    #[test]
    fn a_secret_is_on_standard_output_alone_where_that_can_be_written() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        show(&mut out, &mut err).unwrap();
        assert_eq!(out, b"recovery code: open-sesame\n");
        assert!(!String::from_utf8(err).unwrap().contains("open-sesame"));
        assert_eq!(show(&mut Vec::new(), &mut Full(ErrorKind::StorageFull)), Ok(()));
    }

    #[test]
    fn a_secret_that_standard_output_does_not_take_is_not_lost() {
        for (kind, silent) in [(ErrorKind::StorageFull, false), (ErrorKind::BrokenPipe, true)] {
            let mut err = Vec::new();
            let why = show(&mut Full(kind), &mut err).unwrap_err();
            assert_eq!(why.is_empty(), silent, "{why}");
            let err = String::from_utf8(err).unwrap();
            assert!(err.starts_with("recovery code: open-sesame\nThe change has been made."));
        }
    }
}
