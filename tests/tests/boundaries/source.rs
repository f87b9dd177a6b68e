//! Rust code as a list of tokens: comments, strings and what is only compiled for tests left out.

use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The workspace's folder.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// One identifier or character of punctuation.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    text: String,
    line: u32,
}

/// A file of Rust code.
pub struct SourceFile {
    /// From the workspace's folder.
    pub path: String,
    tokens: Vec<Token>,
}

/// The files under a folder of the workspace, without their tests.
pub fn files_under(folder: &str) -> Vec<SourceFile> {
    let files = paths(folder);
    files.into_iter().filter(|path| !is_test(path)).map(|path| SourceFile::read(&path, false)).collect()
}

impl SourceFile {
    /// The files under a folder of the workspace, tests included.
    pub fn with_tests_under(folder: &str) -> Vec<Self> {
        paths(folder).iter().map(|path| Self::read(path, true)).collect()
    }

    fn read(path: &Path, with_tests: bool) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let relative = path.strip_prefix(root()).expect("found under the root").display().to_string();
        let tokens = tokenize(&text, with_tests).unwrap_or_else(|error| panic!("{relative} is not Rust: {error}"));
        Self { path: relative, tokens }
    }

    /// The lines where a sequence of tokens begins, given as code, like `Instant::now`.
    pub fn find(&self, code: &str) -> Vec<u32> {
        let pattern = tokenize(code, true).expect("patterns are Rust tokens");
        self.tokens
            .windows(pattern.len())
            .filter(|window| window.iter().zip(&pattern).all(|(token, wanted)| token.text == wanted.text))
            .map(|window| window[0].line)
            .collect()
    }

    /// The identifiers that have one of `words` in them, as `send_rtp` and `RtpHeader` have `rtp`, with their lines.
    pub fn identifiers_with_word(&self, words: &[&str]) -> impl Iterator<Item = (u32, &str)> {
        self.tokens
            .iter()
            .filter(|token| split_words(&token.text).iter().any(|word| words.contains(&word.as_str())))
            .map(|token| (token.line, token.text.as_str()))
    }
}

/// Whether a file of `src` is a test module by its name, or belongs to the integration tests or benchmarks.
fn is_test(path: &Path) -> bool {
    let relative = path.strip_prefix(root()).unwrap_or(path);
    relative.file_stem().is_some_and(|stem| stem == "tests")
        || relative.components().any(|component| ["tests", "benches"].iter().any(|name| component.as_os_str() == *name))
}

fn paths(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a readable entry").path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() && name != "target" && name != "node_modules" {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "there is no Rust file under {folder}");
    found.sort();
    found
}

fn tokenize(text: &str, with_tests: bool) -> Result<Vec<Token>, proc_macro2::LexError> {
    let mut tokens = Vec::new();
    flatten(TokenStream::from_str(text)?, with_tests, &mut tokens);
    Ok(tokens)
}

/// Appends the tokens of a stream. Comments are in none; strings and documentation are literals, which are left out.
fn flatten(stream: TokenStream, with_tests: bool, tokens: &mut Vec<Token>) {
    let mut trees = stream.into_iter().peekable();
    while let Some(tree) = trees.next() {
        match tree {
            TokenTree::Punct(punct) if punct.as_char() == '#' && !with_tests => {
                match trees.peek() {
                    Some(TokenTree::Group(attribute)) if attribute.stream().to_string() == "cfg (test)" => {
                        // The item that the attribute is on ends with its body or a semicolon.
                        let _ = trees.find(|tree| match tree {
                            TokenTree::Group(body) => body.delimiter() == Delimiter::Brace,
                            TokenTree::Punct(punct) => punct.as_char() == ';',
                            _ => false,
                        });
                    }
                    _ => {}
                }
            }
            TokenTree::Punct(punct) => {
                tokens.push(Token { text: punct.as_char().to_string(), line: punct.span().start().line as u32 })
            }
            TokenTree::Ident(identifier) => {
                tokens.push(Token { text: identifier.to_string(), line: identifier.span().start().line as u32 })
            }
            TokenTree::Group(group) => flatten(group.stream(), with_tests, tokens),
            TokenTree::Literal(_) => {}
        }
    }
}

/// `send_rtp`, `RtpHeader` and `MAX_RTP` by their words, in lower case.
fn split_words(identifier: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous_lower = false;
    for character in identifier.chars() {
        if character == '_' || (character.is_uppercase() && previous_lower) {
            words.push(String::new());
        }
        if character != '_' {
            words.last_mut().expect("there is always a word").extend(character.to_lowercase());
        }
        previous_lower = character.is_lowercase() || character.is_ascii_digit();
    }
    words
}

#[cfg(test)]
mod checks {
    use super::*;

    const SAMPLE: &str = r#"
//! Instant::now() in a comment
use std::time::Instant;
fn f() -> Instant {
    let text = "Instant::now()"; // Instant::now()
    Instant::
        now()
}
#[cfg(test)]
mod tests { fn g() { Instant::now(); } }
#[cfg(test)]
use std::net::UdpSocket;
fn h(start: Instant) { start.elapsed(); }
"#;

    fn sample(with_tests: bool) -> SourceFile {
        SourceFile { path: "sample.rs".into(), tokens: tokenize(SAMPLE, with_tests).unwrap() }
    }

    #[test]
    fn code_is_found_and_comments_strings_and_tests_are_not() {
        let file = sample(false);
        assert_eq!(file.find("Instant::now"), [6]);
        assert!(file.find("UdpSocket").is_empty());
        assert_eq!(file.find(".elapsed"), [13]);
        let file = sample(true);
        assert_eq!(file.find("Instant::now"), [6, 10]);
        assert_eq!(file.find("UdpSocket"), [12]);
    }

    #[test]
    fn words_are_found_in_identifiers_of_every_case() {
        let file = SourceFile {
            path: "sample.rs".into(),
            tokens: tokenize("fn send_rtp(a: RtpHeader, b: MAX_SSRC, c: isRtcp) { expert; party }", true).unwrap(),
        };
        let found: Vec<_> = file.identifiers_with_word(&["rtp", "rtcp", "ssrc"]).map(|(_, found)| found).collect();
        assert_eq!(found, ["send_rtp", "RtpHeader", "MAX_SSRC", "isRtcp"]);
    }
}
