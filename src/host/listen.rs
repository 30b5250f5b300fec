//! Listening sockets and the connections that come in by them.
//!
//! An IPv6 socket takes IPv6 only, so that `0.0.0.0:25` and `[::]:25` can stand side by side on any
//! system, whatever its default is.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connections that wait for `accept`; the kernel cuts it to its own limit.
const BACKLOG: u32 = 1024;

/// How long to wait when the system has no descriptor or memory for a connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SMTP from other servers.
    Smtp,
    /// SMTP from users, STARTTLS.
    Submission,
    /// SMTP from users, TLS at once.
    Submissions,
    /// IMAP, STARTTLS.
    Imap,
    /// IMAP, TLS at once.
    Imaps,
    /// HTTP, TLS at once.
    Https,
}

/// Every kind, in the order in which they are bound and shown.
pub const KINDS: [Kind; 6] =
    [Kind::Smtp, Kind::Submission, Kind::Submissions, Kind::Imap, Kind::Imaps, Kind::Https];

impl Kind {
    /// Its name in the configuration and in logs.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Smtp => "smtp",
            Kind::Submission => "submission",
            Kind::Submissions => "submissions",
            Kind::Imap => "imap",
            Kind::Imaps => "imaps",
            Kind::Https => "https",
        }
    }
}

/// Whether binding failed because this machine has no such address family or address at all.
pub fn is_missing_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let missing = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    error.raw_os_error().is_some_and(|raw| missing.iter().any(|errno| errno.raw_os_error() == raw))
}

/// The addresses by which this machine reaches the world: one for each family, as the routes have
/// it. Nothing is sent for this.
pub fn addresses_outwards() -> Vec<std::net::IpAddr> {
    // Addresses of documentation (RFC 5737, RFC 3849): they are routed like any other.
    let ways = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let outwards = |(from, to): (&str, &str)| {
        let socket = std::net::UdpSocket::bind(from)?;
        socket.connect(to)?;
        socket.local_addr()
    };
    ways.into_iter().filter_map(|way| outwards(way).ok()).map(|address| address.ip()).collect()
}

/// A bound socket.
#[derive(Debug)]
pub struct Listener {
    kind: Kind,
    socket: TcpListener,
}

impl Listener {
    /// Binds `address`. Must be called within the runtime.
    pub fn bind(kind: Kind, address: SocketAddr) -> io::Result<Listener> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => {
                let socket = TcpSocket::new_v6()?;
                rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
                socket
            }
        };
        // A restart must not wait for the old connections' last minutes.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok(Listener { kind, socket: socket.listen(BACKLOG)? })
    }

    /// What is spoken here.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is bound; tells the port if any was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection. Waits through the system's passing troubles.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    // Replies are written whole; waiting to fill segments would only delay them.
                    let _ = stream.set_nodelay(true);
                    return (stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()));
                }
                Err(_) => tokio::time::sleep(EXHAUSTED_PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_families_share_a_port_and_tell_the_peer() {
        let v4 = Listener::bind(Kind::Smtp, "127.0.0.1:0".parse().unwrap()).unwrap();
        let address = v4.address().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (_, peer) = v4.accept().await;
        assert_eq!(peer, client.local_addr().unwrap());
        let wildcard = SocketAddr::from(([0u16; 8], address.port()));
        match Listener::bind(Kind::Smtp, wildcard) {
            Ok(v6) => assert_eq!(v6.address().unwrap().port(), address.port()),
            // A machine without IPv6 says so; it must not say that the address is in use.
            Err(error) => assert_ne!(error.kind(), io::ErrorKind::AddrInUse),
        }
    }
}
