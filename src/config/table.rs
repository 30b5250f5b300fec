//! The table of all options: the one place where an option is named, typed, explained and given its
//! default.
//!
//! Each entry reads `key: Type = default(TOML text), takes effect, "two sentences"`. The macro
//! below makes the typed structures, the rows for people and the comparison for a reload from it,
//! so that none of them can drift from the others.

use super::parse::Reader;
use super::values::{
    Delimiter, DomainName, FilePath, LogAddresses, LogDestination, LogLevel, Setting, Size,
};
use std::net::SocketAddr;
use std::time::Duration;

/// When a changed option takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// At the next reload (SIGHUP), for new sessions.
    Reload,
    /// At the next start.
    Restart,
}

/// What stands for an option that the file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// This TOML text.
    Default(&'static str),
    /// Nothing: the option must be set. The text is an example.
    Required(&'static str),
}

impl Fallback {
    /// The TOML text to show.
    pub fn text(self) -> &'static str {
        match self {
            Fallback::Default(text) | Fallback::Required(text) => text,
        }
    }
}

/// One option, as people see it.
#[derive(Debug)]
pub struct Row {
    /// The section's name.
    pub section: &'static str,
    /// The key within the section.
    pub key: &'static str,
    /// What kind of value it takes, with its unit.
    pub kind: &'static str,
    /// Its default.
    pub fallback: Fallback,
    /// When a change takes effect.
    pub effect: Effect,
    /// What it is for.
    pub about: &'static str,
}

/// A section with its rows.
#[derive(Debug)]
pub struct Section {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its options.
    pub rows: &'static [Row],
}

macro_rules! options {
    ($(
        $section:ident: $Section:ident $heading:literal {
            $(
                $key:ident: $Type:ty = $fallback:ident($text:literal), $effect:ident,
                    $about:literal;
            )*
        }
    )*) => {
        /// A whole configuration.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $( #[doc = $heading] pub $section: $Section, )*
        }

        $(
            #[doc = $heading]
            #[derive(Clone, Debug, PartialEq)]
            pub struct $Section {
                $( #[doc = $about] pub $key: $Type, )*
            }

            impl $Section {
                fn read(reader: &mut Reader<'_>) -> Option<Self> {
                    $( let $key = reader.take(stringify!($section), stringify!($key)); )*
                    Some($Section { $( $key: $key? ),* })
                }
            }
        )*

        impl Config {
            /// Reads every section before giving up, so that all problems are found.
            pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
                $( let $section = $Section::read(reader); )*
                Some(Config { $( $section: $section? ),* })
            }

            /// The rows whose values differ between two configurations.
            pub fn differences(&self, other: &Config) -> Vec<&'static Row> {
                let mut rows = TABLE.iter().flat_map(|section| section.rows);
                let mut out = Vec::new();
                $($(
                    let row = rows.next();
                    if self.$section.$key != other.$section.$key {
                        out.extend(row);
                    }
                )*)*
                out
            }
        }

        /// Every option of Postseal.
        pub const TABLE: &[Section] = &[
            $( Section {
                name: stringify!($section),
                about: $heading,
                rows: &[
                    $( Row {
                        section: stringify!($section),
                        key: stringify!($key),
                        kind: <$Type as Setting>::KIND,
                        fallback: Fallback::$fallback($text),
                        effect: Effect::$effect,
                        about: $about,
                    }, )*
                ],
            }, )*
        ];
    };
}

