//! The control socket: a Unix socket by which the commands reach the running server.
//!
//! Who may connect is decided twice: by the file's mode (0600) and by the peer's user as the kernel
//! tells it (root, or the server's own). One request is one line of JSON, one answer another; the
//! meaning of the lines is the server's, not this file's.

use super::process;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use zeroize::Zeroizing;

/// Octets of a request: a key of 64 KiB in armour, an address and two passwords fit.
const REQUEST_BYTES_MAX: u64 = 128 * 1024;

/// Octets of an answer: a list of some hundred thousand accounts.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How long a command waits for its answer: the longest wait in the queue for the slow key
/// derivation, twice.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

/// The server's end.
#[derive(Debug)]
pub struct ControlSocket {
    socket: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Makes the socket, in place of one that nobody listens on any more.
    pub fn bind(path: &Path) -> io::Result<ControlSocket> {
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        remove_stale(path)?;
        let socket = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(ControlSocket { socket, path: path.into() })
    }

    /// The next peer that is allowed to ask; others are hung up on.
    pub async fn accept(&self) -> io::Result<ControlPeer> {
        loop {
            let (stream, _) = self.socket.accept().await?;
            let uid = stream.peer_cred()?.uid();
            if uid == 0 || uid == process::uid() {
                return Ok(ControlPeer(tokio::io::BufReader::new(stream)));
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(meta) if !meta.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server listens there")),
            Err(_) => std::fs::remove_file(path),
        },
    }
}

/// An allowed peer.
#[derive(Debug)]
pub struct ControlPeer(tokio::io::BufReader<UnixStream>);

impl ControlPeer {
    /// Its request, without the line end; may hold passwords. `None` when it hung up.
    pub async fn request(&mut self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let mut line = Zeroizing::new(Vec::new());
        let mut bounded = (&mut self.0).take(REQUEST_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).await?;
        match line.pop() {
            None => Ok(None),
            Some(b'\n') => Ok(Some(line)),
            Some(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "request too long or cut")),
        }
    }

    /// Sends the answer, one line.
    pub async fn answer(&mut self, line: &[u8]) -> io::Result<()> {
        let stream = self.0.get_mut();
        stream.write_all(line).await?;
        stream.write_all(b"\n").await
    }
}

/// Sends `request` (one line) to the server at `path` and waits for its answer. For commands:
/// blocks.
pub fn ask(path: &Path, request: &[u8]) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
    stream.write_all(request)?;
    stream.write_all(b"\n")?;
    let mut line = Zeroizing::new(Vec::new());
    BufReader::new(stream).take(ANSWER_BYTES_MAX).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server hung up")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("postseal-ctl-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        dir.join("control")
    }

    #[tokio::test]
    async fn a_line_goes_in_and_a_line_comes_out() {
        let path = path("lines");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let client = tokio::task::spawn_blocking({
            let path = path.clone();
            move || ask(&path, b"{\"verb\":\"status\"}")
        });
        let mut peer = socket.accept().await.unwrap();
        assert_eq!(&peer.request().await.unwrap().unwrap()[..], b"{\"verb\":\"status\"}");
        peer.answer(b"{}").await.unwrap();
        assert_eq!(&client.await.unwrap().unwrap()[..], b"{}");
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let path = path("stale");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let living = ControlSocket::bind(&path).unwrap();
        assert_eq!(ControlSocket::bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(living);
        std::fs::write(&path, b"precious").unwrap();
        assert!(ControlSocket::bind(&path).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn a_request_without_end_is_refused() {
        let path = path("long");
        let socket = ControlSocket::bind(&path).unwrap();
        let mut client = UnixStream::connect(&path).await.unwrap();
        let mut peer = socket.accept().await.unwrap();
        let write = tokio::spawn(async move {
            let _ = client.write_all(&vec![b'x'; 2 * REQUEST_BYTES_MAX as usize]).await;
            client
        });
        assert!(peer.request().await.is_err());
        drop(peer);
        write.await.unwrap();
    }
}
