//! Makes two runs of a program print the same.
//!
//! | what varies | becomes |
//! |---|---|
//! | a port that the system chose, after an IP address | 40001, 40002, … in the order in which they appear |
//! | `pid 1234` | `pid 1001`, `pid 1002`, … likewise |
//! | a time, as number, space, unit | `…` |
//! | a number after `≈ ` | `≈ …` |
//!
//! Ports below 10,000 stay: a program was told to use them.

use std::sync::LazyLock;

use regex::{Captures, Regex};

static PORT: LazyLock<Regex> = LazyLock::new(|| pattern(r"((?:\d{1,3}\.){3}\d{1,3}|\[[0-9a-f:]+\]):(\d{5})\b"));
static PID: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bpid (\d+)\b"));
static TIME: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b\d+(?:\.\d+)? (?:ns|µs|ms|s)\b"));
static ABOUT: LazyLock<Regex> = LazyLock::new(|| pattern(r"≈ [\d,]+(?:\.\d+)?"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|error| unreachable!("the pattern is a constant: {error}"))
}

/// The same text whenever the program did the same.
pub fn normalise(text: &str) -> String {
    let mut ports = Numbers::new(40_001);
    let text = PORT.replace_all(text, |found: &Captures<'_>| format!("{}:{}", &found[1], ports.replace(&found[2])));
    let mut pids = Numbers::new(1_001);
    let text = PID.replace_all(&text, |found: &Captures<'_>| format!("pid {}", pids.replace(&found[1])));
    let text = TIME.replace_all(&text, "…");
    let text = ABOUT.replace_all(&text, "≈ …");
    // The same lines, whatever blank ones surround them.
    let lines: Vec<&str> = text.trim_matches('\n').lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// Replaces numbers by others, in the order in which they appear.
struct Numbers {
    first: usize,
    known: Vec<String>,
}

impl Numbers {
    fn new(first: usize) -> Numbers {
        Numbers { first, known: Vec::new() }
    }

    fn replace(&mut self, number: &str) -> usize {
        let place = self.known.iter().position(|known| known == number).unwrap_or_else(|| {
            self.known.push(number.to_owned());
            self.known.len() - 1
        });
        self.first + place
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_chose_is_replaced_and_the_rest_stays() {
        let run = "\n  pid 771 connects to 127.0.0.1:51234 from [::1]:43210, then 127.0.0.1:51234\n\
                   after 4.25 ms, at ≈ 12,345 messages/s on 127.0.0.1:7000: 5 sent, pid 9, pid 771\n";
        let same = "  pid 1001 connects to 127.0.0.1:40001 from [::1]:40002, then 127.0.0.1:40001\n\
                    after …, at ≈ … messages/s on 127.0.0.1:7000: 5 sent, pid 1002, pid 1001\n";
        assert_eq!(normalise(run), same);
    }
}
