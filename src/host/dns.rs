//! The resolver of the real world: hickory over the configured name servers, validating by DNSSEC,
//! with the literal zone of a closed network before it.
//!
//! What the library says is turned into the three answers of [`dns`](crate::dns), each with its
//! proof; a doubtful case is never called an absence. An answer that validation finds false, or
//! whose status cannot be told, is a failure, and so is *nothing* from a server that is no
//! resolver.
//!
//! # Standards
//! RFC 1035, RFC 4035 (DNSSEC), RFC 5155 with RFC 9276 (NSEC3), RFC 2308 (negative answers).
//!
//! # Known gaps
//! The library has an open advisory: hostile NSEC3 records cost CPU. Each question is a task of its
//! own with a deadline and questions are bounded in number, but the task's thread computes to the
//! end of what it is at. Behind a name server that strips signatures everything signed is false;
//! there validation must be switched off. The library that judges senders asks by a resolver of its
//! own, which takes every empty answer for an absence.

mod lame;

use super::files;
use crate::base::BoxFuture;
use crate::dns::{DnsError, Lookup, Mx, Name, Proof, Resolver, Zone};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as TheirDnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::{Proof as TheirProof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name as TheirName, RData, Record, RecordType};
use hickory_resolver::{ConnectionProvider, Resolver as TheirResolver, TokioResolver, system_conf};
use lame::Judging;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Questions at once; more wait for their turn within their own time.
const QUESTIONS_MAX: usize = 256;
/// NSEC3 iterations above which a zone counts as unsigned, and above which as false (RFC 9276
/// §3.2).
const NSEC3_ITERATIONS: (u16, u16) = (50, 100);
/// Answers that are remembered.
const CACHE_ENTRIES: u64 = 8192;
/// The longest that an answer, or an absence, is remembered.
const CACHE_TIME_MAX: Duration = Duration::from_secs(6 * 3600);
/// Octets of a literal zone: some ten thousand names.
const ZONE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What the resolver is made of.
#[derive(Clone, Debug)]
pub struct Options {
    /// The name servers; empty for those of the system.
    pub servers: Vec<SocketAddr>,
    /// A file of DNSKEY records that are trusted in place of the root's.
    pub trust_anchor: Option<PathBuf>,
    /// Whether answers are validated.
    pub validate: bool,
    /// Names that are known without asking.
    pub zone: Option<Zone>,
    /// How long one question may take.
    pub time_max: Duration,
}

/// The resolver.
pub struct HostResolver {
    options: Options,
    inner: Result<TheirResolver<Judging>, String>,
    questions: Arc<Semaphore>,
}

impl std::fmt::Debug for HostResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HostResolver")
    }
}

impl HostResolver {
    /// A resolver. Without usable name servers it still answers from its zone, and every other
    /// question fails; [`HostResolver::trouble`] says why.
    pub fn new(options: Options) -> HostResolver {
        HostResolver {
            inner: build(&options, Judging::default()),
            options,
            questions: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        }
    }

    /// Why nobody can be asked, if so.
    pub fn trouble(&self) -> Option<&str> {
        self.inner.as_ref().err().map(String::as_str)
    }

    /// A resolver of the library's kind, where there can be one, and the zone, for a library that
    /// asks by itself.
    pub(super) fn parts(&self) -> (Option<TokioResolver>, Option<&Zone>) {
        let resolver = build(&self.options, TokioRuntimeProvider::default());
        (resolver.ok(), self.options.zone.as_ref())
    }

    fn zone(&self, name: &Name) -> Option<&Zone> {
        self.options.zone.as_ref().filter(|zone| zone.covers(name))
    }

