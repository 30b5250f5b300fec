//! Verdicts on who sent a message, by mail-auth and hickory.
//!
//! What may be looked at is bounded by `mailauth`; the time is bounded here, and what is not known
//! when it has run out is a temporary error. Names of a written zone are never asked on the wire.
//! A message without a signature from this machine or a private network costs no question at all.
//!
//! # Standards
//! RFC 6376 §6, RFC 7208, RFC 7489 by the tree walk of RFC 9989 §4.10, RFC 8617 §5.2.
//!
//! # Known gaps
//! In a written zone a name that has no record of a type passes for one with none of it, failures
//! included, where SPF asks for addresses and exchangers; `exists` is not evaluated there.

mod written;

use super::dns::HostResolver;
use crate::base::BoxFuture;
use crate::dns::Zone;
use crate::mail::Address;
use crate::mailauth::{
    Bounded, CheckSender, DkimResult, DkimVerdict, DmarcResult, DmarcVerdict, Envelope, Outline,
    Policy, SpfResult, SpfVerdict, Verdicts, is_near,
};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolverConfig;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::dmarc::{self, Alignment};
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DmarcOutput, DnsError, Error, MessageAuthenticator,
    Parameters, SpfOutput,
};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use written::Written;

/// Octets of a body that are hashed before others get their turn: about a millisecond.
const PIECE_BYTES: usize = 256 * 1024;

/// Judges senders.
pub struct SenderCheck {
    authenticator: MessageAuthenticator,
    written: Written,
}

/// Parameters that ask the written zone first.
type Asked<'x, P> = Parameters<'x, P, Written, Written, Written, Written, Written>;

impl SenderCheck {
    /// A judge who asks `zone` where it answers, and else `resolver`.
    pub fn new(resolver: TokioResolver, zone: Option<Arc<Zone>>) -> SenderCheck {
        let authenticator = MessageAuthenticator(resolver);
        SenderCheck { authenticator, written: Written(zone) }
    }

    /// A judge who asks as `resolver` does. Without name servers it knows what the zone says.
    pub fn by(resolver: &HostResolver) -> Option<SenderCheck> {
        let (inner, zone) = resolver.parts();
        let nobody = || {
            let config = ResolverConfig::from_parts(None, Vec::new(), Vec::new());
            let provider = TokioRuntimeProvider::default();
            TokioResolver::builder_with_config(config, provider).build().ok()
        };
        Some(SenderCheck::new(inner.or_else(nobody)?, zone.cloned().map(Arc::new)))
    }

