//! What the library says and how it is understood; and real questions to a name server of the
//! tests' own.

use super::*;
use hickory_resolver::proto::op::{Message, Query};
use hickory_resolver::proto::rr::rdata;
use std::net::Ipv4Addr;
use std::str::FromStr;
use tokio::net::UdpSocket;

fn theirs(text: &str) -> TheirName {
    TheirName::from_ascii(text).unwrap()
}

fn record(name: &str, data: RData, proof: TheirProof) -> Record {
    let mut record = Record::from_rdata(theirs(name), 60, data);
    record.proof = proof;
    record
}

fn a(last: u8) -> RData {
    RData::A(rdata::A(Ipv4Addr::new(192, 0, 2, last)))
}

#[test]
fn an_answer_is_as_good_as_its_worst_record_and_doubt_is_no_answer() {
    use TheirProof::*;
    let alias = RData::CNAME(rdata::CNAME(theirs("b.example.")));
    let judge = |alias_proof, proof, validate| {
        let answers =
            [record("a.example.", alias.clone(), alias_proof), record("b.example.", a(1), proof)];
        found(&answers, RecordType::A, validate)
    };
    let with = |proof| Lookup::Found { records: vec![a(1)], proof };
    assert_eq!(judge(Secure, Secure, true), with(Proof::Secure));
    assert_eq!(judge(Insecure, Secure, true), with(Proof::Insecure));
    assert_eq!(judge(Secure, Insecure, true), with(Proof::Insecure));
    for doubtful in [Bogus, Indeterminate] {
        assert_eq!(judge(doubtful, Secure, true), Lookup::Failed(DnsError::Bogus));
        assert_eq!(judge(Secure, doubtful, true), Lookup::Failed(DnsError::Bogus));
    }
    assert_eq!(judge(Secure, Indeterminate, false), with(Proof::Insecure));
    let only_alias = [record("a.example.", alias, Secure)];
    assert_eq!(found(&only_alias, RecordType::A, true), Lookup::Failed(DnsError::Server));
}

fn none(asked: &str, code: ResponseCode, authorities: Vec<Record>) -> NetError {
    let query = Query::query(theirs(asked), RecordType::A);
    let mut none = NoRecords::new(query, code);
    none.authorities = (!authorities.is_empty()).then(|| authorities.into());
    NetError::Dns(TheirDnsError::NoRecordsFound(none))
}

fn soa() -> RData {
    let name = || theirs("ns.example.");
    RData::SOA(rdata::SOA::new(name(), name(), 1, 1, 1, 1, 1))
}

fn nsec() -> RData {
    use hickory_resolver::proto::dnssec::rdata::{DNSSECRData, NSEC};
    RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(theirs("z.example."), [RecordType::TXT])))
}

#[test]
fn absence_is_proven_only_by_signed_denials_of_the_name_itself() {
    use ResponseCode::*;
    use TheirProof::*;
    let asked = theirs("a.example.");
    let absent = |no_name, proof| Lookup::Absent { no_name, proof };
    let signed = || vec![record("example.", soa(), Secure), record("a.example.", nsec(), Secure)];
    let judge = |error: NetError| not_found(&error, &asked, true);
    assert_eq!(judge(none("a.example.", NXDomain, signed())), absent(true, Proof::Secure));
    assert_eq!(judge(none("a.example.", NoError, signed())), absent(false, Proof::Secure));
    // The target of an alias, no denial, an unsigned one, nothing at all.
    let insecure = absent(true, Proof::Insecure);
    assert_eq!(judge(none("b.example.", NXDomain, signed())), insecure);
    assert_eq!(judge(none("a.example.", NXDomain, signed()[..1].to_vec())), insecure);
    let unsigned = vec![record("example.", soa(), Insecure)];
    assert_eq!(judge(none("a.example.", NXDomain, unsigned)), insecure);
    assert_eq!(judge(none("a.example.", NXDomain, Vec::new())), insecure);
    // Without validation nothing is proven.
    let error = none("a.example.", NXDomain, signed());
    assert_eq!(not_found(&error, &asked, false), insecure);
    let bogus = vec![record("example.", soa(), Bogus)];
    let failed = Lookup::Failed(DnsError::Bogus);
    assert_eq!(judge(none("a.example.", NXDomain, bogus)), failed);
    assert_eq!(judge(NetError::Dns(TheirDnsError::DnssecBogus)), failed);
    assert_eq!(judge(NetError::Timeout), Lookup::Failed(DnsError::Timeout));
    let servfail = NetError::Dns(TheirDnsError::ResponseCode(ServFail));
    assert_eq!(judge(servfail), Lookup::Failed(DnsError::Server));
    assert_eq!(judge(none("a.example.", ServFail, Vec::new())), Lookup::Failed(DnsError::Server));
}

