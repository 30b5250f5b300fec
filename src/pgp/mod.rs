//! OpenPGP: certificates, seal, open. The only room that names Sequoia.
