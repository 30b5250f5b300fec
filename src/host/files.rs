//! Small files that are not the journal's: keys, configuration, aliases.
//!
//! A key file holds 64 hex digits and a newline, so that it can be made and printed by any tool
//! (`openssl rand -hex 32`). One that others than its owner can read is refused.

use crate::base::crypto::Key;
use crate::base::entropy::Entropy;
use crate::base::secret::{Secret, SecretBytes};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// Octets of a password file; what is longer is something else.
const PASSWORD_FILE_BYTES_MAX: u64 = 4096;

/// Octets of a key file.
const KEY_FILE_BYTES: u64 = 65;

/// Why a file could not be used; always with its name.
#[derive(Debug)]
pub enum FileError {
    /// The system says no.
    System(PathBuf, io::Error),
    /// It is longer than it may be, in octets.
    TooLong(PathBuf, u64),
    /// It is not UTF-8 text.
    NotText(PathBuf),
    /// Others than its owner can read it.
    Exposed(PathBuf),
    /// It is no key of 64 hex digits.
    NotAKey(PathBuf),
    /// Its first line, which should be a password, is empty.
    NoPassword(PathBuf),
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FileError::System(path, error) => write!(f, "{}: {error}", path.display()),
            FileError::TooLong(path, limit) => {
                write!(f, "{}: longer than {limit} octets", path.display())
            }
            FileError::NotText(path) => write!(f, "{}: not UTF-8 text", path.display()),
            FileError::Exposed(path) => {
                write!(f, "{}: others can read this secret; chmod 600 it", path.display())
            }
            FileError::NotAKey(path) => {
                write!(f, "{}: is no key: 64 hex digits are expected", path.display())
            }
            FileError::NoPassword(path) => {
                write!(f, "{}: the first line should be a password", path.display())
            }
        }
    }
}

impl std::error::Error for FileError {}

/// Reads a text file of at most `limit_bytes`.
pub fn read_text(path: &Path, limit_bytes: u64) -> Result<String, FileError> {
    let bytes = read(path, limit_bytes)?;
    String::from_utf8(bytes).map_err(|_| FileError::NotText(path.into()))
}

/// Reads a file of at most `limit_bytes`.
pub fn read(path: &Path, limit_bytes: u64) -> Result<Vec<u8>, FileError> {
    let system = |error| FileError::System(path.into(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(system)?;
    file.take(limit_bytes + 1).read_to_end(&mut bytes).map_err(system)?;
    match bytes.len() as u64 > limit_bytes {
        true => Err(FileError::TooLong(path.into(), limit_bytes)),
        false => Ok(bytes),
    }
}

/// Reads a key.
pub fn read_key(path: &Path) -> Result<Key, FileError> {
    refuse_exposed(path)?;
    let text = Zeroizing::new(read(path, KEY_FILE_BYTES + 1)?);
    let mut key = Secret::zeroed();
    decode_hex(text.trim_ascii(), key.expose_mut())
        .map(|()| key)
        .ok_or_else(|| FileError::NotAKey(path.into()))
}

/// Reads a password: the first line of a file that only its owner can read.
pub fn read_password(path: &Path) -> Result<SecretBytes, FileError> {
    refuse_exposed(path)?;
    let text = Zeroizing::new(read(path, PASSWORD_FILE_BYTES_MAX)?);
    let line = text.split(|octet| matches!(octet, b'\r' | b'\n')).next().unwrap_or_default();
    if line.is_empty() {
        return Err(FileError::NoPassword(path.into()));
    }
    Ok(SecretBytes::copy_from(line))
}

/// Makes a key file that must not exist yet, durably, and returns the key.
pub fn create_key(path: &Path, entropy: &dyn Entropy) -> Result<Key, FileError> {
    let key = Key::random(entropy);
    let mut text = Zeroizing::new(encode_hex(key.expose()));
    text.push('\n');
    create_private(path, text.as_bytes())?;
    Ok(key)
}

/// Makes a file with mode 0600 that must not exist yet, with its directory (0700), durably.
pub fn create_private(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let make = || -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    };
    make().map_err(|error| FileError::System(path.into(), error))
}

/// Refuses a secret that others can read, or that group or others can write. Its group may read it:
/// systemd's credentials are so, and the keys of Debian's `ssl-cert`.
pub fn refuse_exposed(path: &Path) -> Result<(), FileError> {
    let meta = std::fs::metadata(path).map_err(|error| FileError::System(path.into(), error))?;
    match meta.mode() & 0o077 {
        0 | 0o040 if meta.mode() & 0o007 == 0 => Ok(()),
        _ => Err(FileError::Exposed(path.into())),
    }
}

/// What tells a file from what stood at its path before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    /// When its mode or owner changed last: what could not be read before may be readable now.
    changed: (i64, i64),
}