    async fn ask(&self, name: &Name, kind: RecordType) -> Lookup<RData> {
        let Ok(asked) = TheirName::from_ascii(format!("{}.", name.as_str())) else {
            return Lookup::Failed(DnsError::Server);
        };
        let Ok(resolver) = self.inner.clone() else { return Lookup::Failed(DnsError::Server) };
        let (questions, question) = (Arc::clone(&self.questions), asked.clone());
        // In a task of its own, so that the deadline holds while another thread computes.
        let task = tokio::spawn(async move {
            let _turn = questions.acquire_owned().await;
            resolver.lookup(question, kind).await
        });
        let _ended = AbortOnDrop(task.abort_handle());
        let validate = self.options.validate;
        match tokio::time::timeout(self.options.time_max, task).await {
            Err(_) => Lookup::Failed(DnsError::Timeout),
            Ok(Err(_)) => Lookup::Failed(DnsError::Server),
            Ok(Ok(Ok(lookup))) => found(lookup.answers(), kind, validate),
            Ok(Ok(Err(error))) => not_found(&error, &asked, validate),
        }
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn build<P: ConnectionProvider>(
    options: &Options,
    provider: P,
) -> Result<TheirResolver<P>, String> {
    let config = match options.servers.as_slice() {
        [] => {
            let (system, _) = system_conf::read_system_conf()
                .map_err(|error| format!("/etc/resolv.conf: {error}"))?;
            // Without its search list: a mail domain is never relative.
            ResolverConfig::from_parts(None, Vec::new(), system.name_servers().to_vec())
        }
        servers => ResolverConfig::from_name_servers(servers.iter().map(server).collect()),
    };
    let mut builder = TheirResolver::builder_with_config(config, provider);
    let theirs = builder.options_mut();
    theirs.timeout = options.time_max / 3;
    theirs.attempts = 2;
    theirs.validate = options.validate;
    theirs.use_hosts_file = ResolveHosts::Never;
    theirs.preserve_intermediates = true;
    theirs.try_tcp_on_error = true;
    theirs.cache_size = CACHE_ENTRIES;
    theirs.positive_max_ttl = Some(CACHE_TIME_MAX);
    theirs.negative_max_ttl = Some(CACHE_TIME_MAX);
    if let Some(path) = options.trust_anchor.as_ref().filter(|_| options.validate) {
        builder = builder.with_trust_anchor(Arc::new(trust_anchors(path)?));
    }
    let (soft, hard) = NSEC3_ITERATIONS;
    let builder = builder.nsec3_iteration_limits(Some(soft), Some(hard));
    builder.build().map_err(|error| error.to_string())
}

/// Reads a literal zone. The error names the file and, where it has one, the line.
pub fn read_zone(path: &Path) -> Result<Zone, String> {
    let text = files::read_text(path, ZONE_BYTES_MAX).map_err(|error| error.to_string())?;
    Zone::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a file of trust anchors: DNSKEY records in the form of a zone file, one at least. The
/// error names the file and says what is wrong with it.
pub fn trust_anchors(path: &Path) -> Result<TrustAnchors, String> {
    let anchors =
        TrustAnchors::from_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match anchors.is_empty() {
        true => Err(format!("{}: has no DNSKEY record", path.display())),
        false => Ok(anchors),
    }
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.to_vec())
}

/// What an answer with records says: all of it counts, the aliases on the way too.
fn found(answers: &[Record], kind: RecordType, validate: bool) -> Lookup<RData> {
    let told = || answers.iter().filter(|record| !record.record_type().is_rrsig());
    let records: Vec<RData> =
        told().filter(|r| r.record_type() == kind).map(|r| r.data.clone()).collect();
    if records.is_empty() {
        return Lookup::Failed(DnsError::Server);
    }
    match told().map(|record| proof(record.proof, validate)).min().flatten() {
        Some(proof) => Lookup::Found { records, proof },
        None => Lookup::Failed(DnsError::Bogus),
    }
}

/// `None` for what is no answer at all.
fn proof(theirs: TheirProof, validate: bool) -> Option<Proof> {
    match theirs {
        _ if !validate => Some(Proof::Insecure),
        TheirProof::Secure => Some(Proof::Secure),
        TheirProof::Insecure => Some(Proof::Insecure),
        TheirProof::Bogus | TheirProof::Indeterminate => None,
    }
}

fn not_found(error: &NetError, asked: &TheirName, validate: bool) -> Lookup<RData> {
    match error {
        NetError::Dns(TheirDnsError::NoRecordsFound(none)) => absent(none, asked, validate),
        NetError::Dns(TheirDnsError::Nsec { proof: TheirProof::Insecure, response, .. }) => {
            let no_name = response.response_code == ResponseCode::NXDomain;
            Lookup::Absent { no_name, proof: Proof::Insecure }
        }
        NetError::Dns(TheirDnsError::Nsec { .. } | TheirDnsError::DnssecBogus) => {
            Lookup::Failed(DnsError::Bogus)
        }
        NetError::Timeout => Lookup::Failed(DnsError::Timeout),
        _ => Lookup::Failed(DnsError::Server),
    }
}

/// An absence is proven by signed NSEC or NSEC3 records beside the signed SOA. Behind an alias the
/// library tells of the alias's target only, so that nothing is proven about the name.
fn absent(none: &NoRecords, asked: &TheirName, validate: bool) -> Lookup<RData> {
    let no_name = match none.response_code {
        ResponseCode::NXDomain => true,
        ResponseCode::NoError => false,
        _ => return Lookup::Failed(DnsError::Server),
    };
    let records = none.authorities.as_deref().unwrap_or_default();
    let told = || records.iter().filter(|record| !record.record_type().is_rrsig());
    let denies =
        |record: &Record| matches!(record.record_type(), RecordType::NSEC | RecordType::NSEC3);
    let is_proven = validate
        && none.query.name() == asked
        && told().any(denies)
        && told().all(|record| record.proof == TheirProof::Secure);
    let is_false = validate && told().any(|record| record.proof == TheirProof::Bogus);
    match is_false {
        true => Lookup::Failed(DnsError::Bogus),
        false => {
            let proof = if is_proven { Proof::Secure } else { Proof::Insecure };
            Lookup::Absent { no_name, proof }
        }
    }
}

/// The same lookup with its records read as `T`; those that cannot be are passed over.
fn read<T>(lookup: Lookup<RData>, read: impl Fn(RData) -> Option<T>) -> Lookup<T> {
    match lookup {
        Lookup::Found { records, proof } => {
            let records: Vec<T> = records.into_iter().filter_map(read).collect();
            match records.is_empty() {
                true => Lookup::Failed(DnsError::Server),
                false => Lookup::Found { records, proof },
            }
        }
        Lookup::Absent { no_name, proof } => Lookup::Absent { no_name, proof },
        Lookup::Failed(error) => Lookup::Failed(error),
    }
}

/// Both families together: found if one is, absent if both are.
fn both(four: Lookup<IpAddr>, six: Lookup<IpAddr>) -> Lookup<IpAddr> {
    use Lookup::{Absent, Failed, Found};
    match (four, six) {
        (Found { mut records, proof }, Found { records: more, proof: other }) => {
            records.extend(more);
            Found { records, proof: proof.min(other) }
        }
        (found @ Found { .. }, _) | (_, found @ Found { .. }) => found,
        (Failed(error), _) | (_, Failed(error)) => Failed(error),
        (Absent { no_name, proof }, Absent { no_name: other_no_name, proof: other }) => {
            Absent { no_name: no_name && other_no_name, proof: proof.min(other) }
        }
    }
}

fn mail_exchanger(data: RData) -> Option<Mx> {
    let RData::MX(mx) = data else { return None };
    let host = Name::parse(&mx.exchange.to_ascii()).ok()?;
    Some(Mx { preference: mx.preference, host })
}

fn address(data: RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

impl Resolver for HostResolver {
    fn addresses<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<IpAddr>> {
        match self.zone(name) {
            Some(zone) => zone.addresses(name),
            None => Box::pin(async move {
                let (four, six) =
                    tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
                both(read(four, address), read(six, address))
            }),
        }
    }

    fn mx<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Mx>> {
        match self.zone(name) {
            Some(zone) => zone.mx(name),
            None => {
                Box::pin(async move { read(self.ask(name, RecordType::MX).await, mail_exchanger) })
            }
        }
    }

    fn txt<'a>(&'a self, name: &'a Name) -> BoxFuture<'a, Lookup<Vec<u8>>> {
        match self.zone(name) {
            Some(zone) => zone.txt(name),
            None => Box::pin(async move {
                read(self.ask(name, RecordType::TXT).await, |data| match data {
                    RData::TXT(text) => Some(text.txt_data.concat()),
                    _ => None,
                })
            }),
        }
    }
}

#[cfg(test)]
mod tests;
