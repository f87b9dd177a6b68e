//! What pages ask for and the tool fills in, as a preprocessor of mdBook (a JSON array of context and book on standard
//! input, the book on standard output).
//!
//! | directive | becomes |
//! |---|---|
//! | `{{changed NAME}}` | what `chapters/NAME` takes from earlier chapters and adds |
//! | `{{changed NAME PROGRAM…}}` | the same for a crate at the top, and for each of its programs, in that order |
//! | `{{picture FILE}}` | the SVG below `book/src`, within the page, so that it takes the colours of the theme |
//! | `{{results NAME}}` | the table and the plot of `benches/results/NAME` |
//! | `{{rfc-index}}` | the index of RFC sections and code |

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, bail};
use regex::{Captures, Regex};
use serde_json::Value;

use crate::pages::Page;
use crate::{changed, rfc_index};

static DIRECTIVE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{\{(changed|picture|results|rfc-index)(?: ([^}]+))?\}\}")
        .unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
});

/// Reads mdBook's book, completes it, and writes it back.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let mut input = String::new();
    io::stdin().read_to_string(&mut input)?;
    let mut message: Value = serde_json::from_str(&input).context("that is not mdBook's JSON")?;
    let Some(book) = message.get_mut(1) else { bail!("mdBook's message has no book in it") };
    complete_all(root, book)?;
    io::stdout().write_all(serde_json::to_string(book)?.as_bytes())?;
    Ok(())
}

/// Completes every chapter's content, wherever in the book it is.
fn complete_all(root: &Path, value: &mut Value) -> anyhow::Result<()> {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == "content" => *text = complete(root, text)?,
                    field => complete_all(root, field)?,
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                complete_all(root, item)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn complete(root: &Path, text: &str) -> anyhow::Result<String> {
    let mut failure = None;
    let text = DIRECTIVE.replace_all(text, |found: &Captures<'_>| {
        let argument = found.get(2).map_or("", |argument| argument.as_str());
        fill(root, &found[1], argument).unwrap_or_else(|error| {
            failure = Some(error.context(format!("{} cannot be filled in", &found[0])));
            String::new()
        })
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(text.into_owned()),
    }
}

fn fill(root: &Path, directive: &str, argument: &str) -> anyhow::Result<String> {
    match directive {
        "changed" => changed::render(root, argument),
        "rfc-index" => rfc_index::render(root),
        "picture" => inline_svg(&root.join("book/src").join(argument)),
        "results" => {
            let results = root.join("benches/results");
            let table = results.join(format!("{argument}.md"));
            let table = fs::read_to_string(&table).with_context(|| format!("cannot read {}", table.display()))?;
            Ok(format!("{}\n\n{table}", inline_svg(&results.join(format!("{argument}.svg")))?))
        }
        other => bail!("there is no directive {other}"),
    }
}

/// An SVG as a figure within a page. Markdown's HTML blocks end at a blank line, so that there must be none.
fn inline_svg(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let start = text.find("<svg").with_context(|| format!("{} has no <svg", path.display()))?;
    let lines: Vec<&str> = text[start..].lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    Ok(format!("<figure class=\"picture\">\n{}\n</figure>", lines.join("\n")))
}

/// What is wrong with the directives of a page.
pub fn check(root: &Path, page: &Page) -> Vec<String> {
    complete(root, &page.text).err().map(|error| format!("{}: {error:#}", page.name)).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn pictures_go_into_the_page_and_unknown_files_are_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("book/src/01")).unwrap();
        fs::write(root.path().join("book/src/01/p.svg"), "<?xml?>\n<svg>\n\n  <g/>\n</svg>\n").unwrap();
        let mut book = json!({"items": [{"Chapter": {"content": "A\n\n{{picture 01/p.svg}}\n", "sub_items": []}}]});
        complete_all(root.path(), &mut book).unwrap();
        let content = book["items"][0]["Chapter"]["content"].as_str().unwrap();
        assert!(content.contains("<figure class=\"picture\">\n<svg>\n<g/>\n</svg>\n</figure>"), "{content}");
        let error = complete(root.path(), "{{picture 01/q.svg}}").unwrap_err();
        assert!(format!("{error:#}").contains("q.svg"));
    }
}
