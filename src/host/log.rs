//! The log: one JSON object a line, to standard error or to a file.
//!
//! Events are written by a thread of their own behind a bounded queue, so that a full disk or a
//! stuck pipe never holds up mail; lines that find no place are counted, and the count is reported.
//!
//! Mail addresses and network peers are written as an HMAC under a key that exists only in memory
//! and for one day: within a day the same address can be followed, afterwards nothing leads back to
//! it. Free text is bounded and everything but printable ASCII is escaped, so that no line can be
//! forged or change a terminal.

use crate::base::clock::{Clock, UnixTime};
use crate::base::crypto::{Key, hmac};
use crate::base::entropy::Entropy;
use crate::base::event::{Event, Fields, Level, LogSink};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// Lines that may wait for the writer; some two megabytes.
const WAITING_LINES_MAX: usize = 8192;

/// Lines that are written with one system call.
const WRITE_LINES_MAX: usize = 2048;

/// How long lines are gathered before they are written: below what a person notices, and far below
/// what fills the queue at ten thousand messages a second.
const GATHER: Duration = Duration::from_millis(20);

/// Characters of a free text; what is longer ends in an ellipsis.
const TEXT_CHARS_MAX: usize = 300;

/// Octets of a hash that are shown: enough to tell the addresses of a day apart.
const HASH_BYTES: usize = 8;

const SECONDS_A_DAY: i64 = 86_400;

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard error.
    Stderr,
    /// The end of this file, made with mode 0600.
    File(PathBuf),
}

/// What can be changed while the log is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The least urgent level that is written.
    pub level: Level,
    /// Whether addresses and peers are hashed.
    pub hashed: bool,
}

/// The log of the process.
pub struct JsonLog {
    queue: SyncSender<Job>,
    next: Arc<Mutex<Option<Output>>>,
    dropped_lines: AtomicU64,
    style: RwLock<Style>,
    daily: Mutex<(i64, Key)>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

enum Job {
    Line(String),
    Turn,
    Flush(SyncSender<()>),
}

enum Output {
    Stderr,
    File(File),
}

/// A destination that could be opened, and is not written to yet.
pub struct Opened(Output);

impl Opened {
    /// Opens it.
    pub fn open(destination: &Destination) -> io::Result<Opened> {
        Output::open(destination).map(Opened)
    }
}

/// Whether a destination could be opened, as far as can be seen without making a file.
pub fn check(destination: &Destination) -> io::Result<()> {
    use rustix::fs::{Access, access};
    let Destination::File(path) = destination else { return Ok(()) };
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        Ok(_) => Ok(access(path, Access::WRITE_OK)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
            let dir = dir.unwrap_or(Path::new("."));
            match std::fs::metadata(dir)?.is_dir() {
                true => Ok(access(dir, Access::WRITE_OK | Access::EXEC_OK)?),
                false => Err(io::ErrorKind::NotADirectory.into()),
            }
        }
        Err(error) => Err(error),
    }
}

impl JsonLog {
    /// Opens the log and starts its writer.
    pub fn open(
        destination: &Destination,
        style: Style,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> io::Result<Arc<JsonLog>> {
        let output = Output::open(destination)?;
        let (queue, jobs) = sync_channel(WAITING_LINES_MAX);
        let next = Arc::new(Mutex::new(None));
        let turns = Arc::clone(&next);
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || write_lines(&jobs, output, &turns))?;
        let daily = Mutex::new((today(clock.now()), Key::random(&*entropy)));
        let dropped_lines = AtomicU64::new(0);
        let style = RwLock::new(style);
        Ok(Arc::new(JsonLog { queue, next, dropped_lines, style, daily, clock, entropy }))
    }

    /// Takes another style, and writes to what was opened (the same anew, perhaps: files get
    /// rotated). A full queue loses the turn's place between the lines, and not the turn.
    pub fn change(&self, opened: Opened, style: Style) {
        *self.style.write().unwrap_or_else(PoisonError::into_inner) = style;
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = Some(opened.0);
        self.send(Job::Turn);
    }

    /// Waits until everything so far was written, at most `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, wait) = sync_channel(1);
        self.send(Job::Flush(done));
        let _ = wait.recv_timeout(limit);
    }

    fn send(&self, job: Job) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(job) {
            self.dropped_lines.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn report_dropped(&self, now: UnixTime) {
        if self.dropped_lines.load(Ordering::Relaxed) > 0 {
            let count = self.dropped_lines.swap(0, Ordering::Relaxed);
            let mut line = Line::begin(now, Level::Warn, "log.dropped", None);
            line.number("lines", count);
            self.send(Job::Line(line.end()));
        }
    }

    /// The hash of `value` under today's key.
    fn hash(&self, now: UnixTime, kind: &str, value: &str) -> String {
        let mut daily = self.daily.lock().unwrap_or_else(PoisonError::into_inner);
        if daily.0 != today(now) {
            *daily = (today(now), Key::random(&*self.entropy));
        }
        let folded = value.to_lowercase();
        let mac = hmac(&daily.1, &[kind.as_bytes(), b"\0", folded.as_bytes()]);
        mac[..HASH_BYTES].iter().fold(String::from("#"), |mut out, byte| {
            let _ = write!(out, "{byte:02x}");
            out
        })
    }
}

