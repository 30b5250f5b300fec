//! One connection: handshake, requests, end. hyper reads and writes HTTP; here are its limits.

use super::answer::{self, Answer, Question};
use super::events::WebEvent;
use super::{Options, World};
use crate::seams::BoxStream;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

/// Octets of a request's header; Apache takes 8190 for a line, nginx 8 KiB for four of them.
const HEADER_BYTES_MAX: usize = 8 * 1024;

/// Header fields of a request; a browser sends some fifteen.
const HEADER_FIELDS_MAX: usize = 64;

/// How long others may keep an answer: so long an old key may still be used after a change.
const CACHE: HeaderValue = HeaderValue::from_static("max-age=300");

/// Serves a connection until it ends.
pub(super) async fn serve(
    options: Arc<Options>,
    world: World,
    stream: BoxStream,
    peer: IpAddr,
    draining: watch::Receiver<bool>,
) {
    let deadline = Instant::now() + options.connection_timeout;
    let stream = match timeout(options.handshake_timeout, world.tls.accept(stream)).await {
        Ok(Ok(tls)) => tls.stream,
        _ => return world.log.emit(&WebEvent::HandshakeFailed { peer }),
    };
    let counts = Counts::default();
    let why = requests(&options, &world, &counts, stream, deadline, draining).await;
    let (requests, keys) = (counts.requests(), counts.keys.load(Ordering::Relaxed).into());
    world.log.emit(&WebEvent::Ended { peer, why, requests, keys });
}

#[derive(Default)]
struct Counts {
    requests: AtomicU32,
    keys: AtomicU32,
}

impl Counts {
    fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed).into()
    }
}

/// Answers requests; returns why it ended.
async fn requests(
    options: &Options,
    world: &World,
    counts: &Counts,
    stream: BoxStream,
    deadline: Instant,
    mut draining: watch::Receiver<bool>,
) -> &'static str {
    let service = service_fn(|request| respond(options, world, counts, request));
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.request_timeout)
            .max_buf_size(HEADER_BYTES_MAX)
            .max_headers(HEADER_FIELDS_MAX)
            .half_close(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        ended = connection.as_mut() => return word(&ended),
        () = sleep_until(deadline) => return "time",
        _ = draining.wait_for(|draining| *draining) => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = connection => "shutdown",
        () = sleep_until(deadline) => "time",
    }
}

fn word(ended: &Result<(), hyper::Error>) -> &'static str {
    match ended {
        Ok(()) => "closed",
        Err(error) if error.is_timeout() => "silence",
        Err(error) if error.is_parse() => "malformed",
        Err(_) => "broken",
    }
}

/// Answers one request. Its body, should it have one, is never read.
async fn respond(
    options: &Options,
    world: &World,
    counts: &Counts,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let count = counts.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let question = Question {
        method: request.method().as_str(),
        host: host(&request),
        path: request.uri().path(),
    };
    let answer = answer::answer(&options.domains, &*world.publish, &question).await;
    if matches!(answer, Answer::Key(_)) {
        counts.keys.fetch_add(1, Ordering::Relaxed);
    }
    let last = count >= options.requests_max || !request.body().is_end_stream();
    Ok(response(answer, last))
}

/// RFC 9112 §3.2: the target's authority where it has one, else the one Host field.
fn host(request: &Request<Incoming>) -> Option<&str> {
    if let Some(authority) = request.uri().authority() {
        return Some(authority.as_str());
    }
    let mut fields = request.headers().get_all(header::HOST).iter();
    match (fields.next(), fields.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

fn response(answer: Answer, last: bool) -> Response<Full<Bytes>> {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::NOT_FOUND);
    let mut fields = HeaderMap::new();
    if let Some(content_type) = answer.content_type() {
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        fields.insert(header::CACHE_CONTROL, CACHE);
    }
    if answer == Answer::MethodNotAllowed {
        fields.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    if last {
        fields.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    // Programs that run in a browser read keys from other sites, too; all there is is public.
    fields.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut response = Response::new(Full::new(Bytes::from(answer.into_body())));
    *response.status_mut() = status;
    *response.headers_mut() = fields;
    response
}
