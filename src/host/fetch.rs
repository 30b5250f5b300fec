//! HTTPS questions: one connection, one GET, one answer, then it is closed.
//!
//! The connection goes to the address that somebody has vetted and nowhere else. Nothing is sent
//! that tells who asks: no user agent, no cookie, no resumed session. No redirect is followed, and
//! an answer that was compressed although `identity` was asked for is not unpacked.
//!
//! # Standards
//! RFC 9110 and RFC 9112 (HTTP/1.1), RFC 8446 and RFC 5246 (TLS).

use super::roots;
use super::tls::TlsError;
use crate::base::BoxFuture;
use crate::base::fetch::{Fetch, FetchError, FetchRequest, Fetched};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::TcpStream;

/// Octets of an answer's header.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Fields of an answer's header.
const HEADER_FIELDS_MAX: usize = 100;

/// Asks over the network.
pub struct HttpsFetch(RwLock<Arc<ClientConfig>>);

impl std::fmt::Debug for HttpsFetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpsFetch")
    }
}

impl HttpsFetch {
    /// Trusts the system's authorities and those in the PEM file `extra_roots`.
    pub fn new(extra_roots: Option<&Path>) -> Result<HttpsFetch, TlsError> {
        Ok(HttpsFetch(RwLock::new(config(extra_roots)?)))
    }

    /// Trusts others from now on.
    pub fn trust(&self, trust: Trust) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = trust.0;
    }
}

/// Authorities for [`HttpsFetch`], read and not believed yet.
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Reads those of the system and of the PEM file `extra_roots`.
    pub fn read(extra_roots: Option<&Path>) -> Result<Trust, TlsError> {
        config(extra_roots).map(Trust)
    }
}

fn config(extra_roots: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = roots::client(roots::load(extra_roots)?)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Fetch for HttpsFetch {
    fn get(&self, request: FetchRequest) -> BoxFuture<'_, Result<Fetched, FetchError>> {
        let config = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        Box::pin(async move {
            let answer = tokio::time::timeout(request.time_max, ask(config, &request)).await;
            answer.unwrap_or(Err(FetchError::Timeout))
        })
    }
}

async fn ask(config: Arc<ClientConfig>, request: &FetchRequest) -> Result<Fetched, FetchError> {
    let name = ServerName::try_from(request.host.clone()).map_err(|_| FetchError::Tls)?;
    let tcp = TcpStream::connect((request.address, request.port))
        .await
        .map_err(|_| FetchError::Connect)?;
    // The question follows the end of the handshake at once. It could wait for an acknowledgement
    // else, which some servers delay by 40 ms; where that cannot be had, it only takes longer.
    let _ = tcp.set_nodelay(true);
    let tls = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await;
    let stream = TokioIo::new(tls.map_err(|_| FetchError::Tls)?);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEADER_BYTES_MAX)
        .max_headers(HEADER_FIELDS_MAX)
        .handshake(stream)
        .await
        .map_err(|_| FetchError::Broken)?;
    let question = question(request)?;
    let exchange = async {
        let response = sender.send_request(question).await.map_err(|_| FetchError::Broken)?;
        read(response, request.body_bytes_max).await
    };
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end before all that came over it was taken out.
        _ = &mut connection => exchange.await,
    }
}

fn question(request: &FetchRequest) -> Result<Request<Empty<Bytes>>, FetchError> {
    let host = match request.port {
        443 => request.host.clone(),
        port => format!("{}:{port}", request.host),
    };
    Request::get(&request.path)
        .header(header::HOST, host)
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| FetchError::Broken)
}

