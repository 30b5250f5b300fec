//! Command lines, read (RFC 5321 §4.1.1). Strict: what does not have a command's form is refused
//! with the reply that says so.

use super::chunk::{self, Chunk};
use super::limits::{
    AUTH_LINE_BYTES_MAX, COMMAND_LINE_BYTES_MAX, ENVID_BYTES_MAX, HELO_BYTES_MAX, ORCPT_BYTES_MAX,
    PARAMS_MAX,
};
use super::reply::{Reply, replies};
use super::session::Body;
use crate::mail::Address;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Helo(String),
    Ehlo(String),
    Mail(Mail),
    Rcpt(Rcpt),
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth { mechanism: String, initial: Option<Vec<u8>> },
    Bdat(Chunk),
}

/// MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Mail {
    pub from: Option<Address>,
    pub declared_bytes: Option<u64>,
    pub body: Body,
    pub dsn_return: Option<DsnReturn>,
    pub envelope_id: Option<String>,
    pub utf8: bool,
}

/// RCPT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rcpt {
    pub path: RecipientPath,
    pub notify: Option<DsnNotify>,
    pub original: Option<String>,
    /// The address is written in UTF-8.
    pub in_utf8: bool,
}

/// Who a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientPath {
    /// `<postmaster>` without a domain (RFC 5321 §4.5.1).
    Postmaster,
    /// A mailbox.
    Mailbox(Address),
}

/// What a report is to hold (RFC 3461 §4.3, RET).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DsnReturn {
    /// The whole message.
    Full,
    /// Its headers.
    Headers,
}

/// When reports are wanted (RFC 3461 §4.1, NOTIFY). All false is NEVER.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DsnNotify {
    /// On delivery.
    pub success: bool,
    /// On failure.
    pub failure: bool,
    /// On delay.
    pub delay: bool,
}

/// Reads a line without its line end.
pub(super) fn parse(line: &[u8]) -> Result<Command, Reply> {
    let verb_len = line.iter().take_while(|octet| octet.is_ascii_alphabetic()).count();
    let (verb, rest) = line.split_at(verb_len);
    let verb = verb.to_ascii_uppercase();
    let limit = if verb == b"AUTH" { AUTH_LINE_BYTES_MAX } else { COMMAND_LINE_BYTES_MAX };
    if line.len() > limit {
        return Err(replies::LINE_TOO_LONG);
    }
    let args = match rest.split_first() {
        None => rest,
        Some((b' ' | b'\t', args)) => args.trim_ascii(),
        Some(_) => return Err(replies::UNKNOWN_COMMAND),
    };
    match verb.as_slice() {
        b"MAIL" => mail(args).map(Command::Mail),
        b"RCPT" => rcpt(args).map(Command::Rcpt),
        _ if args.iter().any(|octet| octet.is_ascii_control()) => Err(replies::BAD_OCTETS),
        b"HELO" => helo(args).map(Command::Helo),
        b"EHLO" => helo(args).map(Command::Ehlo),
        b"AUTH" => auth(args),
        b"NOOP" => Ok(Command::Noop),
        b"HELP" => Ok(Command::Help),
        b"VRFY" => Ok(Command::Vrfy),
        b"EXPN" => Ok(Command::Expn),
        b"BDAT" => chunk::parse(args).map(Command::Bdat).ok_or(replies::BAD_ARGUMENTS),
        b"DATA" => alone(args, Command::Data),
        b"RSET" => alone(args, Command::Rset),
        b"QUIT" => alone(args, Command::Quit),
        b"STARTTLS" => alone(args, Command::StartTls),
        b"TURN" | b"ETRN" | b"SEND" | b"SOML" | b"SAML" | b"BURL" => Err(replies::NOT_IMPLEMENTED),
        _ => Err(replies::UNKNOWN_COMMAND),
    }
}

/// Whether `line` is BDAT, readable or not: what follows one that is not cannot be told from
/// commands.
pub(super) fn is_bdat(line: &[u8]) -> bool {
    let word = line.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"BDAT"));
    word && !line.get(4).is_some_and(u8::is_ascii_alphabetic)
}

fn alone(args: &[u8], command: Command) -> Result<Command, Reply> {
    if args.is_empty() { Ok(command) } else { Err(replies::BAD_ARGUMENTS) }
}

/// RFC 5321 §4.1.4: a name that does not verify is no reason to refuse; it only has to be there.
fn helo(args: &[u8]) -> Result<String, Reply> {
    if args.is_empty() || args.len() > HELO_BYTES_MAX {
        return Err(replies::BAD_ARGUMENTS);
    }
    // What is shown of it later (in Received) is what a name or literal is made of.
    let keep = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
    Ok(args.iter().map(|b| if keep(*b) { char::from(*b) } else { '?' }).collect())
}

