//! Arrival records under hostile octets, and the directory of accounts under failing disks.

use super::*;
use crate::base::clock::UnixTime;
use crate::base::crypto::{self, Argon2Cost, Key};
use crate::base::disk::Disk as _;
use crate::base::disk::memory::{Failure, Fault, Loss, MemoryDisk, Op};
use crate::base::entropy::{Entropy, SeededEntropy};
use crate::base::ids::AccountNumber;
use crate::journal::{AccountHead, Body};
use crate::mail::{Address, ProvedFields, analyse};
use crate::pgp::{PKESK_PREFIX_BYTES, SealKey, generate_storage};
use crate::vault::{AccountFile, Party, Password, ServerKeys};
use proptest::prelude::*;
use std::sync::{Arc, LazyLock};

const NOW: UnixTime = UnixTime(1_795_000_000);
const MESSAGE: &[u8] = b"From: a@example.org\r\nSubject: hello\r\n\r\nbody\r\n";

static KEY: LazyLock<SealKey> = LazyLock::new(|| {
    let pair = generate_storage(NOW).unwrap();
    SealKey::from_cert(&pair.public, &pair.subkey).unwrap()
});

fn record(message: &[u8]) -> ArrivalRecord {
    ArrivalRecord::new(Role::Inbox, Some("lists"), NOW, message, analyse(message)).unwrap()
}

fn sealed(message: &[u8]) -> SealedArrival {
    let to = Destination { server: [7; 16], account: AccountNumber(3), key: &KEY };
    seal(&to, message, &record(message), &SeededEntropy::new(1)).unwrap()
}

fn digest(sealed: &SealedArrival) -> [u8; 32] {
    match &sealed.body {
        Body::Inline(bytes) => crypto::sha256(&[bytes]),
        _ => unreachable!("these are small"),
    }
}

#[test]
fn a_record_opens_only_in_its_place() {
    let sealed = sealed(MESSAGE);
    let digest = digest(&sealed);
    let open = |server: [u8; 16], account, object, digest| {
        let head = &sealed.head;
        open_record(&sealed.session_key, &server, account, object, &sealed.subkey, &digest, head)
    };
    let (account, object) = (sealed.account, sealed.object);
    assert_eq!(open([7; 16], account, object, digest), Ok(record(MESSAGE)));
    let refused = Err(ArrivalError::NotAuthentic);
    assert_eq!(open([8; 16], account, object, digest), refused);
    assert_eq!(open([7; 16], AccountNumber(4), object, digest), refused);
    assert_eq!(open([7; 16], account, crate::base::ids::ObjectId([0; 16]), digest), refused);
    assert_eq!(open([7; 16], account, object, [0; 32]), refused);
}

#[test]
fn lengths_of_headers_do_not_show() {
    let long = [b"Subject: a rather longer subject than that\r\n".as_slice(), MESSAGE].concat();
    let (short, long) = (sealed(MESSAGE), sealed(&long));
    assert_eq!(short.head.len(), long.head.len());
    assert_eq!((short.head.len() - 32 - crypto::SEAL_OVERHEAD_BYTES) % RECORD_STEP_BYTES, 0);
}

/// Always the same octet: what two seals then show differently comes from what they seal.
struct Constant;

impl Entropy for Constant {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.fill(7);
    }
}

#[test]
fn of_two_sizes_within_one_step_nothing_in_clear_tells_which() {
    // A PKESK up to what the library draws by itself; an SEIPD header, its parameters and salt.
    const PKESK_HEAD_BYTES: usize = 38;
    const SEIPD_HEAD_BYTES: usize = 6 + 4 + 32;
    const SALT_AND_NONCE_BYTES: usize = 32 + 12;
    let sealed = |bytes: usize| {
        let message = [MESSAGE, &vec![b'x'; bytes]].concat();
        let to = Destination { server: [7; 16], account: AccountNumber(3), key: &KEY };
        let sealed = seal(&to, &message, &record(&message), &Constant).unwrap();
        let size = sealed.size;
        (size, sealed.into_entry())
    };
    let ((less, one), (more, other)) = (sealed(10_000), sealed(10_150));
    assert_ne!(less, more);
    assert_eq!((one.class, one.account, one.object), (other.class, other.account, other.object));
    assert_eq!(one.head.len(), other.head.len(), "the record's length");
    let clear = |head: &[u8]| head[..SALT_AND_NONCE_BYTES].to_vec();
    assert_eq!(clear(&one.head), clear(&other.head), "the record's head in clear");
    let (Body::Inline(one), Body::Inline(other)) = (one.body, other.body) else {
        unreachable!("these are small")
    };
    assert_eq!(one.len(), other.len(), "the message's length");
    assert_eq!(one[..PKESK_HEAD_BYTES], other[..PKESK_HEAD_BYTES]);
    let seipd = PKESK_PREFIX_BYTES..PKESK_PREFIX_BYTES + SEIPD_HEAD_BYTES;
    assert_eq!(one[seipd.clone()], other[seipd], "the packet's head");
}