options! {
    server: Server "Who this server is and where it keeps what it has." {
        hostname: DomainName = Required(r#""mail.example.org""#), Restart,
            "The server's own name, as it stands in greetings and Received fields. It should \
             have an address record and be among the certificate's names.";
        data_dir: FilePath = Default(r#""/var/lib/postseal""#), Restart,
            "The directory that holds accounts, journal and index. Only one server may use it at \
             a time, and only its user may read it.";
        control_socket: FilePath = Default(r#""/run/postseal/control""#), Restart,
            "The Unix socket by which the commands reach the running server. Only root and the \
             server's own user are listened to.";
        drain: Duration = Default(r#""30 s""#), Reload,
            "How long SIGTERM waits for commands and deliveries that are under way. A second \
             SIGTERM does not wait.";
        test: bool = Default("false"), Restart,
            "Marks a set-up for trying things out, such as quickstart makes. Its passwords lie \
             on the disk, so the start and `check` say so each time.";
    }
    keys: Keys "Keys that must not lie in the data directory: who takes the disk should not get \
        them." {
        journal: FilePath = Default(r#""/etc/postseal/journal.key""#), Restart,
            "The key under which the journal and the account files carry their checks, 64 hex \
             digits. It is made at the first start; keep a copy, for without it the journal is \
             not believed.";
        queue: FilePath = Default(r#""/etc/postseal/queue.key""#), Restart,
            "The key under which mail that waits to go out can be opened, 64 hex digits, made at \
             the first start. Who has it and the data directory reads that mail; a path that begins \
             with ${CREDENTIALS_DIRECTORY}/ is a systemd credential.";
        pepper: Option<FilePath> = Default(r#""""#), Restart,
            "A file with 64 hex digits that enter every slow password derivation. With it a \
             stolen data directory cannot be tried against guessed passwords; if it is lost, \
             only recovery codes open.";
    }
    mail: Mail "Whose mail is accepted." {
        domains: Vec<DomainName> = Required(r#"["example.org"]"#), Restart,
            "The domains whose addresses live here. Mail to any other domain is refused, for \
             this server does not relay.";
        aliases: Option<FilePath> = Default(r#""""#), Reload,
            "A text file with lines `alias: address, address`; an alias without domain holds in \
             every domain. Each target must be an account here.";
        postmaster: String = Default(r#""""#), Restart,
            "The account that gets what is sent to postmaster, which is always accepted. When \
             empty, an alias or account of that name must exist.";
        recipient_delimiter: Delimiter = Default(r#""+""#), Reload,
            "What separates a name from its detail, as in alice+lists@example.org. Mail with a \
             detail goes to the account of the name.";
    }
    listen: Listen "On which addresses and ports; an empty list means not at all." {
        smtp: Vec<SocketAddr> = Default(r#"["0.0.0.0:25", "[::]:25"]"#), Restart,
            "Mail from other servers (RFC 5321). STARTTLS is offered, and no login.";
        submission: Vec<SocketAddr> = Default(r#"["0.0.0.0:587", "[::]:587"]"#), Restart,
            "Mail from users with STARTTLS and login (RFC 6409). Only local recipients are \
             accepted.";
        submissions: Vec<SocketAddr> = Default(r#"["0.0.0.0:465", "[::]:465"]"#), Restart,
            "Mail from users with TLS from the first octet and login (RFC 8314 §3.3). Only local \
             recipients are accepted.";
        imap: Vec<SocketAddr> = Default(r#"["0.0.0.0:143", "[::]:143"]"#), Restart,
            "Mail programs with STARTTLS (RFC 3501). No login is possible before TLS.";
        imaps: Vec<SocketAddr> = Default(r#"["0.0.0.0:993", "[::]:993"]"#), Restart,
            "Mail programs with TLS from the first octet (RFC 8314 §3.2). Preferred over STARTTLS.";
    }
    tls: Tls "The certificate. TLS 1.3, and TLS 1.2 with ephemeral keys, are offered, nothing \
        older." {
        certificate: FilePath = Required(r#""/etc/postseal/fullchain.pem""#), Reload,
            "A PEM file with the server's certificate first and then its chain. It is read again \
             at each reload.";
        key: FilePath = Required(r#""/etc/postseal/privkey.pem""#), Reload,
            "A PEM file with the certificate's private key (PKCS#8, SEC1 or PKCS#1). Only the \
             server's user should be able to read it.";
    }
    smtp: Smtp "How much SMTP sessions may use; what is beyond is told to try again later." {
        message_size: Size = Default(r#""50 MiB""#), Reload,
            "The largest message that is taken, announced by SIZE (RFC 1870). Larger ones are \
             refused with 552.";
        memory: Size = Default(r#""512 MiB""#), Restart,
            "Octets of messages on their way in that may be in memory at once, over all sessions, \
             IMAP's APPEND included. What does not fit is answered with 452 or NO before it is \
             read.";
        recipients: u32 = Default("100"), Reload,
            "Recipients of one message. RFC 5321 §4.5.3.1.8 asks for at least 100.";
        hops: u32 = Default("50"), Reload,
            "Received fields that a message may have before it counts as a loop. RFC 5321 §6.3 \
             wants a large number, and Postfix takes 50.";
        sessions: u32 = Default("1000"), Reload,
            "Sessions at once on all SMTP listeners together. More are answered with 421.";
        sessions_per_network: u32 = Default("50"), Reload,
            "Sessions at once from one network, a /24 of IPv4 or a /48 of IPv6. The machine \
             itself is not counted.";
        connections_per_minute: u32 = Default("240"), Reload,
            "New connections from one network within a minute. More are answered with 421.";
        command_timeout: Duration = Default(r#""5 min""#), Reload,
            "How long to wait for a command. RFC 5321 §4.5.3.2.7 asks for at least five minutes.";
        data_timeout: Duration = Default(r#""3 min""#), Reload,
            "How long to wait for the next piece of a message. RFC 5321 §4.5.3.2.5 asks for \
             three minutes.";
        message_timeout: Duration = Default(r#""1 h""#), Reload,
            "How long one message may take as a whole. It bounds senders that drip.";
    }
    imap: Imap "How much IMAP sessions may use." {
        sessions: u32 = Default("5000"), Reload,
            "Sessions at once on each of the two kinds of IMAP listener. More are turned away \
             with BYE.";
        sessions_per_network: u32 = Default("200"), Reload,
            "Sessions at once from one network, a /24 of IPv4 or a /48 of IPv6. A mail program \
             opens up to five for each account.";
        idle_timeout: Duration = Default(r#""30 min""#), Reload,
            "How long a client may be silent after login, IDLE included. RFC 3501 §5.4 asks for \
             at least 30 minutes.";
        login_timeout: Duration = Default(r#""3 min""#), Reload,
            "How long a client may be silent before login. It bounds connections that only wait.";
        body_cache: Size = Default(r#""64 MiB""#), Restart,
            "Octets of opened messages that one session keeps, so that a large one that is \
             fetched in pieces is opened once. At least one message is always kept.";
    }
    queue: Queue "Mail that waits to go out." {
        lifetime: Duration = Default(r#""5 d""#), Reload,
            "After how long a message is given up that could not be delivered, and its sender told. \
             RFC 5321 §4.5.4.1 asks for four to five days.";
        delay_notice: Duration = Default(r#""4 h""#), Reload,
            "After how long the sender is told that a message is late; 0 s for never. He is told \
             once for each recipient.";
        first_retry: Duration = Default(r#""5 min""#), Reload,
            "How long after the first attempt the second one is. Each further wait is longer by a \
             factor of 1.6, up to longest_retry.";
        longest_retry: Duration = Default(r#""4 h""#), Reload,
            "The longest wait between two attempts. A tenth of each wait is left to chance.";
        deliveries: u32 = Default("100"), Reload,
            "Deliveries at once. What does not fit waits for its turn.";
        deliveries_per_domain: u32 = Default("20"), Reload,
            "Deliveries at once to one domain. Domains take turns, so that none keeps the others \
             waiting.";
        messages: u32 = Default("1000000"), Reload,
            "Messages that may wait. More are answered with 452.";
        memory: Size = Default(r#""64 MiB""#), Restart,
            "Octets of messages that are kept in memory for their first attempt. What does not fit \
             is read from the disk.";
    }
    accounts: Accounts "How much one account may hold; beyond it mail for it is answered with \
        452." {
        size: Size = Default(r#""20 GiB""#), Restart,
            "Sealed octets of one account in the journal, mail that waits included. Sealing adds \
             some 3 KiB and up to an eighth to each message.";
        waiting: u32 = Default("1000000"), Restart,
            "Messages that may wait for their owner's next unlock. Each costs its owner a fifth \
             of a millisecond then.";
    }
    unlock: Unlock "How long an account's keys stay in memory. While they do, the server can \
        read its mail." {
        grace: Duration = Default(r#""5 min""#), Restart,
            "How long after the last session has ended. It spares clients that come back each \
             minute the full way in.";
        longest: Duration = Default(r#""12 h""#), Restart,
            "How long at most, sessions or not. Then every session is ended, and the next login \
             opens anew.";
        by_command: Duration = Default(r#""7 d""#), Restart,
            "The longest that `postseal account unlock --hours` may ask for. It is for owners \
             whose mail program logs in but opens nothing.";
    }
    login: Login "The slow derivation that makes guessing passwords dear: 64 MiB and a tenth of \
        a second each." {
        derivations: u32 = Default("2"), Restart,
            "Derivations that run at once, 64 MiB each. More than the machine has cores brings \
             nothing.";
        waiting: u32 = Default("256"), Restart,
            "Logins that may wait for their derivation, fairly by network and account. Beyond it \
             the answer is to try later.";
    }
    log: Log "What is reported, one JSON object a line. Subjects, bodies and secrets never are." {
        level: LogLevel = Default(r#""info""#), Reload,
            "The least urgent events that are still written. Debug and trace output do not exist.";
        addresses: LogAddresses = Default(r#""hashed""#), Reload,
            "How mail addresses and network peers are written. Hashed ones can be compared \
             within a day and not undone; full ones make the log a record of who writes to whom.";
        destination: LogDestination = Default(r#""stderr""#), Reload,
            "Standard error or a file. A file is opened anew at each reload, so that it can be \
             rotated.";
    }
}
