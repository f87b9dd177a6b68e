//! Two results beside each other: of two commits, two machines, or two workers.

use crate::case::Case;
use crate::report::{Outcome, Report, Summary};
use crate::stats::Spread;
use anyhow::{Result, bail};
use std::fmt::Write as _;
use std::path::Path;

/// A figure that is compared.
struct Figure {
    name: &'static str,
    value: fn(&Summary) -> Option<Spread>,
    unit: f64,
    /// Whether more of it is better.
    more_is_better: bool,
}

const FIGURES: [Figure; 3] = [
    Figure { name: "CPU ns a packet, full", value: |summary| Some(summary.ns_full), unit: 1.0, more_is_better: false },
    Figure {
        name: "CPU ns a packet, half load",
        value: |summary| Some(summary.ns_half),
        unit: 1.0,
        more_is_better: false,
    },
    Figure {
        name: "thousand packets/s",
        value: |summary| Some(summary.packets_per_second),
        unit: 1e3,
        more_is_better: true,
    },
];

/// At saturation a worker that forwards more keeps more for retransmission, and at half of its own saturation a worker that does more has more to do: workers are compared at the same load. With cores that are kept
/// awake: how long a sleeping one takes to wake up is no worker's merit. The range is the 95 % interval of the
/// median.
const P99_AT_SAME_LOAD: Figure = Figure {
    name: "p99 µs, same load",
    value: |summary| Some(summary.same_load.as_ref()?.awake.as_ref()?.p99),
    unit: 1.0,
    more_is_better: false,
};

/// In short turns that alternate, so that it shows a few percent on a machine where two runs differ by more. A packet takes a little
/// more here than elsewhere, since the kernel stamps each.
const NS_AT_SAME_LOAD: Figure = Figure {
    name: "CPU ns a packet, same load",
    value: |summary| Some(summary.same_load.as_ref()?.awake.as_ref()?.ns),
    unit: 1.0,
    more_is_better: false,
};

const MEMORY_AT_SAME_LOAD: Figure = Figure {
    name: "MiB, same load",
    value: |summary| Spread::of(summary.memory_at_same_load()),
    unit: MIB,
    more_is_better: false,
};

/// What the same load is differs from one run to the next: those of two runs are compared at each one's own.
const P99_AT_HALF_LOAD: Figure =
    Figure { name: "p99 µs, half load", value: |summary| summary.p99, unit: 1.0, more_is_better: false };

const MEMORY: Figure = Figure { name: "MiB", value: |summary| summary.memory, unit: MIB, more_is_better: false };

const MIB: f64 = 1_048_576.0;

/// By what two results are compared.
type Figures = fn(&Summary, &Summary) -> Vec<&'static Figure>;

/// What two workers of one run are compared by.
fn of_one_run(one: &Summary, other: &Summary) -> Vec<&'static Figure> {
    let same_load = same_load(one, other);
    let memory_at_same_load = same_load && one.memory_at_same_load().is_some() && other.memory_at_same_load().is_some();
    let mut figures: Vec<&Figure> = FIGURES.iter().collect();
    figures.push(if memory_at_same_load { &MEMORY_AT_SAME_LOAD } else { &MEMORY });
    if same_load {
        figures.extend([&P99_AT_SAME_LOAD, &NS_AT_SAME_LOAD]);
    }
    figures
}

/// What two runs are compared by.
fn of_two_runs(_: &Summary, _: &Summary) -> Vec<&'static Figure> {
    FIGURES.iter().chain([&MEMORY, &P99_AT_HALF_LOAD]).collect()
}

/// The comparison as a table.
///
/// # Errors
/// A file can't be read, or they have nothing in common.
pub fn files(first: &Path, second: Option<&Path>) -> Result<String> {
    let first_report = Report::read(first)?;
    match second {
        Some(second) => {
            let second_report = Report::read(second)?;
            let (a, b) = (first.display().to_string(), second.display().to_string());
            two(&first_report, &second_report, &a, &b)
        }
        None => within(&first_report),
    }
}

