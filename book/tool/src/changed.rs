//! `{{changed}}`: what a chapter takes from the ones before it, and what it adds, read from its code.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, UseTree, Visibility};

/// The table for the chapter in `chapters/NAME`, as Markdown.
pub fn render(root: &Path, name: &str) -> anyhow::Result<String> {
    let folder = root.join("chapters").join(name);
    let mut files = Vec::new();
    for area in ["src", "tests"] {
        let folder = folder.join(area);
        if folder.is_dir() {
            sources(&folder, &mut files)?;
        }
    }
    let mut taken: Vec<String> = Vec::new();
    let mut added: Vec<String> = Vec::new();
    let (mut library, mut program, mut tests) = (0, 0, 0);
    for path in &files {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
        let inside = path.strip_prefix(&folder).unwrap_or(path);
        let in_library = inside.starts_with("src") && !is_program(inside);
        *(if in_library {
            &mut library
        } else if inside.starts_with("src") {
            &mut program
        } else {
            &mut tests
        }) += text.lines().count();
        for item in &file.items {
            if let Item::Use(used) = item {
                chapters_in(&used.tree, &mut Vec::new(), &mut taken);
            }
            let is_idea = in_library && !inside.ends_with("exercises.rs") && !inside.ends_with("solutions.rs");
            if is_idea && let Some((kind, name, attributes)) = public(item) {
                let about = first_line(attributes);
                added.push(format!("| {kind} | `{name}` | {about} | `{}` |", inside.display()));
            }
        }
    }
    // Tests and the program use the chapter's own library.
    taken.retain(|thing| !thing.ends_with(&format!(" {}", &name[..name.len().min(2)])));
    taken.sort();
    taken.dedup();
    let mut text = String::new();
    match taken.is_empty() {
        true => writeln!(text, "It builds on no earlier chapter.")?,
        false => writeln!(text, "It builds on {}.", taken.join(", "))?,
    }
    writeln!(
        text,
        "Its library has {library} lines, its program {program}, its tests {tests}; this is what it adds:\n\n\
         | | name | what it is | file |\n|---|---|---|---|\n{}",
        added.join("\n")
    )?;
    Ok(text)
}

/// Whether a file belongs to the program and not to the library.
fn is_program(path: &Path) -> bool {
    path.starts_with("src/bin")
        || path.starts_with("src/demo")
        || path.ends_with("main.rs")
        || path.ends_with("demo.rs")
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The things of other chapters that a `use` names.
fn chapters_in(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<String>) {
    match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            chapters_in(&step.tree, path, found);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|item| chapters_in(item, path, found)),
        UseTree::Name(_) | UseTree::Rename(_) | UseTree::Glob(_) => {
            let Some(chapter) = path.first().filter(|name| is_chapter(name)) else { return };
            let number = &chapter[2..4];
            let thing = match tree {
                UseTree::Name(name) => name.ident.to_string(),
                UseTree::Rename(rename) => rename.ident.to_string(),
                _ => "*".to_owned(),
            };
            let inner = path[1..].iter().map(|module| format!("{module}::")).collect::<String>();
            found.push(format!("`{inner}{thing}` of chapter {number}"));
        }
    }
}

fn is_chapter(name: &str) -> bool {
    let mut letters = name.chars();
    letters.by_ref().take(2).eq("ch".chars()) && letters.by_ref().take(2).filter(char::is_ascii_digit).count() == 2
}

/// Kind, name and attributes of a public item.
fn public(item: &Item) -> Option<(&'static str, String, &[Attribute])> {
    let (kind, visibility, name, attributes) = match item {
        Item::Fn(item) => ("fn", &item.vis, &item.sig.ident, &item.attrs),
        Item::Struct(item) => ("struct", &item.vis, &item.ident, &item.attrs),
        Item::Enum(item) => ("enum", &item.vis, &item.ident, &item.attrs),
        Item::Trait(item) => ("trait", &item.vis, &item.ident, &item.attrs),
        Item::Const(item) => ("const", &item.vis, &item.ident, &item.attrs),
        Item::Type(item) => ("type", &item.vis, &item.ident, &item.attrs),
        _ => return None,
    };
    matches!(visibility, Visibility::Public(_)).then(|| (kind, name.to_string(), attributes.as_slice()))
}

/// The first sentence of an item's documentation.
fn first_line(attributes: &[Attribute]) -> String {
    let mut lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    let mut sentence = String::new();
    for line in lines.by_ref() {
        if line.is_empty() {
            break;
        }
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence.push_str(&line);
    }
    let end = sentence.find(". ").map_or(sentence.len(), |end| end + 1);
    sentence[..end].replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_is_described_by_what_it_uses_and_adds() {
        let root = tempfile::tempdir().unwrap();
        let src = root.path().join("chapters/02-b/src");
        fs::create_dir_all(&src).unwrap();
        fs::write(
            src.join("lib.rs"),
            "use ch01_a::{echo, io::read_some};\n\n/// Forks. And more.\npub fn fork_server() {}\nfn hidden() {}\n",
        )
        .unwrap();
        fs::write(src.join("main.rs"), "use ch02_b::fork_server;\npub fn program() {}\n").unwrap();
        let text = render(root.path(), "02-b").unwrap();
        assert!(text.contains("It builds on `echo` of chapter 01, `io::read_some` of chapter 01."), "{text}");
        assert!(text.contains("| fn | `fork_server` | Forks. | `src/lib.rs` |"), "{text}");
        assert!(!text.contains("hidden") && !text.contains("`program`"), "{text}");
    }
}
