//! Opens everything, in the order in which things need each other: log, keys, disk, journal,
//! accounts, TLS, listeners, control socket. What fails is named in one sentence.

use super::discovery::{Discovery, Given};
use super::events::ServerEvent;
use super::outbound::{self, Outbound};
use super::sending::{self, Sending};
use super::store::Store;
use super::{Server, Shared, admission::Admission};
use crate::base::budget::ByteBudget;
use crate::base::clock::Clock;
use crate::base::crypto::Key;
use crate::base::entropy::Entropy;
use crate::base::event::Log;
use crate::config::{Config, convert};
use crate::host::clock::SystemClock;
use crate::host::control::ControlSocket;
use crate::host::dkim_key::KeyError;
use crate::host::entropy::SystemEntropy;
use crate::host::files::{self, FileError};
use crate::host::listen::{Kind, Listener};
use crate::host::log::{Destination, JsonLog, Style};
use crate::host::tls::{Tls, TlsError};
use crate::host::{listen, process};
use crate::mailbox::imap::{self, Imap};
use crate::mailbox::{self, Mailboxes};
use crate::relay;
use crate::relay::prepare::Preparer;
use crate::vault::ServerKeys;
use crate::web::{self, Web};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, RwLock};
use tokio::sync::watch;

/// Octets of an alias file: a hundred thousand aliases.
const ALIAS_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Why the server did not start.
#[derive(Debug)]
pub enum StartError {
    /// A file of keys or aliases.
    File(FileError),
    /// There is a journal but not its key.
    JournalKeyMissing(std::path::PathBuf),
    /// There is a queue but not its key.
    QueueKeyMissing(std::path::PathBuf),
    /// The queue.
    Queue(relay::queue::OpenError),
    /// The data directory or the journal in it.
    Store(super::store::StoreError),
    /// The account files.
    Accounts(String),
    /// Certificate and key.
    Tls(TlsError),
    /// The log's file.
    Log(io::Error),
    /// An address that cannot be listened on.
    Listen(&'static str, SocketAddr, io::Error),
    /// The control socket.
    Control(std::path::PathBuf, io::Error),
    /// The aliases.
    Aliases(String),
    /// The literal zone.
    Zone(String),
    /// The ledger.
    Ledger(String),
    /// A key that mail is signed with.
    Dkim(KeyError),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StartError::File(error) => error.fmt(f),
            StartError::JournalKeyMissing(path) => write!(
                f,
                "{}: the journal's key is missing, and there is a journal; put the key back",
                path.display()
            ),
            StartError::QueueKeyMissing(path) => write!(
                f,
                "{}: the queue's key is missing, and there is a queue; put the key back",
                path.display()
            ),
            StartError::Queue(error) => write!(f, "queue: {error}"),
            StartError::Store(error) => error.fmt(f),
            StartError::Accounts(error) => write!(f, "accounts: {error}"),
            StartError::Tls(error) => error.fmt(f),
            StartError::Log(error) => write!(f, "log.destination: {error}"),
            StartError::Listen(kind, address, error) => {
                write!(f, "listen.{kind}: {address}: {error}")
            }
            StartError::Control(path, error) => {
                write!(f, "server.control_socket: {}: {error}", path.display())
            }
            StartError::Aliases(error) => write!(f, "mail.aliases: {error}"),
            StartError::Zone(error) => write!(f, "network.zone: {error}"),
            StartError::Ledger(error) => write!(f, "ledger: {error}"),
            StartError::Dkim(error) => write!(f, "dkim: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl Server {
    /// Opens everything that `config`, read from `file`, names. Nothing is served yet, but the
    /// listeners are bound, so that connections wait for [`Server::run`].
    pub async fn start(file: &Path, config: Config) -> Result<Server, StartError> {
        process::raise_open_files();
        let (ground, log) = Ground::lay(&config)?;
        let tls =
            Tls::load(&config.tls.certificate.0, &config.tls.key.0).map_err(StartError::Tls)?;
        let (certificate, key) = convert::web_certificate(&config);
        let web_tls = Tls::load_for_web(certificate, key).map_err(StartError::Tls)?;
        let (journal_key, pepper) = keys(&config, &*ground.entropy)?;
        let store =
            Store::open(&config.server.data_dir.0, &journal_key, &ground.entropy, &ground.events)
                .await
                .map_err(StartError::Store)?;
        let mailboxes = ground.mailboxes(&config, &store, ServerKeys::new(&journal_key, pepper))?;
        let outbound = ground.outbound(&config, &store).await?;
        let discovery = ground.discovery(&config, &store, &journal_key).await?;
        let sending = ground.sending(&config, &discovery, &mailboxes)?;
        let budget = ByteBudget::new(config.smtp.memory.0);
        let imap = ground.imap(&config, &mailboxes, &tls, &budget);
        let web = ground.web(&config, &mailboxes, &web_tls);
        let world = relay::World {
            deliver: Arc::new(mailboxes.clone()),
            outbound: Some(relay::Outbound {
                enqueue: Arc::new(outbound.queue.clone()),
                prepare: Arc::<Preparer>::clone(&sending.preparer),
            }),
            check_sender: discovery.check_sender().filter(|_| config.incoming.authenticate),
            keys: Some(discovery.keys()),
            authenticate: Arc::new(mailboxes.clone()),
            tls: Some(Arc::new(tls.clone())),
            message_budget: budget,
            clock: Arc::clone(&ground.clock),
            entropy: ground.entropy,
            log: ground.events.clone(),
        };
        let aliases = read_aliases(&config).map_err(StartError::Aliases)?;
        let receiver = relay::Receiver::new(convert::relay(&config, aliases), world);
        let listeners = listeners(&config, &ground.events)?;
        let socket = &config.server.control_socket.0;
        let control = ControlSocket::bind(socket)
            .map_err(|error| StartError::Control(socket.clone(), error))?;
        let shared = Shared {
            file: file.into(),
            config: RwLock::new(config),
            log,
            events: ground.events,
            tls,
            web_tls,
            mailboxes,
            discovery,
            receiver,
            queue: outbound.queue.clone(),
            imap,
            web,
            sending,
            clock: ground.clock,
            doubts_said: Mutex::default(),
            admission: Admission::default(),
            stopping: watch::Sender::new(false),
        };
        Ok(Server { shared: Arc::new(shared), listeners, control, store, outbound })
    }

    /// The mailbox role, for accounts that are made before serving.
    pub fn mailboxes(&self) -> &Mailboxes {
        &self.shared.mailboxes
    }
}

/// What everything stands on.
struct Ground {
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    events: Log,
}

impl Ground {
    fn lay(config: &Config) -> Result<(Ground, Arc<JsonLog>), StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
        let log = open_log(config, &clock, &entropy)?;
        let events = Log::new(log.clone());
        if config.server.test {
            events.emit(&ServerEvent::TestSetup);
        }
        Ok((Ground { clock, entropy, events }, log))
    }

    fn mailboxes(
        &self,
        config: &Config,
        store: &Store,
        keys: ServerKeys,
    ) -> Result<Mailboxes, StartError> {
        Mailboxes::open(mailbox::Parts {
            log: store.log(),
            disk: store.disk(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            events: self.events.clone(),
            keys: Arc::new(keys),
            options: convert::mailbox(config, cores()),
        })
        .map_err(|error| StartError::Accounts(error.to_string()))
    }

    async fn outbound(&self, config: &Config, store: &Store) -> Result<Outbound, StartError> {
        let parts = outbound::Parts {
            disk: store.disk(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            events: self.events.clone(),
        };
        Outbound::open(config, parts).await
    }

    async fn discovery(
        &self,
        config: &Config,
        store: &Store,
        journal_key: &Key,
    ) -> Result<Discovery, StartError> {
        let given = Given {
            disk: store.disk(),
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            events: &self.events,
            journal_key,
        };
        Discovery::open(config, given).await
    }

    fn sending(
        &self,
        config: &Config,
        discovery: &Discovery,
        mailboxes: &Mailboxes,
    ) -> Result<Sending, StartError> {
        let given = sending::Given {
            discovery,
            mailboxes,
            clock: Arc::clone(&self.clock),
            entropy: Arc::clone(&self.entropy),
            events: &self.events,
        };
        Sending::open(config, given)
    }

    fn imap(
        &self,
        config: &Config,
        mailboxes: &Mailboxes,
        tls: &Tls,
        budget: &ByteBudget,
    ) -> Arc<Imap> {
        let world = imap::World {
            mailboxes: mailboxes.clone(),
            tls: Some(Arc::new(tls.clone())),
            message_budget: budget.clone(),
            log: self.events.clone(),
        };
        Imap::new(convert::imap(config), world)
    }

    fn web(&self, config: &Config, mailboxes: &Mailboxes, tls: &Tls) -> Arc<Web> {
        let world = web::World {
            publish: Arc::new(mailboxes.clone()),
            tls: Arc::new(tls.clone()),
            log: self.events.clone(),
        };
        Web::new(convert::web(config), world)
    }
}

fn open_log(
    config: &Config,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Arc<JsonLog>, StartError> {
    let style = Style { level: convert::log_level(config), hashed: convert::log_hashed(config) };
    let destination = log_destination(config);
    JsonLog::open(&destination, style, Arc::clone(clock), Arc::clone(entropy))
        .map_err(StartError::Log)
}

/// Where the log of `config` goes.
pub fn log_destination(config: &Config) -> Destination {
    convert::log_file(config).map_or(Destination::Stderr, |path| Destination::File(path.into()))
}

/// The journal key is made at the very first start; a journal whose key is gone is not taken over.
fn keys(config: &Config, entropy: &dyn Entropy) -> Result<(Key, Option<Key>), StartError> {
    let path = &config.keys.journal.0;
    let journal = match files::exists(path) {
        true => files::read_key(path),
        false if files::exists(&config.server.data_dir.0.join("journal")) => {
            return Err(StartError::JournalKeyMissing(path.clone()));
        }
        false => files::create_key(path, entropy),
    };
    let pepper = config.keys.pepper.as_ref().map(|path| files::read_key(&path.0)).transpose();
    Ok((journal.map_err(StartError::File)?, pepper.map_err(StartError::File)?))
}

/// Binds every address. One that this machine does not have (IPv6 switched off, say) is passed over
/// with a warning as long as another of its list is bound.
fn listeners(config: &Config, events: &Log) -> Result<Vec<Listener>, StartError> {
    let listen = &config.listen;
    let kinds: [(Kind, &[SocketAddr]); 6] = [
        (Kind::Smtp, &listen.smtp),
        (Kind::Submission, &listen.submission),
        (Kind::Submissions, &listen.submissions),
        (Kind::Imap, &listen.imap),
        (Kind::Imaps, &listen.imaps),
        (Kind::Https, &listen.https),
    ];
    let mut all = Vec::new();
    for (kind, addresses) in kinds {
        all.extend(listeners_of(kind, addresses, events)?);
    }
    Ok(all)
}

fn listeners_of(
    kind: Kind,
    addresses: &[SocketAddr],
    events: &Log,
) -> Result<Vec<Listener>, StartError> {
    let mut bound = Vec::new();
    let mut missing = None;
    for &address in addresses {
        match Listener::bind(kind, address) {
            Ok(listener) => {
                let address = listener.address().unwrap_or(address);
                events.emit(&ServerEvent::Listening { kind: kind.word(), address });
                bound.push(listener);
            }
            Err(error) if listen::is_missing_family(&error) => {
                let text = error.to_string();
                let kind = kind.word();
                events.emit(&ServerEvent::NotListening { kind, address, error: &text });
                missing = Some(StartError::Listen(kind, address, error));
            }
            Err(error) => return Err(StartError::Listen(kind.word(), address, error)),
        }
    }
    match missing {
        Some(error) if bound.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// The aliases of `config`, or what is wrong with their file.
pub fn read_aliases(config: &Config) -> Result<relay::Aliases, String> {
    let Some(path) = &config.mail.aliases else { return Ok(relay::Aliases::default()) };
    let text = files::read_text(&path.0, ALIAS_BYTES_MAX).map_err(|error| error.to_string())?;
    relay::Aliases::parse(&text, &convert::domains(config))
        .map_err(|error| format!("{}: {error}", path.0.display()))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