#[test]
fn both_families_are_needed_for_an_absence() {
    let failed = || Lookup::Failed(DnsError::Timeout);
    let absent = |no_name, proof| Lookup::Absent { no_name, proof };
    let found = |proof| Lookup::Found { records: vec![IpAddr::from([192, 0, 2, 1])], proof };
    assert_eq!(both(absent(true, Proof::Secure), failed()), failed());
    assert_eq!(both(failed(), absent(true, Proof::Secure)), failed());
    assert_eq!(both(found(Proof::Secure), failed()), found(Proof::Secure));
    let half = both(absent(true, Proof::Secure), absent(false, Proof::Insecure));
    assert_eq!(half, absent(false, Proof::Insecure));
    let Lookup::Found { records, proof } = both(found(Proof::Secure), found(Proof::Insecure))
    else {
        panic!("not found")
    };
    assert_eq!((records.len(), proof), (2, Proof::Insecure));
}

/// A name server that knows `here.example` and nothing about DNSSEC.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..len]).unwrap();
            if let Some(answer) = answer(&question) {
                let _ = socket.send_to(&answer.to_vec().unwrap(), peer).await;
            }
        }
    });
    address
}

fn answer(question: &Message) -> Option<Message> {
    let query = question.queries[0].clone();
    let name = query.name().clone();
    let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let data = match (name.to_lowercase().to_string().as_str(), query.query_type()) {
        ("slow.example.", _) => return None,
        // No resolver and not responsible: refers to the root.
        ("referred.example.", _) => {
            answer.metadata.recursion_available = false;
            let ns = RData::NS(rdata::NS(theirs("a.root.example.")));
            answer.add_authority(Record::from_rdata(TheirName::root(), 60, ns));
            return Some(answer);
        }
        ("unknown.example.", _) => {
            answer.metadata.recursion_available = false;
            answer.metadata.response_code = ResponseCode::NXDomain;
            return Some(answer);
        }
        // A forwarder, from its cache.
        ("bare.example.", _) => return Some(answer),
        ("lame.example.", _) => {
            answer.metadata.response_code = ResponseCode::ServFail;
            return Some(answer);
        }
        ("here.example.", RecordType::A) => vec![a(1), a(2)],
        ("here.example.", RecordType::MX) => {
            vec![RData::MX(rdata::MX::new(5, theirs("mx.example.")))]
        }
        ("here.example.", RecordType::TXT) => {
            vec![RData::TXT(rdata::TXT::new(vec!["v=spf1 ".into(), "-all".into()]))]
        }
        ("here.example.", _) => Vec::new(),
        _ => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            Vec::new()
        }
    };
    if data.is_empty() {
        let example = TheirName::from_str("example.").unwrap();
        answer.add_authority(Record::from_rdata(example, 60, soa()));
    }
    answer.add_answers(data.into_iter().map(|data| Record::from_rdata(name.clone(), 60, data)));
    Some(answer)
}

