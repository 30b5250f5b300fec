//! The vault as its callers see it, and as one sees it who writes to the disk, with the server's
//! journal key and without.

mod identity;

use super::file::PublicEpoch;
use super::sealed::Vault;
use super::slot::{Fit, Kdf, Slot};
use super::*;
use crate::base::clock::UnixTime;
use crate::base::crypto::{self, Argon2Cost, Key};
use crate::base::entropy::SeededEntropy;
use crate::base::ids::AccountNumber;
use crate::pgp;
use std::collections::BTreeSet;

const NOW: UnixTime = UnixTime(1_795_000_000);
const NUMBER: AccountNumber = AccountNumber(7);
const ADDRESS: &str = "alice@example.org";
const PASSWORD: &str = "correct horse battery";
const OTHER: &str = "another long password";
const CHEAP: Argon2Cost = Argon2Cost { memory_kib: 8, passes: 1, lanes: 1 };

struct World {
    server: ServerKeys,
    entropy: SeededEntropy,
    file: AccountFile,
    recovery: String,
}

fn server(seed: u64, pepper: Option<Key>) -> ServerKeys {
    ServerKeys::new(&Key::random(&SeededEntropy::new(seed)), pepper).with_cost(CHEAP)
}

fn world() -> World {
    world_with(server(1, None), NUMBER)
}

fn world_with(server: ServerKeys, number: AccountNumber) -> World {
    let entropy = SeededEntropy::new(u64::from(number.0));
    let password = chosen(PASSWORD);
    let created = create(&server, number, ADDRESS, &password, Party::Owner, NOW, &entropy).unwrap();
    let recovery = created.recovery_code.expose().to_owned();
    World { server, entropy, file: created.file, recovery }
}

fn chosen(text: &str) -> Password {
    Password::choose(text.as_bytes()).unwrap()
}

fn credential(text: &str) -> Credential {
    Credential::parse(text.as_bytes()).unwrap()
}

impl World {
    fn try_for(&self, secret: &str, purpose: Purpose) -> Result<Login, Refusal> {
        let credential = credential(secret);
        login(&self.server, ADDRESS, Some(&self.file), &credential, purpose, &self.entropy)
    }

    fn login(&self, secret: &str) -> Result<Login, Refusal> {
        self.try_for(secret, Purpose::Read)
    }

    fn open(&self, secret: &str) -> Opened {
        match self.try_for(secret, Purpose::Command) {
            Ok(Login::Opened(opened)) => opened,
            other => panic!("not opened: {other:?}"),
        }
    }

    fn authority(&self) -> SlotAuthority {
        self.open(PASSWORD).authority
    }

    fn passwd(&self, password: &str) -> AccountFile {
        let (server, entropy) = (&self.server, &self.entropy);
        let password = chosen(password);
        self.authority()
            .set_password(server, &self.file, &password, Party::Owner, NOW, entropy)
            .unwrap()
    }

    fn app(&mut self, scope: Scope) -> (String, SlotId) {
        let made =
            self.authority().add_app_password(&self.file, "phone", scope, NOW, &self.entropy);
        let (file, secret, slot) = made.unwrap();
        self.file = file;
        (secret.expose().to_owned(), slot)
    }

    fn rekey(&self, password: &str) -> Rekeyed {
        let (server, entropy) = (&self.server, &self.entropy);
        let password = chosen(password);
        self.authority().rekey(server, &self.file, &password, Party::Owner, NOW, entropy).unwrap()
    }

    /// What a reader gets of a file that was changed by somebody with the journal key.
    fn reread(&self, changed: &AccountFile) -> Result<AccountFile, FileError> {
        AccountFile::from_bytes(&changed.to_bytes(&self.server), &self.server)
    }

    fn seal(&self, literal: &[u8]) -> Vec<u8> {
        self.file.seal_key().unwrap().seal(literal, &self.entropy).unwrap().message
    }
}

fn reads(unlocked: &Unlocked, message: &[u8]) -> bool {
    unlocked.session_key(message).is_ok_and(|key| pgp::open(&key, message).is_ok())
}

fn refusal(result: Result<Login, Refusal>) -> Refusal {
    result.map(|_| "let in").unwrap_err()
}

#[test]
fn password_and_recovery_code_open_and_nothing_else_does() {
    let world = world();
    for secret in [PASSWORD, &world.recovery] {
        assert!(matches!(world.login(secret), Ok(Login::Opened(_))));
    }
    let code =
        |seed, form| passphrase::generate_code(form, &SeededEntropy::new(seed)).expose().to_owned();
    for secret in [OTHER.to_owned(), code(5, Form::App), code(6, Form::Recovery)] {
        assert_eq!(refusal(world.login(&secret)), Refusal::WrongSecret);
        let unknown = login(
            &world.server,
            "nobody@example.org",
            None,
            &credential(&secret),
            Purpose::Read,
            &world.entropy,
        );
        assert_eq!(refusal(unknown), Refusal::WrongSecret);
    }
}

#[test]
fn a_composed_password_opens_when_typed_decomposed() {
    let mut world = world();
    world.file = world.passwd("Stra\u{df}e nach K\u{f6}ln");
    assert!(world.login("Stra\u{df}e nach Ko\u{308}ln").is_ok());
    assert_eq!(refusal(world.login("Stra\u{df}e nach Koln")), Refusal::WrongSecret);
}

