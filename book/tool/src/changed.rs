//! `{{changed}}`: what a crate takes from the chapters before it, and what it adds, read from its code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, ensure};
use regex::Regex;
use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, UseTree, Visibility};

/// A call of the C library that is not imported but named in place.
static LIBC_CALL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\blibc::([a-z]\w*)\(").unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
});

/// A link to an item, in documentation: [`name`], or [`name`](path).
static DOC_LINK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\[(`[^`]+`)\](?:\([^)]*\))?")
        .unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
});

/// What is imported from `nix` as if it were a function, and is none.
const NIX_MODULES: [&str; 2] = ["libc", "sockopt"];

/// The tables for a crate, as Markdown. `argument` is its folder, `NN-name` for a chapter. If there are programs in its
/// `src/bin`, they follow in the order in which each builds on those before it.
pub fn render(root: &Path, argument: &str) -> anyhow::Result<String> {
    let mut words = argument.split_whitespace();
    let name = words.next().context("what has changed?")?;
    let places = [root.join("chapters").join(name), root.join(name)];
    let folder = places.into_iter().find(|folder| folder.is_dir()).with_context(|| format!("there is no {name}"))?;
    let mut text = library(&folder, name)?;
    let order: Vec<&str> = words.collect();
    if folder.join("src/bin").is_dir() {
        text.push_str(&programs(&folder, &order)?);
    } else {
        ensure!(order.is_empty(), "{name} has no programs in src/bin");
    }
    Ok(text)
}

fn library(folder: &Path, name: &str) -> anyhow::Result<String> {
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
        let (text, file) = read(path)?;
        let inside = path.strip_prefix(folder).unwrap_or(path);
        let in_library = inside.starts_with("src") && !is_program(inside);
        *(if in_library {
            &mut library
        } else if inside.starts_with("src") {
            &mut program
        } else {
            &mut tests
        }) += text.lines().count();
        for import in imports(&file) {
            taken.extend(of_chapter(&import));
        }
        for item in &file.items {
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
    let programs = if folder.join("src/bin").is_dir() { "programs" } else { "program" };
    writeln!(
        text,
        "Its library has {library} lines, its {programs} {program}, its tests {tests}; this is what it adds:\n\n\
         | | name | what it is | file |\n|---|---|---|---|\n{}",
        added.join("\n")
    )?;
    Ok(text)
}

/// The programs in `src/bin`, in this order, and what each is the first one to use.
fn programs(folder: &Path, order: &[&str]) -> anyhow::Result<String> {
    let bin = folder.join("src/bin");
    let found = fs::read_dir(&bin)?.map(|entry| Ok(entry?.path().with_extension("")));
    let found: BTreeSet<PathBuf> = found.collect::<anyhow::Result<_>>()?;
    let wanted: BTreeSet<PathBuf> = order.iter().map(|name| bin.join(name)).collect();
    let differ: Vec<String> = found.symmetric_difference(&wanted).map(|path| path.display().to_string()).collect();
    ensure!(differ.is_empty(), "these are either not listed or not there: {}", differ.join(", "));
    let mut known = BTreeSet::new();
    let mut text = "\nAnd these are its programs, each with what none before it has used:\n\n\
                    | program | lines | what it is about | new in it |\n|---|---|---|---|\n"
        .to_owned();
    for name in order {
        let mut files = Vec::new();
        match bin.join(name) {
            folder if folder.is_dir() => sources(&folder, &mut files)?,
            file => files.push(file.with_extension("rs")),
        }
        let (mut lines, mut about, mut new) = (0, String::new(), Vec::new());
        for path in &files {
            let (source, file) = read(path)?;
            lines += source.lines().count();
            if path.parent() == Some(&bin) || path.ends_with("main.rs") {
                let line = first_line(&file.attrs);
                about = line.split_once("`: ").map_or(line.as_str(), |(_, about)| about).to_owned();
            }
            let calls = LIBC_CALL.captures_iter(&source).map(|found| found[1].to_owned());
            for thing in imports(&file).iter().filter_map(|import| of_interest(import)).chain(calls) {
                if known.insert(thing.clone()) {
                    new.push(format!("`{thing}`"));
                }
            }
        }
        writeln!(text, "| `{name}` | {lines} | {about} | {} |", new.join(", "))?;
    }
    Ok(text)
}