#[test]
fn what_does_not_fit_is_left_out_and_derived_again() {
    let field = format!("X-Long: {}\r\n", "x".repeat(900));
    let huge = [field.repeat(100).as_bytes(), MESSAGE].concat();
    let record = record(&huge);
    assert!(record.header.is_none() && !record.is_complete());
    let whole = record.complete(&huge);
    assert!(whole.is_complete());
    assert_eq!(whole.header.unwrap().len(), huge.len() - b"body\r\n".len());
}

fn nested(levels: usize, kind: &str) -> Vec<u8> {
    let mut message = String::new();
    for level in 0..levels {
        match kind {
            "message" => message.push_str("Content-Type: message/rfc822\r\n\r\n"),
            _ => message.push_str(&format!(
                "Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n"
            )),
        }
    }
    message.push_str("Subject: innermost\r\n\r\ntext\r\n");
    message.into_bytes()
}

#[test]
fn parts_that_analysis_finds_are_plausible_however_deep() {
    for kind in ["message", "multipart"] {
        for levels in [1, 2, 49, 50, 51, 52, 200] {
            let message = nested(levels, kind);
            let record = record(&message);
            let back = ArrivalRecord::from_padded(&record.to_padded());
            assert_eq!(back.as_ref(), Ok(&record), "{levels} of {kind}");
        }
    }
}

#[test]
fn parts_that_hide_in_each_other_without_end_are_refused() {
    let plain = record(&nested(1, "multipart"));
    let forge = |entries: &dyn Fn(usize) -> u16| {
        let mut forged = plain.clone();
        let structure = forged.structure.as_mut().unwrap();
        let part = crate::mail::Part { params: Vec::new(), ..structure.parts[0].clone() };
        structure.parts = (0..1000)
            .map(|at| crate::mail::Part { entries: entries(at), ..part.clone() })
            .collect();
        ArrivalRecord::from_padded(&forged.to_padded())
    };
    assert!(forge(&|at| 1000 - at as u16).is_err(), "a thousand levels");
    assert!(forge(&|at| if at == 0 { 1000 } else { 2 + at as u16 % 2 }).is_err(), "overlaps");
    assert!(forge(&|at| if at == 0 { 1000 } else { 1 }).is_ok(), "a thousand side by side");
}

fn encrypted_mail() -> Vec<u8> {
    b"From: a@example.org\r\nContent-Type: multipart/encrypted; boundary=b;\r\n \
        protocol=\"application/pgp-encrypted\"\r\n\r\n--b\r\n\
        Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n\
        Content-Type: application/octet-stream\r\n\r\nx\r\n--b--\r\n"
        .to_vec()
}

#[test]
fn only_whole_encrypted_mail_keeps_what_is_known_of_its_sender() {
    let sender = Sender { proved: ProvedFields::ALL, certificate: Some(vec![7; 23_000]) };
    let known = record(&encrypted_mail()).with_sender(sender.clone());
    assert_eq!(known.pgp_mime, Some(sender.clone()));
    assert_eq!(ArrivalRecord::from_padded(&known.to_padded()), Ok(known));
    assert_eq!(record(MESSAGE).with_sender(sender.clone()).pgp_mime, None);
    let filed = ArrivalRecord { role: Role::Filed, ..record(&encrypted_mail()) };
    assert_eq!(filed.with_sender(sender.clone()).pgp_mime, None);
    let too_large = Sender { certificate: Some(vec![7; CERTIFICATE_BYTES_MAX + 1]), ..sender };
    let kept = record(&encrypted_mail()).with_sender(too_large).pgp_mime.unwrap();
    assert_eq!(kept, Sender { proved: ProvedFields::ALL, certificate: None });
}

#[test]
fn a_certificate_beside_a_long_header_still_fits() {
    let long = [b"X: ".as_slice(), &[b'y'; HEADER_BYTES_MAX - 400], b"\r\n", &encrypted_mail()];
    let sender = Sender { proved: ProvedFields::ALL, certificate: Some(vec![7; 23_000]) };
    let record = record(&long.concat()).with_sender(sender.clone());
    let padded = record.to_padded();
    assert!(padded.len() <= RECORD_BYTES_MAX);
    let read = ArrivalRecord::from_padded(&padded).unwrap();
    assert_eq!((read.pgp_mime, read.header), (Some(sender), None));
}

