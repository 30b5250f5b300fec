//! The table of all options: the one place where an option is named, typed, explained and given its
//! default.
//!
//! Each entry reads `key: Type = default(TOML text), takes effect, "two sentences"`, with
//! `least(TOML text)` behind the default where less makes no sense. The macro below makes the
//! typed structures, the rows for people and the comparison for a reload from it, so that none of
//! them can drift from the others.

use super::parse::Reader;
use super::values::{
    Delimiter, DmarcAction, DomainName, FieldName, FilePath, LogAddresses, LogDestination,
    LogLevel, Port, Setting, Size,
};
use crate::discovery;
use crate::plan::{Policy, Rule};
use crate::relay::Relayhost;
use crate::relay::transmit::TlsPolicy;
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
    /// The TOML text of the smallest value that makes sense.
    pub least: Option<&'static str>,
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
                $key:ident: $Type:ty = $fallback:ident($text:literal)
                    $(least($least:literal))?, $effect:ident, $about:literal;
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
                        least: [$($least,)?].first().copied(),
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
             the first start. Who has it and the data directory reads that mail; a path that \
             begins with ${CREDENTIALS_DIRECTORY}/ is a systemd credential.";
        pepper: Option<FilePath> = Default(r#""""#), Restart,
            "A file with 64 hex digits that enter every slow password derivation. With it a \
             stolen data directory cannot be tried against guessed passwords; if it is lost, \
             only recovery codes open.";
    }
    mail: Mail "Whose mail is accepted." {
        domains: Vec<DomainName> = Required(r#"["example.org"]"#), Restart,
            "The domains whose addresses live here. Mail to any other domain is taken from users \
             who have logged in, and from nobody else.";
        aliases: Option<FilePath> = Default(r#""""#), Reload,
            "A text file with lines `alias: address, address`; an alias without domain holds in \
             every domain. Each target must be an account or another alias here.";
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
            "Mail from users with STARTTLS and login (RFC 6409). No login is possible before TLS.";
        submissions: Vec<SocketAddr> = Default(r#"["0.0.0.0:465", "[::]:465"]"#), Restart,
            "Mail from users with TLS from the first octet and login (RFC 8314 §3.3). \
             Preferred over STARTTLS.";
        imap: Vec<SocketAddr> = Default(r#"["0.0.0.0:143", "[::]:143"]"#), Restart,
            "Mail programs with STARTTLS (RFC 3501). No login is possible before TLS.";
        imaps: Vec<SocketAddr> = Default(r#"["0.0.0.0:993", "[::]:993"]"#), Restart,
            "Mail programs with TLS from the first octet (RFC 8314 §3.2). Preferred over STARTTLS.";
        https: Vec<SocketAddr> = Default(r#"["0.0.0.0:443", "[::]:443"]"#), Restart,
            "The users' public keys, for whoever wants to write to them sealed (Web Key \
             Directory). Where another server has the port, let it pass \
             `/.well-known/openpgpkey/` on, or set this to [].";
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
        // RFC 5321 §4.5.3.1.7: 64 KiB at the very least.
        message_size: Size = Default(r#""50 MiB""#) least(r#""64 KiB""#), Reload,
            "The largest message that is taken, announced by SIZE (RFC 1870). Larger ones are \
             refused with 552.";
        memory: Size = Default(r#""512 MiB""#) least(r#""64 KiB""#), Restart,
            "Octets of messages on their way in that may be in memory at once, over all sessions, \
             IMAP's APPEND included. What does not fit is answered with 452 or NO before it is \
             read.";
        recipients: u32 = Default("100") least("1"), Reload,
            "Recipients of one message. RFC 5321 §4.5.3.1.8 asks for at least 100.";
        hops: u32 = Default("50") least("1"), Reload,
            "Received fields that a message may have before it counts as a loop. RFC 5321 §6.3 \
             wants a large number, and Postfix takes 50.";
        sessions: u32 = Default("1000") least("1"), Reload,
            "Sessions at once on all SMTP listeners together, of which other servers can take \
             three quarters at most, and users too. More are answered with 421.";
        sessions_per_network: u32 = Default("50") least("1"), Reload,
            "Sessions at once from one network, a /24 of IPv4 or a /48 of IPv6. The machine \
             itself is not counted.";
        connections_per_minute: u32 = Default("240") least("1"), Reload,
            "New connections from one network within a minute. More are answered with 421.";
        command_timeout: Duration = Default(r#""5 min""#) least(r#""1 s""#), Reload,
            "How long to wait for a command. RFC 5321 §4.5.3.2.7 asks for at least five minutes.";
        data_timeout: Duration = Default(r#""3 min""#) least(r#""1 s""#), Reload,
            "How long to wait for the next piece of a message, one by IMAP's APPEND included. RFC \
             5321 §4.5.3.2.5 asks for three minutes.";
        message_timeout: Duration = Default(r#""1 h""#) least(r#""1 s""#), Reload,
            "How long one message may take as a whole, by APPEND too. It bounds senders that drip.";
    }
    submission: Submission "What holds for mail from users, beside what their sessions may use." {
        strip: Vec<FieldName> = Default(r#"["User-Agent", "X-Mailer", "X-Originating-IP"]"#),
            Reload,
            "Header fields that are taken out because they tell of the writer's program or \
             machine. What a DKIM signature of the writer's program covers stays.";
        utc_date: bool = Default("true"), Reload,
            "Whether the Date field is written in UTC. The moment stays the same, and does not \
             tell in which part of the world the writer is.";
        messages_per_hour: u32 = Default("200"), Reload,
            "Messages that one account may send within an hour; 0 is no limit. More are told to \
             try again later, which bounds what a stolen password is good for.";
        messages_per_day: u32 = Default("1000"), Reload,
            "Messages that one account may send within a day; 0 is no limit. The counts are in \
             memory and begin anew at a restart.";
        recipients_per_hour: u32 = Default("1000"), Reload,
            "Recipients of all messages of one account within an hour; 0 is no limit. Each \
             recipient of each message counts.";
        recipients_per_day: u32 = Default("3000"), Reload,
            "Recipients of all messages of one account within a day; 0 is no limit. Each \
             recipient of each message counts.";
    }
    outgoing: Outgoing "Mail to other servers." {
        relayhost: Option<Relayhost> = Default(r#""""#), Reload,
            "A relay that takes all mail, as in \"[relay.example.net]:587\"; without brackets its \
             MX records are followed, except with relayhost_user or tls = \"verify\", where its \
             certificate has to be valid for the name that stands here. When empty, mail goes to \
             the servers of each domain.";
        relayhost_user: String = Default(r#""""#), Reload,
            "Who to log in as at the relay, or nobody when empty. A login takes place only over \
             TLS with a certificate that is valid for the name in relayhost.";
        relayhost_password_file: Option<FilePath> = Default(r#""""#), Reload,
            "A file with the password in its first line. Only the server's user should be able to \
             read it.";
        tls: TlsPolicy = Default(r#""may""#), Reload,
            "Whether mail goes out by TLS: where it is offered and works, always, or always and \
             with a certificate that is valid for the name of the relay or, without one, for the \
             name in the domain's MX record, which can be forged where DNSSEC does not protect it. \
             What cannot be sent so waits and then comes back.";
        port: Port = Default("25"), Reload,
            "The port that is connected to where the relay names none; 465 means TLS from the \
             first octet. Other servers listen on 25.";
        hello: Option<DomainName> = Default(r#""""#), Reload,
            "The name given with EHLO; server.hostname when empty. It should lead to the address \
             from which this server connects.";
        ipv6: bool = Default("true"), Reload,
            "Whether servers are connected to by IPv6 too. Switch it off where IPv6 leads nowhere.";
        connect_timeout: Duration = Default(r#""30 s""#) least(r#""1 s""#), Reload,
            "How long to wait until a connection stands. Then the next address is tried.";
        attempt_timeout: Duration = Default(r#""20 min""#) least(r#""1 s""#), Reload,
            "How long one attempt may go from server to server of a domain until one is ready for \
             mail. That one then has five minutes for each reply (RFC 5321 §4.5.3.2).";
        keep_connection: Duration = Default(r#""4 s""#), Reload,
            "How long a connection waits for the next message to the same server. It spares \
             greeting and handshake.";
    }
    incoming: IncomingMail "Who wrote mail that comes from other servers. The verdicts stand in \
        an Authentication-Results field (RFC 8601)." {
        authenticate: bool = Default("true"), Restart,
            "Whether SPF, DKIM, DMARC and ARC are looked at, for at most five seconds. Without \
             them no encrypted mail of others is shown opened.";
        dmarc: DmarcAction = Default(r#""junk""#), Reload,
            "What is done with mail that fails DMARC where its author's domain asks for \
             quarantine or rejection. It goes to the junk folder, or is only marked; nothing is \
             refused, because mailing lists break signatures.";
    }
    dkim: Dkim "Signatures on mail that goes out. `postseal dns --make-keys` makes the keys and \
        prints the records to publish." {
        selector: String = Default(r#""postseal""#), Restart,
            "The name under which the keys are published: `-ed25519` or `-rsa` is appended. \
             Choose another one when you exchange the keys.";
        ed25519_key: Option<FilePath> = Default(r#""""#), Restart,
            "A PKCS#8 PEM file with an Ed25519 key (RFC 8463); empty means no such signature. It \
             is fast, but some large providers verify RSA alone.";
        rsa_key: Option<FilePath> = Default(r#""""#), Restart,
            "A PKCS#8 PEM file with an RSA key of 2048 bits or more; empty means no such \
             signature. Each signature costs as much as sealing four mails.";
    }
    imap: Imap "How much IMAP sessions may use." {
        sessions: u32 = Default("5000") least("1"), Reload,
            "Sessions at once on each of the two kinds of IMAP listener. More are turned away \
             with BYE.";
        sessions_per_network: u32 = Default("200") least("1"), Reload,
            "Sessions at once from one network, a /24 of IPv4 or a /48 of IPv6. A mail program \
             opens up to five for each account.";
        idle_timeout: Duration = Default(r#""30 min""#) least(r#""1 s""#), Reload,
            "How long a client may be silent after login, IDLE included. RFC 3501 §5.4 asks for \
             at least 30 minutes.";
        login_timeout: Duration = Default(r#""3 min""#) least(r#""1 s""#), Reload,
            "How long a client may be silent before login. It bounds connections that only wait.";
        body_cache: Size = Default(r#""64 MiB""#), Restart,
            "Octets of opened messages that one session keeps, so that a large one that is \
             fetched in pieces is opened once. One larger message is kept all the same, where \
             imap.memory has room for it.";
        memory: Size = Default(r#""512 MiB""#) least(r#""1 MiB""#), Restart,
            "Octets of opened messages and of answers on their way that may be in memory at once, \
             over all sessions; a quarter of it for one account. A FETCH that does not fit waits.";
    }
    web: WebSection "How the users' public keys are given out on listen.https." {
        certificate: Option<FilePath> = Default(r#""""#), Reload,
            "A PEM file with a certificate for HTTPS alone, its chain behind it; when empty, \
             tls.certificate is served. Its names should be openpgpkey.DOMAIN for each of \
             mail.domains.";
        key: Option<FilePath> = Default(r#""""#), Reload,
            "A PEM file with the private key of web.certificate. Both are set or neither.";
        sessions: u32 = Default("500") least("1"), Reload,
            "Connections at once. More are closed.";
        sessions_per_network: u32 = Default("50") least("1"), Reload,
            "Connections at once from one network, a /24 of IPv4 or a /48 of IPv6. Programs ask \
             for a key and go.";
        request_timeout: Duration = Default(r#""10 s""#) least(r#""1 s""#), Reload,
            "How long a client may take to say what it wants, the wait for its next question \
             included. It bounds clients that drip.";
        connection_timeout: Duration = Default(r#""60 s""#) least(r#""1 s""#), Reload,
            "How long a connection may live, whatever is done on it. A hundred questions are \
             answered on one.";
    }
    seal: Seal "Which mail to others is sealed. A recipient's key is looked up in the directory of \
        his own domain." {
        policy: Policy = Default(r#""prefer""#), Reload,
            "What holds where no rule does: prefer seals if there is a key, require refuses and \
             hold keeps what cannot be sealed, plain never looks. Whatever it is, mail whose key \
             could not be looked up waits.";
        rules: Vec<Rule> = Default("[]"), Reload,
            "Exceptions, such as `example.org require`, `bob@example.net hold` (which is for \
             `bob+lists@` too), `from alice@example.com hold`. A recipient's address goes before \
             its domain, and both go before the sender's address and domain, where of account, \
             envelope and From the strictest counts.";
        all_or_nothing: bool = Default("false"), Reload,
            "Whether a message that is sealed to one recipient must be sealed to all. Otherwise \
             somebody without a key gets in plain what others get sealed.";
        autocrypt: bool = Default("true"), Reload,
            "Puts the sender's public certificate into his mail (Autocrypt level 1), so that \
             answers can be sealed. Mail that his own program has sealed is not touched.";
    }
    queue: Queue "Mail that waits to go out." {
        lifetime: Duration = Default(r#""5 d""#) least(r#""1 s""#), Reload,
            "After how long a message is given up that could not be delivered, and its sender \
             told. RFC 5321 §4.5.4.1 asks for four to five days.";
        delay_notice: Duration = Default(r#""4 h""#), Reload,
            "After how long the sender is told that a message is late; 0 s for never. He is told \
             once for each recipient.";
        first_retry: Duration = Default(r#""5 min""#) least(r#""1 s""#), Reload,
            "How long after the first attempt the second one is. Each further wait is longer by a \
             factor of 1.6, up to longest_retry.";
        longest_retry: Duration = Default(r#""4 h""#) least(r#""1 s""#), Reload,
            "The longest wait between two attempts. A tenth of each wait is left to chance.";
        deliveries: u32 = Default("100") least("1"), Reload,
            "Deliveries at once. What does not fit waits for its turn.";
        deliveries_per_domain: u32 = Default("20") least("1"), Reload,
            "Deliveries at once to one domain. Domains take turns, so that none keeps the others \
             waiting.";
        messages: u32 = Default("1000000") least("1"), Reload,
            "Messages that may wait. More are answered with 452.";
        memory: Size = Default(r#""64 MiB""#), Restart,
            "Octets of messages that are kept in memory for their first attempt. What does not fit \
             is read from the disk.";
    }
    accounts: Accounts "How much one account may hold; beyond it mail for it is answered with \
        452." {
        size: Size = Default(r#""20 GiB""#) least(r#""64 KiB""#), Restart,
            "Sealed octets of one account in the journal, mail that waits included. Sealing adds \
             some 3 KiB and up to an eighth to each message.";
        waiting: u32 = Default("1000000") least("1"), Restart,
            "Messages that may wait for their owner's next unlock. Each costs its owner a fifth \
             of a millisecond then.";
    }
    unlock: Unlock "How long an account's keys stay in memory. While they do, the server can \
        read its mail." {
        grace: Duration = Default(r#""5 min""#), Restart,
            "How long after the last session has ended. It spares clients that come back each \
             minute the full way in.";
        longest: Duration = Default(r#""12 h""#) least(r#""1 s""#), Restart,
            "How long at most, sessions or not. Then every session is ended, and the next login \
             opens anew.";
        by_command: Duration = Default(r#""7 d""#), Restart,
            "The longest that `postseal account unlock --hours` may ask for. It is for owners \
             whose mail program logs in but opens nothing.";
    }
    login: Login "The slow derivation that makes guessing passwords dear: 64 MiB and a tenth of \
        a second each." {
        derivations: u32 = Default("2") least("1"), Restart,
            "Derivations that run at once, 64 MiB each. More than the machine has cores brings \
             nothing.";
        waiting: u32 = Default("256") least("1"), Restart,
            "Logins that may wait for their derivation, fairly by network and account. Beyond it \
             the answer is to try later.";
    }
    network: Network "How other servers are found and reached. Most of it is for closed networks." {
        resolvers: Vec<SocketAddr> = Default("[]"), Restart,
            "The name servers to ask, each with its port; empty means those of /etc/resolv.conf. \
             They must be resolvers and hand on DNSSEC records.";
        dnssec: bool = Default("true"), Restart,
            "Whether answers of name servers are validated by DNSSEC. Switch it off only where the \
             name servers strip signatures, for then every answer is refused.";
        trust_anchor: Option<FilePath> = Default(r#""""#), Restart,
            "A file with the DNSKEY records of the root that is trusted in place of the \
             internet's. It is for closed networks with a signed root of their own.";
        zone: Option<FilePath> = Default(r#""""#), Restart,
            "A text file with names that are known without asking, in lines such as \
             `mail.example.org A 192.0.2.1` and `$zone example.org`. Names in its zones are never \
             asked for elsewhere.";
        tls_roots: Option<FilePath> = Default(r#""""#), Reload,
            "A PEM file with certificate authorities that are trusted beside the system's. It is \
             for closed networks.";
        https_port: Port = Default("443"), Restart,
            "The port at which key directories of other domains are asked. Only closed networks \
             have another than 443.";
        private: Vec<discovery::Network> = Default("[]"), Restart,
            "Networks, such as 10.0.0.0/8, that may be contacted for keys although they are \
             private. Whoever names a recipient can then make this server connect there.";
    }
    discovery: Discovery "How long it is believed what was found out about recipients' keys." {
        found: Duration = Default(r#""1 d""#), Restart,
            "How long a key that was found is used without asking again. A revocation is noticed \
             no sooner.";
        absent: Duration = Default(r#""3 h""#), Restart,
            "How long it is believed that an address has no key, or one that cannot be used. Then \
             it is asked again.";
        failed: Duration = Default(r#""10 min""#), Restart,
            "How long after a failed search it is not searched again. Mail waits meanwhile; a \
             failure never counts as an absence.";
        missing: Duration = Default(r#""30 d""#), Restart,
            "How long a key that was once seen is used on while its directory does not have it or \
             fails. After that mail is held, and never sent plain.";
        timeout: Duration = Default(r#""10 s""#) least(r#""1 s""#), Restart,
            "How long one search may take as a whole. Senders may wait for less.";
        searches: u32 = Default("64") least("1"), Restart,
            "Searches at once. More wait within their time.";
        searches_per_domain: u32 = Default("4") least("1"), Restart,
            "Searches at once for addresses of one domain. It spares small directories.";
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
