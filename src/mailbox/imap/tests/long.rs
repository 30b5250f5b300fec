//! Commands that take long: others are answered meanwhile, and what is too much is refused.

use super::super::link::{End, Link};
use super::{BOB, Client, Stage};
use crate::imap::limits::{COMMAND_BYTES_MAX, SEARCH_TEXTS_MAX};
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends `command` to one session and NOOP to another, and says whether the NOOP was answered while
/// the command was not.
async fn is_overtaken(slow: &mut Client, quick: &mut Client, command: &str) -> bool {
    slow.send(format!("t {command}\r\n").as_bytes()).await;
    quick.ok("NOOP").await;
    while slow.has_octets().await {}
    let tagged = slow.buffer.windows(4).any(|window| window == b"\r\nt ");
    let begun = slow.buffer.starts_with(b"t ");
    slow.answer().await;
    !tagged && !begun
}

impl Client {
    /// Whether something can be read at once.
    async fn has_octets(&mut self) -> bool {
        let mut octets = [0; 4096];
        tokio::select! {
            biased;
            read = self.stream.read(&mut octets) => {
                let count = read.unwrap();
                self.buffer.extend_from_slice(&octets[..count]);
                count > 0
            }
            () = std::future::ready(()) => false,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lists_of_many_names_let_others_in_between() {
    let stage = Stage::new().await;
    let (mut slow, mut quick) = (stage.session().await, stage.session().await);
    for n in 0..400 {
        slow.ok(&format!("SUBSCRIBE Level/Sub{n}")).await;
    }
    for command in [
        "LIST (SUBSCRIBED) \"\" (%*nothing%*)",
        "LIST (SUBSCRIBED) \"\" *",
        "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %",
        "LSUB \"\" %",
    ] {
        assert!(is_overtaken(&mut slow, &mut quick, command).await, "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_has_so_many_wildcards_and_no_more() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    let wild = vec!["a%".repeat(31); 32].join(" ");
    let refused = client.refused(&format!("LIST \"\" ({wild})")).await;
    assert!(refused.starts_with("t NO [LIMIT] ") && refused.contains("64"), "{refused}");
    let refused = client.refused(&format!("LSUB \"\" {}", "%a".repeat(65))).await;
    assert!(refused.starts_with("t NO [LIMIT] ") && refused.contains("64"), "{refused}");
    let refused = client.refused(&format!("LIST \"\" %{}%", "a".repeat(126))).await;
    assert!(refused.starts_with("t NO [LIMIT] ") && refused.contains("127"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn what_is_below_inbox_is_listed_in_any_case() {
    let stage = Stage::new().await;
    let mut client = stage.session().await;
    client.ok("CREATE inbox/sub").await;
    client.ok("SUBSCRIBE inbox/sub").await;
    let listed = client.ok("LIST \"\" inbox*").await;
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert!(listed[0].ends_with("\"INBOX\"") && listed[1].ends_with("\"INBOX/sub\""), "{listed:?}");
    assert_eq!(client.ok("LSUB \"\" inbo%/sub").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_search_of_rows_lets_others_in_between() {
    let stage = Stage::new().await;
    let (mut slow, mut quick) = (stage.with_box(&["one"; 100]).await, stage.session().await);
    let flags = vec!["UNKEYWORD x"; 1000].join(" ");
    let sets = vec!["UID 1:3,5:7,9:*"; 1000].join(" ");
    for command in [format!("SEARCH {flags}"), format!("SEARCH {sets}")] {
        assert!(is_overtaken(&mut slow, &mut quick, &command).await, "{command}");
    }
    let found = slow.ok("SEARCH UID 98:* NOT 99,1:97").await;
    assert_eq!(found, ["* SEARCH 98 100"]);
}

#[tokio::test(start_paused = true)]
async fn a_search_looks_for_so_many_texts_and_no_more() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one"]).await;
    let program = |texts: usize| {
        let keys: Vec<_> = (0..texts).map(|n| format!("NOT BODY zz{n}")).collect();
        format!("SEARCH {}", keys.join(" "))
    };
    assert_eq!(client.ok(&program(SEARCH_TEXTS_MAX)).await, ["* SEARCH 1"]);
    let refused = client.refused(&program(SEARCH_TEXTS_MAX + 1)).await;
    assert!(refused.starts_with("t NO [LIMIT] ") && refused.contains("64"), "{refused}");
}

/// A message so large that it is read in several chunks, with words at and across their seams.
#[tokio::test(start_paused = true)]
async fn a_large_message_is_searched_in_pieces() {
    let stage = Stage::new().await;
    let mut client = stage.with_box(&["one"]).await;
    let mut body = "some words that fill a line of a letter, again and again\r\n".repeat(16_000);
    body.replace_range(65_530..65_540, "AcrossSeam");
    body.push_str("AtTheEnd\r\n");
    let letter = format!("Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nSubject: big\r\n\r\n{body}");
    client.append("Box", "", letter.as_bytes()).await;
    let absent: Vec<_> = (0..60).map(|n| format!("NOT TEXT zz{n}")).collect();
    let program = |rest: &str| format!("SEARCH {} {rest}", absent.join(" "));
    let found = client.ok(&program("BODY acrossseam TEXT attheend")).await;
    assert_eq!(found.last().unwrap(), "* SEARCH 2");
    let found = client.ok(&program("BODY nowhere")).await;
    assert_eq!(found, ["* SEARCH"]);
    let found = client.ok(&program("OR BODY nowhere SUBJECT one")).await;
    assert_eq!(found, ["* SEARCH 1"]);
    let found = client.ok("SEARCH SENTON 23-Nov-2026 TEXT \"subject: BIG\"").await;
    assert_eq!(found, ["* SEARCH 2"]);
}

#[tokio::test]
async fn searches_leave_a_core_to_what_is_short() {
    let stage = Stage::new().await;
    let handle = stage.house.open(BOB).await;
    let mut ends = Vec::new();
    for _ in 0..4 {
        let (end, ended) = mpsc::channel::<()>();
        let handle = handle.clone();
        let search = tokio::spawn(async move { handle.searching(move |_| ended.recv()).await });
        ends.push((end, search));
    }
    let short = tokio::time::timeout(Duration::from_secs(10), handle.blocking(|_| 7)).await;
    let ended: Vec<_> = ends
        .into_iter()
        .map(|(end, search)| {
            drop(end);
            search
        })
        .collect();
    assert_eq!(short.unwrap(), Ok(7));
    for search in ended {
        assert!(search.await.unwrap().is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_is_seen_to_go_and_what_it_sends_is_kept() {
    let (mut client, server) = tokio::io::duplex(2 * COMMAND_BYTES_MAX);
    let mut link = Link::new(Box::new(server), Duration::from_secs(1));
    assert_eq!(link.look_for_end().await, Ok(()));
    client.write_all(b"t NOOP\r\n").await.unwrap();
    drop(client);
    while link.look_for_end().await.is_ok() {}
    assert_eq!(link.look_for_end().await, Err(End::Closed));
    assert_eq!(link.receiver().pending_bytes(), 8);
    let (mut client, server) = tokio::io::duplex(2 * COMMAND_BYTES_MAX);
    let mut link = Link::new(Box::new(server), Duration::from_secs(1));
    client.write_all(&[b'x'; 2 * COMMAND_BYTES_MAX]).await.unwrap();
    for _ in 0..2 * COMMAND_BYTES_MAX {
        link.look_for_end().await.unwrap();
    }
    let kept = link.receiver().pending_bytes();
    assert!((COMMAND_BYTES_MAX..COMMAND_BYTES_MAX + 4096).contains(&kept), "{kept}");
}
