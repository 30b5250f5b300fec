"""The twelve breakages: what is replaced by what, and the tests that must turn red.

In a new text the word `ON` stands for "this breakage is turned on". The words of a test are part of
what its failure says: they show that it is red for the right reason.
"""

from collections import namedtuple

Mutant = namedtuple("Mutant", "name tests edits")
Test = namedtuple("Test", "name words")

MUTANTS = [
    # The octets are in the page cache only when the answer goes out.
    Mutant("no-fsync", [
        Test("journal::tests::what_was_acknowledged_survives_a_power_cut",
             "the unmarked tail goes to a new segment"),
        Test("journal::sim_tests::crashes_and_faults_lose_nothing_that_was_acknowledged",
             "replay with SEED"),
    ], [
        ("src/journal/append.rs",
         "        if let Err(error) = active.file.sync_data() {\n",
         "        if !ON && let Err(error) = active.file.sync_data() {\n"),
    ]),
    # The sync takes place, but the answer does not wait for it: in the journal for what it says,
    # in the mailbox for that it has come at all.
    Mutant("reply-before-fsync", [
        Test("journal::sim_tests::every_operation_of_the_accept_path_may_fail_once_or_for_ever",
             "Damaged(Address"),
        Test("mailbox::tests::nothing_is_published_before_it_is_durable",
             "answered before it was durable"),
    ], [
        ("src/journal/append.rs",
         "            self.active = Some(active);\n"
         "            return Err(self.write_failed(error));\n"
         "        }\n",
         "            self.active = Some(active);\n"
         "            return Err(self.write_failed(error));\n"
         "        }\n"
         "        if ON {\n"
         "            let (file, link) = (active.file.clone(), active.link);\n"
         "            let addresses = self.publish(active, encoded);\n"
         "            if file.sync_data().is_err() && let Some(active) = self.active.take() {\n"
         "                self.poison(Active { link, ..active });\n"
         "            }\n"
         "            return Ok(addresses);\n"
         "        }\n"),
        ("src/mailbox/deliver.rs",
         "    if let Err(error) = core.log.submit(batch).await {\n",
         "    if ON {\n"
         "        let core = core.clone();\n"
         "        tokio::spawn(async move { drop(core.log.submit(batch).await) });\n"
         "    } else if let Err(error) = core.log.submit(batch).await {\n"),
    ]),
    # Linux answers the second sync with OK although the octets are lost.
    Mutant("retry-after-failed-fsync", [
        Test("journal::sim_tests::after_a_failed_sync_the_same_segment_is_never_synced_again",
             "[Err(Failed)]"),
    ], [
        ("src/journal/append.rs",
         "            self.poison(active);\n"
         "            return Err(append_error(&error));\n",
         "            if ON && active.file.sync_data().is_ok() {\n"
         "                return Ok(self.publish(active, encoded));\n"
         "            }\n"
         "            self.poison(active);\n"
         "            return Err(append_error(&error));\n"),
    ]),
    # Recovery takes the first bad octet for the end of the journal, marks or not.
    Mutant("cut-of-damage-in-the-middle", [
        Test("journal::tests::damage_in_the_middle_is_stepped_over_and_never_cut", "left: []"),
    ], [
        ("src/journal/recover.rs",
         "            Limit::Marks => self.out.mark,\n",
         "            Limit::Marks if ON => 0,\n"
         "            Limit::Marks => self.out.mark,\n"),
        ("src/journal/recover.rs",
         "        if limit == Limit::Marks {\n"
         "            self.out.durable = ",
         "        if limit == Limit::Marks && !ON {\n"
         "            self.out.durable = "),
    ]),
    # Sessions see a change while it is on its way to the disk.
    Mutant("publish-before-durable", [
        Test("mailbox::tests::nothing_is_published_before_it_is_durable",
             "seen before it was durable"),
    ], [
        ("src/mailbox/task.rs",
         "        let mut addresses = Vec::new();\n"
         "        for batch in planned.take_batches() {\n",
         "        if ON {\n"
         "            let batches = planned.take_batches();\n"
         "            let place = crate::journal::Address { segment: 1, slot: 0 };\n"
         "            let guess = batches.iter().map(|batch| vec![place; batch.len()]).collect();\n"
         "            let outcome = self.on_machine(move |it| it.commit(planned, guess)).await?;\n"
         "            self.publish()?;\n"
         "            for batch in batches {\n"
         "                self.core.log.submit(batch).await?;\n"
         "            }\n"
         "            return Ok(outcome);\n"
         "        }\n"
         "        let mut addresses = Vec::new();\n"
         "        for batch in planned.take_batches() {\n"),
    ]),
    # One counter begins anew with each process; the vault's is in its file and goes back with it.
    Mutant("counter-for-a-nonce", [
        Test("base::crypto::tests::the_nonce_is_all_of_it_drawn_from_entropy",
             "left: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]"),
        Test("vault::tests::no_nonce_is_used_twice_although_an_old_copy_is_restored", "(120, 120)"),
    ], [
        ("src/base/crypto.rs",
         "    let nonce: [u8; NONCE_BYTES] = entropy::bytes(entropy);\n",
         "    let mut nonce: [u8; NONCE_BYTES] = entropy::bytes(entropy);\n"
         "    if ON && !aad.starts_with(b\"postseal vault\") {\n"
         "        use std::sync::atomic::{AtomicU64, Ordering};\n"
         "        static COUNTER: AtomicU64 = AtomicU64::new(0);\n"
         "        let count = COUNTER.fetch_add(1, Ordering::Relaxed);\n"
         "        nonce = [0; NONCE_BYTES];\n"
         "        nonce[4..].copy_from_slice(&count.to_be_bytes());\n"
         "    }\n"),
        ("src/vault/sealed.rs",
         "        crypto::seal(amk, &binding(self.number), plain.expose(), entropy)\n",
         "        let counted = crate::base::entropy::SeededEntropy::new(self.generation);\n"
         "        let entropy: &dyn Entropy = if ON { &counted } else { entropy };\n"
         "        crypto::seal(amk, &binding(self.number), plain.expose(), entropy)\n"),
    ]),
    # A certificate that somebody has added a subkey to gets every message twice.
    Mutant("seal-to-two-subkeys", [
        Test("pgp::tests::"
             "a_sealed_message_has_one_recipient_however_many_subkeys_the_certificate_offers",
             "one recipient, one sealed packet"),
    ], [
        ("src/pgp/seal.rs",
         "    fingerprint: Fingerprint,\n"
         "    key: Arc<",
         "    fingerprint: Fingerprint,\n"
         "    others: Arc<Vec<openpgp::packet::Key<openpgp::packet::key::PublicParts, "
         "openpgp::packet::key::SubordinateRole>>>,\n"
         "    key: Arc<"),
        ("src/pgp/seal.rs",
         "        let wanted = packets.into_children()",
         "        let others = packets.children().filter_map(|packet| match packet {\n"
         "            Packet::PublicSubkey(key) if ON => {\n"
         "                (Fingerprint::of(&key.fingerprint()).as_ref() != Some(subkey))\n"
         "                    .then(|| key.clone())\n"
         "            }\n"
         "            _ => None,\n"
         "        });\n"
         "        let others = Arc::new(others.collect());\n"
         "        let wanted = packets.into_children()"),
        ("src/pgp/seal.rs",
         "        Ok(SealKey { fingerprint: *subkey, key:",
         "        Ok(SealKey { fingerprint: *subkey, others, key:"),
        ("src/pgp/seal.rs",
         "        let message = encrypt(pkesk, &session_key.to_library(), literal, entropy)",
         "        let library_key = session_key.to_library();\n"
         "        let mut pkesk = pkesk;\n"
         "        for other in self.others.iter() {\n"
         "            let second = PKESK6::for_recipient(&library_key, other)\n"
         "                .and_then(|pkesk| Packet::from(PKESK::from(pkesk)).to_vec());\n"
         "            pkesk.extend(second.map_err(|_| SealError::Library)?);\n"
         "        }\n"
         "        let message = encrypt(pkesk, &library_key, literal, entropy)"),
    ]),
    # A client would take it that all mail is gone, and delete its copies.
    Mutant("locked-mailbox-shown-empty", [
        Test("mailbox::imap::tests::a_locked_account_shows_nothing_and_loses_nothing",
             "* 0 EXISTS"),
    ], [
        ("src/mailbox/imap/session.rs",
         "        if let Err(denial) = self.state.permits(&command) {\n",
         "        let selects = matches!(&command, Command::Select(..) | Command::Examine(..));\n"
         "        if ON && selects && self.account.is_none() {\n"
         "            self.link.out.line(\"* 0 EXISTS\");\n"
         "            self.link.out.ok(&tag, Code::ReadWrite, \"SELECT completed\");\n"
         "            return Ok(());\n"
         "        }\n"
         "        if let Err(denial) = self.state.permits(&command) {\n"),
    ]),
    # Whoever can log in reads what another session has unlocked.
    Mutant("attach-without-witness", [
        Test("mailbox::tests::attach_needs_the_witness_of_this_very_login",
             "right, but it opens nothing"),
    ], [
        ("src/mailbox/login.rs",
         "    may.then(|| resident.clone())\n",
         "    (may || ON).then(|| resident.clone())\n"),
    ]),
    # SMTP smuggling: a line feed alone begins a line, or ends the one with the dot.
    Mutant("bare-lf-ends-data", [
        Test("smtp::tests::a_bare_lf_never_ends_data_smuggling_matrix", "MAIL FROM:<evil@"),
        Test("smtp::data::tests::only_crlf_dot_crlf_ends_a_message", "left: Some("),
    ], [
        ("src/smtp/data.rs",
         "                At::Dot => self.at = At::Text,\n",
         "                At::Dot if octet == b'\\n' && ON => return Some(at + 1),\n"
         "                At::Dot => self.at = At::Text,\n"),
        ("src/smtp/data.rs",
         "        self.at = At::Text;\n"
         "        if self.normalise {\n",
         "        self.at = if octet == b'\\n' && ON { At::LineStart } else { At::Text };\n"
         "        if self.normalise {\n"),
    ]),
    # What was injected in clear is obeyed as if it had come under TLS.
    Mutant("starttls-keeps-the-buffer", [
        Test("smtp::tests::starttls_keeps_no_buffer_twelve_injections", "220 2.0.0 Go ahead"),
        Test("mailbox::imap::tests::whatever_follows_starttls_ends_the_session", "Begin TLS now"),
    ], [
        ("src/smtp/dialog.rs",
         "        if self.has_unread() {\n"
         "            return self.end(replies::PIPELINED, Ending::BehindStartTls);\n",
         "        if self.has_unread() && !ON {\n"
         "            return self.end(replies::PIPELINED, Ending::BehindStartTls);\n"),
        ("src/smtp/dialog.rs",
         "            self.forget_input();\n"
         "            self.state = State::Command;\n",
         "            if !ON {\n"
         "                self.forget_input();\n"
         "            }\n"
         "            self.state = State::Command;\n"),
        ("src/mailbox/imap/session.rs",
         "        if self.link.receiver().has_pending() {\n",
         "        if self.link.receiver().has_pending() && !ON {\n"),
        ("src/mailbox/imap/link.rs",
         "        self.stream = Some(stream);\n"
         "        self.receiver = ",
         "        self.stream = Some(stream);\n"
         "        if ON {\n"
         "            return;\n"
         "        }\n"
         "        self.receiver = "),
    ]),
    # The exact size stands beside what is sealed, or is its length, since nothing pads it.
    Mutant("size-in-clear", [
        Test("store::tests::of_two_sizes_within_one_step_nothing_in_clear_tells_which",
             "the record's head in clear"),
        Test("store::tests::lengths_of_headers_do_not_show", "left == right"),
        Test("pgp::tests::lengths_within_a_padme_step_seal_to_one_length", "left == right"),
    ], [
        ("src/store/arrival.rs",
         "    let salt: [u8; SALT_BYTES] = entropy::bytes(entropy);\n",
         "    let mut salt: [u8; SALT_BYTES] = entropy::bytes(entropy);\n"
         "    if ON {\n"
         "        salt[..4].copy_from_slice(&record.size.to_be_bytes());\n"
         "    }\n"),
        ("src/store/arrival.rs",
         "        out.resize(out.len().next_multiple_of(RECORD_STEP_BYTES), 0);\n"
         "        out\n",
         "        if !ON {\n"
         "            out.resize(out.len().next_multiple_of(RECORD_STEP_BYTES), 0);\n"
         "        }\n"
         "        out\n"),
        ("src/pgp/frame.rs",
         "    let gap = padme(plain_bytes + PADDING_BYTES_MIN) - plain_bytes;\n",
         "    let gap = padme(plain_bytes + PADDING_BYTES_MIN) - plain_bytes;\n"
         "    let gap = if ON { PADDING_BYTES_MIN } else { gap };\n"),
    ]),
]
