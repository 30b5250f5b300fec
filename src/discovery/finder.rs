//! One search: names, addresses, questions, at most three redirects, one end.
//!
//! The name of a host is resolved once for each question, its addresses are vetted, and the
//! connection goes to one of them: what is vetted is what is connected to. The second place is
//! asked only if the first has no address (draft §3.1), never because it does not answer; who could
//! make us go there by silence could choose who answers.
//!
//! # Standards
//! draft-koch-openpgp-webkey-service-22 §3.1.
//!
//! # Known gaps
//! A directory learns when we write to whom. A slow judgement of a hostile certificate (up to a
//! tenth of a second) is not interrupted by the deadline.

use super::answer::{self, Addresses, Answer, Outcome};
use super::verdict::FailWhy;
use super::vet::Vet;
use super::wkd::{self, Place};
use crate::base::clock::{Clock, Instant, Timer, within};
use crate::base::fetch::{Fetch, FetchError, FetchRequest, Fetched};
use crate::dns::{Name, Proof, Resolver};
use crate::mail::Address;
use crate::pgp;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Redirects that are followed.
const REDIRECTS_MAX: usize = 3;
/// Addresses of one host that are tried before it counts as unreachable.
const TRIES_MAX: usize = 3;

/// What a search works with.
#[derive(Clone)]
pub struct World {
    /// Resolves names.
    pub resolver: Arc<dyn Resolver>,
    /// Asks by HTTPS.
    pub fetch: Arc<dyn Fetch>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Ends what takes too long.
    pub timer: Arc<dyn Timer>,
}

/// How it is searched.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where connections may go.
    pub vet: Vet,
    /// The port of HTTPS: 443 but for closed networks.
    pub https_port: u16,
    /// How long a search may take as a whole.
    pub time_max: Duration,
}

/// A search that has ended.
#[derive(Clone, Debug)]
pub struct Search {
    /// What it found out.
    pub outcome: Outcome,
    /// What was done, a sentence each, for the one who asks. Names the address: never for a log.
    pub steps: Vec<String>,
    /// Whether what was found was armored, which it should not be.
    pub armored: bool,
}

/// Searches the directories of the network for keys. Remembers nothing.
pub struct Finder {
    world: World,
    options: Options,
}

impl std::fmt::Debug for Finder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Finder")
    }
}

impl Finder {
    /// A finder in `world`.
    pub fn new(world: World, options: Options) -> Finder {
        Finder { world, options }
    }

    /// Searches for the key of `address`.
    pub async fn search(&self, address: &Address) -> Search {
        let mut search = Search {
            outcome: Outcome::Failed(FailWhy::Timeout),
            steps: Vec::new(),
            armored: false,
        };
        let time_max = self.options.time_max;
        let deadline = self.world.clock.monotonic().after(time_max);
        let mut way = Way { finder: self, address, deadline, search: &mut search };
        let outcome = within(&*self.world.timer, time_max, way.search()).await;
        match outcome {
            Some(outcome) => search.outcome = outcome,
            None => search.steps.push(format!("given up after {} s", time_max.as_secs())),
        }
        search
    }
}

/// A search under way.
struct Way<'a> {
    finder: &'a Finder,
    address: &'a Address,
    deadline: Instant,
    search: &'a mut Search,
}

