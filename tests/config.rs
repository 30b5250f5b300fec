//! The sample configuration in `config/` is what the table of options makes.
//!
//! To renew it: `POSTSEAL_WRITE=1 cargo test --test config`.

use postseal::config::reference::sample;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/postseal.toml");

#[test]
fn the_committed_sample_is_the_generated_one() {
    if std::env::var_os("POSTSEAL_WRITE").is_some() {
        std::fs::write(FILE, sample()).unwrap();
    }
    let committed = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(committed == sample(), "config/postseal.toml is out of date; see tests/config.rs");
}

/// Runs `postseal check` on `text` and gives its exit code and everything it printed.
fn check(name: &str, text: &str) -> (Option<i32>, String) {
    let dir = std::env::temp_dir().join(format!("postseal-check-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("postseal.toml");
    std::fs::write(&file, text).unwrap();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_postseal"))
        .args(["check", "--config"])
        .arg(&file)
        .output()
        .unwrap();
    let printed = [out.stdout, out.stderr].concat();
    (out.status.code(), String::from_utf8(printed).unwrap())
}

#[test]
fn check_names_file_line_key_and_nearest_key_of_several_mistakes() {
    let text = sample()
        .replace("recipient_delimiter = ", "recipient_delimeter = ")
        .replace("drain = \"30 s\"", "drain = 30");
    let line = |key: &str| 1 + text.lines().position(|line| line.starts_with(key)).unwrap();
    let (code, printed) = check("mistakes", &text);
    assert_eq!(code, Some(1));
    let unknown = format!(
        "postseal.toml:{}: mail.recipient_delimeter: unknown; did you mean \
         mail.recipient_delimiter?",
        line("recipient_delimeter")
    );
    assert!(printed.contains(&unknown), "{printed}");
    assert!(printed.contains(&format!("postseal.toml:{}: server.drain: ", line("drain"))));
}

#[test]
fn check_is_loud_about_a_key_in_the_data_directory_and_a_test_setup() {
    let text = sample()
        .replace("\"/etc/postseal/journal.key\"", "\"/var/lib/postseal/journal.key\"")
        .replace("test = false", "test = true");
    let (_, printed) = check("loud", &text);
    assert!(printed.contains("keys.journal: LIES IN THE DATA DIRECTORY"), "{printed}");
    assert!(printed.contains("server.test: THIS IS A TEST SET-UP"), "{printed}");
}

#[test]
fn a_full_disk_under_standard_output_is_a_failure_and_no_internal_error() {
    let dir = std::env::temp_dir().join(format!("postseal-full-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("postseal.toml");
    std::fs::write(&file, sample()).unwrap();
    let run = |command: &[&str], out: std::process::Stdio| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_postseal"));
        program.args(command).stdout(out);
        if command[0] != "version" {
            program.arg("--config").arg(&file);
        }
        let done = program.output().unwrap();
        (done.status.code(), String::from_utf8(done.stderr).unwrap())
    };
    for command in [&["check"][..], &["dns"], &["version"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let (code, said) = run(command, full.into());
        assert_eq!(code, Some(1), "{command:?}: {said}");
        assert!(said.starts_with("postseal: standard output cannot be written: "), "{said}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        assert_eq!(run(command, writer.into()), (Some(1), String::new()), "{command:?}");
    }
}

#[test]
fn check_tells_of_a_credential_that_systemd_has_not_given() {
    let text =
        sample().replace("\"/etc/postseal/queue.key\"", "\"${CREDENTIALS_DIRECTORY}/queue.key\"");
    let line = 1 + text.lines().position(|line| line.starts_with("queue = ")).unwrap();
    let (code, printed) = check("credential", &text);
    assert_eq!(code, Some(1));
    let told = format!("postseal.toml:{line}: keys.queue: CREDENTIALS_DIRECTORY is not set");
    assert!(printed.contains(&told), "{printed}");
    assert!(!printed.contains("${CREDENTIALS_DIRECTORY}"), "{printed}");
}

#[test]
fn check_refuses_values_by_which_nobody_is_served() {
    let text = sample()
        .replace("longest = \"12 h\"", "longest = \"0 s\"")
        .replace("waiting = 256", "waiting = 0");
    let (code, printed) = check("least", &text);
    assert_eq!(code, Some(1));
    let line = |row: &str| 1 + text.lines().position(|line| line == row).unwrap();
    for (row, told) in [
        ("longest = \"0 s\"", "unlock.longest: the smallest value is \"1 s\""),
        ("waiting = 0", "login.waiting: the smallest value is 1"),
    ] {
        assert!(printed.contains(&format!("postseal.toml:{}: {told}", line(row))), "{printed}");
    }
}

#[test]
fn check_tells_of_certificates_that_others_refuse() {
    use postseal::base::clock::UnixTime;
    let dir = std::env::temp_dir().join(format!("postseal-certificate-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    // Valid until the end of 2021.
    let made = postseal::host::test_ca::make(&["elsewhere.example"], UnixTime(1_600_000_000));
    let made = made.unwrap();
    let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    std::fs::write(&certificate, made.certificate).unwrap();
    std::fs::write(&key, made.key).unwrap();
    let text = sample()
        .replace("/etc/postseal/fullchain.pem", certificate.to_str().unwrap())
        .replace("/etc/postseal/privkey.pem", key.to_str().unwrap());
    let (_, printed) = check("certificate", &text);
    for told in ["has expired at Sat, 1 Jan 2022", "is not for server.hostname"] {
        assert!(printed.contains(&format!("warning: tls.certificate: {told}")), "{printed}");
    }
}