fn read(path: &Path) -> anyhow::Result<(String, syn::File)> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = syn::parse_file(&text).with_context(|| format!("cannot parse {}", path.display()))?;
    Ok((text, file))
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

/// What the `use` items of a file name, each as the steps of its path.
fn imports(file: &syn::File) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for item in &file.items {
        if let Item::Use(used) = item {
            walk(&used.tree, &mut Vec::new(), &mut found);
        }
    }
    found
}

fn walk(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let last = match tree {
        UseTree::Path(step) => {
            path.push(step.ident.to_string());
            walk(&step.tree, path, found);
            path.pop();
            return;
        }
        UseTree::Group(group) => return group.items.iter().for_each(|item| walk(item, path, found)),
        UseTree::Name(name) => name.ident.to_string(),
        UseTree::Rename(rename) => rename.ident.to_string(),
        UseTree::Glob(_) => "*".to_owned(),
    };
    found.push(path.iter().cloned().chain([last]).collect());
}

/// The same in words, if it is a chapter's.
fn of_chapter(import: &[String]) -> Option<String> {
    let (chapter, thing) = import.split_first().filter(|(name, _)| is_chapter(name))?;
    Some(format!("`{}` of chapter {}", thing.join("::"), &chapter[2..4]))
}

/// What tells one small program from another: the system's calls and sockets, and what is built on them.
fn of_interest(import: &[String]) -> Option<String> {
    let path: Vec<&str> = import.iter().map(String::as_str).collect();
    let is_function = |name: &str| name.starts_with(|letter: char| letter.is_ascii_lowercase());
    match path[..] {
        ["nix", .., name] if is_function(name) && !NIX_MODULES.contains(&name) => Some(name.to_owned()),
        ["std", "io", "pipe"] => Some("pipe".to_owned()),
        ["std", "net", name] | ["std", "os", "unix", "net", name] if name != "SocketAddr" => Some(name.to_owned()),
        [chapter, .., name] if is_chapter(chapter) => Some(name.to_owned()),
        _ => None,
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
    // rustdoc would make links of these; here they lead nowhere.
    DOC_LINK.replace_all(&sentence[..end], "$1").replace('|', "\\|")
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
            "use ch01_a::{echo, io::read_some};\n\n/// Forks a [`Child`], or [`two`](crate::two). And more.\npub fn fork_server() {}\nfn hidden() {}\n",
        )
        .unwrap();
        fs::write(src.join("main.rs"), "use ch02_b::fork_server;\npub fn program() {}\n").unwrap();
        let text = render(root.path(), "02-b").unwrap();
        assert!(text.contains("It builds on `echo` of chapter 01, `io::read_some` of chapter 01."), "{text}");
        assert!(text.contains("| fn | `fork_server` | Forks a `Child`, or `two`. | `src/lib.rs` |"), "{text}");
        assert!(!text.contains("hidden") && !text.contains("`program`"), "{text}");
    }
    #[test]
    fn programs_are_listed_in_their_order_with_what_is_new_in_each() {
        let root = tempfile::tempdir().unwrap();
        let bin = root.path().join("demos/src/bin");
        fs::create_dir_all(bin.join("big")).unwrap();
        let write = |name: &str, text: &str| fs::write(bin.join(name), text).unwrap();
        write("a.rs", "//! `cargo run --bin a`: the first. And more.\nuse nix::unistd::{Pid, fork};\n");
        write("big/main.rs", "//! `cargo run --bin big`: the last.\nuse nix::unistd::fork;\nuse ch01_a::echo;\n");
        write("big/part.rs", "//! A part.\nuse std::net::UdpSocket;\nfn f() { unsafe { libc::kill(1, 2) }; }\n");
        let text = render(root.path(), "demos a big").unwrap();
        assert!(text.contains("its programs 8,"), "{text}");
        assert!(text.contains("| `a` | 2 | the first. | `fork` |\n| `big` | 6 | the last. | `echo`,"), "{text}");
        assert!(text.contains("`echo`, `UdpSocket`, `kill` |"), "{text}");
        for incomplete in ["demos a", "demos a big more", "demos"] {
            let error = render(root.path(), incomplete).unwrap_err().to_string();
            assert!(error.contains("not listed or not there"), "{error}");
        }
    }
}
