//! The sample configuration `config/postseal.toml`, made from the table: every key with its
//! default, its unit and its two sentences. A test compares it with the committed file.

use super::table::{Effect, Fallback, Row, TABLE};

/// Columns at which comments are wrapped.
const COLUMNS: usize = 98;

const HEADING: &str = "\
# Every option of Postseal with its default. Made from the table in src/config/table.rs; do not
# edit the copy in the repository. What a site must set, and then has a working server:
#
#   [server]   hostname = \"mail.example.org\"
#   [mail]     domains = [\"example.org\"]
#   [tls]      certificate = \"/etc/postseal/fullchain.pem\"
#              key = \"/etc/postseal/privkey.pem\"
#
# `postseal check --config FILE` says what is wrong with a file. Relative paths start at the file's
# directory. \"At reload\" means: when the server gets SIGHUP.
";

/// The whole sample file.
pub fn sample() -> String {
    let mut out = HEADING.to_owned();
    for section in TABLE {
        out.push('\n');
        comment(&mut out, section.about);
        out.push_str(&format!("[{}]\n", section.name));
        section.rows.iter().for_each(|row| option(&mut out, row));
    }
    out
}

fn option(out: &mut String, row: &Row) {
    let effect = match row.effect {
        Effect::Reload => "at reload",
        Effect::Restart => "at restart",
    };
    let default = match row.fallback {
        Fallback::Default(_) => "",
        Fallback::Required(_) => " Must be set; this is an example.",
    };
    out.push('\n');
    comment(out, row.about);
    let least = row.least.map(|least| format!(", at least {}", least.trim_matches('"')));
    let least = least.unwrap_or_default();
    comment(out, &format!("({}{least}; changes {effect}.){default}", row.kind));
    out.push_str(&format!("{} = {}\n", row.key, row.fallback.text()));
}

fn comment(out: &mut String, text: &str) {
    let mut column = 0;
    for word in text.split_whitespace() {
        if column == 0 || column + 1 + word.len() > COLUMNS {
            out.push_str(if column == 0 { "#" } else { "\n#" });
            column = 1;
        }
        out.push(' ');
        out.push_str(word);
        column += 1 + word.chars().count();
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn the_sample_is_itself_a_configuration_with_all_defaults() {
        let config = parse(&sample(), std::path::Path::new("/etc/postseal/postseal.toml"));
        assert!(config.is_ok(), "{}", config.unwrap_err());
    }

    #[test]
    fn every_option_has_two_sentences_and_lines_stay_short() {
        for row in TABLE.iter().flat_map(|section| section.rows) {
            let ends = row.about.matches(". ").count() + usize::from(row.about.ends_with('.'));
            assert_eq!(ends, 2, "{}.{}: {}", row.section, row.key, row.about);
        }
        assert!(sample().lines().all(|line| line.chars().count() <= 100));
    }
}
