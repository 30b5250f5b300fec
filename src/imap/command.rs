//! What a client can ask for: one variant a command, types named by the grammar's rules.
//!
//! # Standards
//! RFC 3501 §6 and §9; the extensions that [`super`] lists.

use super::sequence::SequenceSet;
use super::value::{Date, Flag, MailboxName};
use crate::base::secret::SecretBytes;
use crate::mail::DateTime;

/// A command, without its tag.
#[derive(Debug)]
pub enum Command {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// ID (RFC 2971): what the client says of itself is checked and dropped.
    Id,
    /// STARTTLS
    StartTls,
    /// AUTHENTICATE
    Authenticate {
        /// The mechanism's name, in capitals.
        mechanism: String,
        /// The initial response (RFC 4959), base64 or `=`.
        initial: Option<SecretBytes>,
    },
    /// LOGIN
    Login {
        /// The user's name; not yet known to be UTF-8.
        user: SecretBytes,
        /// The password.
        password: SecretBytes,
    },
    /// ENABLE (RFC 5161): names in capitals.
    Enable(Vec<String>),
    /// SELECT
    Select(MailboxName, Vec<SelectParam>),
    /// EXAMINE
    Examine(MailboxName, Vec<SelectParam>),
    /// CREATE; with the special use that RFC 6154 §3 lets a client ask for.
    Create(MailboxName),
    /// DELETE
    Delete(MailboxName),
    /// RENAME
    Rename {
        /// The name it has.
        from: MailboxName,
        /// The name it gets.
        to: MailboxName,
    },
    /// SUBSCRIBE
    Subscribe(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribe(MailboxName),
    /// LIST, plain or extended
    List(ListCommand),
    /// LSUB
    Lsub {
        /// The reference name.
        reference: String,
        /// The pattern.
        pattern: String,
    },
    /// STATUS
    Status(MailboxName, Vec<StatusItem>),
    /// NAMESPACE
    Namespace,
    /// IDLE
    Idle,
    /// CHECK
    Check,
    /// CLOSE
    Close,
    /// UNSELECT
    Unselect,
    /// EXPUNGE; with a set, UID EXPUNGE (RFC 4315)
    Expunge(Option<SequenceSet>),
    /// SEARCH
    Search {
        /// UID SEARCH.
        uid: bool,
        /// The program.
        key: SearchKey,
    },
    /// FETCH
    Fetch {
        /// UID FETCH.
        uid: bool,
        /// Of which messages.
        set: SequenceSet,
        /// What.
        items: Vec<FetchItem>,
    },
    /// STORE
    Store {
        /// UID STORE.
        uid: bool,
        /// Of which messages.
        set: SequenceSet,
        /// How.
        mode: StoreMode,
        /// Without untagged answers for what it changes.
        silent: bool,
        /// The flags.
        flags: Vec<Flag>,
    },
    /// COPY
    Copy {
        /// UID COPY.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        to: MailboxName,
    },
    /// MOVE (RFC 6851)
    Move {
        /// UID MOVE.
        uid: bool,
        /// Which messages.
        set: SequenceSet,
        /// Where to.
        to: MailboxName,
    },
}

/// APPEND as far as its message: the octets come as a stream.
#[derive(Debug)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// The message's flags.
    pub flags: Vec<Flag>,
    /// Its INTERNALDATE, where the client gave one.
    pub date: Option<DateTime>,
    /// Octets of the message.
    pub size: u64,
    /// The client waits for a `+` before it sends the message.
    pub waits: bool,
}

/// A parameter of SELECT (RFC 4466). Unknown ones are refused by the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelectParam {
    /// `CONDSTORE`: passed over.
    Condstore,
}

/// LIST (RFC 3501 §6.3.8, RFC 5258).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListCommand {
    /// The reference name, decoded.
    pub reference: String,
    /// The patterns, decoded; one unless it is extended.
    pub patterns: Vec<String>,
    /// Selection options.
    pub select: Vec<ListSelect>,
    /// Return options.
    pub returns: Vec<ListReturn>,
    /// Whether any extended syntax was used.
    pub extended: bool,
}

/// A selection option of LIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListSelect {
    /// `SUBSCRIBED`
    Subscribed,
    /// `REMOTE`: there are none.
    Remote,
    /// `RECURSIVEMATCH`
    RecursiveMatch,
    /// `SPECIAL-USE` (RFC 6154 §4)
    SpecialUse,
}

