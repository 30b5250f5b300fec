//! What mail to others passes through, wired: keys of recipients, the plan, the seal, the
//! signature, and the connections that carry it.

use super::discovery::Discovery;
use super::signer::signer;
use super::start::StartError;
use crate::base::clock::Clock;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::base::secret::SecretBytes;
use crate::config::{Config, convert};
use crate::host::dial::{Dialer, Trust};
use crate::host::files::{self, FileError};
use crate::mailauth::Signer;
use crate::mailbox::Mailboxes;
use crate::relay::prepare::{PrepareOptions, PrepareWorld, Preparer, Sign};
use crate::relay::{Transmitter, transmit};
use std::path::Path;
use std::sync::Arc;

/// The parts of the server that mail to others passes through.
pub(super) struct Sending {
    /// Looks up, plans, seals, signs.
    pub preparer: Arc<Preparer>,
    /// Delivers.
    pub transmitter: Arc<Transmitter>,
    dialer: Arc<Dialer>,
}

/// What was opened before, and is worked with.
pub(super) struct Given<'a> {
    pub discovery: &'a Discovery,
    pub mailboxes: &'a Mailboxes,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
    pub events: &'a Log,
}

impl Sending {
    pub fn open(config: &Config, given: Given<'_>) -> Result<Sending, StartError> {
        let Given { discovery, mailboxes, clock, entropy, events } = given;
        let sign: Arc<dyn Sign> = match signer(config, Arc::clone(&clock)) {
            Ok(Some(signer)) => Arc::<Signer>::new(signer),
            Ok(None) => Arc::new(Unsigned),
            Err(error) => return Err(StartError::Dkim(error)),
        };
        let preparer = Preparer::new(
            convert::seal(config),
            PrepareWorld {
                keys: discovery.keys(),
                publish: Arc::new(mailboxes.clone()),
                sign,
                clock,
                entropy: Arc::clone(&entropy),
                log: events.clone(),
            },
        );
        let dialer = Arc::new(Dialer::new(roots(config)).map_err(StartError::Tls)?);
        let password = password(config).map_err(StartError::File)?;
        let transmitter = Transmitter::new(
            convert::outgoing(config, password),
            transmit::World {
                dial: Arc::<Dialer>::clone(&dialer),
                resolver: discovery.resolver(),
                entropy,
                log: events.clone(),
            },
        );
        Ok(Sending { preparer: Arc::new(preparer), transmitter, dialer })
    }

    /// Reads what lies in files again, for [`Sending::take_up`].
    pub fn read(config: &Config) -> Result<Fresh, String> {
        let password = password(config).map_err(|error| error.to_string())?;
        let trust = Trust::read(roots(config));
        Ok(Fresh {
            trust: trust.map_err(|error| format!("network.tls_roots: {error}"))?,
            outgoing: convert::outgoing(config, password),
            seal: convert::seal(config),
        })
    }

    /// Puts what was read in force.
    pub fn take_up(&self, fresh: Fresh) {
        self.dialer.trust(fresh.trust);
        self.transmitter.reload(fresh.outgoing);
        self.preparer.reload(fresh.seal);
    }
}

/// What a reload changes, read and not in force yet.
pub(super) struct Fresh {
    trust: Trust,
    outgoing: transmit::Options,
    seal: PrepareOptions,
}

/// Without keys nothing is signed.
struct Unsigned;

impl Sign for Unsigned {
    fn sign(&self, _message: &[u8], _from_domain: &str) -> Option<Vec<u8>> {
        None
    }
}

fn roots(config: &Config) -> Option<&Path> {
    config.network.tls_roots.as_ref().map(|path| path.0.as_path())
}

/// The password for the relay, where there is one.
fn password(config: &Config) -> Result<Option<SecretBytes>, FileError> {
    let path = config.outgoing.relayhost_password_file.as_ref();
    path.map(|path| files::read_password(&path.0)).transpose()
}
