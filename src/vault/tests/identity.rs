//! Identities that are replaced.

use super::*;
use crate::base::secret::SecretBytes;
use crate::pgp::{CertPair, Imported};

fn imported(pair: &CertPair, with_secret: bool) -> Imported {
    Imported {
        public: pair.public.clone(),
        secret: with_secret.then(|| pair.secret.clone()),
        fingerprint: pair.fingerprint,
    }
}

fn other() -> CertPair {
    pgp::generate_identity(ADDRESS, NOW).unwrap()
}

impl World {
    fn replace(&mut self, imported: Imported) -> Result<(), Denied> {
        let authority = self.authority();
        self.file = authority.replace_identity(&self.file, imported, &self.entropy)?;
        Ok(())
    }

    fn identity(&self) -> Result<SecretBytes, Denied> {
        self.authority().export_identity(&self.file)
    }

    fn secrets(&self) -> Vec<Vec<u8>> {
        let secrets = self.authority().vault(&self.file).unwrap().identity_secrets();
        secrets.iter().map(|secret| secret.expose().to_vec()).collect()
    }
}

#[test]
fn a_new_identity_is_in_file_and_vault_and_the_old_secret_is_kept() {
    let mut world = world();
    let (old, new) = (world.identity().unwrap(), other());
    world.replace(imported(&new, true)).unwrap();
    assert_eq!(world.file.identity_cert(), new.public);
    assert_eq!(world.identity().unwrap().expose(), new.secret.expose());
    assert_eq!(world.secrets(), [new.secret.expose(), old.expose()]);
    let read = AccountFile::from_bytes(&world.file.to_bytes(&world.server), &world.server).unwrap();
    world.file = read;
    assert!(world.login(PASSWORD).is_ok());
    assert_eq!(world.secrets().len(), 2);
    // What opens the account is as it was, and every later change keeps both.
    world.file = world.passwd(OTHER);
    let authority = world.open(OTHER).authority;
    assert_eq!(authority.vault(&world.file).unwrap().identity_secrets().len(), 2);
}

#[test]
fn of_a_certificate_alone_the_server_has_no_secret() {
    let mut world = world();
    let (old, new) = (world.identity().unwrap(), other());
    world.replace(imported(&new, false)).unwrap();
    assert_eq!(world.identity().unwrap_err(), Denied(DenyReason::NoSecret));
    assert_eq!(world.secrets(), [old.expose()]);
    // A new form of the certificate in force changes nothing of the secrets.
    let mut again = world_with(server(1, None), NUMBER);
    let own = again.identity().unwrap();
    let fingerprint = pgp::fingerprint(again.file.identity_cert()).unwrap();
    let public = again.file.identity_cert().to_vec();
    again.replace(Imported { public, secret: None, fingerprint }).unwrap();
    assert_eq!(again.secrets(), [own.expose()]);
}

#[test]
fn replaced_identities_are_kept_once_each_and_not_without_limit() {
    let mut world = world();
    let (one, two) = (other(), other());
    for pair in [&one, &two, &one, &two, &one] {
        world.replace(imported(pair, true)).unwrap();
    }
    assert_eq!(world.secrets().len(), 3);
    let refused = (0..20).find_map(|_| world.replace(imported(&other(), true)).err());
    assert_eq!(refused, Some(Denied(DenyReason::TooManyIdentities)));
    assert_eq!(world.secrets().len(), 9, "eight and the one in force");
    assert!(world.login(PASSWORD).is_ok());
}

#[test]
fn only_its_owner_replaces_an_identity() {
    let mut world = world();
    let (app, _) = world.app(Scope::Open);
    let authority = world.open(&app).authority;
    let result = authority.replace_identity(&world.file, imported(&other(), true), &world.entropy);
    assert_eq!(result.unwrap_err(), Denied(DenyReason::NeedsOwner));
}

#[test]
fn a_replaced_certificate_that_is_put_back_is_noticed() {
    let mut world = world();
    let old = world.file.identity_cert().to_vec();
    world.replace(imported(&other(), true)).unwrap();
    world.file.identity_cert = old;
    assert_eq!(refusal(world.login(PASSWORD)), Refusal::Tampered(Tampered::IdentityCert));
}

#[test]
fn whether_it_is_published_stands_under_the_mac_and_only_where_it_must() {
    let world = world();
    let shown = world.file.to_bytes(&world.server);
    let hidden = world.file.publishing(false).to_bytes(&world.server);
    assert_eq!((&shown[8..10], &hidden[8..10]), (&[0u8, 1][..], &[0u8, 2][..]));
    let read = |octets: &[u8]| AccountFile::from_bytes(octets, &world.server);
    assert!(read(&shown).unwrap().is_published());
    let file = read(&hidden).unwrap();
    assert!(!file.is_published());
    let shown = file.publishing(true).to_bytes(&world.server);
    assert_eq!(shown[9], 1);
    for (at, octet) in [(9, 1), (hidden.len() - 33, 0)] {
        let mut altered = hidden.clone();
        altered[at] = octet;
        assert_eq!(read(&altered).unwrap_err(), FileError::Mac);
    }
    // With the MAC made right, the two must still agree.
    let mut altered = hidden.clone();
    altered[9] = 1;
    let framed = altered.len() - 32;
    let mac = crypto::hmac(&world.server.mac, &[&altered[..framed]]);
    altered.truncate(framed);
    altered.extend_from_slice(&mac);
    assert_eq!(read(&altered).unwrap_err(), FileError::Inconsistent);
}
