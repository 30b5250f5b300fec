//! Delivers consignments to other servers: the driver of the SMTP client.
//!
//! One attempt goes through the servers of the domain in their order, and through their addresses.
//! A connection that fails, a server that says "not now" or lacks what the message needs: the next
//! one is asked. A server that says "never" of a sender, recipient or message is believed, and so
//! is one that took it. When a connection breaks behind the end of a message, nobody else is asked:
//! the server may have it, and a duplicate is certain enough with the next attempt (RFC 1047).
//!
//! TLS is used where it is offered; unless the configuration asks for more, a handshake that fails
//! leads to a second connection in clear, for such mail would else go nowhere (RFC 7435). That one
//! is not kept: each message tries TLS anew.
//!
//! # Standards
//! RFC 5321 §4.5.3.2 (timeouts), §4.5.4 (strategy), §5.1 (order of servers); RFC 3207, RFC 7435,
//! RFC 7504, RFC 8314.
//!
//! # Known gaps
//! No DANE (RFC 7672) and no MTA-STS (RFC 8461): the name that a certificate is checked for is the
//! one that MX records give, forged or not. A relay that is configured is checked by the name in
//! the configuration. How many connections one destination gets at once
//! is the queue's to decide.

mod attempt;
mod connection;
mod events;
mod options;
mod pool;
mod trouble;

use std::sync::{Arc, PoisonError, RwLock};

use self::attempt::Attempt;
use self::pool::Pool;
use super::outgoing::{Consignment, Failure, Outcome, Transmit};
use super::route::{self, NoRoute, Place};
use crate::base::BoxFuture;
use crate::seams::PeerCheck;
use crate::smtp::client::{self, Content, Security};

pub use options::{Options, Reuse, Timeouts, TlsPolicy, World};

/// The sending side of the role, shared by all deliveries. Must live within a tokio runtime.
pub struct Transmitter {
    settings: RwLock<Arc<Settings>>,
    world: World,
    pool: Arc<Pool>,
}

/// The options, and what is made of them once.
struct Settings {
    options: Options,
    timeouts: Arc<Timeouts>,
    /// What a session is told first, and after a handshake that failed.
    usual: Arc<client::Options>,
    clear: Arc<client::Options>,
    policy: TlsPolicy,
    check: PeerCheck,
}

impl Transmitter {
    /// A transmitter.
    pub fn new(options: Options, world: World) -> Arc<Transmitter> {
        let settings = RwLock::new(Arc::new(Settings::new(options)));
        Arc::new(Transmitter { settings, world, pool: Arc::default() })
    }

    /// Puts new options in force for attempts that begin from now on, with new connections.
    pub fn reload(&self, options: Options) {
        let settings = Arc::new(Settings::new(options));
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = settings;
        self.pool.clear();
    }

    /// Closes the connections that wait. Does not wait for it.
    pub fn close_idle(&self) {
        self.pool.clear();
    }

    /// Where mail for `domain` would go, as names or addresses in the order in which they are
    /// tried; or in a sentence why nowhere.
    pub async fn route(&self, domain: &str) -> Result<Vec<String>, String> {
        let settings = self.settings();
        let places = self.places(domain, &settings).await;
        places
            .map(|places| places.iter().map(Place::name).collect())
            .map_err(|no_route| no_route.text)
    }

    async fn places(&self, domain: &str, settings: &Settings) -> Result<Vec<Place>, NoRoute> {
        let (resolver, entropy) = (self.world.resolver.as_ref(), self.world.entropy.as_ref());
        let Settings { options, check, .. } = settings;
        match &options.relayhost {
            Some(relayhost) => relayhost.places(resolver, entropy, *check).await,
            None => route::places(domain, resolver, entropy, &options.hostname).await,
        }
    }

    fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Transmit for Transmitter {
    fn transmit(&self, consignment: Consignment) -> BoxFuture<'_, Vec<Outcome>> {
        Box::pin(async move {
            let content = match Content::new(Arc::clone(&consignment.message)) {
                Ok(content) => content,
                Err(fault) => {
                    let (status, text) = ("5.6.0".to_owned(), fault.to_string());
                    let failure = Failure { host: None, status, text };
                    return vec![Outcome::Failed(failure); consignment.recipients.len()];
                }
            };
            let settings = self.settings();
            Attempt::new(self, &settings, &consignment, content).run().await
        })
    }
}

impl Settings {
    fn new(options: Options) -> Settings {
        let credential = options.credential.clone().filter(|_| options.relayhost.is_some());
        // RFC 4954 §6 and §14: a password goes to nobody whose name is not verified.
        let policy = if credential.is_some() { TlsPolicy::Verify } else { options.tls };
        let told = |security, credential| {
            let hostname = options.hostname.clone();
            Arc::new(client::Options { hostname, security, credential })
        };
        let (security, check) = match policy {
            TlsPolicy::May => (Security::May, PeerCheck::Nothing),
            TlsPolicy::Encrypt => (Security::Must, PeerCheck::Nothing),
            TlsPolicy::Verify => (Security::Must, PeerCheck::Name),
        };
        Settings {
            usual: told(security, credential),
            clear: told(Security::Never, None),
            timeouts: Arc::new(options.timeouts.clone()),
            options,
            policy,
            check,
        }
    }
}

#[cfg(test)]
mod tests;