impl Way<'_> {
    async fn search(&mut self) -> Outcome {
        let Some(direct) = wkd::direct(self.address) else {
            self.step(format!("{} is no name: it has no directory", self.address.domain()));
            return Outcome::Absent;
        };
        if let Some(advanced) = wkd::advanced(self.address) {
            match self.resolve(&advanced.host).await {
                Addresses::Found(addresses) => return self.ask(advanced, addresses).await,
                Addresses::Failed(why) => return Outcome::Failed(why),
                Addresses::Absent(_) => {}
            }
        }
        match self.resolve(&direct.host).await {
            Addresses::Found(addresses) => self.ask(direct, addresses).await,
            Addresses::Failed(why) => Outcome::Failed(why),
            Addresses::Absent(_) => Outcome::Absent,
        }
    }

    async fn resolve(&mut self, host: &Name) -> Addresses {
        let lookup = self.finder.world.resolver.addresses(host).await;
        let addresses = answer::addresses(lookup);
        self.step(match &addresses {
            Addresses::Found(list) => format!("{host} is at {}", listed(list)),
            Addresses::Absent(Proof::Secure) => format!("{host} has no address, as DNSSEC proves"),
            Addresses::Absent(Proof::Insecure) => {
                format!("{host} has no address, as far as an unsigned answer goes")
            }
            Addresses::Failed(why) => format!("{host}: {why}"),
        });
        addresses
    }

    /// Asks at `place`, and wherever it is sent.
    async fn ask(&mut self, mut place: Place, mut addresses: Vec<IpAddr>) -> Outcome {
        let mut redirects = 0;
        loop {
            let allowed = self.vetted(&addresses);
            if allowed.is_empty() {
                return Outcome::Failed(FailWhy::Forbidden);
            }
            let (location, status) = match answer::answer(self.get(&place, &allowed).await) {
                Answer::Published(body) => return self.published(&body),
                Answer::Absent => return Outcome::Absent,
                Answer::Failed(why) => return Outcome::Failed(why),
                Answer::Elsewhere { location, status } => (location, status),
            };
            redirects += 1;
            match self.redirected(&place, &location).filter(|_| redirects <= REDIRECTS_MAX) {
                Some(next) => place = next,
                None => {
                    self.step("which is not followed".into());
                    return Outcome::Failed(FailWhy::Status(status));
                }
            }
            addresses = match self.resolve(&place.host).await {
                Addresses::Found(addresses) => addresses,
                // The directory exists and sends us nowhere: that says nothing about the key.
                Addresses::Absent(_) => return Outcome::Failed(FailWhy::Dns),
                Addresses::Failed(why) => return Outcome::Failed(why),
            };
        }
    }

    fn vetted(&mut self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut allowed = Vec::new();
        for address in addresses {
            match self.finder.options.vet.judge(*address) {
                Ok(()) => allowed.push(*address),
                Err(word) => self.step(format!("{address} is not asked: {word}")),
            }
        }
        allowed.truncate(TRIES_MAX);
        allowed
    }

    /// Asks one address after another until one answers, each with its share of the time.
    async fn get(&mut self, place: &Place, allowed: &[IpAddr]) -> Result<Fetched, FetchError> {
        let mut last = Err(FetchError::Connect);
        for (tried, address) in allowed.iter().enumerate() {
            let rest = self.deadline.since(self.finder.world.clock.monotonic());
            let request = FetchRequest {
                host: place.host.as_str().to_owned(),
                address: *address,
                port: self.finder.options.https_port,
                path: place.path.clone(),
                body_bytes_max: pgp::PEER_CERT_BYTES_MAX,
                time_max: rest / (allowed.len() - tried) as u32,
            };
            last = self.finder.world.fetch.get(request).await;
            self.step(match &last {
                Ok(fetched) => format!(
                    "https://{}{} at {address}: status {}, {} octets",
                    place.host,
                    place.path,
                    fetched.status,
                    fetched.body.len()
                ),
                Err(error) => format!("https://{}{} at {address}: {error}", place.host, place.path),
            });
            if !matches!(last, Err(FetchError::Connect | FetchError::Timeout)) {
                break;
            }
        }
        last
    }

    fn redirected(&mut self, from: &Place, location: &str) -> Option<Place> {
        let shown: String = location.chars().take(200).flat_map(char::escape_default).collect();
        self.step(format!("sent to {shown}"));
        let domain = Name::parse(self.address.domain()).ok()?;
        wkd::redirected(from, location, &domain, self.finder.options.https_port)
    }

    fn published(&mut self, body: &[u8]) -> Outcome {
        self.search.armored = !answer::is_binary(body);
        let outcome = answer::published(body, self.address, self.finder.world.clock.now());
        let armored = if self.search.armored { ", armored although it should not be" } else { "" };
        self.step(match &outcome {
            Outcome::Key(cert) => format!("certificate {}{armored}", cert.primary()),
            Outcome::Unusable(why) => format!("{why}{armored}"),
            Outcome::Failed(why) => why.to_string(),
            Outcome::Absent => "nothing".into(),
        });
        outcome
    }

    fn step(&mut self, sentence: String) {
        self.search.steps.push(sentence);
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}