impl LogSink for JsonLog {
    fn emit(&self, event: &dyn Event) {
        let style = *self.style.read().unwrap_or_else(PoisonError::into_inner);
        if event.level() > style.level {
            return;
        }
        let now = self.clock.now();
        self.report_dropped(now);
        let hasher = style.hashed.then_some((self, now));
        let mut line = Line::begin(now, event.level(), event.name(), hasher);
        event.fields(&mut line);
        self.send(Job::Line(line.end()));
    }
}

impl std::fmt::Debug for JsonLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JsonLog")
    }
}

/// One line on its way.
struct Line<'a> {
    text: String,
    hasher: Option<(&'a JsonLog, UnixTime)>,
}

impl<'a> Line<'a> {
    fn begin(
        now: UnixTime,
        level: Level,
        name: &str,
        hasher: Option<(&'a JsonLog, UnixTime)>,
    ) -> Self {
        let level = match level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
        };
        let mut text = String::with_capacity(160);
        let _ = write!(text, "{{\"time\":\"{}\",\"level\":\"{level}\",\"event\":", timestamp(now));
        quote(&mut text, name);
        Line { text, hasher }
    }

    fn key(&mut self, key: &str) {
        self.text.push(',');
        quote(&mut self.text, key);
        self.text.push(':');
    }

    fn end(mut self) -> String {
        self.text.push_str("}\n");
        self.text
    }

    fn perhaps_hashed(&mut self, key: &str, kind: &str, value: &str) {
        self.key(key);
        match self.hasher {
            Some((log, now)) => quote(&mut self.text, &log.hash(now, kind, value)),
            None => quote(&mut self.text, value),
        }
    }
}

impl Fields for Line<'_> {
    fn number(&mut self, key: &'static str, value: u64) {
        self.key(key);
        let _ = write!(self.text, "{value}");
    }

    fn word(&mut self, key: &'static str, value: &'static str) {
        self.key(key);
        quote(&mut self.text, value);
    }

    fn address(&mut self, key: &'static str, value: &str) {
        self.perhaps_hashed(key, "address", value);
    }

    fn peer(&mut self, key: &'static str, value: IpAddr) {
        self.perhaps_hashed(key, "peer", &value.to_canonical().to_string());
    }

    fn id(&mut self, key: &'static str, value: &dyn std::fmt::Display) {
        self.key(key);
        quote(&mut self.text, &value.to_string());
    }

    fn quoted(&mut self, key: &'static str, value: &str) {
        self.key(key);
        quote(&mut self.text, value);
    }
}

/// A JSON string of printable ASCII alone (RFC 8259 §7), at most [`TEXT_CHARS_MAX`] characters of
/// it.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    let mut chars = text.chars();
    for c in chars.by_ref().take(TEXT_CHARS_MAX) {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            ' '..='~' => out.push(c),
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(out, "\\u{unit:04x}");
            }),
        }
    }
    if chars.next().is_some() {
        out.push_str("...");
    }
    out.push('"');
}

