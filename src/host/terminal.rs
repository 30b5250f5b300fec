//! Passwords from people: asked for at the terminal without echo, or read from standard input.
//!
//! # Known gaps
//! A command that is killed by a signal while it asks leaves the terminal without echo; shells set
//! it right again.

use crate::base::secret::SecretBytes;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use zeroize::Zeroizing;

/// Octets of a line with a secret.
const SECRET_BYTES_MAX: usize = 1024;

/// Asks at the terminal, without echo.
pub fn ask(question: &str) -> io::Result<SecretBytes> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let shown = tcgetattr(&terminal)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&terminal, OptionalActions::Flush, &hidden)?;
    let answer = ask_hidden(&mut terminal, question);
    tcsetattr(&terminal, OptionalActions::Flush, &shown)?;
    terminal.write_all(b"\n")?;
    answer
}

fn ask_hidden(terminal: &mut File, question: &str) -> io::Result<SecretBytes> {
    terminal.write_all(format!("{question}: ").as_bytes())?;
    read_line(terminal)
}

/// Reads the next line of standard input, and no octet beyond it.
pub fn from_stdin() -> io::Result<SecretBytes> {
    read_line(&mut UnbufferedStdin)
}

/// Standard input without the library's buffer, which would keep the secret for good.
struct UnbufferedStdin;

impl Read for UnbufferedStdin {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(rustix::stdio::stdin(), buffer)?)
    }
}

fn read_line(source: &mut dyn Read) -> io::Result<SecretBytes> {
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX));
    let mut byte = Zeroizing::new([0u8]);
    loop {
        match source.read(&mut byte[..]) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() == SECRET_BYTES_MAX => {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
            }
            Ok(_) => line.push(byte[0]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let line = line.strip_suffix(b"\r").unwrap_or(&line);
    match line.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "no password was given")),
        false => Ok(SecretBytes::new(line.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_one_at_a_time() {
        let mut source: &[u8] = b"first\r\nsecond";
        assert_eq!(read_line(&mut source).unwrap().expose(), b"first");
        assert_eq!(read_line(&mut source).unwrap().expose(), b"second");
        assert!(read_line(&mut source).is_err());
        assert!(read_line(&mut &vec![b'x'; 2000][..]).is_err());
    }
}
