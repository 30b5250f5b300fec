//! The signer of what goes out, from the configuration and the key files.

use crate::base::clock::Clock;
use crate::config::{Config, convert};
use crate::host::dkim_key::{DkimKey, KeyError};
use crate::mailauth::{Signer, SigningKey};
use std::sync::Arc;

/// A signer with the keys that `config` names; `None` where it names none.
pub fn signer(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Signer>, KeyError> {
    let mut keys: Vec<Arc<dyn SigningKey>> = Vec::new();
    for (kind, path) in convert::dkim_keys(config) {
        keys.push(Arc::new(DkimKey::read(path, kind)?));
    }
    let (selector, domains) = (config.dkim.selector.clone(), convert::domains(config));
    Ok((!keys.is_empty()).then(|| Signer::new(keys, selector, domains, clock)))
}