/// RFC 3339 in UTC, to the second.
fn timestamp(now: UnixTime) -> String {
    let (days, second) = (now.0.div_euclid(SECONDS_A_DAY), now.0.rem_euclid(SECONDS_A_DAY));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The Gregorian date of a day counted from 1970-01-01, by counting from 1 March of the year 0 in
/// eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

fn today(now: UnixTime) -> i64 {
    now.0.div_euclid(SECONDS_A_DAY)
}

impl Output {
    fn open(destination: &Destination) -> io::Result<Output> {
        match destination {
            Destination::Stderr => Ok(Output::Stderr),
            Destination::File(path) => {
                let mut options = OpenOptions::new();
                Ok(Output::File(options.append(true).create(true).mode(0o600).open(path)?))
            }
        }
    }

    /// An error has nowhere to be reported: the line is lost, the server goes on.
    fn write(&mut self, text: &str) {
        let _ = match self {
            Output::Stderr => io::stderr().lock().write_all(text.as_bytes()),
            Output::File(file) => file.write_all(text.as_bytes()),
        };
    }
}

/// The writer: takes what is there, writes it at once. Ends when the log is dropped.
fn write_lines(jobs: &Receiver<Job>, mut output: Output, next: &Mutex<Option<Output>>) {
    let turn = |output: &mut Output| {
        if let Some(next) = next.lock().unwrap_or_else(PoisonError::into_inner).take() {
            *output = next;
        }
    };
    while let Ok(first) = jobs.recv() {
        // While this waits, senders find nobody to wake: a busy server saves two system calls a
        // line.
        if matches!(first, Job::Line(_)) {
            std::thread::sleep(GATHER);
        }
        let mut text = String::new();
        for job in std::iter::once(first).chain(jobs.try_iter()).take(WRITE_LINES_MAX) {
            match job {
                Job::Line(line) => text.push_str(&line),
                Job::Turn => {
                    output.write(&std::mem::take(&mut text));
                    turn(&mut output);
                }
                Job::Flush(done) => {
                    output.write(&std::mem::take(&mut text));
                    let _ = done.send(());
                }
            }
        }
        if !text.is_empty() {
            output.write(&text);
        }
        turn(&mut output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::ManualClock;
    use crate::base::entropy::SeededEntropy;

    struct Sample(Level);

    impl Event for Sample {
        fn level(&self) -> Level {
            self.0
        }
        fn name(&self) -> &'static str {
            "test.sample"
        }
        fn fields(&self, fields: &mut dyn Fields) {
            fields.number("bytes", 7);
            fields.address("from", "Alice@example.org");
            fields.peer("peer", "::ffff:192.0.2.1".parse().unwrap());
            fields.quoted("error", "no \"such\"\n\u{9b}31m file \u{1f600}");
        }
    }

    fn open(path: &Path, hashed: bool) -> (Arc<JsonLog>, Arc<ManualClock>) {
        let _ = std::fs::remove_file(path);
        let clock = Arc::new(ManualClock::new(UnixTime(1_795_400_812)));
        let style = Style { level: Level::Warn, hashed };
        let destination = Destination::File(path.into());
        let entropy = Arc::new(SeededEntropy::new(1));
        (JsonLog::open(&destination, style, clock.clone(), entropy).unwrap(), clock)
    }

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("postseal-log-{name}-{}", std::process::id()))
    }

    fn lines(log: &JsonLog, path: &Path) -> Vec<serde_json::Value> {
        log.flush(Duration::from_secs(10));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_ascii());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_line_is_json_and_what_is_not_urgent_enough_is_left_out() {
        let path = path("full");
        let (log, _) = open(&path, false);
        log.emit(&Sample(Level::Info));
        log.emit(&Sample(Level::Error));
        let lines = lines(&log, &path);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["time"], "2026-11-23T02:26:52Z");
        assert_eq!(lines[0]["from"], "Alice@example.org");
        assert_eq!(lines[0]["peer"], "192.0.2.1");
        assert_eq!(lines[0]["error"], "no \"such\"\n\u{9b}31m file \u{1f600}");
    }

    #[test]
    fn hashes_repeat_within_a_day_and_not_beyond() {
        let path = path("hashed");
        let (log, clock) = open(&path, true);
        log.emit(&Sample(Level::Error));
        log.emit(&Sample(Level::Error));
        clock.advance(Duration::from_secs(86_400));
        log.emit(&Sample(Level::Error));
        let lines = lines(&log, &path);
        let from = |index: usize| lines[index]["from"].as_str().unwrap();
        assert!(from(0).starts_with('#') && from(0) == from(1) && from(1) != from(2));
        assert_ne!(lines[0]["from"], lines[0]["peer"]);
        assert!(!std::fs::read_to_string(&path).unwrap().contains("example.org"));
    }

    #[test]
    fn a_rotated_file_is_opened_anew() {
        let path = path("rotated");
        let (log, _) = open(&path, true);
        log.emit(&Sample(Level::Error));
        log.flush(Duration::from_secs(10));
        std::fs::rename(&path, path.with_extension("1")).unwrap();
        let style = Style { level: Level::Info, hashed: false };
        log.change(Opened::open(&Destination::File(path.clone())).unwrap(), style);
        log.emit(&Sample(Level::Info));
        assert_eq!(lines(&log, &path).len(), 1);
    }

    #[test]
    fn what_cannot_be_opened_is_known_beforehand_and_nothing_is_made() {
        let path = path("checked");
        let _ = std::fs::remove_file(&path);
        let to = |path: &Path| Destination::File(path.into());
        assert!(check(&Destination::Stderr).is_ok() && check(&to(&path)).is_ok());
        assert!(!path.exists());
        std::fs::write(&path, "").unwrap();
        assert!(check(&to(&path)).is_ok());
        for bad in [path.join("log"), path.with_extension("none").join("log"), "/".into()] {
            assert!(check(&to(&bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn long_texts_are_cut() {
        let mut out = String::new();
        quote(&mut out, &"x".repeat(1000));
        assert_eq!(out.len(), TEXT_CHARS_MAX + 5);
    }

    #[test]
    fn dates_of_leap_years_are_right() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(timestamp(UnixTime(seconds)), text);
        }
    }
}
