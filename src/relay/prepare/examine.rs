//! What of a message the plan and the copies depend on.

use std::collections::HashSet;
use std::sync::Arc;

use crate::mail::{Address, EnvelopeAddress, analyse, header, message_id};
use crate::mailauth::only_author;
use crate::pgp::already_sealed;

/// Octets above which work on a message leaves the thread that serves connections.
const INLINE_BYTES_MAX: usize = 64 * 1024;

/// Fields that name messages whose text may be in this one. The last is Thunderbird's, in what it
/// forwards.
const ANSWERING: [&str; 3] = ["In-Reply-To", "References", "X-Forwarded-Message-Id"];

/// Messages that one message is looked at as answering: the newest of a long thread are enough.
const ANSWERS_MAX: usize = 200;

/// A message, looked at.
#[derive(Debug)]
pub(super) struct Examined {
    /// The lookup keys of all who stand in To and Cc.
    visible: HashSet<String>,
    /// Whether the sender's program has sealed it.
    pub sealed_already: bool,
    /// The one author.
    pub author: Option<Address>,
    /// All who stand in From and Sender, as far as they are addresses.
    pub writers: Vec<Address>,
    /// Its own id.
    pub message_id: Option<String>,
    /// The ids of what it answers or forwards.
    pub answers: Vec<String>,
    /// Whether it carries an Autocrypt field.
    pub has_autocrypt: bool,
}

impl Examined {
    /// Looks at a message, elsewhere if it is large. `None` if that died.
    pub async fn of(message: &Arc<Vec<u8>>) -> Option<Examined> {
        let bytes = message.len();
        let message = Arc::clone(message);
        off_thread(bytes, move || Examined::now(&message)).await
    }

    fn now(message: &[u8]) -> Examined {
        let block = &message[..header::header_bytes(message)];
        // The header alone: where the parts lie does not matter here.
        let envelope = analyse(block).envelope;
        let shown = envelope.to.iter().chain(&envelope.cc).filter_map(address);
        let writers = envelope.from.iter().chain(&envelope.sender).filter_map(address);
        let has = |name: &str| header::fields(block).any(|field| field.is(name));
        let answers = header::fields(block)
            .filter(|field| ANSWERING.iter().any(|name| field.is(name)))
            .flat_map(|field| message_id::named(field.body).collect::<Vec<_>>().into_iter().rev())
            .take(ANSWERS_MAX);
        Examined {
            visible: shown.map(|address| address.lookup_key()).collect(),
            sealed_already: already_sealed(message).is_some(),
            author: only_author(block),
            writers: writers.collect(),
            message_id: envelope.message_id.and_then(|id| message_id::named(&id).next()),
            answers: answers.collect(),
            has_autocrypt: has("Autocrypt"),
        }
    }

    /// Whether the other recipients see that there is this one.
    pub fn is_visible(&self, address: &Address) -> bool {
        self.visible.contains(&address.lookup_key())
    }
}

/// Runs work for so many octets: here, or on a thread for such work. `None` if it panicked.
pub(super) async fn off_thread<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    match bytes <= INLINE_BYTES_MAX {
        true => Some(work()),
        false => tokio::task::spawn_blocking(work).await.ok(),
    }
}

fn address(shown: &EnvelopeAddress) -> Option<Address> {
    let (local, domain) = (shown.mailbox.as_deref()?, shown.host.as_deref()?);
    // The local part comes without its quotes.
    let any = Address::parse(&[b"x@", domain].concat()).ok()?;
    any.with_local(std::str::from_utf8(local).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_at(message: &str) -> Examined {
        Examined::now(message.as_bytes())
    }

    #[test]
    fn recipients_in_fields_are_visible_however_they_are_written() {
        let examined = looked_at(
            "To: Bob <BOB@Example.net>, \"a b\"@example.com\r\nCc: team: carol@example.com;\r\n\
             Bcc: eve@example.com\r\n\r\nmallory@example.com",
        );
        for (address, visible) in [
            ("bob@example.net", true),
            ("\"a b\"@example.com", true),
            ("carol@example.com", true),
            ("eve@example.com", false),
            ("mallory@example.com", false),
            ("ob@example.net", false),
        ] {
            let address = Address::parse(address.as_bytes()).unwrap();
            assert_eq!(examined.is_visible(&address), visible, "{address}");
        }
    }

    #[test]
    fn ids_are_taken_from_all_fields_newest_first() {
        let examined = looked_at(
            "Message-ID: <0@a>\r\nIn-Reply-To: Your mail <1@a> of today\r\nReferences: <2@a>\r\n \
             < 3@a ><4@a> <5@a\r\n\r\n",
        );
        assert_eq!(examined.answers, ["<1@a>", "<4@a>", "<3@a>", "<2@a>"]);
        assert_eq!(examined.message_id.as_deref(), Some("<0@a>"));
        assert!(!examined.sealed_already && !examined.has_autocrypt);
        let bare = looked_at(
            "Message-ID: 77@x.example\r\nIn-Reply-To: 76@x.example\r\n\
             X-Forwarded-Message-Id: <75@x.example>\r\n\r\n",
        );
        assert_eq!(bare.message_id.as_deref(), Some("<77@x.example>"));
        assert_eq!(bare.answers, ["<76@x.example>", "<75@x.example>"]);
    }
}