/// Where a report's first worker is behind another program's, as a list; nothing to say where there is no other.
#[must_use]
pub fn behind(report: &Report) -> String {
    let mut workers = report.contenders.iter().filter(|contender| contender.program.is_some());
    let Some(first) = workers.next() else { return String::new() };
    let others: Vec<&str> =
        workers.filter(|other| other.program != first.program).map(|other| other.name.as_str()).collect();
    if others.is_empty() {
        return String::new();
    }
    let mut lines = String::new();
    for case in report.cases() {
        for other in &others {
            let both = report.summary(&first.name, &case).zip(report.summary(other, &case));
            let Some((ours, theirs)) = both else { continue };
            for Figure { name, value, unit, more_is_better } in of_one_run(ours, theirs) {
                let (Some(a), Some(b)) = (value(ours), value(theirs)) else { continue };
                if (a.median > b.median) != *more_is_better && a.median != b.median {
                    let chance = chance(a, b);
                    let (a, b) = (a.show(*unit, 0), b.show(*unit, 0));
                    // Writing to a String doesn't fail.
                    let _ = writeln!(lines, "- {case}: {name} {a}, {other} {b}{chance}");
                }
            }
        }
    }
    let list = if lines.is_empty() { "Nowhere in these cases.\n".to_owned() } else { format!("{RULE}\n{lines}") };
    format!("\n**Where {} is behind**\n\n{list}", first.name)
}

/// By what the list is made.
const RULE: &str = "Every median that is worse. ~: the ranges overlap, so that it may be chance. What was measured at the same load, p99 and \
                    CPU, is that with cores kept awake, and its range the 95 % interval of the median of turns. Memory is that at the same load, measured once, where it was measured.\n";

/// The mark of what may be chance.
fn chance(a: Spread, b: Spread) -> &'static str {
    if a.overlaps(b) { " ~" } else { "" }
}

/// Whether the two were under the same load where it was to be. Results that were added to those of an earlier run weren't.
fn same_load(one: &Summary, other: &Summary) -> bool {
    let loads = one.same_load.as_ref().zip(other.same_load.as_ref());
    loads.is_some_and(|(one, other)| one.packets_per_second == other.packets_per_second)
}

/// The same contender in two reports. Where no contender is in both, the first of one is held against the first of the other.
fn two(first: &Report, second: &Report, first_name: &str, second_name: &str) -> Result<String> {
    let common = first.contenders.iter().filter(|one| second.contenders.iter().any(|other| other.name == one.name));
    let mut pairs: Vec<(&str, &str)> = common.map(|one| (one.name.as_str(), one.name.as_str())).collect();
    if pairs.is_empty() {
        let firsts = first.contenders.first().zip(second.contenders.first());
        pairs.extend(firsts.map(|(one, other)| (one.name.as_str(), other.name.as_str())));
    }
    let mut text = format!(
        "A: {first_name}, {}, {} repetitions\n\nB: {second_name}, {}, {} repetitions\n\n",
        first.machine.summary(),
        first.repetitions,
        second.machine.summary(),
        second.repetitions
    );
    text += HEAD;
    let mut compared = false;
    for case in first.cases() {
        for (one, other) in &pairs {
            let Some(two) = both(first, one, second, other, case) else { continue };
            compared = true;
            let name = if one == other { (*one).to_owned() } else { format!("{one}, {other}") };
            write_pair(&mut text, &format!("{case}: {name}"), two, of_two_runs);
        }
    }
    if !compared {
        bail!("{first_name} and {second_name} have no case in common");
    }
    Ok(text + TAIL)
}

/// Each worker of a report against its first.
fn within(report: &Report) -> Result<String> {
    let workers: Vec<&str> = report
        .contenders
        .iter()
        .filter(|contender| contender.program.is_some())
        .map(|contender| contender.name.as_str())
        .collect();
    let Some((first, others @ [_, ..])) = workers.split_first() else {
        bail!("there is one worker only: name a second file to compare it with");
    };
    let mut text = format!(
        "A: {first}\n\nB: the other worker; {}, {} repetitions\n\n",
        report.machine.summary(),
        report.repetitions
    );
    text += HEAD;
    for case in report.cases() {
        for other in others {
            let Some(two) = both(report, first, report, other, case) else { continue };
            write_pair(&mut text, &format!("{case}: {other}"), two, of_one_run);
        }
    }
    Ok(text + TAIL)
}