#[test]
fn a_file_comes_back_as_it_was_written() {
    let mut world = world();
    world.app(Scope::LoginOnly);
    let bytes = world.file.to_bytes(&world.server);
    let again = AccountFile::from_bytes(&bytes, &world.server).unwrap();
    assert_eq!(again.to_bytes(&world.server), bytes);
    assert_eq!((again.number(), again.address()), (NUMBER, ADDRESS));
    assert_eq!((again.generation(), again.epoch(), again.slots().count()), (2, 1, 3));
}

#[test]
fn without_the_journal_key_no_octet_can_be_changed() {
    let world = world();
    let bytes = world.file.to_bytes(&world.server);
    for at in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        assert!(AccountFile::from_bytes(&altered, &world.server).is_err(), "octet {at}");
        assert!(AccountFile::from_bytes(&bytes[..at], &world.server).is_err(), "cut at {at}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(AccountFile::from_bytes(&longer, &world.server).is_err());
    let of_another = AccountFile::from_bytes(&bytes, &server(2, None));
    assert_eq!(of_another.unwrap_err(), FileError::Mac);
    let mut newer = bytes.clone();
    newer[9] = 3;
    let newer = AccountFile::from_bytes(&newer, &world.server);
    assert_eq!(newer.unwrap_err(), FileError::Version(3));
    let huge = vec![0; FILE_BYTES_MAX as usize + 1];
    assert_eq!(AccountFile::from_bytes(&huge, &world.server).unwrap_err(), FileError::TooLarge);
}

/// What happens to a change that carries a right MAC.
#[derive(Debug, PartialEq, Eq)]
enum Noticed {
    /// The form is refused at reading.
    Form,
    /// The password fits nothing any more.
    WrongSecret,
    /// The password opens, and the vault says what was changed.
    By(Tampered),
    /// Not noticed: the journal key's holder may say this. Nothing secret depends on it.
    No,
}

fn notice(world: &World, changed: &AccountFile) -> Noticed {
    let Ok(file) = world.reread(changed) else { return Noticed::Form };
    let credential = credential(PASSWORD);
    let (server, entropy) = (&world.server, &world.entropy);
    match login(server, ADDRESS, Some(&file), &credential, Purpose::Command, entropy) {
        Ok(Login::Opened(_)) => Noticed::No,
        Ok(Login::Verified(_)) => panic!("a password never only verifies"),
        Err(Refusal::WrongSecret) => Noticed::WrongSecret,
        Err(Refusal::Tampered(what)) => Noticed::By(what),
    }
}

type Change = fn(&mut AccountFile);

#[test]
fn with_the_journal_key_every_change_that_matters_is_noticed_at_unlock() {
    use Noticed::{By, Form, No, WrongSecret};
    let mut world = world();
    world.app(Scope::Open);
    // Slots are: password 1, recovery 2, app 3.
    let table: Vec<(&str, Change, Noticed)> = vec![
        ("number", |f| f.number = AccountNumber(8), WrongSecret),
        ("address", |f| f.address = "bob@example.org".into(), By(Tampered::Header)),
        ("generation back", |f| f.generation = 1, By(Tampered::Header)),
        ("generation 0", |f| f.generation = 0, Form),
        ("generation on", |f| f.generation += 9, No),
        ("locked", |f| f.locked = true, No),
        ("password known", |f| f.password_known = true, No),
        ("recovery known", |f| f.recovery_known = true, No),
        ("identity", |f| f.identity_cert[9] ^= 1, By(Tampered::IdentityCert)),
        ("identity gone", |f| f.identity_cert.clear(), By(Tampered::IdentityCert)),
        ("certificate", |f| f.epochs[0].cert[9] ^= 1, By(Tampered::StorageCert)),
        ("prepared cert", |f| f.epochs[1].cert[9] ^= 1, By(Tampered::StorageCert)),
        ("subkey", |f| f.epochs[0].subkey = f.epochs[1].subkey, By(Tampered::StorageCert)),
        ("epochs swapped", |f| f.epochs.swap(0, 1), Form),
        ("epoch number", |f| f.epochs[1].number = 3, By(Tampered::StorageCert)),
        ("epoch gone", |f| f.epochs.truncate(1), No),
        ("next epoch", |f| f.current = 2, No),
        ("no such epoch", |f| f.current = 3, Form),
        ("slot id", |f| f.slots[0].id = SlotId(0), WrongSecret),
        ("slot id twice", |f| f.slots[1].id = SlotId(1), Form),
        ("kind", |f| f.slots[0].kind = SlotKind::App, Form),
        ("app made recovery", |f| f.slots[2].kind = SlotKind::Recovery, Form),
        ("app made login-only", |f| f.slots[2].kind = SlotKind::LoginOnly, Form),
        ("kdf", |f| f.slots[0].kdf = Kdf::Hkdf, Form),
        ("cost", |f| f.slots[0].kdf = argon2(16, false), WrongSecret),
        ("pepper", |f| f.slots[0].kdf = argon2(8, true), WrongSecret),
        ("salt", |f| f.slots[0].salt[0] ^= 1, WrongSecret),
        ("commitment", |f| f.slots[0].commitment[0] ^= 1, WrongSecret),
        ("wrapped key", |f| flip(&mut f.slots[0], 20), By(Tampered::Slot)),
        ("wrapped key gone", |f| f.slots[0].wrapped = None, Form),
        ("wrapped key short", |f| f.slots[0].wrapped = Some(vec![0; 59]), Form),
        ("other slot's salt", |f| f.slots[2].salt[0] ^= 1, By(Tampered::SlotList)),
        ("other slot's commitment", |f| f.slots[1].commitment[0] ^= 1, By(Tampered::SlotList)),
        ("other slot's key", |f| flip(&mut f.slots[1], 20), By(Tampered::SlotList)),
        ("slot gone", |f| f.slots.truncate(2), By(Tampered::SlotList)),
        ("password gone", |f| drop(f.slots.remove(0)), Form),
        ("slots reordered", |f| f.slots.swap(1, 2), Form),
        ("vault nonce", |f| f.vault[0] ^= 1, By(Tampered::Vault)),
        ("vault", |f| f.vault[100] ^= 1, By(Tampered::Vault)),
        ("vault cut", |f| f.vault.truncate(40), By(Tampered::Vault)),
        ("vault gone", |f| f.vault.clear(), By(Tampered::Vault)),
    ];
    for (name, change, expected) in table {
        let mut changed = world.file.clone();
        change(&mut changed);
        assert_eq!(notice(&world, &changed), expected, "{name}");
    }
    assert_eq!(notice(&world, &world.file), No);
}

fn argon2(memory_kib: u32, peppered: bool) -> Kdf {
    Kdf::Argon2id { cost: Argon2Cost { memory_kib, ..CHEAP }, peppered }
}

fn flip(slot: &mut Slot, at: usize) {
    slot.wrapped.as_mut().unwrap()[at] ^= 1;
}

#[test]
fn parameter_bombs_are_refused_before_a_run() {
    let world = world();
    let bombs = [
        Argon2Cost { memory_kib: 1 << 30, passes: 3, lanes: 4 },
        Argon2Cost { memory_kib: 64 * 1024, passes: u32::MAX, lanes: 4 },
        Argon2Cost { memory_kib: 256 * 1024, passes: 4, lanes: 4096 },
        Argon2Cost { memory_kib: 0, passes: 0, lanes: 0 },
        Argon2Cost { memory_kib: 256 * 1024 + 1, passes: 4, lanes: 4 },
    ];
    for cost in bombs {
        let mut changed = world.file.clone();
        changed.slots[0].kdf = Kdf::Argon2id { cost, peppered: false };
        assert_eq!(world.reread(&changed).unwrap_err(), FileError::Inconsistent, "{cost:?}");
        // And if such a slot were tried all the same, nothing would run.
        let fit = changed.slots[0].fits(NUMBER, &credential(PASSWORD), &world.server);
        assert!(matches!(fit, Fit::No));
    }
    let mut crowd = world.file.clone();
    let slot = crowd.slots[1].clone();
    crowd.slots.extend((3..40).map(|id| Slot {
        id: SlotId(id),
        kind: SlotKind::App,
        ..slot.clone()
    }));
    assert_eq!(world.reread(&crowd).unwrap_err(), FileError::Inconsistent);
    let mut epochs = world.file.clone();
    let epoch = epochs.epochs[0].clone();
    epochs.epochs.extend((3..20).map(|number| PublicEpoch { number, ..epoch.clone() }));
    assert_eq!(world.reread(&epochs).unwrap_err(), FileError::Inconsistent);
}

#[test]
fn a_slot_of_another_account_with_the_same_password_fits_nothing() {
    let (mut alice, bob) = (world(), world_with(server(1, None), AccountNumber(8)));
    alice.file.slots[0] = bob.file.slots[0].clone();
    assert_eq!(refusal(alice.login(PASSWORD)), Refusal::WrongSecret);
    // The whole of bob's file under alice's number.
    let mut posing = bob.file.clone();
    posing.number = NUMBER;
    assert_eq!(notice(&alice, &posing), Noticed::WrongSecret);
}

#[test]
fn a_revoked_app_password_put_back_opens_nothing() {
    let mut world = world();
    let (secret, slot) = world.app(Scope::Open);
    let old = world.file.clone();
    assert!(matches!(world.login(&secret), Ok(Login::Opened(_))));
    world.file = world.authority().revoke(&world.file, slot, &world.entropy).unwrap();
    assert_eq!(refusal(world.login(&secret)), Refusal::WrongSecret);
    world.file.slots.push(old.slots[2].clone());
    assert_eq!(refusal(world.login(&secret)), Refusal::Tampered(Tampered::SlotList));
    assert_eq!(refusal(world.login(PASSWORD)), Refusal::Tampered(Tampered::SlotList));
}

/// A slot is planted whose wrapping opens under a password of the attacker while its commitment is
/// another's: it must fit one root only, and the wrapping is not even tried for others.
#[test]
fn a_slot_fits_one_secret_only_whatever_its_wrapping_opens_with() {
    let mut world = world();
    let kdf = argon2(8, false);
    let amk = Key::random(&world.entropy);
    let what = (SlotId(1), SlotKind::Password, kdf);
    let make = |password: &str| {
        let entropy = SeededEntropy::new(99);
        Slot::make(NUMBER, what, &credential(password), Some(&amk), None, &entropy)
    };
    let (right, planted) = (make(PASSWORD), make(OTHER));
    assert_eq!(right.salt, planted.salt);
    world.file.slots[0] = Slot { wrapped: planted.wrapped, ..right };
    assert_eq!(refusal(world.login(OTHER)), Refusal::WrongSecret);
    assert_eq!(refusal(world.login(PASSWORD)), Refusal::Tampered(Tampered::Slot));
}

#[test]
fn passwd_keeps_mail_and_slots_and_takes_nothing_back_from_old_copies() {
    let mut world = world();
    let (app, _) = world.app(Scope::Open);
    let (old, message) = (world.file.clone(), world.seal(b"before"));
    world.file = world.passwd(OTHER);
    let after = world.seal(b"after");
    assert_eq!(refusal(world.login(PASSWORD)), Refusal::WrongSecret);
    for secret in [OTHER, &app, &world.recovery] {
        let unlocked = world.open(secret).unlocked;
        assert!(reads(&unlocked, &message) && reads(&unlocked, &after));
    }
    // As the room's documentation says: old file and old password open what comes after, too.
    world.file = old;
    let unlocked = world.open(PASSWORD).unlocked;
    assert!(reads(&unlocked, &message) && reads(&unlocked, &after));
}

#[test]
fn rekey_shuts_old_copies_out_of_what_arrives_after() {
    let mut world = world();
    let (app, _) = world.app(Scope::Open);
    let (old, message) = (world.file.clone(), world.seal(b"before"));
    let rekeyed = world.rekey(OTHER);
    let old_recovery =
        std::mem::replace(&mut world.recovery, rekeyed.recovery_code.expose().to_owned());
    let old_index = world.open(PASSWORD).unlocked.index_key().clone();
    world.file = rekeyed.file;
    let after = world.seal(b"after");
    for dead in [PASSWORD, &app, &old_recovery] {
        assert_eq!(refusal(world.login(dead)), Refusal::WrongSecret);
    }
    for secret in [OTHER, &world.recovery] {
        let unlocked = world.open(secret).unlocked;
        assert!(reads(&unlocked, &message) && reads(&unlocked, &after));
        assert_eq!(unlocked.index_epoch(), 2);
        assert_eq!(unlocked.previous_index_key().unwrap().expose(), old_index.expose());
        assert_ne!(unlocked.index_key().expose(), old_index.expose());
    }
    // The key made in advance before the theft is not used afterwards either.
    let rotated = world.file.next_epoch().unwrap();
    let later = rotated.seal_key().unwrap().seal(b"later", &world.entropy).unwrap().message;
    world.file = old;
    let thief = world.open(PASSWORD).unlocked;
    assert!(reads(&thief, &message) && !reads(&thief, &after) && !reads(&thief, &later));
}

#[test]
fn a_login_only_credential_is_known_and_opens_nothing() {
    let mut world = world();
    let (secret, id) = world.app(Scope::LoginOnly);
    for purpose in [Purpose::Verify, Purpose::Read, Purpose::Command] {
        let Ok(Login::Verified(verified)) = world.try_for(&secret, purpose) else { panic!() };
        assert_eq!((verified.slot(), verified.shut()), (id, Some(WhyShut::LoginOnly)));
        assert_eq!((verified.account(), verified.kind()), (NUMBER, SlotKind::LoginOnly));
    }
    // Offline, with the whole file and the secret: there is no key to be had.
    let slot = world.file.slots.last().unwrap();
    let Fit::Yes(root) = slot.fits(NUMBER, &credential(&secret), &world.server) else { panic!() };
    assert!(slot.wrapped.is_none() && slot.unwrap(NUMBER, &root).is_none());
}

#[test]
fn smtp_opens_nothing() {
    let world = world();
    let Ok(Login::Verified(verified)) = world.try_for(PASSWORD, Purpose::Verify) else { panic!() };
    assert_eq!(verified.shut(), Some(WhyShut::NotAsked));
}

#[test]
fn lock_is_a_state_that_only_a_command_with_a_credential_ends() {
    let mut world = world();
    world.file = world.reread(&world.file.locked()).unwrap();
    for secret in [PASSWORD, &world.recovery] {
        let Ok(Login::Verified(verified)) = world.login(secret) else { panic!() };
        assert_eq!(verified.shut(), Some(WhyShut::Locked));
    }
    assert_eq!(refusal(world.login(OTHER)), Refusal::WrongSecret);
    let authority = world.authority();
    world.file = authority.clear_lock(&world.file).unwrap();
    assert!(matches!(world.login(PASSWORD), Ok(Login::Opened(_))));
}

#[test]
fn an_app_password_reads_and_changes_nothing() {
    let mut world = world();
    let (secret, id) = world.app(Scope::Open);
    let (server, file, entropy) = (&world.server, &world.file, &world.entropy);
    let authority = || world.open(&secret).authority;
    let needs_owner = Denied(DenyReason::NeedsOwner);
    let password = chosen(OTHER);
    let owner = Party::Owner;
    let passwd = authority().set_password(server, file, &password, owner, NOW, entropy);
    assert_eq!(passwd.unwrap_err(), needs_owner);
    let rekey = authority().rekey(server, file, &password, owner, NOW, entropy);
    assert_eq!(rekey.unwrap_err(), needs_owner);
    let app = authority().add_app_password(file, "x", Scope::Open, NOW, entropy);
    assert_eq!(app.unwrap_err(), needs_owner);
    assert_eq!(authority().revoke(file, id, entropy).unwrap_err(), needs_owner);
    let recovery = authority().new_recovery_code(file, owner, NOW, entropy);
    assert_eq!(recovery.unwrap_err(), needs_owner);
    assert_eq!(authority().export_identity(file).unwrap_err(), needs_owner);
    assert_eq!(authority().export_storage(file).unwrap_err(), needs_owner);
    // What keeps the account going it may do.
    assert_eq!(authority().prepare_epochs(file, NOW, entropy).unwrap().map(drop), None);
    assert!(authority().begin_index_rekey(file, entropy).is_ok());
    assert_eq!(authority().slots(file).unwrap()[2].label, "phone");
}

#[test]
fn an_authority_is_worth_nothing_once_its_slot_is_gone() {
    let mut world = world();
    let early = world.authority();
    world.file = world.passwd(OTHER);
    assert_eq!(early.slots(&world.file).unwrap_err(), Denied(DenyReason::Stale));
    let recovery = world.open(&world.recovery).authority;
    let renewed = world.open(OTHER).authority.rekey(
        &world.server,
        &world.file,
        &chosen(PASSWORD),
        Party::Owner,
        NOW,
        &world.entropy,
    );
    let renewed = renewed.unwrap().file;
    assert_eq!(recovery.slots(&renewed).unwrap_err(), Denied(DenyReason::Stale));
    let bob = world_with(server(1, None), AccountNumber(8));
    assert_eq!(bob.authority().slots(&world.file).unwrap_err(), Denied(DenyReason::Stale));
}

#[test]
fn an_authority_does_not_work_on_a_file_that_was_tampered_with() {
    let world = world();
    let mut forged = world.file.clone();
    forged.epochs[0].cert[9] ^= 1;
    let denied = world.authority().revoke(&forged, SlotId(2), &world.entropy).unwrap_err();
    assert_eq!(denied, Denied(DenyReason::Tampered(Tampered::StorageCert)));
}

#[test]
fn a_label_and_the_number_of_app_passwords_are_bounded() {
    let mut world = world();
    for label in ["x".repeat(65), "a\nb".to_owned()] {
        let made = world.authority().add_app_password(
            &world.file,
            &label,
            Scope::Open,
            NOW,
            &world.entropy,
        );
        assert_eq!(made.unwrap_err(), Denied(DenyReason::Label));
    }
    let secrets: Vec<_> = (0..32).map(|_| world.app(Scope::Open).0).collect();
    let more =
        world.authority().add_app_password(&world.file, "", Scope::Open, NOW, &world.entropy);
    assert_eq!(more.unwrap_err(), Denied(DenyReason::TooManySlots));
    assert!(secrets.iter().all(|secret| world.login(secret).is_ok()));
    let none = |slot| world.authority().revoke(&world.file, slot, &world.entropy).unwrap_err();
    assert_eq!(none(SlotId(999)), Denied(DenyReason::NoSuchSlot));
    assert_eq!(none(SlotId(1)), Denied(DenyReason::NoSuchSlot));
}

#[test]
fn the_second_login_is_fast_for_who_was_verified_and_for_nobody_else() {
    let mut world = world();
    let (app, app_slot) = world.app(Scope::Open);
    let (login_only, _) = world.app(Scope::LoginOnly);
    let opened = world.open(PASSWORD);
    let unlocked = opened.unlocked;
    assert_eq!(unlocked.knows(&credential(PASSWORD)).map(|v| v.shut()), Some(None));
    for secret in [OTHER, &app, &login_only, &world.recovery] {
        assert_eq!(unlocked.knows(&credential(secret)), None);
    }
    let Ok(Login::Verified(verified)) = world.login(&login_only) else { panic!() };
    unlocked.remember(&verified, &credential(&login_only));
    let known = unlocked.knows(&credential(&login_only)).unwrap();
    assert_eq!(known.shut(), Some(WhyShut::LoginOnly));
    assert!(!unlocked.admits_login_only());
    opened.authority.admit_login_only(&unlocked);
    assert!(unlocked.admits_login_only());
    unlocked.remember(&world.open(&app).verified, &credential(&app));
    assert!(unlocked.clone().knows(&credential(&app)).is_some());
    unlocked.forget(app_slot);
    assert_eq!(unlocked.knows(&credential(&app)), None);
    // Another unlock has another key; another account's proof is not taken.
    let bob = world_with(server(1, None), AccountNumber(8));
    let other = bob.open(PASSWORD);
    assert_eq!(other.unlocked.knows(&credential(&app)), None);
    other.unlocked.remember(&verified, &credential(&login_only));
    assert_eq!(other.unlocked.knows(&credential(&login_only)), None);
    // After a change of password the old one is forgotten.
    unlocked.forget_missing(&world.passwd(OTHER));
    assert_eq!(unlocked.knows(&credential(PASSWORD)), None);
    assert!(unlocked.knows(&credential(&login_only)).is_some());
}

#[test]
fn an_index_rekey_keeps_the_old_key_until_it_has_ended() {
    let mut world = world();
    let first = world.open(PASSWORD);
    let old = first.unlocked.index_key().clone();
    let begun = first.authority.begin_index_rekey(&world.file, &world.entropy).unwrap();
    let (file, unlocked, permit) = begun;
    world.file = file;
    assert_eq!(unlocked.previous_index_key().unwrap().expose(), old.expose());
    assert_eq!((unlocked.index_epoch(), unlocked.generation()), (2, 2));
    let again = world.authority().begin_index_rekey(&world.file, &world.entropy);
    assert_eq!(again.unwrap_err(), Denied(DenyReason::Busy));
    // After a crash the next unlock finds both, and any authority may end it.
    let reopened = world.open(PASSWORD);
    assert_eq!(reopened.unlocked.previous_index_key().unwrap().expose(), old.expose());
    assert_eq!(reopened.unlocked.index_key().expose(), unlocked.index_key().expose());
    let ended = reopened.authority.end_index_rekey(&world.file, &world.entropy).unwrap();
    let ended_by_permit = permit.end(&world.file, &world.entropy).unwrap();
    for file in [ended, ended_by_permit] {
        world.file = file;
        let unlocked = world.open(PASSWORD).unlocked;
        assert!(unlocked.previous_index_key().is_none());
        assert_ne!(unlocked.index_key().expose(), old.expose());
    }
}

#[test]
fn a_locked_account_rotates_its_epoch_and_all_its_mail_opens() {
    let mut world = world();
    let first = world.seal(b"first epoch");
    world.file = world.reread(&world.file.locked().next_epoch().unwrap()).unwrap();
    assert_eq!(world.file.epoch(), 2);
    assert!(world.file.next_epoch().is_none(), "no key is made without the vault");
    let second = world.seal(b"second epoch");
    assert_ne!(pgp::recipient(&first), pgp::recipient(&second));
    let opened = world.open(PASSWORD);
    assert!(reads(&opened.unlocked, &first) && reads(&opened.unlocked, &second));
    let prepared = opened.authority.prepare_epochs(&world.file, NOW, &world.entropy).unwrap();
    world.file = prepared.expect("none was left");
    assert!(world.authority().prepare_epochs(&world.file, NOW, &world.entropy).unwrap().is_none());
    world.file = world.file.next_epoch().unwrap();
    let third = world.seal(b"third epoch");
    let unlocked = world.open(PASSWORD).unlocked;
    assert!([&first, &second, &third].into_iter().all(|message| reads(&unlocked, message)));
}

#[test]
fn an_epoch_cannot_be_turned_back() {
    let mut world = world();
    let first = world.file.clone();
    world.file = world.file.next_epoch().unwrap();
    let authority = world.authority();
    world.file = authority.prepare_epochs(&world.file, NOW, &world.entropy).unwrap().unwrap();
    let mut back = world.file.clone();
    back.epochs.insert(0, first.epochs[0].clone());
    back.current = 1;
    assert_eq!(notice(&world, &back), Noticed::By(Tampered::StorageCert));
}

#[test]
fn a_forged_storage_certificate_is_never_sealed_to_and_is_noticed() {
    let world = world();
    let attacker = pgp::generate_storage(NOW).unwrap();
    // The attacker's certificate in front, the victim's octets behind it.
    let mut forged = world.file.clone();
    forged.epochs[0].cert = [&attacker.public[..], &world.file.epochs[0].cert].concat();
    let message = forged.seal_key().unwrap().seal(b"mail", &world.entropy).unwrap().message;
    assert_eq!(pgp::recipient(&message), Ok(world.file.epochs[0].subkey));
    assert_eq!(notice(&world, &forged), Noticed::By(Tampered::StorageCert));
    // The pinned fingerprint changed with it.
    forged.epochs[0].subkey = attacker.subkey;
    assert_eq!(notice(&world, &forged), Noticed::By(Tampered::StorageCert));
    // His certificate alone under the true fingerprint: nothing is sealed at all.
    let mut alone = world.file.clone();
    alone.epochs[0].cert = attacker.public;
    assert_eq!(alone.seal_key().unwrap_err(), FileError::Inconsistent);
}

#[test]
fn without_the_pepper_the_password_fails_and_the_recovery_code_opens() {
    let pepper = || Some(Key::random(&SeededEntropy::new(44)));
    let mut world = world_with(server(1, pepper()), NUMBER);
    assert!(world.login(PASSWORD).is_ok());
    world.server = server(1, None);
    assert_eq!(refusal(world.login(PASSWORD)), Refusal::WrongSecret);
    assert!(matches!(world.login(&world.recovery), Ok(Login::Opened(_))));
    world.server = server(1, Some(Key::random(&SeededEntropy::new(45))));
    assert_eq!(refusal(world.login(PASSWORD)), Refusal::WrongSecret);
}

#[test]
fn the_operator_knows_until_the_owner_has_changed_both_secrets() {
    let mut world = world();
    assert!(!world.file.operator_knows());
    let password = chosen(PASSWORD);
    let created =
        create(&world.server, NUMBER, ADDRESS, &password, Party::Operator, NOW, &world.entropy);
    world.file = created.unwrap().file;
    assert!(world.file.operator_knows());
    world.file = world.passwd(OTHER);
    assert!(world.file.operator_knows());
    let drawn = world.open(OTHER).authority.new_recovery_code(
        &world.file,
        Party::Owner,
        NOW,
        &world.entropy,
    );
    let (file, code) = drawn.unwrap();
    assert!(!file.operator_knows());
    let old = std::mem::replace(&mut world.recovery, code.expose().to_owned());
    world.file = file;
    assert!(world.login(&world.recovery).is_ok());
    assert_eq!(refusal(world.login(&old)), Refusal::WrongSecret);
}

#[test]
fn exported_keys_open_stored_mail_without_the_server() {
    let world = world();
    let message = world.seal(b"mail");
    let keys = world.open(&world.recovery).authority.export_storage(&world.file).unwrap();
    let subkey = pgp::recipient(&message).unwrap();
    let key = keys.iter().find_map(|key| pgp::OpenKey::from_secret(key, &subkey).ok()).unwrap();
    let session_key = key.session_key(&message).unwrap();
    assert_eq!(pgp::open(&session_key, &message).unwrap().expose(), b"mail");
    let identity = world.authority().export_identity(&world.file).unwrap();
    assert!(identity.expose().len() > world.file.identity_cert().len());
}

/// Restored copies run the same work again: a counter would repeat, random nonces do not.
#[test]
fn no_nonce_is_used_twice_although_an_old_copy_is_restored() {
    let mut world = world();
    let copy = world.file.clone();
    let mut nonces = BTreeSet::new();
    let mut count = 0;
    for _ in 0..40 {
        world.file = copy.clone();
        let before = world.file.clone();
        world.app(Scope::Open);
        world.file = world.passwd(PASSWORD);
        let fresh = world.file.slots.iter().filter(|slot| !before.slots.contains(slot));
        let wrapped = fresh.filter_map(|slot| slot.wrapped.as_ref());
        for sealed in wrapped.chain([&world.file.vault]) {
            nonces.insert(sealed[..12].to_vec());
            count += 1;
        }
    }
    assert_eq!((nonces.len(), count), (120, 120));
}

#[test]
fn the_sealed_vault_tells_neither_labels_nor_their_length() {
    let lengths = ["", "a label of some length that stays within its bound"].map(|label| {
        let world = world();
        let made = world.authority().add_app_password(
            &world.file,
            label,
            Scope::Open,
            NOW,
            &world.entropy,
        );
        let file = made.unwrap().0;
        let bytes = file.to_bytes(&world.server);
        assert!(!bytes.windows(12).any(|w| w == b"some length ".as_slice()));
        file.vault.len()
    });
    assert_eq!(lengths[0], lengths[1]);
    assert_eq!((lengths[0] - crypto::SEAL_OVERHEAD_BYTES) % 1024, 0);
}

#[test]
fn nothing_that_is_printed_holds_a_secret() {
    let world = world();
    let opened = world.open(PASSWORD);
    let index_key = format!("{:?}", opened.unlocked.index_key().expose());
    let printed = format!(
        "{opened:?} {:?} {:?} {:?} {:?}",
        world.file,
        credential(PASSWORD),
        chosen(PASSWORD),
        passphrase::generate_code(Form::App, &world.entropy),
    );
    assert!(!printed.contains("horse") && !printed.contains("psa-"));
    assert!(!printed.contains(&index_key[1..20]));
}

#[test]
fn hostile_octets_with_a_right_mac_never_panic() {
    use proptest::prelude::*;
    let world = world();
    let bytes = world.file.to_bytes(&world.server);
    let body = bytes.len() - 32;
    let edits = proptest::collection::vec((14..body, any::<u8>()), 0..6);
    proptest!(ProptestConfig::with_cases(300), |(edits in edits, cut in 0..=body - 14)| {
        let mut hostile = bytes[..body - cut % 40].to_vec();
        for (at, value) in edits {
            if let Some(octet) = hostile.get_mut(at) {
                *octet = value;
            }
        }
        let length = (hostile.len() - 14) as u32;
        hostile[10..14].copy_from_slice(&length.to_be_bytes());
        let mac = crypto::hmac(&world.server.mac, &[&hostile]);
        hostile.extend_from_slice(&mac);
        if let Ok(file) = AccountFile::from_bytes(&hostile, &world.server) {
            let credential = credential(&world.recovery);
            let (server, entropy) = (&world.server, &world.entropy);
            let _ = login(server, "", Some(&file), &credential, Purpose::Read, entropy);
        }
    });
}

/// What must be true of an account whatever was done to it.
struct Model {
    world: World,
    password: String,
    apps: Vec<(String, SlotId, Scope)>,
    dead: Vec<String>,
    mail: Vec<Vec<u8>>,
    index_key: Key,
}

impl Model {
    fn new() -> Model {
        let world = world();
        let index_key = world.open(PASSWORD).unlocked.index_key().clone();
        let password = PASSWORD.to_owned();
        Model { world, password, apps: vec![], dead: vec![], mail: vec![], index_key }
    }

    fn authority(&self) -> SlotAuthority {
        self.world.open(&self.password).authority
    }

    fn step(&mut self, kind: u8, number: usize) {
        let World { server, entropy, .. } = &self.world;
        let (file, owner) = (&self.world.file, Party::Owner);
        let fresh = format!("password number {number} of many");
        let authority = self.authority();
        self.world.file = match kind {
            0 => {
                let secret = chosen(&fresh);
                let file = authority.set_password(server, file, &secret, owner, NOW, entropy);
                self.dead.push(std::mem::replace(&mut self.password, fresh));
                file.unwrap()
            }
            1 | 2 if self.apps.len() < 5 => {
                let scope = [Scope::Open, Scope::LoginOnly][usize::from(kind) - 1];
                let made = authority.add_app_password(file, "x", scope, NOW, entropy);
                let (file, secret, slot) = made.unwrap();
                self.apps.push((secret.expose().to_owned(), slot, scope));
                file
            }
            3 if !self.apps.is_empty() => {
                let (secret, slot, _) = self.apps.remove(number % self.apps.len());
                self.dead.push(secret);
                authority.revoke(file, slot, entropy).unwrap()
            }
            4 => {
                let (file, code) = authority.new_recovery_code(file, owner, NOW, entropy).unwrap();
                let code = code.expose().to_owned();
                self.dead.push(std::mem::replace(&mut self.world.recovery, code));
                file
            }
            5 => {
                let file = authority.end_index_rekey(file, entropy).unwrap();
                let secret = chosen(&fresh);
                let rekeyed = self.authority().rekey(server, &file, &secret, owner, NOW, entropy);
                let rekeyed = rekeyed.unwrap();
                self.dead.push(std::mem::replace(&mut self.password, fresh));
                self.dead.extend(self.apps.drain(..).map(|(secret, ..)| secret));
                let code = rekeyed.recovery_code.expose().to_owned();
                self.dead.push(std::mem::replace(&mut self.world.recovery, code));
                self.index_key = rekeyed.unlocked.index_key().clone();
                rekeyed.file
            }
            6 => {
                let file = authority.end_index_rekey(file, entropy).unwrap();
                let begun = self.authority().begin_index_rekey(&file, entropy).unwrap();
                self.index_key = begun.1.index_key().clone();
                begun.0
            }
            7 => file.next_epoch().unwrap_or_else(|| file.locked()),
            _ => {
                let prepared = authority.prepare_epochs(file, NOW, entropy).unwrap();
                prepared.unwrap_or_else(|| authority.clear_lock(file).unwrap())
            }
        };
        self.mail.push(self.world.seal(&[kind]));
    }

    fn check(&self) {
        let file = self.world.reread(&self.world.file).unwrap();
        assert_eq!(file.slots().count(), 2 + self.apps.len());
        let opening = self.apps.iter().filter(|(_, _, scope)| *scope == Scope::Open);
        let secrets = [&self.password, &self.world.recovery];
        for secret in opening.map(|(secret, ..)| secret).chain(secrets) {
            let unlocked = self.world.open(secret).unlocked;
            assert_eq!(unlocked.index_key().expose(), self.index_key.expose());
            assert!(self.mail.iter().rev().take(3).all(|message| reads(&unlocked, message)));
        }
        for (secret, ..) in self.apps.iter().filter(|(_, _, scope)| *scope == Scope::LoginOnly) {
            assert!(matches!(self.world.login(secret), Ok(Login::Verified(_))));
        }
        for secret in &self.dead {
            assert_eq!(refusal(self.world.login(secret)), Refusal::WrongSecret);
        }
    }
}

#[test]
fn whatever_is_done_the_remaining_slots_open_and_the_others_do_not() {
    use proptest::prelude::*;
    let steps = proptest::collection::vec(0..9u8, 1..16);
    proptest!(ProptestConfig::with_cases(24), |(steps in steps)| {
        let mut model = Model::new();
        for (number, kind) in steps.into_iter().enumerate() {
            model.step(kind, number);
            model.check();
        }
        let unlocked = model.world.open(&model.password).unlocked;
        prop_assert!(model.mail.iter().all(|message| reads(&unlocked, message)));
    });
}

#[test]
fn the_vault_that_lies_sealed_holds_no_secret_of_a_slot() {
    let mut world = world();
    let (app, _) = world.app(Scope::Open);
    let slot = &world.file.slots[0];
    let Fit::Yes(root) = slot.fits(NUMBER, &credential(PASSWORD), &world.server) else { panic!() };
    let amk = slot.unwrap(NUMBER, &root).unwrap();
    let vault = Vault::open(&world.file, &amk).unwrap();
    let plain = postcard::to_allocvec(&vault).unwrap();
    let symbols: String = app.replace('-', "")[3..29].to_owned();
    for needle in [PASSWORD.as_bytes(), app.as_bytes(), symbols.as_bytes(), amk.expose()] {
        assert!(!plain.windows(needle.len()).any(|window| window == needle));
    }
}

/// Mail that was encrypted to an identity before it was replaced is opened as before.
#[test]
fn the_witness_opens_mail_to_the_identity_and_to_those_before_it() {
    let mut world = world();
    let letter = |world: &World| {
        let cert = world.file.identity_cert();
        let entity = b"Content-Type: text/plain\r\n\r\nhello\r\n";
        pgp::mime::testing::mail("From: b@example.org\r\n", cert, None, entity, NOW)
    };
    let opens = |world: &World, message: &[u8]| {
        let unlocked = world.open(PASSWORD).unlocked;
        let structure = crate::mail::analyse(message).structure;
        pgp::mime::open(message, &structure, unlocked.identity_keys(), None, NOW).is_ok()
    };
    let old = letter(&world);
    assert!(opens(&world, &old));
    let other = pgp::generate_identity(ADDRESS, NOW).unwrap();
    let imported = pgp::import(other.secret.expose(), ADDRESS, None, NOW).unwrap();
    let authority = world.authority();
    world.file = authority.replace_identity(&world.file, imported, &world.entropy).unwrap();
    assert!(opens(&world, &letter(&world)) && opens(&world, &old));
    let stranger = world_with(server(9, None), AccountNumber(8));
    assert!(!opens(&stranger, &old));
}

/// Figures, not checks: the runner's own time of each, as
/// `cargo nextest run --release --run-ignored only vault::tests::figures`.
mod figures {
    use super::*;

    #[test]
    #[ignore = "a figure"]
    fn log_in_ten_times_at_the_full_cost() {
        let mut world = world();
        let server = ServerKeys::new(&Key::random(&SeededEntropy::new(1)), None);
        let (password, authority) = (chosen(OTHER), world.authority());
        let made = authority.set_password(
            &server,
            &world.file,
            &password,
            Party::Owner,
            NOW,
            &world.entropy,
        );
        world.file = made.unwrap();
        (0..10).for_each(|_| assert!(world.login(OTHER).is_ok()));
    }

    #[test]
    #[ignore = "a figure"]
    fn log_in_a_thousand_times_with_an_app_password() {
        let mut world = world();
        let (secret, _) = world.app(Scope::Open);
        (0..1000).for_each(|_| assert!(world.login(&secret).is_ok()));
    }
}