/// A return option of LIST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListReturn {
    /// `SUBSCRIBED`
    Subscribed,
    /// `CHILDREN`
    Children,
    /// `SPECIAL-USE`
    SpecialUse,
    /// `STATUS (..)` (RFC 5819)
    Status(Vec<StatusItem>),
}

/// An item of STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// `MESSAGES`
    Messages,
    /// `RECENT`
    Recent,
    /// `UIDNEXT`
    UidNext,
    /// `UIDVALIDITY`
    UidValidity,
    /// `UNSEEN`
    Unseen,
}

impl StatusItem {
    /// All of them.
    pub const ALL: [StatusItem; 5] = [
        StatusItem::Messages,
        StatusItem::Recent,
        StatusItem::UidNext,
        StatusItem::UidValidity,
        StatusItem::Unseen,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            StatusItem::Messages => "MESSAGES",
            StatusItem::Recent => "RECENT",
            StatusItem::UidNext => "UIDNEXT",
            StatusItem::UidValidity => "UIDVALIDITY",
            StatusItem::Unseen => "UNSEEN",
        }
    }
}

/// How STORE meets the flags that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreMode {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

/// One thing that FETCH asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// `UID`
    Uid,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `ENVELOPE`
    Envelope,
    /// `BODY`
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `BODY[..]` and its older names
    Section(SectionItem),
}

/// `BODY[section]<partial>`, `BODY.PEEK[..]`, `RFC822`, `RFC822.HEADER` or `RFC822.TEXT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionItem {
    /// How it was spelled, and thus how it is answered.
    pub spelling: Spelling,
    /// Leaves `\Seen` alone.
    pub peek: bool,
    /// Which part of the message.
    pub part: Part,
    /// Which octets of it.
    pub partial: Option<Partial>,
}

/// How a section was spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// `BODY[..]`
    Body,
    /// `RFC822`
    Rfc822,
    /// `RFC822.HEADER`
    Rfc822Header,
    /// `RFC822.TEXT`
    Rfc822Text,
}

/// A `section-spec`: the numbers of a part and what of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// `1.2.3`; empty for the message itself.
    pub path: Vec<u32>,
    /// What of it; `None` for the whole.
    pub text: Option<SectionText>,
}

/// RFC 3501 §9: `section-text` and `section-msgtext`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (..)`
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (..)`
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`
    Mime,
}

/// `<offset.octets>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The first octet.
    pub offset: u32,
    /// Octets at most; not zero.
    pub octets: u32,
}

/// A SEARCH program. Texts are UTF-8.
#[derive(Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// `ALL`
    All,
    /// `RECENT`
    Recent,
    /// `ANSWERED`, `KEYWORD x` and the like with `true`, `UNANSWERED`, `UNKEYWORD x` with `false`.
    Flag(Flag, bool),
    /// `BEFORE`, `ON`, `SINCE`: INTERNALDATE.
    Received(When, Date),
    /// `SENTBEFORE`, `SENTON`, `SENTSINCE`: the Date field.
    Sent(When, Date),
    /// `LARGER n`
    Larger(u32),
    /// `SMALLER n`
    Smaller(u32),
    /// `HEADER name text`, and `FROM`, `TO`, `CC`, `BCC`, `SUBJECT`.
    Header(String, String),
    /// `BODY text`
    Body(String),
    /// `TEXT text`
    Text(String),
    /// `UID set`
    Uids(SequenceSet),
    /// A set of message numbers.
    Messages(SequenceSet),
    /// `NOT key`
    Not(Box<SearchKey>),
    /// `OR key key`
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Several keys: all of them.
    And(Vec<SearchKey>),
}

impl std::fmt::Debug for SearchKey {
    /// What is searched for is as secret as what is found.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SearchKey(..)")
    }
}

/// How a day is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Earlier.
    Before,
    /// That day.
    On,
    /// That day or later.
    Since,
}

impl When {
    /// Whether `day` stands in this relation to `limit`.
    pub fn holds(self, day: Date, limit: Date) -> bool {
        match self {
            When::Before => day < limit,
            When::On => day == limit,
            When::Since => day >= limit,
        }
    }
}
