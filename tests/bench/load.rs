//! Load for the relay benchmark: users who submit, and the server that their mail goes to.
//!
//! `load TARGET SINK SESSIONS MESSAGES OCTETS FROM TO [USER PASSWORD CA]` listens on SINK (an
//! address and port), submits MESSAGES of OCTETS over SESSIONS connections to TARGET, and ends
//! when the sink has taken them all; with `-` for SINK nobody takes anything, and it ends with
//! the last 250. In TO, `{}` stands for a number that counts the messages. With a user it
//! speaks TLS from the first octet and logs in; without, plain SMTP. Once all are connected and
//! logged in (a login costs a tenth of a second by design) it prints `ready` and waits for a
//! line; then the clock starts. Prints one JSON line: seconds until the last 250, until the
//! last message arrived at the sink, and how many octets arrived.
//!
//! The same program drives both sides of a comparison, so that what it costs weighs on both.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::unwrap_used,
    reason = "a program that uses the network, for benchmarks"
)]

use base64::Engine;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// How long a run may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(300);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

struct Plan {
    target: String,
    from: String,
    to: String,
    message: Vec<u8>,
    login: Option<Login>,
    left: AtomicU64,
}

struct Login {
    word: String,
    tls: tokio_rustls::TlsConnector,
}

#[derive(Default)]
struct Taken {
    messages: AtomicU64,
    octets: AtomicU64,
}

#[tokio::main]
async fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [target, sink, sessions, messages, octets, from, to, login @ ..] = words.as_slice() else {
        eprintln!("usage: load TARGET SINK SESSIONS MESSAGES OCTETS FROM TO [USER PASSWORD CA]");
        std::process::exit(2);
    };
    let taken = Arc::new(Taken::default());
    if sink != "-" {
        let listener = TcpListener::bind(sink).await.unwrap();
        tokio::spawn(accept(listener, Arc::clone(&taken)));
    }
    let total: u64 = messages.parse().unwrap();
    let wanted = if sink == "-" { 0 } else { total };
    let plan = Arc::new(Plan {
        target: target.clone(),
        from: from.clone(),
        to: to.clone(),
        message: message(octets.parse().unwrap(), from, to),
        login: login_of(login),
        left: AtomicU64::new(total),
    });
    // One after the other: a server need not take fifty logins at once.
    let mut sessions_open = Vec::new();
    for _ in 0..sessions.parse().unwrap() {
        sessions_open.push(open(&plan).await);
    }
    println!("ready");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let begin = Instant::now();
    let senders: Vec<_> =
        sessions_open.into_iter().map(|one| tokio::spawn(send(one, Arc::clone(&plan)))).collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let accepted = begin.elapsed();
    while taken.messages.load(Ordering::Relaxed) < wanted && begin.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (through, arrived) = (begin.elapsed(), taken.messages.load(Ordering::Relaxed));
    println!(
        "{{\"accepted\": {}, \"through\": {}, \"messages\": {arrived}, \"octets\": {}}}",
        accepted.as_secs_f64(),
        through.as_secs_f64(),
        taken.octets.load(Ordering::Relaxed)
    );
}

/// A plain text of about `octets`, with a field that tells no two apart.
fn message(octets: usize, from: &str, to: &str) -> Vec<u8> {
    let mut out = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: load\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    )
    .into_bytes();
    while out.len() < octets {
        out.extend_from_slice(
            b"The quick brown fox jumps over the lazy dog, over and over again.\r\n",
        );
    }
    out.extend_from_slice(b".\r\n");
    out
}

fn login_of(words: &[String]) -> Option<Login> {
    let [user, password, ca] = words else { return None };
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let word = base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"));
    Some(Login { word, tls: tokio_rustls::TlsConnector::from(Arc::new(config)) })
}

/// A session that is ready to send.
async fn open(plan: &Plan) -> BufReader<Box<dyn Stream>> {
    let plain = TcpStream::connect(&plan.target).await.unwrap();
    plain.set_nodelay(true).unwrap();
    let stream: Box<dyn Stream> = match &plan.login {
        None => Box::new(plain),
        Some(login) => {
            let name = ServerName::try_from("localhost").unwrap();
            Box::new(login.tls.connect(name, plain).await.unwrap())
        }
    };
    let mut stream = BufReader::new(stream);
    expect(&mut stream, '2').await;
    ask(&mut stream, "EHLO load.example\r\n", "2").await;
    if let Some(login) = &plan.login {
        ask(&mut stream, &format!("AUTH PLAIN {}\r\n", login.word), "2").await;
    }
    stream
}

/// Sends until nothing is left.
async fn send(mut stream: BufReader<Box<dyn Stream>>, plan: Arc<Plan>) {
    while let Ok(number) =
        plan.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
    {
        let to = plan.to.replace("{}", &number.to_string());
        let envelope = format!("MAIL FROM:<{}>\r\nRCPT TO:<{to}>\r\nDATA\r\n", plan.from);
        ask(&mut stream, &envelope, "223").await;
        stream.write_all(&plan.message).await.unwrap();
        stream.flush().await.unwrap();
        expect(&mut stream, '2').await;
    }
    ask(&mut stream, "QUIT\r\n", "2").await;
}

/// Sends `text` and reads a reply for each digit of `wanted`.
async fn ask(stream: &mut BufReader<Box<dyn Stream>>, text: &str, wanted: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    for digit in wanted.chars() {
        expect(stream, digit).await;
    }
}

async fn expect(stream: &mut BufReader<Box<dyn Stream>>, digit: char) {
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        if line.as_bytes().get(3) != Some(&b'-') {
            break;
        }
    }
    assert!(line.starts_with(digit), "the server says {line:?}");
}

async fn accept(listener: TcpListener, taken: Arc<Taken>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let taken = Arc::clone(&taken);
        tokio::spawn(async move {
            let _ = take(stream, &taken).await;
        });
    }
}

/// A server that takes everything.
async fn take(stream: TcpStream, taken: &Taken) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(32 * 1024, stream);
    stream.write_all(b"220 sink.example ESMTP\r\n").await?;
    let mut line = Vec::new();
    let mut replies: Vec<u8> = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let verb = line.get(..4).unwrap_or(b"").to_ascii_uppercase();
        let reply: &[u8] = match verb.as_slice() {
            b"EHLO" => b"250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n",
            b"DATA" => b"354 Go on\r\n",
            b"QUIT" => b"221 Bye\r\n",
            _ => b"250 Ok\r\n",
        };
        replies.extend_from_slice(reply);
        // Replies to what was sent in one go go out in one go.
        if stream.buffer().is_empty() || verb == b"DATA" || verb == b"QUIT" {
            stream.write_all(&replies).await?;
            replies.clear();
        }
        if verb == b"QUIT" {
            return Ok(());
        }
        if verb == b"DATA" {
            body(&mut stream, taken).await?;
            replies.extend_from_slice(b"250 Ok\r\n");
            if stream.buffer().is_empty() {
                stream.write_all(&replies).await?;
                replies.clear();
            }
        }
    }
}

/// Reads to the dot.
async fn body(stream: &mut BufReader<TcpStream>, taken: &Taken) -> std::io::Result<()> {
    let mut line = Vec::new();
    let mut octets = 0;
    loop {
        line.clear();
        let count = stream.read_until(b'\n', &mut line).await?;
        if count == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            break;
        }
        octets += count as u64;
    }
    taken.octets.fetch_add(octets, Ordering::Relaxed);
    taken.messages.fetch_add(1, Ordering::Relaxed);
    Ok(())
}