    fn asking<P>(&self, params: P) -> Asked<'_, P> {
        let written = Some(&self.written);
        Parameters {
            params,
            cache_txt: written,
            cache_mx: written,
            cache_ptr: written,
            cache_ipv4: written,
            cache_ipv6: written,
        }
    }

    async fn verdicts(
        &self,
        envelope: Envelope<'_>,
        message: &[u8],
        deadline: Instant,
    ) -> Verdicts {
        let outline = Outline::of(message);
        let near = is_near(envelope.peer);
        if near && !outline.is_signed {
            return Verdicts::default();
        }
        let mut bounded = Bounded::read(&outline);
        if let Some(bounded) = &mut bounded {
            hash(bounded, outline.body).await;
        }
        let (spf, (dkim, arc)) = tokio::join!(
            self.spf(&envelope, near, deadline),
            self.signatures(bounded.as_ref(), deadline),
        );
        let mut verdicts = Verdicts {
            spf: (!near).then(|| spf_verdict(&envelope, &spf)),
            dkim: bounded.as_ref().map(|bounded| bounded.dkim(&dkim)).unwrap_or_default(),
            dmarc: None,
            arc: bounded.as_ref().zip(arc.as_ref()).and_then(|(bounded, arc)| bounded.arc(arc)),
        };
        if outline.is_signed && bounded.is_none() {
            verdicts.dkim.push(DkimVerdict::unread(DkimResult::Policy));
        }
        let dmarc = self.dmarc(&envelope, &outline, &dkim, &spf, deadline).await;
        // Without SPF a failure says nothing.
        verdicts.dmarc = Some(dmarc).filter(|found| !near || found.result == DmarcResult::Pass);
        verdicts
    }

    async fn spf(&self, envelope: &Envelope<'_>, near: bool, deadline: Instant) -> SpfOutput {
        let output = SpfOutput::new(path_domain(envelope).to_owned());
        if near {
            return output;
        }
        let (peer, helo, host) = (envelope.peer.to_canonical(), envelope.helo, envelope.hostname);
        let sender = envelope.from.map(ToString::to_string);
        let params = match &sender {
            Some(sender) => SpfParameters::verify_mail_from(peer, helo, host, sender),
            None => SpfParameters::verify_ehlo(peer, helo, host),
        };
        let asked = timeout_at(deadline, self.authenticator.check_host(self.asking(params))).await;
        asked.unwrap_or_else(|_| output.with_result(mail_auth::SpfResult::TempError))
    }

    /// mail-auth's findings on the signatures and on the chain.
    async fn signatures<'x>(
        &'x self,
        bounded: Option<&'x Bounded<'x>>,
        deadline: Instant,
    ) -> (Vec<DkimOutput<'x>>, Option<mail_auth::DkimResult>) {
        let Some(bounded) = bounded else { return (Vec::new(), None) };
        let message = &bounded.message;
        let verify = self.authenticator.verify_dkim(self.asking(message));
        let dkim = timeout_at(deadline, verify).await.unwrap_or_else(|_| {
            let signatures = message.dkim_headers.iter();
            signatures.map(|f| DkimOutput::temp_err(too_late()).with_signature(&f.header)).collect()
        });
        let verify = self.authenticator.verify_arc(self.asking(message));
        let arc = match timeout_at(deadline, verify).await {
            Ok(output) => output.result().clone(),
            Err(_) => mail_auth::DkimResult::TempError(too_late()),
        };
        (dkim, Some(arc))
    }

    async fn dmarc(
        &self,
        envelope: &Envelope<'_>,
        outline: &Outline<'_>,
        dkim: &[DkimOutput<'_>],
        spf: &SpfOutput,
        deadline: Instant,
    ) -> DmarcVerdict {
        // RFC 7489 §6.6.1: where it cannot be said whom to ask, a receiver may refuse. One author
        // that is checked and another that is shown is a way around DMARC.
        let Some(authors) = &outline.authors else {
            return unknown(DmarcResult::Fail, Policy::Quarantine);
        };
        // The same section: of several, the one whose domain asks for most decides.
        let mut gravest: Option<DmarcVerdict> = None;
        for author in authors {
            let found = self.dmarc_of(author, envelope, dkim, spf, deadline).await;
            if gravest.as_ref().is_none_or(|other| gravity(&found) > gravity(other)) {
                gravest = Some(found);
            }
        }
        gravest.unwrap_or_else(|| unknown(DmarcResult::Fail, Policy::Quarantine))
    }

    async fn dmarc_of(
        &self,
        author: &Address,
        envelope: &Envelope<'_>,
        dkim: &[DkimOutput<'_>],
        spf: &SpfOutput,
        deadline: Instant,
    ) -> DmarcVerdict {
        if author.is_literal() {
            return unknown(DmarcResult::None, Policy::None);
        }
        let message = AuthenticatedMessage { from: vec![author.to_string()], ..Default::default() };
        let params = DmarcParameters::new(&message, dkim, path_domain(envelope), spf);
        let verify = self.authenticator.verify_dmarc(self.asking(params));
        match timeout_at(deadline, verify).await {
            Ok(output) => dmarc_verdict(&output, author.domain()),
            Err(_) => DmarcVerdict {
                domain: author.domain().to_owned(),
                ..unknown(DmarcResult::TempError, Policy::None)
            },
        }
    }
}

impl CheckSender for SenderCheck {
    fn check<'a>(
        &'a self,
        envelope: Envelope<'a>,
        message: &'a [u8],
        time_max: Duration,
    ) -> BoxFuture<'a, Verdicts> {
        let verdicts = self.verdicts(envelope, message, Instant::now() + time_max);
        Box::pin(Guarded(Box::pin(verdicts)))
    }
}

