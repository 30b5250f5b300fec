//! The control socket's requests, carried out on the mailbox role.
//!
//! No verb here uses keys that happen to be in memory: what needs the owner's authority carries the
//! owner's credential in the same request, and the mailbox role has no other way in.

use super::protocol::{AccountLine, Answer, KeyLine, KeyPart, Octets, Request, Text};
use crate::base::secret::SecretBytes;
use crate::mailbox::{AdminError, KeyInfo, Line, Mailboxes, State};
use crate::pgp::KeyFacts;
use crate::relay::Broken;
use crate::vault::GeneratedSecret;
use crate::web;

/// Carries out a verb about an account or its key.
pub(super) async fn account(mailboxes: &Mailboxes, request: Request) -> Answer {
    use Request as R;
    let answer = match request {
        R::AccountAdd { address, password } => mailboxes
            .add(&address, password.0)
            .await
            .map(|added| secret("recovery code", added.recovery_code)),
        R::AccountList {} => mailboxes.list().await.map(listed),
        R::AccountRemove { address } => mailboxes.remove(&address).await.map(done),
        R::AccountPasswd { address, credential, new_password } => {
            mailboxes.passwd(&address, credential.0, new_password.0).await.map(done)
        }
        R::AccountRekey { address, credential, new_password } => mailboxes
            .rekey(&address, credential.0, new_password.0)
            .await
            .map(|code| secret("recovery code", code)),
        R::AccountAppPassword { address, credential, label, unlocks } => mailboxes
            .app_password(&address, credential.0, &label, unlocks)
            .await
            .map(|password| secret("app password", password)),
        R::AccountRecovery { address, credential } => mailboxes
            .recovery(&address, credential.0)
            .await
            .map(|code| secret("recovery code", code)),
        R::AccountUnlock { address, credential, hours } => {
            mailboxes.unlock(&address, credential.0, hours).await.map(done)
        }
        R::AccountLock { address } => mailboxes.lock(&address).await.map(done),
        R::KeyShow { address } => mailboxes.key(&address).await.map(key),
        R::KeyExport { address, credential, storage } => mailboxes
            .export_key(&address, credential.0, storage)
            .await
            .map(|keys| Answer::Secret { what: "secret key".into(), secret: Text(keys) }),
        R::KeyImport { address, credential, key, passphrase } => mailboxes
            .import_key(&address, credential.0, key.0, passphrase.map(|text| text.0))
            .await
            .map(done),
        R::KeyPublish { address, on } => mailboxes.publish_key(&address, on).await.map(done),
        // These are the server's own and never come here.
        R::Status {} | R::Reload {} | R::KeyLookup { .. } | R::Explain { .. } | R::Queue { .. } => {
            Ok(Answer::Done {})
        }
    };
    answer.unwrap_or_else(failed)
}

/// Names what the removal of an account has broken.
pub(super) fn removed(answer: Answer, before: &Broken, after: Broken) -> Answer {
    let is_new = |alias: &(usize, String)| !before.aliases.contains(alias);
    let aliases: Vec<_> = after.aliases.into_iter().filter(is_new).collect();
    let postmaster = after.postmaster && !before.postmaster;
    match answer {
        Answer::Done {} if postmaster || !aliases.is_empty() => {
            Answer::Removed { aliases, postmaster }
        }
        answer => answer,
    }
}

fn done((): ()) -> Answer {
    Answer::Done {}
}

fn failed(error: AdminError) -> Answer {
    Answer::Failed { error: error.to_string() }
}

fn secret(what: &str, secret: GeneratedSecret) -> Answer {
    let text = SecretBytes::new(secret.expose().as_bytes().to_vec());
    Answer::Secret { what: what.into(), secret: Text(text) }
}

fn key(info: KeyInfo) -> Answer {
    let KeyInfo { address, facts, certificate, published, wkd_hash } = info;
    let part = |key: KeyFacts| KeyPart {
        fingerprint: key.fingerprint.to_string(),
        algorithm: key.algorithm,
        encrypts: key.encrypts,
    };
    let wkd_urls = web::key_urls(address.domain(), &wkd_hash, address.local());
    let key = KeyLine {
        address: address.to_string(),
        fingerprint: facts.fingerprint.to_string(),
        user_ids: facts.user_ids,
        keys: facts.keys.into_iter().map(part).collect(),
        created: facts.created.0,
        expires: facts.expires.map(|time| time.0),
        revoked: facts.revoked,
        published,
        wkd_hash,
        wkd_urls: wkd_urls.into(),
        certificate: Octets(SecretBytes::new(certificate)),
    };
    Answer::Key { key }
}

fn listed(lines: Vec<Line>) -> Answer {
    Answer::Accounts { accounts: lines.into_iter().map(line).collect() }
}

fn line(line: Line) -> AccountLine {
    AccountLine {
        number: line.account.0,
        address: line.address.map(|address| address.to_string()),
        state: match line.state {
            State::Closed => "closed",
            State::Unlocked => "unlocked",
            State::Locked => "locked",
            State::Damaged => "damaged",
        }
        .into(),
        known_to_operator: line.known_to_operator,
        bytes: line.bytes,
        waiting: line.waiting,
    }
}
