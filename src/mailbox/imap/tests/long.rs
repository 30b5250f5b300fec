//! Commands that take long: others are answered meanwhile, and what is too much is refused.

use super::{Client, Stage};
use tokio::io::AsyncReadExt;

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