/// The stamp of the file at `path`, links followed; `None` if it cannot be seen.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let meta = std::fs::metadata(path).ok()?;
    let modified = (meta.mtime(), meta.mtime_nsec());
    let changed = (meta.ctime(), meta.ctime_nsec());
    Some(Stamp { inode: meta.ino(), bytes: meta.len(), modified, changed })
}

/// Whether there is something at `path`. What a failing disk does not show is taken to be there:
/// nothing may be made anew in its place.
pub fn exists(path: &Path) -> bool {
    let looked = std::fs::symlink_metadata(path);
    looked.map_or_else(|error| error.kind() != std::io::ErrorKind::NotFound, |_| true)
}

fn encode_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Reserved whole, so that no shorter copy of the secret is left behind by growth.
    let mut out = String::with_capacity(bytes.len() * 2 + 1);
    for byte in bytes {
        out.push(char::from(DIGITS[usize::from(byte >> 4)]));
        out.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    out
}

fn decode_hex(text: &[u8], out: &mut [u8; 32]) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    if text.len() != 64 {
        return None;
    }
    for (pair, byte) in text.chunks_exact(2).zip(out.iter_mut()) {
        match (digit(pair[0]), digit(pair[1])) {
            (Some(high), Some(low)) => *byte = high << 4 | low,
            _ => {
                out.zeroize();
                return None;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::entropy::SeededEntropy;
    use std::os::unix::fs::PermissionsExt;

    fn dir(name: &str) -> PathBuf {
        let dir =
            std::env::temp_dir().join(format!("postseal-files-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        dir
    }

    #[test]
    fn a_key_is_made_once_and_read_back() {
        let path = dir("key").join("keys/journal.key");
        let made = create_key(&path, &SeededEntropy::new(1)).unwrap();
        assert_eq!(read_key(&path).unwrap().expose(), made.expose());
        assert!(create_key(&path, &SeededEntropy::new(2)).is_err());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let path = dir("exposed").join("k");
        create_key(&path, &SeededEntropy::new(1)).unwrap();
        for (mode, good) in [(0o644, false), (0o660, false), (0o604, false), (0o440, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_key(&path).is_ok(), good, "{mode:o}");
        }
    }

    #[test]
    fn a_stamp_tells_that_a_file_may_be_read_now() {
        let path = dir("stamp").join("k");
        create_private(&path, b"x").unwrap();
        let before = stamp(&path);
        assert_eq!(stamp(&path), before);
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_ne!(stamp(&path), before);
    }

    #[test]
    fn a_password_is_the_first_line_of_a_private_file() {
        let path = dir("password").join("p");
        create_private(&path, b"open sesame\nsecond\n").unwrap();
        assert_eq!(read_password(&path).unwrap().expose(), b"open sesame");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read_password(&path), Err(FileError::Exposed(_))));
        let empty = dir("password-empty").join("p");
        create_private(&empty, b"\n").unwrap();
        assert!(matches!(read_password(&empty), Err(FileError::NoPassword(_))));
    }

    #[test]
    fn what_is_no_key_is_named_without_its_contents() {
        let path = dir("bad").join("k");
        create_private(&path, b"hunter2").unwrap();
        let error = read_key(&path).unwrap_err().to_string();
        assert!(error.contains("64 hex digits") && !error.contains("hunter2"), "{error}");
    }
}
