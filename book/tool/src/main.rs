//! The book's tool. `book preprocess` is called by mdBook, the others by make:
//!
//! | command | what it does |
//! |---|---|
//! | `preprocess` | fills in what pages ask for: `{{changed}}`, `{{picture FILE}}`, `{{rfc-index}}`, `{{results FILE}}` |
//! | `record` | runs the commands whose output the pages include, and writes the transcripts |
//! | `check` | the gate: anchors, links, pictures, transcripts, and every command shown |

mod changed;
mod console;
mod gate;
mod includes;
mod links;
mod normalise;
mod pages;
mod preprocess;
mod rfc_index;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};

/// Records, checks and completes the pages of the book.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Completes pages for mdBook (reads and writes its preprocessor protocol).
    Preprocess {
        /// `supports RENDERER` is how mdBook asks whether that renderer is supported; all are.
        question: Vec<String>,
    },
    /// Runs the commands whose output is included in the pages, and writes what they print.
    Record {
        /// Only pages whose name contains one of these.
        pages: Vec<String>,
    },
    /// Fails when a page shows what is not so.
    Check {
        /// Only pages whose name contains one of these.
        pages: Vec<String>,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let root = repository()?;
    match Arguments::parse().command {
        Command::Preprocess { question } if question.is_empty() => preprocess::run(&root).map(|()| ExitCode::SUCCESS),
        Command::Preprocess { .. } => Ok(ExitCode::SUCCESS),
        Command::Record { pages } => gate::record(&root, &pages).map(|()| ExitCode::SUCCESS),
        Command::Check { pages } => {
            let sound = gate::check(&root, &pages)?;
            Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

/// The repository's root: the nearest folder above that holds the book.
fn repository() -> anyhow::Result<PathBuf> {
    let here = env::current_dir().context("there is no current folder")?;
    let root = here.ancestors().find(|folder| folder.join("book/book.toml").is_file());
    root.map(PathBuf::from).context("this is to be run inside the repository: no book/book.toml in any folder above")
}