async fn resolver(validate: bool, zone: Option<&str>) -> HostResolver {
    let resolver = HostResolver::new(Options {
        servers: vec![name_server().await],
        trust_anchor: None,
        validate,
        zone: zone.map(|text| Zone::parse(text).unwrap()),
        time_max: Duration::from_millis(1500),
    });
    assert_eq!(resolver.trouble(), None);
    resolver
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[tokio::test]
async fn questions_reach_the_configured_server_and_answers_keep_their_kind() {
    let resolver = resolver(false, None).await;
    let insecure = Proof::Insecure;
    let records = vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])];
    let Lookup::Found { records: mut found, proof } =
        resolver.addresses(&name("here.example")).await
    else {
        panic!("no addresses")
    };
    found.sort();
    assert_eq!((found, proof), (records, insecure));
    let mx = Mx { preference: 5, host: name("mx.example") };
    let found = Lookup::Found { records: vec![mx], proof: insecure };
    assert_eq!(resolver.mx(&name("here.example")).await, found);
    let found = Lookup::Found { records: vec![b"v=spf1 -all".to_vec()], proof: insecure };
    assert_eq!(resolver.txt(&name("here.example")).await, found);
    let absent = |no_name| Lookup::Absent { no_name, proof: insecure };
    assert_eq!(resolver.addresses(&name("gone.example")).await, absent(true));
    let gone = Lookup::Absent { no_name: true, proof: insecure };
    assert_eq!(resolver.mx(&name("gone.example")).await, gone);
    let failed = Lookup::Failed(DnsError::Server);
    for asked in ["lame.example", "referred.example", "unknown.example"] {
        assert_eq!(resolver.addresses(&name(asked)).await, failed, "{asked}");
    }
    assert_eq!(resolver.addresses(&name("bare.example")).await, absent(false));
    let started = std::time::Instant::now();
    let failed = Lookup::Failed(DnsError::Timeout);
    assert_eq!(resolver.txt(&name("slow.example")).await, Lookup::Failed(DnsError::Timeout));
    assert_eq!(resolver.addresses(&name("slow.example")).await, failed);
    assert!(started.elapsed() < Duration::from_secs(5));
}

/// A server that gives no signatures where the root says that there must be some: whatever it says
/// is not believed, an absence least of all.
#[tokio::test]
async fn with_validation_unsigned_answers_from_nowhere_are_no_answers() {
    let resolver = resolver(true, None).await;
    for asked in ["here.example", "gone.example"] {
        let lookup = resolver.addresses(&name(asked)).await;
        assert!(matches!(lookup, Lookup::Failed(_)), "{asked}: {lookup:?}");
    }
}

#[tokio::test]
async fn names_of_the_zone_never_go_to_a_server() {
    let text = "$zone here.example\n$zone closed.example\nmx.closed.example A 192.0.2.9\n";
    let resolver = resolver(false, Some(text)).await;
    let absent = Lookup::Absent { no_name: true, proof: Proof::Insecure };
    assert_eq!(resolver.addresses(&name("here.example")).await, absent);
    let records = vec![IpAddr::from([192, 0, 2, 9])];
    let found = Lookup::Found { records, proof: Proof::Insecure };
    assert_eq!(resolver.addresses(&name("mx.closed.example")).await, found);
    assert_eq!(resolver.addresses(&name("other.example")).await, absent);
}

#[tokio::test]
async fn a_missing_trust_anchor_is_told_and_nothing_is_asked() {
    let resolver = HostResolver::new(Options {
        servers: vec![name_server().await],
        trust_anchor: Some("/nonexistent/anchor".into()),
        validate: true,
        zone: Some(Zone::parse("$zone closed.example\nclosed.example A 192.0.2.9\n").unwrap()),
        time_max: Duration::from_secs(1),
    });
    assert!(resolver.trouble().unwrap().starts_with("/nonexistent/anchor: "));
    let failed = Lookup::Failed(DnsError::Server);
    assert_eq!(resolver.addresses(&name("here.example")).await, failed);
    let lookup = resolver.addresses(&name("closed.example")).await;
    assert!(matches!(lookup, Lookup::Found { .. }));
}