/// RFC 4954 §4: `AUTH mechanism [initial-response]`.
fn auth(args: &[u8]) -> Result<Command, Reply> {
    let mut words = args.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let mechanism = words.next().ok_or(replies::BAD_ARGUMENTS)?;
    let initial = words.next().map(<[u8]>::to_vec);
    if words.next().is_some() {
        return Err(replies::BAD_ARGUMENTS);
    }
    Ok(Command::Auth { mechanism: String::from_utf8_lossy(mechanism).into_owned(), initial })
}

fn mail(args: &[u8]) -> Result<Mail, Reply> {
    let (path, params) = path(args, b"FROM:").ok_or(replies::BAD_SENDER)?;
    // RFC 5321 §4.5.5: the null reverse path is for reports.
    let from = match path {
        b"" => None,
        path => Some(mailbox(path, replies::BAD_SENDER)?),
    };
    let mut mail = Mail { from, ..Mail::default() };
    let mut seen = Vec::new();
    for param in split_params(params)? {
        let (name, value) = param;
        once(&mut seen, &name)?;
        match name.as_str() {
            "SIZE" => mail.declared_bytes = Some(size(value)?),
            "BODY" => mail.body = body(value)?,
            "RET" => mail.dsn_return = Some(dsn_return(value)?),
            "ENVID" => mail.envelope_id = Some(xtext(value, ENVID_BYTES_MAX)?),
            // RFC 4954 §5: whom the submitter believes to have written it; not acted upon.
            "AUTH" => drop(xtext(value, COMMAND_LINE_BYTES_MAX)?),
            // RFC 6531 §3.4: it has no value.
            "SMTPUTF8" if value.is_empty() => mail.utf8 = true,
            "SMTPUTF8" => return Err(replies::BAD_ARGUMENTS),
            _ => return Err(replies::UNKNOWN_PARAMETER),
        }
    }
    if !path.is_ascii() && !mail.utf8 {
        return Err(replies::NEEDS_UTF8);
    }
    Ok(mail)
}

fn rcpt(args: &[u8]) -> Result<Rcpt, Reply> {
    let (path, params) = path(args, b"TO:").ok_or(replies::BAD_RECIPIENT)?;
    let in_utf8 = !path.is_ascii();
    let path = if path.eq_ignore_ascii_case(b"postmaster") {
        RecipientPath::Postmaster
    } else {
        RecipientPath::Mailbox(mailbox(path, replies::BAD_RECIPIENT)?)
    };
    let mut rcpt = Rcpt { path, notify: None, original: None, in_utf8 };
    let mut seen = Vec::new();
    for (name, value) in split_params(params)? {
        once(&mut seen, &name)?;
        match name.as_str() {
            "NOTIFY" => rcpt.notify = Some(dsn_notify(value)?),
            "ORCPT" => rcpt.original = Some(dsn_original(value)?),
            _ => return Err(replies::UNKNOWN_PARAMETER),
        }
    }
    Ok(rcpt)
}

/// Splits `FROM:<path> params` into what stands between the brackets and what stands behind them.
fn path<'a>(args: &'a [u8], word: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (start, rest) = args.split_at_checked(word.len())?;
    if !start.eq_ignore_ascii_case(word) {
        return None;
    }
    let inside = rest.trim_ascii_start().strip_prefix(b"<")?;
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in inside.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => {
                let params = &inside[at + 1..];
                let apart = params.is_empty() || params.starts_with(b" ");
                return apart.then_some((&inside[..at], params));
            }
            _ => {}
        }
    }
    None
}

fn mailbox(path: &[u8], broken: Reply) -> Result<Address, Reply> {
    // RFC 5321 appendix C: a source route is read and ignored.
    let mailbox = match path.first() {
        Some(b'@') => {
            let colon = path.iter().position(|octet| *octet == b':').ok_or(broken)?;
            if !path[..colon].iter().all(|b| b.is_ascii_alphanumeric() || b"@.,-_[]".contains(b)) {
                return Err(broken);
            }
            &path[colon + 1..]
        }
        _ => path,
    };
    Address::parse(mailbox).map_err(|_| broken)
}

/// Splits `SP name[=value] SP …`, names in upper case.
fn split_params(params: &[u8]) -> Result<Vec<(String, &[u8])>, Reply> {
    let words = params.split(|octet| *octet == b' ').filter(|word| !word.is_empty());
    let mut out = Vec::new();
    for word in words {
        let name_len = word.iter().take_while(|octet| **octet != b'=').count();
        let name = &word[..name_len];
        let named =
            !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
        if !named || out.len() == PARAMS_MAX || !word.iter().all(u8::is_ascii_graphic) {
            return Err(replies::BAD_ARGUMENTS);
        }
        let value = word.get(name_len + 1..).unwrap_or_default();
        out.push((String::from_utf8_lossy(name).to_ascii_uppercase(), value));
    }
    Ok(out)
}

