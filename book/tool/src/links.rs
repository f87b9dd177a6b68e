//! Links and pictures: what is inside the book must be there. What is outside is checked for its form alone, since a
//! gate must not fail with the network.

use std::fs;
use std::sync::LazyLock;

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use regex::Regex;

use crate::pages::Page;

static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:src|href|id)="([^"]*)""#)
        .unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
});

fn parser(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES)
}

/// What is wrong with the links of a page; `pages` are all that there are.
pub fn check(page: &Page, pages: &[Page]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (event, range) in parser(&page.text).into_offset_iter() {
        let line = 1 + page.text[..range.start].matches('\n').count();
        let targets: Vec<String> = match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => vec![dest_url.into_string()],
            Event::Html(html) | Event::InlineHtml(html) => ATTRIBUTE
                .captures_iter(&html)
                .filter(|found| !found[0].starts_with("id="))
                .map(|found| found[1].to_owned())
                .collect(),
            _ => continue,
        };
        for target in targets {
            if let Some(why) = dead(page, &target, pages) {
                wrong.push(format!("{}:{line}: the link {target} is dead: {why}", page.name));
            }
        }
    }
    wrong
}

/// Why a link leads nowhere.
fn dead(page: &Page, target: &str, pages: &[Page]) -> Option<String> {
    if target.starts_with("http://") {
        return Some("pages link to https only".to_owned());
    }
    if let Some(rest) = target.strip_prefix("https://") {
        let host = rest.split('/').next().unwrap_or_default();
        return (!host.contains('.') && !host.starts_with("localhost")).then(|| "that is no host".to_owned());
    }
    let (path, fragment) = target.split_once('#').map_or((target, None), |(path, id)| (path, Some(id)));
    let folder = page.path.parent()?;
    let file = if path.is_empty() { page.path.clone() } else { folder.join(path) };
    let Ok(file) = fs::canonicalize(&file) else { return Some("there is no such file".to_owned()) };
    let linked = pages.iter().find(|page| fs::canonicalize(&page.path).is_ok_and(|path| path == file));
    match (linked, fragment) {
        (None, _) if path.ends_with(".md") => Some("SUMMARY.md does not list that page".to_owned()),
        (Some(linked), Some(id)) if !ids(&linked.text).iter().any(|known| known == id) => {
            Some(format!("{} has no heading with that id", linked.name))
        }
        _ => None,
    }
}

/// The ids of a page's headings as mdBook makes them, and those written in HTML.
fn ids(text: &str) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    let mut heading: Option<(HeadingLevel, String)> = None;
    for event in parser(text) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => heading = Some((level, String::new())),
            Event::Text(piece) | Event::Code(piece) => {
                if let Some((_, title)) = &mut heading {
                    title.push_str(&piece);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                if let Some((_, title)) = heading.take() {
                    let id = heading_id(&title);
                    let count = ids.iter().filter(|known| **known == id).count();
                    ids.push(if count == 0 { id } else { format!("{id}-{count}") });
                }
            }
            Event::Html(html) | Event::InlineHtml(html) => ids.extend(
                ATTRIBUTE
                    .captures_iter(&html)
                    .filter(|found| found[0].starts_with("id="))
                    .map(|found| found[1].to_owned()),
            ),
            _ => {}
        }
    }
    ids
}

fn heading_id(title: &str) -> String {
    title
        .trim()
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' => Some('-'),
            letter if letter.is_alphanumeric() || matches!(letter, '-' | '_') => Some(letter),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_found_and_live_ones_pass() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            Page { name: name.to_owned(), path, text: text.to_owned() }
        };
        let one = write("one.md", "# The first *page*\n\n[b](two.md#so-what) [c](#the-first-page) ![p](p.svg)\n");
        let two = write("two.md", "## So, what?\n\n[x](three.md) [y](one.md#nowhere) [z](http://example.org/)\n");
        write("p.svg", "<svg/>");
        let pages = [one, two];
        assert_eq!(check(&pages[0], &pages), Vec::<String>::new());
        let wrong = check(&pages[1], &pages);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].starts_with("two.md:3:"));
    }
}
