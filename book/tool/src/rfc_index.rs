//! `{{rfc-index}}`: which line of code implements which section of which RFC, read from the code's own comments.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::Context;
use regex::Regex;

use crate::pages::Page;

/// Where code is that implements something.
const FOLDERS: [&str; 3] = ["core", "chapters", "ipc-demos"];
/// Numbers and titles of the RFCs, a line each.
const TITLES: &str = "book/rfc-titles.txt";

static CITATION: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"RFC (\d{3,5})(?:,? (?:§|sections? |appendix ) ?([0-9A-Z]+(?:\.\d+)*))?")
        .unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
});

/// Section to places; the section's numbers sort it, its text shows it.
type Sections = BTreeMap<(Vec<u32>, String), Vec<String>>;

/// The index as Markdown.
pub fn render(root: &Path) -> anyhow::Result<String> {
    let titles = titles(root)?;
    let mut page = String::new();
    for (rfc, sections) in citations(root)? {
        let title = titles.get(&rfc).map_or("", String::as_str);
        writeln!(page, "## RFC {rfc}: {title}\n\n| section | where |\n|---|---|")?;
        for ((_, section), places) in sections {
            let section = if section.is_empty() { "as a whole".to_owned() } else { section_link(rfc, &section) };
            writeln!(page, "| {section} | {} |", places.join("<br>"))?;
        }
        page.push('\n');
    }
    Ok(page)
}

fn section_link(rfc: u32, section: &str) -> String {
    let kind = if section.starts_with(|first: char| first.is_ascii_digit()) { "section" } else { "appendix" };
    format!("[{section}](https://www.rfc-editor.org/rfc/rfc{rfc}#{kind}-{section})")
}

/// What is wrong: RFCs that code cites and that have no title.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let titles = titles(root)?;
    let untitled = citations(root)?.into_keys().filter(|rfc| !titles.contains_key(rfc));
    Ok(untitled.map(|rfc| format!("{TITLES} has no title for RFC {rfc}, which the code cites")).collect())
}

/// What is wrong with the RFCs that a page cites: links to a section that is written otherwise.
pub fn check_page(page: &Page) -> Vec<String> {
    let link = Regex::new(r"\[[^\]]*RFC (\d+)[^\]]*\]\(https://www\.rfc-editor\.org/rfc/rfc(\d+)")
        .unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"));
    link.captures_iter(&page.text)
        .filter(|found| found[1] != found[2])
        .map(|found| format!("{}: a link that says RFC {} leads to RFC {}", page.name, &found[1], &found[2]))
        .collect()
}

fn titles(root: &Path) -> anyhow::Result<BTreeMap<u32, String>> {
    let text = fs::read_to_string(root.join(TITLES)).with_context(|| format!("cannot read {TITLES}"))?;
    text.lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (number, title) = line.split_once(' ').with_context(|| format!("{TITLES}: no title: {line}"))?;
            Ok((number.parse().with_context(|| format!("{TITLES}: no number: {line}"))?, title.to_owned()))
        })
        .collect()
}

fn citations(root: &Path) -> anyhow::Result<BTreeMap<u32, Sections>> {
    let mut found: BTreeMap<u32, Sections> = BTreeMap::new();
    for folder in FOLDERS {
        for_each_source(&root.join(folder), &mut |path| {
            let text = fs::read_to_string(path)?;
            let shown = path.strip_prefix(root).unwrap_or(path).display();
            for (number, line) in (1..).zip(text.lines()) {
                for citation in CITATION.captures_iter(line) {
                    let Ok(rfc) = citation[1].parse() else { continue };
                    let section = citation.get(2).map_or("", |section| section.as_str());
                    let order = section.split('.').map(|part| part.parse().unwrap_or(u32::MAX)).collect();
                    let places = found.entry(rfc).or_default().entry((order, section.to_owned())).or_default();
                    let place = format!("`{shown}:{number}`");
                    if places.last() != Some(&place) {
                        places.push(place);
                    }
                }
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Calls `visit` for each Rust file of the sources below a folder, in order; tests prove, they do not implement.
fn for_each_source(folder: &Path, visit: &mut dyn FnMut(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "tests" | "target" | "fuzz") {
                for_each_source(&path, visit)?;
            }
        } else if name.ends_with(".rs") && name != "tests.rs" {
            visit(&path)?;
        }
    }
    Ok(())
}
