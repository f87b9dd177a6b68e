//! Recording what programs print, and the gate that fails when a page shows what is not so.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::console::{self, Step, Terminals};
use crate::pages::{self, Page};
use crate::{includes, links, preprocess, rfc_index};

/// Runs the commands whose output is included, and writes what they print.
pub fn record(root: &Path, only: &[String]) -> anyhow::Result<()> {
    for page in wanted(root, only)? {
        let mut terminals = Terminals::new(root);
        for step in console::steps(&page)? {
            let place = format!("{}:{}", page.name, step.line);
            if step.serves {
                terminals.serve(&step).context(place)?;
            } else if let Some(transcript) = &step.transcript {
                let printed = terminals.run(&step).context(place)?;
                if let Some(folder) = transcript.parent() {
                    fs::create_dir_all(folder)?;
                }
                fs::write(transcript, printed).with_context(|| format!("cannot write {}", transcript.display()))?;
                println!("recorded {}", transcript.strip_prefix(root).unwrap_or(transcript).display());
            }
        }
    }
    Ok(())
}

/// Looks at everything; says what is wrong, and whether nothing is.
pub fn check(root: &Path, only: &[String]) -> anyhow::Result<bool> {
    let all = pages::read(root)?;
    let mut wrong = rfc_index::check(root)?;
    for page in wanted(root, only)? {
        let mut found = includes::check(&page);
        found.extend(links::check(&page, &all));
        found.extend(rfc_index::check_page(&page));
        found.extend(preprocess::check(root, &page));
        let (commands, failed) = run(root, &page)?;
        found.extend(failed);
        let verdict = if found.is_empty() { "good" } else { "BAD" };
        println!("{verdict:>4}  {} ({commands} commands run)", page.name);
        wrong.extend(found);
    }
    for line in &wrong {
        println!("\n{line}");
    }
    Ok(wrong.is_empty())
}

fn wanted(root: &Path, only: &[String]) -> anyhow::Result<Vec<Page>> {
    let mut pages = pages::read(root)?;
    pages.retain(|page| only.is_empty() || only.iter().any(|part| page.name.contains(part.as_str())));
    Ok(pages)
}

/// Runs a page's commands as a reader would, in order. Returns how many there were, and what went wrong.
fn run(root: &Path, page: &Page) -> anyhow::Result<(usize, Vec<String>)> {
    let mut wrong = Vec::new();
    let mut terminals = Terminals::new(root);
    let steps = console::steps(page)?;
    for step in &steps {
        let outcome = if step.serves { terminals.serve(step) } else { run_to_end(&mut terminals, step) };
        if let Err(error) = outcome {
            wrong.push(format!("{}:{}: {error:#}", page.name, step.line));
        }
    }
    Ok((steps.len(), wrong))
}

fn run_to_end(terminals: &mut Terminals<'_>, step: &Step) -> anyhow::Result<()> {
    let printed = terminals.run(step)?;
    if let Some(transcript) = &step.transcript {
        let recorded = fs::read_to_string(transcript)
            .with_context(|| format!("`{}` has no transcript yet: run `make book-record`", step.command))?;
        ensure!(
            recorded == printed,
            "the transcript of `{}` is stale: run `make book-record` and look at the difference. It printed:\n{printed}",
            step.command
        );
    } else if !step.shown.is_empty() {
        ensure!(
            console::matches(&step.shown, &printed),
            "`{}` shows another output than it has:\n{printed}",
            step.command
        );
    }
    Ok(())
}
