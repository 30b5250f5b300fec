//! What is checked: the files, and the plan that they are checked against.

use std::collections::BTreeMap;
use std::path::Path;

/// One file, by its path from the root of the repository.
#[derive(Clone)]
pub struct Source {
    pub path: String,
    pub text: String,
    /// Some `#[cfg(test)] mod …;` leads here.
    tests_only: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Source { path: path.to_owned(), text: text.to_owned(), tests_only: false }
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

    /// Whether the whole file is test code.
    pub fn is_test(&self) -> bool {
        !self.path.starts_with("src/") || self.tests_only
    }

    /// The modules, as names below the crate's root, that only tests compile.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let file = syn::parse_file(&self.text).ok();
        let items = file.map_or(Vec::new(), |file| file.items);
        let is_test = |attribute: &syn::Attribute| {
            let meta = attribute.meta.require_list().ok();
            meta.is_some_and(|list| {
                list.path.is_ident("cfg") && list.tokens.to_string().starts_with("test")
            })
        };
        let modules = items.into_iter().filter_map(|item| match item {
            syn::Item::Mod(module) if module.attrs.iter().any(is_test) => Some(module.ident),
            _ => None,
        });
        modules.map(|name| self.module().into_iter().chain([name.to_string()]).collect()).collect()
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
        let product = sources.iter().filter(|source| source.is_product());
        let tests: Vec<Vec<String>> = product.flat_map(Source::test_modules).collect();
        for source in sources.iter_mut().filter(|source| source.is_product()) {
            let module = source.module();
            source.tests_only = tests.iter().any(|test| module.starts_with(test));
        }
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
            sources.push(Source { path, text, tests_only: false });
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
