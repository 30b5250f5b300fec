//! How files look, and whether they belong to the program at all.

use super::house::{House, Source};
use super::names::Found;
use super::rules::Report;
use std::collections::BTreeSet;
use syn::visit::Visit;

/// Above this a function is to be taken apart.
pub const FUNCTION_LINES_MAX: usize = 70;
/// Columns, counted in characters.
const COLUMNS_MAX: usize = 100;
/// Rooms that hold prose only and therefore need no rank.
const PROSE: &[&str] = &["manual"];

pub fn check_text(source: &Source, words: &[&str], out: &mut Report) {
    let script = [".rs", ".py", ".sh"].iter().any(|ending| source.path.ends_with(ending))
        || source.text.starts_with("#!");
    if source.is_rust() && !source.text.starts_with("//!") {
        out.say(1, "does not open with //!".to_owned());
    }
    for (at, line) in source.text.lines().enumerate() {
        let columns = line.chars().count();
        // A row of a table in the documentation cannot be broken.
        let is_row = line.trim_start().starts_with("//! |");
        if script && columns > COLUMNS_MAX && !is_row {
            out.say(at + 1, format!("{columns} columns; {COLUMNS_MAX} are the limit"));
        }
        for word in words.iter().filter(|word| line.contains(**word)) {
            out.say(at + 1, format!("the word {word} does not belong here"));
        }
    }
}

pub fn check_functions(found: &Found, let_stand: &[(&str, &str, &str)], out: &mut Report) {
    for function in found.functions.iter().filter(|f| f.lines > FUNCTION_LINES_MAX) {
        let known = |row: &&(&str, &str, &str)| row.0 == out.path && row.1 == function.name;
        if let_stand.iter().find(known).is_none_or(|(_, _, why)| why.is_empty()) {
            let sentence = format!("{} is a function of {} lines", function.name, function.lines);
            out.say(function.line, sentence);
        }
    }
}

/// What only the syntax tree tells: what a room hands on to others under its own name.
pub fn check_items(house: &House, source: &Source, file: &syn::File, out: &mut Report) {
    let Some(room) = source.room() else { return };
    let mut items = Items { house, room, out };
    items.visit_file(file);
}

struct Items<'a, 'b> {
    house: &'a House,
    room: &'a str,
    out: &'a mut Report<'b>,
}

impl Items<'_, '_> {
    /// Whether the first names of a path lead out of the room.
    fn is_foreign(&self, path: &[String]) -> bool {
        match path.first().map(String::as_str) {
            Some("crate") => path.get(1).is_some_and(|room| room != self.room),
            Some("std" | "core" | "alloc") => true,
            Some(root) => self.house.crates.contains_key(root),
            None => false,
        }
    }

    fn check_handed_on(&mut self, path: &[String], line: usize) {
        if self.is_foreign(path) {
            let path = path.join("::");
            self.out.say(line, format!("`{path}`: a room hands on only what is its own"));
        }
    }
}

impl<'ast> Visit<'ast> for Items<'_, '_> {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_visible(&item.vis) {
            let line = item.use_token.span.start().line;
            for path in leaves(&item.tree, &[]) {
                self.check_handed_on(&path, line);
            }
        }
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        if let (true, syn::Type::Path(path)) = (is_visible(&item.vis), &*item.ty) {
            let names: Vec<String> =
                path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            let root = names.first();
            if root.is_some_and(|root| self.house.crates.contains_key(root)) {
                self.check_handed_on(&names, item.type_token.span.start().line);
            }
        }
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        let line = item.extern_token.span.start().line;
        self.out.say(line, format!("`extern crate {}` renames the root of a crate", item.ident));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if let Some(attribute) = item.attrs.iter().find(|a| a.path().is_ident("path")) {
            let line = attribute.pound_token.span.start().line;
            self.out.say(line, "`#[path]` pulls in text from elsewhere".to_owned());
        }
        syn::visit::visit_item_mod(self, item);
    }
}

fn is_visible(visibility: &syn::Visibility) -> bool {
    match visibility {
        syn::Visibility::Public(_) => true,
        syn::Visibility::Restricted(within) => within.path.is_ident("crate"),
        syn::Visibility::Inherited => false,
    }
}

fn leaves(tree: &syn::UseTree, prefix: &[String]) -> Vec<Vec<String>> {
    let with = |name: &syn::Ident| prefix.iter().cloned().chain([name.to_string()]).collect();
    match tree {
        syn::UseTree::Path(path) => leaves(&path.tree, &Vec::<String>::clone(&with(&path.ident))),
        syn::UseTree::Name(name) => vec![with(&name.ident)],
        syn::UseTree::Rename(rename) => vec![with(&rename.ident)],
        syn::UseTree::Glob(_) => vec![prefix.to_vec()],
        syn::UseTree::Group(group) => {
            group.items.iter().flat_map(|item| leaves(item, prefix)).collect()
        }
    }
}

/// Files that no `mod` reaches, and rooms that stand in no row of the table.
pub fn check_tree(house: &House, breaches: &mut Vec<String>) {
    let lib = house.sources.iter().filter(|source| source.path == "src/lib.rs");
    let mut reached: BTreeSet<String> =
        ["src/lib.rs", "src/main.rs"].map(str::to_owned).into_iter().collect();
    let mut open: Vec<&Source> = lib.collect();
    while let Some(source) = open.pop() {
        let declared = syn::parse_file(&source.text).map(|file| declared(&file.items));
        for child in declared.unwrap_or_default() {
            let module = source.module().into_iter().chain(child).collect::<Vec<_>>().join("/");
            for path in [format!("src/{module}.rs"), format!("src/{module}/mod.rs")] {
                let file = house.sources.iter().find(|source| source.path == path);
                if let (Some(file), true) = (file, reached.insert(path)) {
                    open.push(file);
                }
            }
        }
    }
    for source in house.sources.iter().filter(|source| source.is_product()) {
        if !reached.contains(&source.path) {
            breaches.push(format!("{}:1: is not part of the program", source.path));
        }
        let room = source.room().unwrap_or("base");
        if !house.ranks.contains_key(room) && !PROSE.contains(&room) {
            breaches.push(format!("{}:1: stands in no row of the table of ranks", source.path));
        }
    }
}

/// The modules that a file declares and that live in files of their own.
fn declared(items: &[syn::Item]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for item in items {
        if let syn::Item::Mod(module) = item {
            let name = module.ident.to_string();
            match &module.content {
                None => found.push(vec![name]),
                Some((_, inner)) => found.extend(declared(inner).into_iter().map(|mut path| {
                    path.insert(0, name.clone());
                    path
                })),
            }
        }
    }
    found
}