/// As it was written before the format had a second version.
#[test]
fn records_of_version_1_are_read() {
    let record = record(&encrypted_mail());
    let mut padded = record.to_padded();
    padded[0] = 1;
    let length = u32::from_be_bytes(padded[1..5].try_into().unwrap()) - 1;
    padded[1..5].copy_from_slice(&length.to_be_bytes());
    assert_eq!(ArrivalRecord::from_padded(&padded), Ok(record));
    padded[0] = 4;
    assert_eq!(ArrivalRecord::from_padded(&padded), Err(ArrivalError::Malformed));
}

/// It says yes or no of From, and nothing of other fields.
#[test]
fn records_of_version_2_are_read() {
    for proved in [ProvedFields::NONE, ProvedFields::FROM] {
        let sender = Sender { proved, certificate: None };
        let record = record(&encrypted_mail()).with_sender(sender);
        let mut padded = record.to_padded();
        padded[0] = 2;
        assert_eq!(ArrivalRecord::from_padded(&padded), Ok(record));
    }
}

#[test]
fn a_large_body_must_go_to_its_file_first() {
    let message = vec![b'x'; LARGE_BODY_BYTES + 1];
    let mut sealed = sealed(&message);
    assert!(sealed.is_large());
    assert!(sealed.take_large().unwrap().len() > LARGE_BODY_BYTES);
    assert!(!sealed.is_large());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn hostile_records_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = ArrivalRecord::from_padded(&bytes);
    }

    #[test]
    fn records_that_were_altered_are_still_plausible_or_refused(
        at in 0usize..512, mask in 1u8..,
    ) {
        let mut bytes = record(MESSAGE).to_padded();
        let at = at % bytes.len();
        bytes[at] ^= mask;
        if let Ok(record) = ArrivalRecord::from_padded(&bytes) {
            for part in record.structure.iter().flat_map(|structure| &structure.parts) {
                prop_assert!(part.body.end <= record.size && part.header.end <= record.size);
            }
        }
    }

    #[test]
    fn records_come_back_as_they_were(message in prop::collection::vec(any::<u8>(), 0..2000)) {
        let record = record(&message);
        let padded = record.to_padded();
        prop_assert_eq!(padded.len() % RECORD_STEP_BYTES, 0);
        prop_assert_eq!(ArrivalRecord::from_padded(&padded), Ok(record.clone()));
        for cut in 0..padded.len() {
            // Only padding may be missing.
            let opened = ArrivalRecord::from_padded(&padded[..cut]);
            prop_assert!(opened.is_err() || opened == Ok(record.clone()));
        }
    }
}

fn server_keys() -> Arc<ServerKeys> {
    let cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };
    Arc::new(ServerKeys::new(&Key::zeroed(), None).with_cost(cost))
}

fn file(keys: &ServerKeys, number: AccountNumber, address: &str) -> AccountFile {
    let password = Password::choose(b"correct horse battery").unwrap();
    let entropy = SeededEntropy::new(number.0.into());
    crate::vault::create(keys, number, address, &password, Party::Owner, NOW, &entropy)
        .unwrap()
        .file
}

fn address(text: &str) -> Address {
    Address::parse(text.as_bytes()).unwrap()
}

#[test]
fn accounts_are_found_again_in_any_case_after_a_power_cut() {
    let (disk, keys) = (MemoryDisk::new(), server_keys());
    let load = || Accounts::load(Arc::new(disk.clone()), keys.clone()).unwrap();
    let mut accounts = load();
    let first = accounts.take_number().unwrap();
    accounts.create(file(&keys, first, "Ann@Example.org")).unwrap();
    let second = accounts.take_number().unwrap();
    accounts.create(file(&keys, second, "bob@example.org")).unwrap();
    let again = file(&keys, AccountNumber(2), "ann@example.ORG");
    assert!(matches!(accounts.create(again), Err(AccountsError::Address)));
    disk.power_cut(Loss::All);
    let accounts = load();
    assert!(accounts.bad_files().is_empty());
    assert_eq!(accounts.number(&address("aNN@EXAMPLE.org")), Some(first));
    assert_eq!(accounts.list().count(), 2);
}

#[test]
fn numbers_are_never_given_twice() {
    let (disk, keys) = (MemoryDisk::new(), server_keys());
    let load = || Accounts::load(Arc::new(disk.clone()), keys.clone()).unwrap();
    let mut accounts = load();
    let first = accounts.take_number().unwrap();
    accounts.create(file(&keys, first, "ann@example.org")).unwrap();
    accounts.remove(first).unwrap();
    assert_eq!(accounts.number(&address("ann@example.org")), None);
    disk.power_cut(Loss::All);
    let mut accounts = load();
    assert_eq!(accounts.list().count(), 0);
    assert!(accounts.take_number().unwrap() > first);
}

