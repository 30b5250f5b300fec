//! Connections to name servers that pass on no absence which its server cannot know of.
//!
//! A server that was configured but is no resolver answers too: with a referral, or with an empty
//! answer. The library takes either for an absence and keeps no flags, so that this is looked at
//! before it sees the answer. Such a server has failed, and the next one is asked.
//!
//! A negative answer counts if the server offers recursion (RA) or has authority (AA), unless it is
//! a referral. An SOA record is not asked for: RFC 2308 §2.1 and §2.2 know negative answers without
//! one (type 3), and forwarders that answer from a cache of their own send such.
//!
//! # Standards
//! RFC 1035 §4.1.1 (AA, RA), RFC 2308 §2.1 and §2.2 (negative answers and referrals).

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle, DnsResponseStream, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, Message, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use hickory_resolver::{ConnectionProvider, PoolContext};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;

/// Makes the connections.
#[derive(Clone, Default)]
pub(super) struct Judging(TokioRuntimeProvider);

/// One of them.
#[derive(Clone)]
pub(super) struct Judged(DnsExchange<TokioRuntimeProvider>);

type Connecting = Pin<Box<dyn Future<Output = Result<Judged, NetError>> + Send>>;

impl ConnectionProvider for Judging {
    type Conn = Judged;
    type FutureConn = Connecting;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        context: &PoolContext,
    ) -> Result<Connecting, NetError> {
        let connecting = self.0.new_connection(ip, config, context)?;
        Ok(Box::pin(async move { connecting.await.map(Judged) }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.0
    }
}

impl DnsHandle for Judged {
    type Response = DnsResponseStream;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> DnsResponseStream {
        let answer = self.0.send(request).first_answer();
        Box::pin(async move {
            let answer = answer.await?;
            match is_lame(&answer) {
                // An error of the connection, for only behind one the next server is asked.
                true => Err(io::Error::other("the name server is no resolver").into()),
                false => Ok(answer),
            }
        })
        .into()
    }
}

/// Whether an answer says that there is nothing, by a server that cannot know.
fn is_lame(answer: &Message) -> bool {
    let is_nothing = |code| matches!(code, ResponseCode::NoError | ResponseCode::NXDomain);
    if !answer.answers.is_empty() || answer.truncation || !is_nothing(answer.response_code) {
        return false;
    }
    let has = |kind| answer.authorities.iter().any(|record| record.record_type() == kind);
    let is_referral = answer.response_code == ResponseCode::NoError
        && has(RecordType::NS)
        && !has(RecordType::SOA);
    is_referral || !(answer.recursion_available || answer.authoritative)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{OpCode, Query};
    use hickory_resolver::proto::rr::{Name, RData, Record, rdata};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn ns() -> Record {
        Record::from_rdata(name("."), 60, RData::NS(rdata::NS(name("a.root.example."))))
    }

    fn soa() -> Record {
        let soa = rdata::SOA::new(name("ns.example."), name("ns.example."), 1, 1, 1, 1, 1);
        Record::from_rdata(name("example."), 60, RData::SOA(soa))
    }

    /// `flags` are some of "aa" and "ra".
    fn judge(code: ResponseCode, flags: &str, authorities: &[Record]) -> bool {
        let mut answer = Message::response(1, OpCode::Query);
        answer.add_query(Query::query(name("a.example."), RecordType::A));
        answer.metadata.response_code = code;
        answer.metadata.authoritative = flags.contains("aa");
        answer.metadata.recursion_available = flags.contains("ra");
        for record in authorities {
            answer.add_authority(record.clone());
        }
        is_lame(&answer)
    }

    /// The types of RFC 2308 §2.1 and §2.2, as a resolver, an authoritative server and one that is
    /// neither send them.
    #[test]
    fn nothing_is_said_by_resolvers_and_by_who_has_the_zone_and_never_by_a_referral() {
        use ResponseCode::{NXDomain, NoError};
        let (both, only_soa, nothing, only_ns) = ([ns(), soa()], [soa()], [], [ns()]);
        for flags in ["ra", "aa", "aa ra"] {
            for authorities in [&both[..], &only_soa, &nothing] {
                assert!(!judge(NoError, flags, authorities), "{flags}");
                assert!(!judge(NXDomain, flags, authorities), "{flags}");
            }
            assert!(!judge(NXDomain, flags, &only_ns), "{flags}");
            assert!(judge(NoError, flags, &only_ns), "{flags}");
        }
        for authorities in [&both[..], &only_soa, &nothing, &only_ns] {
            assert!(judge(NoError, "", authorities));
            assert!(judge(NXDomain, "", authorities));
        }
    }

    #[test]
    fn other_answers_are_nobody_elses_to_judge() {
        let mut answer = Message::response(1, OpCode::Query);
        let address = RData::A(rdata::A([192, 0, 2, 1].into()));
        answer.add_answer(Record::from_rdata(name("a.example."), 60, address));
        assert!(!is_lame(&answer));
        assert!(!judge(ResponseCode::ServFail, "", &[]));
    }
}
