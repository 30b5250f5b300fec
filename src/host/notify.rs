//! Tells systemd how the service does (`sd_notify(3)`): a datagram of text to the socket that
//! `NOTIFY_SOCKET` names. Without that variable nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What the service manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// All listeners are bound.
    Ready,
    /// The end has begun.
    Stopping,
}

/// Sends `state`; a manager that does not listen is no error of ours.
pub fn notify(state: State) {
    if let Some(address) = std::env::var_os("NOTIFY_SOCKET") {
        let _ = send(&address.into_vec(), text(state));
    }
}

fn text(state: State) -> &'static str {
    match state {
        State::Ready => "READY=1\n",
        State::Stopping => "STOPPING=1\n",
    }
}

fn send(address: &[u8], text: &str) -> std::io::Result<()> {
    let address = match address.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(address))?,
    };
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears_it_by_path_and_by_abstract_name() {
        let id = std::process::id();
        let path = std::env::temp_dir().join(format!("postseal-notify-{id}"));
        let _ = std::fs::remove_file(&path);
        let hearer = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str().as_bytes(), text(State::Ready)).unwrap();
        let mut heard = [0; 32];
        let len = hearer.recv(&mut heard).unwrap();
        assert_eq!(&heard[..len], b"READY=1\n");
        let name = format!("postseal-notify-{id}");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let hearer = UnixDatagram::bind_addr(&address).unwrap();
        send(format!("@{name}").as_bytes(), text(State::Stopping)).unwrap();
        let len = hearer.recv(&mut heard).unwrap();
        assert_eq!(&heard[..len], b"STOPPING=1\n");
    }
}
