//! What is checked: the files, and the plan that they are checked against.

use std::collections::BTreeMap;
use std::path::Path;

/// One file, by its path from the root of the repository.
#[derive(Clone)]
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Source { path: path.to_owned(), text: text.to_owned() }
    }

    /// The room a file is in: the first name below `src`; `None` for tests, `lib.rs`, `main.rs`.
    pub fn room(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(room, "lib" | "main")).then_some(room)
    }

    /// The module a file is, as names below the crate's root.
    pub fn module(&self) -> Vec<String> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inside = inside.strip_suffix(".rs").unwrap_or(inside);
        let inside = inside.strip_suffix("/mod").unwrap_or(inside);
        match inside {
            "lib" | "main" => Vec::new(),
            _ => inside.split('/').map(str::to_owned).collect(),
        }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub fn is_product(&self) -> bool {
        self.is_rust() && self.path.starts_with("src/")
    }

    /// Whether the whole file is test code: below `tests/`, or a room's `tests.rs`.
    pub fn is_test(&self) -> bool {
        !self.path.starts_with("src/")
            || self.module().iter().any(|name| name == "tests" || name.ends_with("_tests"))
    }
}

/// The repository as the checks see it.
#[derive(Clone)]
pub struct House {
    /// Room to rank, from the table in `src/lib.rs`.
    pub ranks: BTreeMap<String, u32>,
    /// The crates that `Cargo.toml` names, as they are written in paths; true for tests only.
    pub crates: BTreeMap<String, bool>,
    pub sources: Vec<Source>,
}

impl House {
    pub fn read(root: &str) -> House {
        let root = Path::new(root);
        let mut sources = Vec::new();
        for dir in ["src", "tests"] {
            walk(root, &root.join(dir), &mut sources);
        }
        sources.sort_by(|left, right| left.path.cmp(&right.path));
        let lib = std::fs::read_to_string(root.join("src/lib.rs")).unwrap();
        let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
        House { ranks: ranks(&lib), crates: crates(&manifest), sources }
    }

    /// The same plan with `src/lib.rs` as the only file.
    pub fn only_the_plan(&self) -> House {
        let sources = self.sources.iter().filter(|source| source.path == "src/lib.rs");
        House { sources: sources.cloned().collect(), ..self.clone() }
    }
}

fn walk(root: &Path, dir: &Path, sources: &mut Vec<Source>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "__pycache__" && name != "target" {
                walk(root, &path, sources);
            }
            continue;
        }
        if let Ok(text) = std::fs::read_to_string(&path) {
            let path = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            sources.push(Source { path, text });
        }
    }
}

/// Reads `//! | rank | room | what it is for |`.
fn ranks(lib: &str) -> BTreeMap<String, u32> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! |"));
    let ranks: BTreeMap<String, u32> = rows
        .filter_map(|row| {
            let mut cells = row.split('|').map(str::trim);
            let rank = cells.next()?.parse().ok()?;
            Some((cells.next()?.trim_matches('`').to_owned(), rank))
        })
        .collect();
    assert!(ranks.len() > 10, "the table of ranks in src/lib.rs could not be read");
    ranks
}

fn crates(manifest: &str) -> BTreeMap<String, bool> {
    let mut crates = BTreeMap::new();
    let mut section = "";
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.trim();
        } else if let Some((name, _)) = line.split_once('=')
            && (section == "[dependencies]" || section == "[dev-dependencies]")
            && !name.starts_with(['#', ' '])
        {
            let name = name.trim().replace('-', "_");
            let only_tests = section == "[dev-dependencies]" && !crates.contains_key(&name);
            crates.entry(name).or_insert(only_tests);
        }
    }
    crates
}