const HEAD: &str = "| | | A | B | B / A |\n|---|---|--:|--:|--:|\n";
const TAIL: &str = "\nMedians, the smallest and the greatest in brackets; of p99 at the same load, which is that with cores kept awake, the 95 % \
                    interval of the median. ~: the ranges overlap, so that it may be chance.\n";

fn both<'a>(
    first: &'a Report,
    one: &str,
    second: &'a Report,
    other: &str,
    case: Case,
) -> Option<(&'a Outcome, &'a Outcome)> {
    let find = |report: &'a Report, name: &str| {
        report.outcomes.iter().find(|outcome| outcome.contender == name && outcome.case == case)
    };
    find(first, one).zip(find(second, other))
}

fn write_pair(text: &mut String, name: &str, (one, other): (&Outcome, &Outcome), figures: Figures) {
    // Writing to a String doesn't fail.
    let (Some(one), Some(other)) = (&one.summary, &other.summary) else {
        let word = |outcome: &Outcome| if outcome.summary.is_some() { "" } else { "FAILED" };
        let _ = writeln!(text, "| {name} | | {} | {} | |", word(one), word(other));
        return;
    };
    for Figure { name: figure, value, unit, .. } in figures(one, other) {
        let (Some(a), Some(b)) = (value(one), value(other)) else { continue };
        let overlap = chance(a, b);
        let ratio = b.median / a.median;
        let _ =
            writeln!(text, "| {name} | {figure} | {} | {} | {ratio:.2}{overlap} |", a.show(*unit, 0), b.show(*unit, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{CASE, report, run};
    use crate::same_load::tests::turn;
    use crate::same_load::{SameLoad, Turn};

    fn outcome(contender: &str, rates: &[f64]) -> Outcome {
        Outcome::new(contender.to_owned(), CASE, rates.iter().map(|&rate| Ok(run(rate))).collect(), None)
    }

    #[test]
    fn medians_and_ratios_stand_beside_each_other_and_chance_is_marked() {
        let first = report(vec![outcome("good", &[100e3, 110e3, 120e3]), outcome("bad", &[50e3])]);
        let second = report(vec![outcome("good", &[200e3, 220e3, 240e3]), outcome("bad", &[50e3, 70e3])]);
        let table = two(&first, &second, "before", "after").unwrap();
        for row in [
            "| 1 to 10, plain, even: good | thousand packets/s | 110 (100–120) | 220 (200–240) | 2.00 |",
            "| 1 to 10, plain, even: bad | thousand packets/s | 50 (50–50) | 60 (50–70) | 1.20 ~ |",
        ] {
            assert!(table.contains(row), "{table}");
        }
    }

    #[test]
    fn a_failure_has_no_figures() {
        let failed = Outcome::new("good".to_owned(), CASE, vec![Err("it died".to_owned())], None);
        let table = two(&report(vec![outcome("good", &[1e3])]), &report(vec![failed]), "a", "b").unwrap();
        assert!(table.contains("| 1 to 10, plain, even: good | |  | FAILED | |"), "{table}");
        assert!(two(&report(vec![outcome("good", &[1e3])]), &report(Vec::new()), "a", "b").is_err());
    }

    #[test]
    fn the_first_worker_s_defeats_are_listed() {
        let mut report = report(vec![outcome("good", &[100e3]), outcome("bad", &[150e3])]);
        assert_eq!(behind(&report), "", "nobody is a program");
        report.contenders[0].program = Some("a".into());
        report.contenders[1].program = Some("b".into());
        let list = behind(&report);
        assert!(
            list.contains("\n- 1 to 10, plain, even: thousand packets/s 100 (100–100), bad 150 (150–150)\n"),
            "{list}"
        );
        assert_eq!(list.matches("\n- ").count(), 1, "{list}");
        report.contenders.reverse();
        assert!(behind(&report).ends_with("Nowhere in these cases.\n"));
    }

    fn at_load(contender: &str, rate: f64, awake: &[f64], asleep: &[f64]) -> Outcome {
        with_memory(contender, rate, (awake, asleep), None)
    }

    fn with_memory(contender: &str, rate: f64, (awake, asleep): (&[f64], &[f64]), memory: Option<u64>) -> Outcome {
        let mut outcome = outcome(contender, &[100e3]);
        let turns = |p99: &[f64]| p99.iter().map(|&p99| turn(p99, 0)).collect();
        let (awake, asleep) = (turns(awake), turns(asleep));
        outcome.add_same_load(Ok(SameLoad { packets_per_second: rate, awake, asleep, memory }));
        outcome
    }

    fn list(ours: Outcome, theirs: Outcome) -> String {
        let mut report = report(vec![ours, theirs]);
        report.contenders[0].program = Some("a".into());
        report.contenders[1].program = Some("b".into());
        behind(&report)
    }

    #[test]
    fn latency_is_compared_at_the_same_load_with_cores_awake() {
        const ASLEEP: &[f64] = &[900.0, 900.0, 900.0];
        let theirs = || at_load("bad", 1e3, &[100.0, 110.0, 120.0], &[200.0, 200.0, 200.0]);
        let worse = list(at_load("good", 1e3, &[300.0, 310.0, 320.0], ASLEEP), theirs());
        assert!(worse.contains("same load 310 (300–320), bad 110 (100–120)\n"), "{worse}");
        let chance = list(at_load("good", 1e3, &[90.0, 111.0, 130.0], ASLEEP), theirs());
        assert!(chance.contains("same load 111 (90–130), bad 110 (100–120) ~\n"), "{chance}");
        // Sleeping cores aren't the worker's doing, and other loads can't be compared.
        for none in [
            list(at_load("good", 1e3, &[90.0, 90.0, 90.0], ASLEEP), theirs()),
            list(at_load("good", 1e3, &[], ASLEEP), theirs()),
            list(at_load("good", 2e3, &[300.0, 310.0, 320.0], ASLEEP), theirs()),
        ] {
            assert!(none.ends_with("Nowhere in these cases.\n"), "{none}");
        }
    }

    #[test]
    fn cpu_is_compared_at_the_same_load_too() {
        let worker = |contender, rate, ns: &[f64]| {
            let mut outcome = outcome(contender, &[100e3]);
            let awake = ns.iter().map(|&ns| Turn { worker_ns_per_packet: ns, ..turn(100.0, 0) }).collect();
            outcome.add_same_load(Ok(SameLoad { packets_per_second: rate, awake, asleep: Vec::new(), memory: None }));
            outcome
        };
        let theirs = || worker("bad", 1e3, &[2000.0, 2100.0, 2200.0]);
        let worse = list(worker("good", 1e3, &[2300.0, 2310.0, 2320.0]), theirs());
        assert!(worse.contains("CPU ns a packet, same load 2310 (2300–2320), bad 2100 (2000–2200)\n"), "{worse}");
        for none in [list(worker("good", 1e3, &[1900.0]), theirs()), list(worker("good", 2e3, &[2300.0]), theirs())] {
            assert!(none.ends_with("Nowhere in these cases.\n"), "{none}");
        }
    }

    #[test]
    fn memory_is_compared_at_the_same_load_where_both_have_it() {
        const TURNS: (&[f64], &[f64]) = (&[100.0], &[100.0]);
        let worker = |contender, rate, full: u64, same: Option<u64>| {
            let mut outcome = with_memory(contender, rate, TURNS, same.map(|mib| mib << 20));
            outcome.summary.as_mut().unwrap().memory = Spread::of([(full << 20) as f64]);
            outcome
        };
        // At saturation it forwards more, and keeps more.
        let better = list(worker("good", 1e3, 500, Some(60)), worker("bad", 1e3, 100, Some(90)));
        assert!(better.ends_with("Nowhere in these cases.\n"), "{better}");
        let worse = list(worker("good", 1e3, 90, Some(95)), worker("bad", 1e3, 100, Some(90)));
        assert!(worse.contains("MiB, same load 95 (95–95), bad 90 (90–90)\n"), "{worse}");
        // Other loads can't be compared, and older results have nothing else.
        for (rate, same) in [(2e3, Some(60)), (1e3, None)] {
            let full = list(worker("good", rate, 500, same), worker("bad", 1e3, 100, Some(90)));
            assert!(full.contains("MiB 500 (500–500), bad 100 (100–100)\n"), "{full}");
        }
    }
}
