//! `postseal key show`: what is public of an account's identity.

use super::{Failure, World};
use crate::cli::asker::date;
use crate::cli::output;
use crate::server::protocol::{KeyLine, KeyPart};

/// Show an account's public key: fingerprint, algorithms, expiry, and where others find it
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The account's address
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(world: &World<'_>, arguments: &Arguments) -> Result<(), Failure> {
    let key = world.key(&arguments.address)?;
    match arguments.json {
        true => output::json(&key),
        false => output::text(&text(&key)),
    }
}

fn text(key: &KeyLine) -> String {
    let mut lines = vec![format!("{}  {}", key.address, key.fingerprint)];
    if key.revoked {
        lines.push("  REVOKED".into());
    }
    lines.extend(key.user_ids.iter().map(|id| format!("  User ID    {id}")));
    lines.extend(key.keys.iter().map(part));
    lines.push(format!("  made       {}", date(key.created)));
    let expires = key.expires.map_or("never".into(), date);
    lines.push(format!("  expires    {expires}"));
    lines.push(format!("  WKD name   {}", key.wkd_hash));
    let published = if key.published { "found at" } else { "NOT GIVEN OUT; else at" };
    lines.extend(key.wkd_urls.iter().map(|url| format!("  {published}   {url}")));
    lines.join("\n") + "\n"
}

fn part(key: &KeyPart) -> String {
    let what = if key.encrypts { "encrypts" } else { "signs   " };
    format!("  {what}   {}  {}", key.fingerprint, key.algorithm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::SecretBytes;
    use crate::server::protocol::Octets;

    fn key(published: bool) -> KeyLine {
        let part =
            |encrypts| KeyPart { fingerprint: "AB".into(), algorithm: "EdDSA".into(), encrypts };
        KeyLine {
            address: "alice@example.org".into(),
            fingerprint: "ABCD".into(),
            user_ids: vec!["alice@example.org".into()],
            keys: vec![part(false), part(true)],
            created: 0,
            expires: None,
            revoked: false,
            published,
            wkd_hash: "kei1q4tipxxu1yj79k9kfukdhfy631xe".into(),
            wkd_urls: vec!["https://a".into(), "https://b".into()],
            certificate: Octets(SecretBytes::new(Vec::new())),
        }
    }

    #[test]
    fn people_see_everything_and_above_all_what_is_unusual() {
        let shown = text(&key(true));
        assert!(shown.starts_with("alice@example.org  ABCD\n"), "{shown}");
        assert!(shown.contains("Thu, 1 Jan 1970") && shown.contains("never"), "{shown}");
        assert_eq!(shown.matches("found at   https://").count(), 2);
        assert!(!shown.contains("REVOKED") && !shown.contains("NOT GIVEN OUT"));
        let odd = text(&KeyLine { revoked: true, expires: Some(1), ..key(false) });
        assert!(odd.contains("REVOKED") && odd.contains("NOT GIVEN OUT"), "{odd}");
        assert!(!odd.contains("never"));
    }
}