#[test]
fn a_damaged_memory_of_numbers_is_named_and_none_is_given_again() {
    let (disk, keys) = (MemoryDisk::new(), server_keys());
    let load = || Accounts::load(Arc::new(disk.clone()), keys.clone()).unwrap();
    let mut accounts = load();
    let taken: Vec<AccountNumber> = (0..12).map(|_| accounts.take_number().unwrap()).collect();
    // "12 …" becomes "02 …": still a number.
    disk.flip("accounts/last-number", 0, 1);
    let mut accounts = load();
    assert_eq!(accounts.bad_files().len(), 1);
    assert!(accounts.take_number().unwrap() > *taken.last().unwrap());
    assert!(load().bad_files().is_empty(), "it was written anew");
}

#[test]
fn a_missing_memory_of_numbers_gives_none_again_either() {
    let (disk, keys) = (MemoryDisk::new(), server_keys());
    let load = || Accounts::load(Arc::new(disk.clone()), keys.clone()).unwrap();
    let mut accounts = load();
    let first = accounts.take_number().unwrap();
    accounts.create(file(&keys, first, "ann@example.org")).unwrap();
    let gone = accounts.take_number().unwrap();
    disk.remove("accounts/last-number").unwrap();
    assert!(load().take_number().unwrap() > gone);
    // Not even if no file is left at all, as long as the journal knows of one.
    disk.remove("accounts/last-number").unwrap();
    disk.remove("accounts/00000001.account").unwrap();
    let mut accounts = load();
    let head = |bytes| AccountHead { bytes, ..AccountHead::default() };
    let missing = accounts.missing(&[(first, head(10)), (gone, head(0))]);
    assert_eq!((missing, accounts.is_empty()), (vec![first], true), "one was removed, one is lost");
    assert!(accounts.take_number().unwrap() > gone);
}

#[test]
fn reading_makes_and_sweeps_nothing() {
    let (disk, keys) = (MemoryDisk::new(), server_keys());
    let shared = || Arc::new(disk.clone());
    assert!(Accounts::read(shared(), keys.clone()).unwrap().is_empty());
    assert!(disk.list("accounts").is_err());
    Accounts::load(shared(), keys.clone()).unwrap();
    disk.create("accounts/00000001.account.new").unwrap();
    assert!(Accounts::read(shared(), keys.clone()).unwrap().is_empty());
    assert_eq!(disk.list("accounts").unwrap().len(), 1);
    Accounts::load(shared(), keys).unwrap();
    assert_eq!(disk.list("accounts").unwrap().len(), 0);
}

#[test]
fn a_damaged_file_is_named_and_the_others_are_served() {
    let (disk, keys) = (MemoryDisk::new(), server_keys());
    let load = || Accounts::load(Arc::new(disk.clone()), keys.clone()).unwrap();
    let mut accounts = load();
    for name in ["ann@example.org", "bob@example.org"] {
        let number = accounts.take_number().unwrap();
        accounts.create(file(&keys, number, name)).unwrap();
    }
    disk.flip("accounts/00000001.account", 100, 1);
    let accounts = load();
    assert_eq!(accounts.bad_files().len(), 1);
    assert_eq!(accounts.bad_files()[0].account, Some(AccountNumber(1)));
    assert_eq!(accounts.number(&address("bob@example.org")), Some(AccountNumber(2)));
}

#[test]
fn a_failed_replacement_leaves_the_old_file_in_force() {
    let keys = server_keys();
    for op in [Op::Create, Op::Write, Op::Sync, Op::Rename] {
        let disk = MemoryDisk::new();
        let mut accounts = Accounts::load(Arc::new(disk.clone()), keys.clone()).unwrap();
        let number = accounts.take_number().unwrap();
        accounts.create(file(&keys, number, "ann@example.org")).unwrap();
        let locked = accounts.get(number).unwrap().locked();
        disk.inject(Fault { op: Some(op), nth: 1, lasting: false, failure: Failure::Io });
        assert!(accounts.save(locked).is_err(), "{op:?}");
        assert!(!accounts.get(number).unwrap().is_locked());
        disk.power_cut(Loss::All);
        disk.heal();
        let accounts = Accounts::load(Arc::new(disk), keys.clone()).unwrap();
        assert!(!accounts.get(number).unwrap().is_locked(), "{op:?}");
    }
}
