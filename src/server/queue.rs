//! The control socket's requests about the queue.

use super::protocol::{Answer, QueueItem, QueueRecipient, QueueVerb};
use crate::base::clock::UnixTime;
use crate::mail::Address;
use crate::relay::Queue;
use crate::relay::outgoing::QueueId;
use crate::relay::queue::{After, Line};

/// Items on one page of the list.
const PAGE_ITEMS_MAX: usize = 10_000;

/// Carries out a verb. The list goes on behind the item of that name that was `accepted` then.
pub(super) async fn answer(
    queue: &Queue,
    what: QueueVerb,
    id: Option<String>,
    accepted: Option<i64>,
) -> Answer {
    match carry_out(queue, what, id, accepted).await {
        Ok(answer) => answer,
        Err(error) => Answer::Failed { error },
    }
}

async fn carry_out(
    queue: &Queue,
    what: QueueVerb,
    id: Option<String>,
    accepted: Option<i64>,
) -> Result<Answer, String> {
    let id = id.as_deref().map(|text| parse(text).ok_or("this is no name of a queued message"));
    let id = id.transpose()?;
    let one = || id.ok_or("the name of a queued message is missing");
    let done = match what {
        QueueVerb::List => {
            let after = accepted.zip(id);
            let after = after.map(|(accepted, id)| After { accepted: UnixTime(accepted), id });
            let (lines, more) = queue.list(after, PAGE_ITEMS_MAX).await;
            let (items, more) = (lines.into_iter().map(item).collect(), more as u64);
            return Ok(Answer::Queue { items, more });
        }
        QueueVerb::Show => {
            let line = queue.show(one()?).await.map_err(|error| error.to_string())?;
            return Ok(Answer::Queue { items: vec![item(line)], more: 0 });
        }
        QueueVerb::Flush => queue.flush(id),
        QueueVerb::Hold => queue.hold(one()?).await,
        QueueVerb::Release => queue.unhold(one()?).await,
        QueueVerb::Delete => queue.delete(one()?).await,
    };
    done.map(|()| Answer::Done {}).map_err(|error| error.to_string())
}

fn parse(text: &str) -> Option<QueueId> {
    let is_id = text.len() == 12 && text.bytes().all(|octet| octet.is_ascii_hexdigit());
    is_id.then(|| u64::from_str_radix(text, 16).ok().map(QueueId))?
}

fn item(line: Line) -> QueueItem {
    let recipients = line.recipients.into_iter().map(|recipient| QueueRecipient {
        address: recipient.address.to_string(),
        state: recipient.state.into(),
        attempts: recipient.attempts.into(),
        status: recipient.status,
        text: recipient.text,
    });
    QueueItem {
        id: line.id.to_string(),
        accepted: line.accepted.0,
        bytes: line.bytes,
        state: line.state.into(),
        next_attempt: line.next.map(|next| next.0),
        from: line.from.as_ref().map(Address::to_string),
        recipients: recipients.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_shown() {
        let id = QueueId(0x00ab_cdef_0123);
        assert_eq!(parse(&id.to_string()), Some(id));
        assert_eq!(parse("00abcdef0123"), Some(id));
        for bad in ["", "ABCDEF0123", "+0ABCDEF0123", "00ABCDEF01234", "00ABCDEF012G"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
