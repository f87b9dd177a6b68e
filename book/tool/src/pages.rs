//! The pages of the book, as files under `book/src`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use regex::Regex;

/// One page: where it is, and its text as it was written.
#[derive(Debug, Clone)]
pub struct Page {
    /// Its path below `book/src`, for instance `04-epoll.md`.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Its Markdown.
    pub text: String,
}

/// Reads all pages that `SUMMARY.md` lists, and the summary itself.
pub fn read(root: &Path) -> anyhow::Result<Vec<Page>> {
    let folder = root.join("book/src");
    let summary = page(&folder, "SUMMARY.md")?;
    let link = Regex::new(r"\]\(([^)]+\.md)\)")?;
    let names: Vec<String> = link.captures_iter(&summary.text).map(|found| found[1].to_owned()).collect();
    let mut pages = vec![summary];
    for name in names {
        pages.push(page(&folder, &name)?);
    }
    Ok(pages)
}

fn page(folder: &Path, name: &str) -> anyhow::Result<Page> {
    let path = folder.join(name);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Page { name: name.to_owned(), path, text })
}

/// A fenced block of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The line of its opening fence, from 1.
    pub line: usize,
    /// What the opening fence says after the backticks: a language and flags, separated by commas.
    pub info: String,
    /// The lines within.
    pub body: Vec<String>,
}

impl Fence {
    /// The first word of the info string.
    pub fn language(&self) -> &str {
        self.info.split(',').next().unwrap_or_default()
    }

    /// Whether the info string has that flag.
    pub fn has_flag(&self, flag: &str) -> bool {
        self.info.split(',').skip(1).any(|word| word.trim() == flag)
    }
}

impl Page {
    /// Its fenced blocks, in order.
    pub fn fences(&self) -> Vec<Fence> {
        let mut fences = Vec::new();
        let mut open: Option<Fence> = None;
        for (number, line) in (1..).zip(self.text.lines()) {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(info)) => {
                    open = Some(Fence { line: number, info: info.trim().to_owned(), body: Vec::new() });
                }
                (Some(_), Some("")) => fences.extend(open.take()),
                (Some(fence), _) => fence.body.push(line.to_owned()),
                (None, None) => {}
            }
        }
        fences.extend(open);
        fences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fences_are_found_with_their_flags() {
        let text = "text\n```console,serves\n$ true\n```\nmore\n```\nplain\n```\n".to_owned();
        let fences = Page { name: String::new(), path: PathBuf::new(), text }.fences();
        assert_eq!(fences.len(), 2);
        assert_eq!((fences[0].line, fences[0].language(), fences[0].body.len()), (2, "console", 1));
        assert!(fences[0].has_flag("serves") && !fences[1].has_flag("serves"));
    }
}