fn once(seen: &mut Vec<String>, name: &str) -> Result<(), Reply> {
    if seen.iter().any(|other| other == name) {
        return Err(replies::BAD_ARGUMENTS);
    }
    seen.push(name.to_owned());
    Ok(())
}

/// RFC 1870 §4: up to 20 digits. What does not fit is larger than anything.
fn size(value: &[u8]) -> Result<u64, Reply> {
    if !(1..=20).contains(&value.len()) || !value.iter().all(u8::is_ascii_digit) {
        return Err(replies::BAD_ARGUMENTS);
    }
    let text = String::from_utf8_lossy(value);
    Ok(text.parse().unwrap_or(u64::MAX))
}

/// RFC 6152 §2. BINARYMIME (RFC 3030) is not offered.
fn body(value: &[u8]) -> Result<Body, Reply> {
    match value.to_ascii_uppercase().as_slice() {
        b"7BIT" => Ok(Body::SevenBit),
        b"8BITMIME" => Ok(Body::EightBit),
        _ => Err(replies::UNKNOWN_PARAMETER),
    }
}

fn dsn_return(value: &[u8]) -> Result<DsnReturn, Reply> {
    match value.to_ascii_uppercase().as_slice() {
        b"FULL" => Ok(DsnReturn::Full),
        b"HDRS" => Ok(DsnReturn::Headers),
        _ => Err(replies::BAD_ARGUMENTS),
    }
}

fn dsn_notify(value: &[u8]) -> Result<DsnNotify, Reply> {
    let mut notify = DsnNotify::default();
    let value = value.to_ascii_uppercase();
    if value == b"NEVER" {
        return Ok(notify);
    }
    for word in value.split(|octet| *octet == b',') {
        match word {
            b"SUCCESS" => notify.success = true,
            b"FAILURE" => notify.failure = true,
            b"DELAY" => notify.delay = true,
            _ => return Err(replies::BAD_ARGUMENTS),
        }
    }
    Ok(notify)
}

/// RFC 3461 §4.2: `addr-type ";" xtext`.
fn dsn_original(value: &[u8]) -> Result<String, Reply> {
    let semicolon = value.iter().position(|octet| *octet == b';').unwrap_or(0);
    if semicolon == 0 {
        return Err(replies::BAD_ARGUMENTS);
    }
    xtext(&value[semicolon + 1..], ORCPT_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(value).into_owned())
}

