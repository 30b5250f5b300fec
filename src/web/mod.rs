//! Role: HTTPS. Publishes the keys of our users by WKD, and nothing else.
//!
//! Knows streams and traits: no socket, no file, no other role. [`answer()`] decides what a
//! question gets without any of them; [`Web::serve`] joins it to a stream, by hyper.
//!
//! # What it trusts, and what not
//! It trusts [`Publish`] to give out only what its account files vouch for. Everything a client
//! says is read under limits: octets and number of its header fields, requests on a connection, the
//! time for each and for all. No request has a body that is read. Whose key was asked for is in no
//! log.
//!
//! # Known gaps
//! - Who can ask can find out which addresses exist here; a Web Key Directory is made for that.
//! - HTTP/1.1 only. The update protocol (draft §4) is not offered: keys are changed by command.
//! - Nobody is redirected, and port 80 is not served.
//!
//! # Standards
//! draft-koch-openpgp-webkey-service-22 §3.1 (both methods) and §4.5 (policy file), RFC 9110, RFC
//! 9112 (HTTP/1.1), RFC 9111 (caching), the Fetch standard (`Access-Control-Allow-Origin`).

mod answer;
mod events;
mod serve;

#[cfg(test)]
mod tests;

pub use answer::{Answer, Question, answer, key_urls};
pub use events::WebEvent;

use crate::base::event::Log;
use crate::seams::{BoxStream, Publish, UpgradeTls};
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// What the administrator can set, and what is fixed. Units are in the names.
#[derive(Clone, Debug)]
pub struct Options {
    /// The domains whose keys are published, in lower case.
    pub domains: Vec<String>,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long the header of one request may take, the wait for it included.
    pub request_timeout: Duration,
    /// How long a connection may live, whatever is done on it.
    pub connection_timeout: Duration,
    /// Requests on one connection; after the last it is closed.
    pub requests_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            domains: Vec::new(),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(60),
            requests_max: 100,
        }
    }
}

/// What connections are given to work with.
#[derive(Clone)]
pub struct World {
    /// Gives out certificates.
    pub publish: Arc<dyn Publish>,
    /// Shakes hands.
    pub tls: Arc<dyn UpgradeTls>,
    /// Where events go.
    pub log: Log,
}

/// The web role, shared by all connections.
pub struct Web {
    options: RwLock<Arc<Options>>,
    world: World,
}

impl Web {
    /// HTTPS for these domains.
    pub fn new(options: Options, world: World) -> Arc<Web> {
        Arc::new(Web { options: RwLock::new(Arc::new(options)), world })
    }

    /// Puts new options in force for connections that begin from now on.
    pub fn reload(&self, options: Options) {
        *self.options.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(options);
    }

    /// Serves one connection from its TLS handshake until it ends. When `draining` becomes true,
    /// the request that is under way is answered and the connection is closed.
    pub async fn serve(&self, stream: BoxStream, peer: IpAddr, draining: watch::Receiver<bool>) {
        let options = self.options.read().unwrap_or_else(PoisonError::into_inner).clone();
        serve::serve(options, self.world.clone(), stream, peer, draining).await;
    }
}
