//! Annotated transcripts: one line for each thing that somebody did.
//!
//! On a terminal each actor has a colour; in a pipe the text is plain, so that a run can be recorded. Two runs of a
//! demonstration print the same but for what the system decides. The book's tool replaces these when it records a run,
//! so a program writes them in one of these forms: an address and port (`127.0.0.1:54321`), `pid 1234`, and a measured
//! time as number, space and unit (`4.2 ms`).

use std::fmt::Display;
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

use crate::layout::{self, Field};

/// The width of the column that names the actor.
const ACTOR_WIDTH: usize = 8;

/// ANSI colours for actors, told apart on dark and light terminals: cyan, green, magenta, yellow, blue, red.
const COLOURS: [u8; 6] = [36, 32, 35, 33, 34, 31];

/// Prints a demonstration.
///
/// It may be used from several threads only if they take turns: the lines are the demonstration, so their order is the
/// program's affair.
#[derive(Debug)]
pub struct Transcript {
    colour: bool,
    /// Who has appeared so far; the place decides the colour.
    actors: Vec<String>,
}

impl Default for Transcript {
    fn default() -> Transcript {
        Transcript::new()
    }
}

impl Transcript {
    /// A transcript on standard output, coloured if that is a terminal and the environment does not say `NO_COLOR`.
    pub fn new() -> Transcript {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Transcript { colour: wanted && stdout().is_terminal(), actors: Vec::new() }
    }

    /// Begins a scene.
    pub fn heading(&mut self, title: &str) {
        let title = self.paint(1, title);
        self.print(&format!("\n{title}\n"));
    }

    /// Says what somebody did.
    pub fn line(&mut self, actor: &str, what: impl Display) {
        let actor = self.actor(actor);
        self.print(&format!("{actor}  {what}\n"));
    }

    /// Says what somebody did with bytes, and lays them out by field below it.
    pub fn bytes(&mut self, actor: &str, what: impl Display, bytes: &[u8], fields: &[Field]) {
        self.line(actor, what);
        for row in layout::rows(bytes, fields) {
            let hex = self.paint(2, &row.hex);
            self.print(&format!("{:ACTOR_WIDTH$}    {hex}  {}\n", "", row.meaning));
        }
    }

    /// A remark of the narrator on what has just been seen.
    pub fn note(&mut self, remark: impl Display) {
        let remark = self.paint(3, &remark.to_string());
        self.print(&format!("{:ACTOR_WIDTH$}  {remark}\n", ""));
    }

    fn actor(&mut self, name: &str) -> String {
        let place = self.actors.iter().position(|known| known == name).unwrap_or_else(|| {
            self.actors.push(name.to_owned());
            self.actors.len() - 1
        });
        self.paint(COLOURS[place % COLOURS.len()], &format!("{name:>ACTOR_WIDTH$}"))
    }

    fn paint(&self, code: u8, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A reader who closes the pipe early has seen enough.
    fn print(&self, text: &str) {
        if stdout().write_all(text.as_bytes()).is_err() {
            std::process::exit(0);
        }
    }
}

/// A measured time for people: three digits and the unit that fits.
pub fn time(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    let (value, unit) = match time.as_nanos() {
        0..1_000 => (nanoseconds, "ns"),
        1_000..1_000_000 => (nanoseconds / 1e3, "µs"),
        1_000_000..1_000_000_000 => (nanoseconds / 1e6, "ms"),
        _ => (nanoseconds / 1e9, "s"),
    };
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits_and_a_unit_that_fits() {
        let shown = [7, 1_234, 56_700, 400_000_000, 12_000_000_000].map(|time_ns| time(Duration::from_nanos(time_ns)));
        assert_eq!(shown, ["7.00 ns", "1.23 µs", "56.7 µs", "400 ms", "12.0 s"]);
    }
}
