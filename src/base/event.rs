//! Log events: typed, structured, and unable to carry what a log must not hold.
//!
//! Each room has an `events.rs` with an enum of what it reports; the enum implements [`Event`].
//! An event names its fields by kind ([`Fields`]): a number, a fixed word, an address, a network
//! peer. The sink (in `host`) decides how a kind is written: addresses are hashed under a daily key
//! unless the administrator chose otherwise. There is no kind for a subject, a body, a password or
//! a key, and free text from outside goes through [`Fields::quoted`], which bounds and escapes it.

use std::net::IpAddr;
use std::sync::Arc;

/// How urgent an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something must be done by a person.
    Error,
    /// Something is wrong and was coped with.
    Warn,
    /// The ordinary course of things.
    Info,
}

/// Something worth reporting.
pub trait Event: Send + Sync {
    /// How urgent it is.
    fn level(&self) -> Level;
    /// Its fixed name, `room.what-happened`, by which tools find it.
    fn name(&self) -> &'static str;
    /// Writes its fields.
    fn fields(&self, fields: &mut dyn Fields);
}

/// What an event's fields are written to.
pub trait Fields {
    /// A count, a size or a duration; the unit is part of the field's name.
    fn number(&mut self, key: &'static str, value: u64);
    /// A word that the program itself chose.
    fn word(&mut self, key: &'static str, value: &'static str);
    /// A mail address. Hashed by default.
    fn address(&mut self, key: &'static str, value: &str);
    /// A network peer.
    fn peer(&mut self, key: &'static str, value: IpAddr);
    /// The random name of a thing of ours (a session, an object).
    fn id(&mut self, key: &'static str, value: &dyn std::fmt::Display);
    /// A short text about our own files or errors of the system; bounded and escaped by the sink.
    fn quoted(&mut self, key: &'static str, value: &str);
}

/// Where events go. The real one is in `host`.
pub trait LogSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: &dyn Event);
}

/// A handle to the log, cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<dyn LogSink>);

impl Log {
    /// A log that writes to `sink`.
    pub fn new(sink: Arc<dyn LogSink>) -> Self {
        Log(sink)
    }

    /// A log that forgets everything.
    pub fn silent() -> Self {
        struct Silent;
        impl LogSink for Silent {
            fn emit(&self, _: &dyn Event) {}
        }
        Log(Arc::new(Silent))
    }

    /// Reports `event`.
    pub fn emit(&self, event: &dyn Event) {
        self.0.emit(event);
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Log")
    }
}

/// What the tests of other rooms listen with.
#[cfg(test)]
pub mod testing {
    use super::{Event, Fields, IpAddr, LogSink};
    use std::fmt::Display;
    use std::sync::{Mutex, PoisonError};

    /// Keeps each event as a line: its name and its fields. Addresses and peers are written as
    /// they are, so that a test can look for them where they must not be.
    #[derive(Default)]
    pub struct Recorder(Mutex<Vec<String>>);

    impl Recorder {
        /// Whether an event of that name was reported.
        pub fn saw(&self, name: &str) -> bool {
            self.lines().iter().any(|line| line.split(' ').next() == Some(name))
        }

        /// Everything that was reported.
        pub fn lines(&self) -> Vec<String> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
        }

        /// The same as one text.
        pub fn all(&self) -> String {
            self.lines().join("\n")
        }
    }

    impl LogSink for Recorder {
        fn emit(&self, event: &dyn Event) {
            let mut line = Line(event.name().to_owned());
            event.fields(&mut line);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.0);
        }
    }

    struct Line(String);

    impl Line {
        fn add(&mut self, key: &str, value: &dyn Display) {
            self.0.push_str(&format!(" {key}={value}"));
        }
    }

    impl Fields for Line {
        fn number(&mut self, key: &'static str, value: u64) {
            self.add(key, &value);
        }

        fn word(&mut self, key: &'static str, value: &'static str) {
            self.add(key, &value);
        }

        fn address(&mut self, key: &'static str, value: &str) {
            self.add(key, &value);
        }

        fn peer(&mut self, key: &'static str, value: IpAddr) {
            self.add(key, &value);
        }

        fn id(&mut self, key: &'static str, value: &dyn Display) {
            self.add(key, value);
        }

        fn quoted(&mut self, key: &'static str, value: &str) {
            self.add(key, &value);
        }
    }
}