/// RFC 3461 §4: printable ASCII where `+` begins two upper case hex digits. Kept encoded.
fn xtext(value: &[u8], bytes_max: usize) -> Result<String, Reply> {
    let hex = |octet: Option<&u8>| octet.is_some_and(|b| matches!(b, b'0'..=b'9' | b'A'..=b'F'));
    let mut at = 0;
    while let Some(octet) = value.get(at) {
        match octet {
            b'+' if hex(value.get(at + 1)) && hex(value.get(at + 2)) => at += 3,
            b'+' | b'=' => return Err(replies::BAD_ARGUMENTS),
            _ => at += 1,
        }
    }
    if value.len() > bytes_max {
        return Err(replies::BAD_ARGUMENTS);
    }
    Ok(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn from(line: &str) -> Result<Option<String>, Reply> {
        match parse(line.as_bytes())? {
            Command::Mail(mail) => Ok(mail.from.map(|from| from.to_string())),
            other => panic!("{other:?}"),
        }
    }

    fn to(line: &str) -> Result<String, Reply> {
        match parse(line.as_bytes())? {
            Command::Rcpt(Rcpt { path: RecipientPath::Mailbox(to), .. }) => Ok(to.to_string()),
            Command::Rcpt(_) => Ok("postmaster".into()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_read() {
        assert_eq!(from("mail from:<a@B.example>"), Ok(Some("a@b.example".into())));
        assert_eq!(from("MAIL FROM: <>"), Ok(None));
        assert_eq!(
            from("MAIL FROM:<\"a>b\"@c.example> SIZE=1"),
            Ok(Some("\"a>b\"@c.example".into()))
        );
        assert_eq!(to("RCPT TO:<Postmaster>"), Ok("postmaster".into()));
        assert_eq!(to("RCPT TO:<@a,@b.c:u@d.example>"), Ok("u@d.example".into()));
        for bad in
            ["a@b", "<a@b", "<a@b>x", "", "<a>", "< a@b >", "<a@b><c@d>", "<@a>", "<@a b:c@d>"]
        {
            assert_eq!(from(&format!("MAIL FROM:{bad}")), Err(replies::BAD_SENDER), "{bad}");
            assert_eq!(to(&format!("RCPT TO:{bad}")), Err(replies::BAD_RECIPIENT), "{bad}");
        }
        assert_eq!(to("RCPT TO:<>"), Err(replies::BAD_RECIPIENT));
        assert_eq!(from("MAIL FROM:<ü@b.example>"), Err(replies::NEEDS_UTF8));
        assert_eq!(from("MAIL TO:<a@b>"), Err(replies::BAD_SENDER));
    }

    #[test]
    fn parameters_are_read() {
        let line = b"MAIL FROM:<a@b.example> size=10 BODY=8BITMIME RET=HDRS ENVID=a+2Bb AUTH=<>";
        let Ok(Command::Mail(mail)) = parse(line) else { panic!("not read") };
        assert_eq!((mail.declared_bytes, mail.body), (Some(10), Body::EightBit));
        assert_eq!(mail.dsn_return, Some(DsnReturn::Headers));
        assert_eq!(mail.envelope_id.as_deref(), Some("a+2Bb"));
        let line = b"RCPT TO:<a@b.example> NOTIFY=SUCCESS,delay ORCPT=rfc822;a@b";
        let Ok(Command::Rcpt(rcpt)) = parse(line) else { panic!("not read") };
        let wanted = DsnNotify { success: true, failure: false, delay: true };
        assert_eq!(rcpt.notify, Some(wanted));
        assert_eq!(rcpt.original.as_deref(), Some("rfc822;a@b"));
        for (param, reply) in [
            ("SIZE=", replies::BAD_ARGUMENTS),
            ("SIZE=-1", replies::BAD_ARGUMENTS),
            ("SIZE=1 SIZE=2", replies::BAD_ARGUMENTS),
            ("=x", replies::BAD_ARGUMENTS),
            ("RET=x", replies::BAD_ARGUMENTS),
            ("ENVID=+2b", replies::BAD_ARGUMENTS),
            ("BODY=BINARYMIME", replies::UNKNOWN_PARAMETER),
            ("SMTPUTF8=yes", replies::BAD_ARGUMENTS),
            ("NOTIFY=NEVER", replies::UNKNOWN_PARAMETER),
        ] {
            assert_eq!(from(&format!("MAIL FROM:<> {param}")), Err(reply), "{param}");
        }
        for param in ["NOTIFY=NEVER,DELAY", "NOTIFY=", "ORCPT=x", "ORCPT=;x"] {
            let line = format!("RCPT TO:<a@b.example> {param}");
            assert_eq!(to(&line), Err(replies::BAD_ARGUMENTS), "{param}");
        }
        assert_eq!(size(b"99999999999999999999"), Ok(u64::MAX));
    }

    #[test]
    fn verbs_are_read_in_any_case_and_nothing_else_is() {
        assert_eq!(parse(b"quit"), Ok(Command::Quit));
        assert_eq!(parse(b"QUIT "), Ok(Command::Quit));
        assert_eq!(parse(b"QUIT now"), Err(replies::BAD_ARGUMENTS));
        assert_eq!(parse(b"DATA x"), Err(replies::BAD_ARGUMENTS));
        assert_eq!(parse(b"EHLO"), Err(replies::BAD_ARGUMENTS));
        assert_eq!(parse(b"EHLO a(b)\xff"), Ok(Command::Ehlo("a?b??".into())));
        assert_eq!(parse(b"HELO [192.0.2.1]"), Ok(Command::Helo("[192.0.2.1]".into())));
        for unknown in [&b""[..], b" QUIT", b"QUIT\x0b", b"GET / HTTP/1.1", b"Subject: x"] {
            assert_eq!(parse(unknown), Err(replies::UNKNOWN_COMMAND), "{unknown:?}");
        }
        assert_eq!(parse(b"NOOP a\0b"), Err(replies::BAD_OCTETS));
        assert_eq!(parse(b"TURN"), Err(replies::NOT_IMPLEMENTED));
        let long = [b"NOOP ".as_slice(), &[b'x'; COMMAND_LINE_BYTES_MAX]].concat();
        assert_eq!(parse(&long), Err(replies::LINE_TOO_LONG));
    }

    proptest! {
        #[test]
        fn any_line_is_a_command_or_refused(
            line in any::<Vec<u8>>(),
            words in "(MAIL FROM:|RCPT TO:|AUTH |EHLO )[<>@:a\" \\\\=;+,é]{0,30}",
        ) {
            for line in [&line[..], words.as_bytes()] {
                if let Err(reply) = parse(line) {
                    prop_assert!(reply.code >= 500);
                }
            }
        }
    }
}