/// Whatever a library does with a stranger's octets, the message is taken: a panic is no verdict.
struct Guarded<'a>(BoxFuture<'a, Verdicts>);

impl Future for Guarded<'_> {
    type Output = Verdicts;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdicts> {
        let poll = AssertUnwindSafe(|| self.0.as_mut().poll(context));
        std::panic::catch_unwind(poll).unwrap_or_else(|_| Poll::Ready(Verdicts::default()))
    }
}

async fn hash(bounded: &mut Bounded<'_>, body: &[u8]) {
    let mut hashes = bounded.hashes();
    if !hashes.is_empty() {
        for piece in body.chunks(PIECE_BYTES) {
            hashes.feed(piece);
            tokio::task::yield_now().await;
        }
    }
    bounded.set_hashes(hashes);
}

/// RFC 7208 §2.4: the domain of the reverse path, or of HELO where that is null.
fn path_domain<'a>(envelope: &Envelope<'a>) -> &'a str {
    envelope.from.map_or(envelope.helo, |from| from.domain())
}

fn unknown(result: DmarcResult, policy: Policy) -> DmarcVerdict {
    DmarcVerdict { result, policy, domain: String::new(), strict_dkim: false }
}

/// How much a verdict says against a message.
fn gravity(verdict: &DmarcVerdict) -> u8 {
    match (verdict.result, verdict.policy) {
        (DmarcResult::Fail, Policy::Reject) => 5,
        (DmarcResult::Fail, Policy::Quarantine) => 4,
        (DmarcResult::Fail, Policy::None) => 3,
        (DmarcResult::TempError | DmarcResult::PermError, _) => 2,
        (DmarcResult::None, _) => 1,
        (DmarcResult::Pass, _) => 0,
    }
}

fn too_late() -> Error {
    Error::Dns(DnsError::Resolver("no time is left".to_owned()))
}

fn spf_verdict(envelope: &Envelope<'_>, output: &SpfOutput) -> SpfVerdict {
    let result = match output.result() {
        mail_auth::SpfResult::Pass => SpfResult::Pass,
        mail_auth::SpfResult::Fail => SpfResult::Fail,
        mail_auth::SpfResult::SoftFail => SpfResult::SoftFail,
        mail_auth::SpfResult::Neutral => SpfResult::Neutral,
        mail_auth::SpfResult::TempError => SpfResult::TempError,
        mail_auth::SpfResult::PermError => SpfResult::PermError,
        mail_auth::SpfResult::None => SpfResult::None,
    };
    let domain = path_domain(envelope).to_owned();
    SpfVerdict { result, of_helo: envelope.from.is_none(), domain }
}

fn dmarc_verdict(output: &DmarcOutput, domain: &str) -> DmarcVerdict {
    let result = match output.result() {
        mail_auth::DmarcResult::Pass => DmarcResult::Pass,
        mail_auth::DmarcResult::Fail(_) => DmarcResult::Fail,
        mail_auth::DmarcResult::TempError(_) => DmarcResult::TempError,
        mail_auth::DmarcResult::PermError(_) => DmarcResult::PermError,
        mail_auth::DmarcResult::None => DmarcResult::None,
    };
    let policy = match output.policy() {
        dmarc::Policy::Quarantine => Policy::Quarantine,
        dmarc::Policy::Reject => Policy::Reject,
        dmarc::Policy::None | dmarc::Policy::Unspecified => Policy::None,
    };
    let strict_dkim = output.dmarc_record().is_some_and(|dmarc| dmarc.adkim == Alignment::Strict);
    DmarcVerdict { result, policy, domain: domain.to_owned(), strict_dkim }
}

#[cfg(test)]
mod tests;