async fn read(response: Response<Incoming>, bytes_max: usize) -> Result<Fetched, FetchError> {
    let (head, mut body) = response.into_parts();
    let coding = text(&head.headers, header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(FetchError::Broken);
    }
    if body.size_hint().lower() > bytes_max as u64 {
        return Err(FetchError::TooLarge);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| FetchError::Broken)?;
        let data = frame.data_ref().map_or(&[][..], |data| data);
        if bytes.len() + data.len() > bytes_max {
            return Err(FetchError::TooLarge);
        }
        bytes.extend_from_slice(data);
    }
    Ok(Fetched {
        status: head.status.as_u16(),
        content_type: text(&head.headers, header::CONTENT_TYPE),
        location: text(&head.headers, header::LOCATION),
        body: bytes,
    })
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::host::clock::SystemClock;
    use crate::host::test_ca;
    use crate::host::tls::Tls;
    use crate::seams::UpgradeTls;
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// A web server at 127.0.0.1 with a certificate for `keys.example`, which says `answer` and
    /// hangs up, politely or not.
    struct Web {
        dir: PathBuf,
        address: SocketAddr,
        heard: tokio::task::JoinHandle<String>,
    }

    async fn web(name: &str, answer: &'static [u8], polite: bool) -> Web {
        let dir = std::env::temp_dir().join(format!("postseal-web-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let made = test_ca::make(&["keys.example"], SystemClock::new().now()).unwrap();
        std::fs::write(dir.join("ca.pem"), made.authority).unwrap();
        std::fs::write(dir.join("cert.pem"), made.certificate).unwrap();
        std::fs::write(dir.join("key.pem"), made.key).unwrap();
        let tls = Tls::load(&dir.join("cert.pem"), &dir.join("key.pem")).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = tls.accept(Box::new(tcp)).await else { return String::new() };
            let mut heard = Vec::new();
            while !heard.ends_with(b"\r\n\r\n") {
                match stream.stream.read_u8().await {
                    Ok(byte) => heard.push(byte),
                    Err(_) => break,
                }
            }
            let _ = stream.stream.write_all(answer).await;
            let _ = stream.stream.flush().await;
            if polite {
                let _ = stream.stream.shutdown().await;
            }
            String::from_utf8(heard).unwrap()
        });
        Web { dir, address, heard }
    }

    impl Web {
        fn request(&self, host: &str) -> FetchRequest {
            FetchRequest {
                host: host.into(),
                address: self.address.ip(),
                port: self.address.port(),
                path: "/hu/x?l=joe".into(),
                body_bytes_max: 10,
                time_max: Duration::from_secs(10),
            }
        }

        async fn ask(&self) -> Result<Fetched, FetchError> {
            let fetch = HttpsFetch::new(Some(&self.dir.join("ca.pem"))).unwrap();
            fetch.get(self.request("keys.example")).await
        }
    }

    impl Drop for Web {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }

    #[tokio::test]
    async fn the_question_says_nothing_about_who_asks() {
        let answer =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";
        let mut web = web("plain", answer, true).await;
        let fetched = web.ask().await.unwrap();
        assert_eq!((fetched.status, fetched.body.as_slice()), (200, &b"hello"[..]));
        assert_eq!(fetched.content_type.as_deref(), Some("text/plain"));
        let heard = (&mut web.heard).await.unwrap().to_ascii_lowercase();
        let mut lines: Vec<&str> = heard.trim_end().lines().collect();
        lines.sort_unstable();
        let host = format!("host: keys.example:{}", web.address.port());
        let expected =
            ["accept-encoding: identity", "connection: close", "get /hu/x?l=joe http/1.1", &host];
        assert_eq!(lines, expected);
    }

    #[tokio::test]
    async fn answers_end_as_they_must() {
        use FetchError::*;
        let location =
            b"HTTP/1.1 302 Found\r\nLocation: https://x.example/\r\nContent-Length: 0\r\n\r\n";
        for (name, answer, polite, expected) in [
            (
                "chunked",
                &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n"[..],
                true,
                Ok(200),
            ),
            ("to-the-end", b"HTTP/1.1 200 OK\r\n\r\nabc", true, Ok(200)),
            ("cut-at-the-end", b"HTTP/1.1 200 OK\r\n\r\nabc", false, Err(Broken)),
            ("404", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", true, Ok(404)),
            ("redirect", location, true, Ok(302)),
            ("cut", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", true, Err(Broken)),
            (
                "cut-chunk",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nab",
                true,
                Err(Broken),
            ),
            ("announced", b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n", true, Err(TooLarge)),
            ("eleven", b"HTTP/1.1 200 OK\r\n\r\n12345678901", true, Err(TooLarge)),
            (
                "packed",
                b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nab",
                true,
                Err(Broken),
            ),
            ("no-http", b"220 mail.example ESMTP\r\n", true, Err(Broken)),
            ("nothing", b"", true, Err(Broken)),
        ] {
            let web = web(name, answer, polite).await;
            assert_eq!(web.ask().await.map(|fetched| fetched.status), expected, "{name}");
        }
    }

    #[tokio::test]
    async fn the_certificate_must_be_the_hosts_and_of_a_trusted_authority() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        let other = web("name", answer, true).await;
        let fetch = HttpsFetch::new(Some(&other.dir.join("ca.pem"))).unwrap();
        assert_eq!(fetch.get(other.request("evil.example")).await, Err(FetchError::Tls));
        let unknown = web("authority", answer, true).await;
        assert_eq!(fetch.get(unknown.request("keys.example")).await, Err(FetchError::Tls));
        // A reload takes the other authority up.
        let again = web("reload", answer, true).await;
        fetch.trust(Trust::read(Some(&again.dir.join("ca.pem"))).unwrap());
        assert_eq!(fetch.get(again.request("keys.example")).await.unwrap().status, 200);
        assert!(Trust::read(Some(&again.dir.join("missing.pem"))).is_err());
        assert!(Trust::read(Some(&again.dir.join("key.pem"))).is_err());
    }

    #[tokio::test]
    async fn silence_and_closed_ports_have_names_of_their_own() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fetch = HttpsFetch::new(None).unwrap();
        let mut request = FetchRequest {
            host: "keys.example".into(),
            address: address.ip(),
            port: address.port(),
            path: "/".into(),
            body_bytes_max: 10,
            time_max: Duration::from_millis(100),
        };
        assert_eq!(fetch.get(request.clone()).await, Err(FetchError::Timeout));
        drop(listener);
        request.time_max = Duration::from_secs(10);
        assert_eq!(fetch.get(request).await, Err(FetchError::Connect));
    }
}
