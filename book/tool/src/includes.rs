//! Includes by anchor: mdBook includes nothing, and says nothing, when an anchor is missing, so that the gate looks.

use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

use regex::Regex;

use crate::pages::Page;

static INCLUDE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{\{#(?:rustdoc_)?include ([^}:\s]+)(?::([^}\s]*))?\}\}")
        .unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
});

/// An include in a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Include {
    /// The line that it is in, from 1.
    pub line: usize,
    /// The file that it names.
    pub file: PathBuf,
    /// What of the file: an anchor's name, or nothing for the whole.
    pub anchor: Option<String>,
}

/// The includes of some lines of a page, the first of which has that number.
pub fn find<'a>(page: &Page, first: usize, lines: impl Iterator<Item = &'a str>) -> Vec<Include> {
    let folder = page.path.parent().map(PathBuf::from).unwrap_or_default();
    let mut found = Vec::new();
    for (line, text) in (first..).zip(lines) {
        found.extend(INCLUDE.captures_iter(text).map(|captures| Include {
            line,
            file: folder.join(&captures[1]),
            anchor: captures.get(2).map(|anchor| anchor.as_str().to_owned()),
        }));
    }
    found
}

/// What is wrong with the includes and the code of a page.
pub fn check(page: &Page) -> Vec<String> {
    let mut wrong = Vec::new();
    for Include { line, file, anchor } in find(page, 1, page.text.lines()) {
        let shown = file.display();
        match (fs::read_to_string(&file), anchor) {
            (Err(error), _) => wrong.push(format!("{}:{line}: {shown} cannot be included: {error}", page.name)),
            (Ok(_), None) => {}
            (Ok(text), Some(anchor)) => {
                let marks = ["ANCHOR", "ANCHOR_END"].map(|mark| {
                    text.lines().filter(|line| line.trim_end().ends_with(&format!("{mark}: {anchor}"))).count()
                });
                if marks != [1, 1] {
                    wrong.push(format!(
                        "{}:{line}: {shown} has {} beginnings and {} ends of the anchor {anchor}: it takes one of each",
                        page.name, marks[0], marks[1]
                    ));
                }
            }
        }
    }
    for fence in page.fences().iter().filter(|fence| fence.language() == "rust") {
        let pasted = fence.body.iter().find(|line| {
            let line = line.trim();
            !line.is_empty() && !line.starts_with("//") && !line.starts_with("{{#include")
        });
        if let Some(line) = pasted {
            wrong.push(format!(
                "{}:{}: code is included by anchor, not pasted: `{}`",
                page.name,
                fence.line,
                line.trim()
            ));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_anchor_a_missing_file_and_pasted_code_are_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("code.rs"), "// ANCHOR: whole\nfn f() {}\n// ANCHOR_END: whole\n// ANCHOR: cut\n")
            .unwrap();
        let check = |text: &str| {
            let path = folder.path().join("page.md");
            check(&Page { name: "page.md".to_owned(), path, text: text.to_owned() })
        };
        assert_eq!(check("```rust\n{{#include code.rs:whole}}\n```\n"), Vec::<String>::new());
        assert!(check("{{#include code.rs:cut}}")[0].contains("1 beginnings and 0 ends"));
        assert!(check("{{#include code.rs:none}}")[0].contains("0 beginnings"));
        assert!(check("\n{{#include nothing.rs}}")[0].starts_with("page.md:2:"));
        assert!(check("```rust\nfn pasted() {}\n```")[0].contains("pasted"));
    }
}
