//! The verdicts as values, with the words that RFC 8601 §2.7 has for them.

use super::align;
use crate::mail::ProvedFields;

/// All that is said of one message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// SPF; `None` where it was not looked at (a peer in a private network).
    pub spf: Option<SpfVerdict>,
    /// One for each signature that was looked at, in the message's order.
    pub dkim: Vec<DkimVerdict>,
    /// DMARC; `None` where it was not looked at.
    pub dmarc: Option<DmarcVerdict>,
    /// ARC; `None` where the message has no chain.
    pub arc: Option<ArcResult>,
}

impl Verdicts {
    /// What of the header is proved to be of the author at `domain`, the one address of the
    /// message's one From field: From itself, if a DKIM signature passed whose signer answers for
    /// the domain, and what else such signatures cover. SPF proves a path, not a writer, and is no
    /// proof.
    pub fn proved(&self, domain: &str) -> ProvedFields {
        let strict = self.dmarc.as_ref().is_some_and(|dmarc| dmarc.strict_dkim);
        let answers = |verdict: &&DkimVerdict| match strict {
            true => align::is_same(&verdict.domain, domain),
            false => align::speaks_for(&verdict.domain, domain),
        };
        let passed = self.dkim.iter().filter(|verdict| verdict.result == DkimResult::Pass);
        // What does not sign From is no signature (RFC 6376 §5.4), and never passes.
        let covered = passed.filter(answers).map(|verdict| verdict.covers.or(ProvedFields::FROM));
        covered.fold(ProvedFields::NONE, ProvedFields::or)
    }

    /// Whether the author at `domain` is proved.
    pub fn proves(&self, domain: &str) -> bool {
        self.proved(domain).author()
    }

    /// What the author's domain asks to be done with the message: its policy if DMARC failed.
    pub fn policy(&self) -> Policy {
        match &self.dmarc {
            Some(dmarc) if dmarc.result == DmarcResult::Fail => dmarc.policy,
            _ => Policy::None,
        }
    }
}

/// RFC 7208 §2.6.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpfVerdict {
    /// The result.
    pub result: SpfResult,
    /// Whether the identity is that of HELO, because the reverse path is null (§2.4).
    pub of_helo: bool,
    /// The domain that was asked for.
    pub domain: String,
}

/// RFC 6376 §3.9.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DkimVerdict {
    /// The result.
    pub result: DkimResult,
    /// `d=`, in lower case; empty where the signature could not be read.
    pub domain: String,
    /// `s=`.
    pub selector: String,
    /// `a=`.
    pub algorithm: &'static str,
    /// The first octets of `b=`, which tell signatures apart (RFC 6008).
    pub start: String,
    /// The fields that it covers, should it pass.
    pub covers: ProvedFields,
}

impl DkimVerdict {
    /// The verdict on a signature that was not read.
    pub fn unread(result: DkimResult) -> DkimVerdict {
        let (domain, selector, start, covers) = Default::default();
        DkimVerdict { result, domain, selector, algorithm: "", start, covers }
    }
}

/// RFC 7489 §11.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmarcVerdict {
    /// The result.
    pub result: DmarcResult,
    /// What the domain asks for.
    pub policy: Policy,
    /// The author's domain.
    pub domain: String,
    /// The domain wants DKIM's domain to be exactly its own (`adkim=s`).
    pub strict_dkim: bool,
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $( $variant:ident $word:literal $doc:literal, )* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $( #[doc = $doc] $variant, )*
        }

        impl $name {
            /// The word in a field.
            pub fn word(self) -> &'static str {
                match self {
                    $( $name::$variant => $word, )*
                }
            }
        }
    };
}

words! {
    /// RFC 8601 §2.7.2.
    SpfResult {
        None "none" "No record, or no domain to ask.",
        Neutral "neutral" "The domain says nothing.",
        Pass "pass" "The peer may send for the domain.",
        Fail "fail" "It may not.",
        SoftFail "softfail" "It probably may not.",
        TempError "temperror" "It is not known now.",
        PermError "permerror" "The record cannot be understood.",
    }
}

words! {
    /// RFC 8601 §2.7.1.
    DkimResult {
        Pass "pass" "The signature holds.",
        Fail "fail" "It does not hold.",
        Policy "policy" "It is not believed: SHA-1, `l=`, or too much to look at.",
        Neutral "neutral" "It cannot be read, or has expired.",
        TempError "temperror" "The key is not known now.",
        PermError "permerror" "There is no such key, or From is not signed.",
    }
}

words! {
    /// RFC 7489 §11.2.
    DmarcResult {
        None "none" "The domain has no policy.",
        Pass "pass" "SPF or DKIM passed for an aligned domain.",
        Fail "fail" "Neither did.",
        TempError "temperror" "It is not known now.",
        PermError "permerror" "The policy cannot be understood.",
    }
}

words! {
    /// RFC 8617 §4.4.
    ArcResult {
        Pass "pass" "The chain holds.",
        Fail "fail" "It does not hold, or is too long.",
        TempError "temperror" "A key is not known now.",
    }
}

words! {
    /// RFC 7489 §6.3, `p=`.
    Policy {
        None "none" "Nothing is asked for.",
        Quarantine "quarantine" "To be treated with suspicion.",
        Reject "reject" "To be refused.",
    }
}
