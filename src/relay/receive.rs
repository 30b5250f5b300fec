//! Drives one SMTP session.

use std::sync::Arc;

use tokio::sync::watch;

use super::options::{Connection, Options, World};

/// The receiving side of the role, shared by all connections.
pub struct Receiver {
    world: World,
}

impl Receiver {
    /// A receiver.
    pub fn new(options: Options, world: World) -> Arc<Receiver> {
        let _ = options;
        Arc::new(Receiver { world })
    }

    /// Puts new options in force for sessions that begin from now on.
    pub fn reload(&self, options: Options) {
        let _ = options;
        todo!()
    }

    /// Serves one connection until it ends. When `draining` becomes true, an idle session is ended
    /// with 421 at once; one in the midst of a message may finish it. Dropping the future ends the
    /// session at any point without a false 250.
    pub async fn serve(&self, connection: Connection, draining: watch::Receiver<bool>) {
        let _ = (connection, draining, &self.world);
        todo!()
    }
}
