//! A report as tables, for the terminal and for the book.

use super::{Outcome, Report, Summary};
use crate::case::Case;
use crate::compare;
use crate::distance::{self, Distance};
use crate::growth::Cost;
use crate::same_load::{self, Figures, Schedule};
use crate::stats::Spread;
use std::fmt::Write as _;

impl Report {
    /// The tables, a kind of traffic each.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "{}. Medians of {} repetitions, the smallest and the greatest in brackets. Saturation is the highest load with less than \
             {} % loss; ≥: the load's core had no more to give. CPU ratio: to the first worker's, at saturation. Latencies are \
             those at half of a worker's own saturation.{} {ABOUT_LIMITS}{}\n",
            self.machine.summary(),
            self.repetitions,
            self.tolerated_loss * 100.0,
            self.same_load.map(about_same_load).unwrap_or_default(),
            self.distances.map(about_distances).unwrap_or_default()
        );
        let mut kinds: Vec<&str> = Vec::new();
        for case in self.cases() {
            if !kinds.contains(&case.kind()) {
                kinds.push(case.kind());
            }
        }
        for kind in kinds {
            self.write_kind(&mut text, kind);
        }
        self.write_growth(&mut text);
        self.write_losses(&mut text);
        self.write_load(&mut text);
        text += &compare::behind(self);
        for absent in &self.absent {
            let _ = write!(text, "\nNot measured: {absent}.\n");
        }
        for outcome in &self.outcomes {
            for failure in &outcome.failures {
                let _ = write!(text, "\nFAILED: {}, {}: {failure}.\n", outcome.contender, outcome.case);
            }
        }
        for growth in &self.growth {
            for failure in &growth.failures {
                let _ = write!(text, "\nFAILED: {}, growth, {failure}.\n", growth.contender);
            }
        }
        text
    }

    /// What a packet costs at each size of a case.
    fn write_growth(&self, text: &mut String) {
        let mut rows = String::new();
        for growth in &self.growth {
            let load = growth.sizes.first().map_or(0.0, |size| size.same_load.packets_per_second / 1e3);
            for (case, costs) in growth.costs() {
                let cells = costs.map(|cost| {
                    let show = |Cost { ns, times }: Cost| format!("{} | {}", ns.show(1.0, 0), times.show(1.0, 2));
                    cost.map_or_else(|| "– | –".to_owned(), show)
                });
                // Writing to a String doesn't fail.
                let _ = writeln!(rows, "| {case} | {} | {load:.0} | {} |", growth.contender, cells.join(" | "));
            }
        }
        if !rows.is_empty() {
            let _ = write!(
                text,
                "\n**Growth: the same packets a second, to more receivers**\n\n{ABOUT_GROWTH}\n\n\
                 | | | thousand packets/s | CPU ns a packet, cores awake | × the smallest | cores may sleep | × the smallest |\n\
                 |---|---|--:|--:|--:|--:|--:|\n{rows}"
            );
        }
    }

    /// Turns at the same load that lost packets.
    fn write_losses(&self, text: &mut String) {
        for outcome in &self.outcomes {
            let Some(same_load) = outcome.summary.as_ref().and_then(|summary| summary.same_load.as_ref()) else {
                continue;
            };
            let conditions = [("kept awake", &same_load.awake), ("that may sleep", &same_load.asleep)];
            for (condition, figures) in conditions {
                let Some(Figures { turns, lossy: lossy @ 1.., .. }) = figures else { continue };
                // Writing to a String doesn't fail.
                let _ = write!(
                    text,
                    "\nLost packets at the same load: {}, {}, in {lossy} of {turns} turns with cores {condition}.\n",
                    outcome.contender, outcome.case
                );
            }
        }
    }

    /// What is to be known of the load: how late it was at the same load, and what came to the receivers from elsewhere.
    fn write_load(&self, text: &mut String) {
        // Writing to a String doesn't fail.
        let figures = |outcome: &Outcome| {
            let same_load = outcome.summary.as_ref().and_then(|summary| summary.same_load.clone());
            same_load.map_or([None, None], |same_load| [same_load.awake, same_load.asleep]).into_iter().flatten()
        };
        let late = self.outcomes.iter().flat_map(figures).filter_map(|figures| figures.generator_late_us);
        if let Some(late) = late.map(|late| late.median).reduce(f64::max) {
            let _ = write!(
                text,
                "\nAt the same load 99 % of the packets had left the generator {late:.0} µs after they were due or earlier (the median of \
                 turns, in the case where it is the greatest; what sending a burst takes is in it).\n"
            );
        }
        for outcome in &self.outcomes {
            let off: usize = figures(outcome).map(|figures| figures.off_schedule).sum();
            if off > 0 {
                let turns: usize = figures(outcome).map(|figures| figures.turns).sum();
                let _ = write!(
                    text,
                    "\nThe generator was late at the same load: {}, {}, in {off} of {turns} turns.\n",
                    outcome.contender, outcome.case
                );
            }
            let turns = outcome.same_load.iter().flat_map(|same_load| same_load.awake.iter().chain(&same_load.asleep));
            let strays: u64 = outcome.runs.iter().map(|run| run.strays).chain(turns.map(|turn| turn.strays)).sum();
            if strays > 0 {
                let _ = write!(
                    text,
                    "\nPassed over: {}, {}: {strays} datagrams that came to receivers from elsewhere than the worker.\n",
                    outcome.contender, outcome.case
                );
            }
        }
    }

    fn write_kind(&self, text: &mut String, kind: &str) {
        let cases: Vec<Case> = self.cases().into_iter().filter(|case| case.kind() == kind).collect();
        let Some(first) = cases.first() else { return };
        // Writing to a String doesn't fail.
        let _ = write!(
            text,
            "\n**{}: packets of {} bytes**\n\n\
             | | | CPU ns a packet, full | half load | limit | × limit, full, half | × with receiving | × floor | CPU ratio | \
             thousand packets/s | busy % worker, load | p50, p99, p99.9 µs | p99 µs, same load | cores may sleep | calls a packet | \
             MiB, full, same load |\n\
             |---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
            title(kind),
            first.traffic.packet_len
        );
        for case in &cases {
            let reference = self.contenders.iter().find_map(|contender| self.summary(&contender.name, case));
            let limits = self.limits_of(case);
            for outcome in self.outcomes.iter().filter(|outcome| outcome.case == *case) {
                let cells = cells(outcome, reference, limits);
                let (audience, mode) = (case.audience, case.mode.name());
                let _ = writeln!(text, "| {audience}, {mode} | {} | {} |", outcome.contender, cells.join(" | "));
            }
        }
        self.write_limits(text, &cases);
    }

    /// What the limits of these cases are made of.
    fn write_limits(&self, text: &mut String, cases: &[Case]) {
        let mut rows = String::new();
        for case in cases {
            let Some(limit) = self.limit(case) else { continue };
            let Limits { limit: sum, with_receiving, floor } = self.limits_of(case);
            let numbers = [
                Some(limit.send_ns),
                limit.longest_trains_ns,
                Some(limit.cipher_ns),
                limit.receive_ns,
                sum,
                with_receiving,
                floor,
            ];
            let numbers = numbers.map(|number| number.map_or_else(none, |number| format!("{number:.0}")));
            // Writing to a String doesn't fail.
            let _ = writeln!(rows, "| {}, {} | {} |", case.audience, case.mode.name(), numbers.join(" | "));
        }
        if !rows.is_empty() {
            let _ = write!(
                text,
                "\nWhat kernel and cipher take alone, ns a packet:\n\n\
                 | | sending | sending, longest trains | cipher | receiving, each that comes in | limit | with receiving | floor |\n\
                 |---|--:|--:|--:|--:|--:|--:|--:|\n{rows}"
            );
        }
    }

    fn limits_of(&self, case: &Case) -> Limits {
        let limit = self.limit(case);
        Limits {
            limit: limit.map(|limit| limit.without_receiving()),
            with_receiving: limit.and_then(|limit| limit.with_receiving(case.audience)),
            floor: self.floor(case),
        }
    }
}

/// What a case's results are held against, in nanoseconds a packet.
#[derive(Debug, Clone, Copy)]
struct Limits {
    limit: Option<f64>,
    with_receiving: Option<f64>,
    floor: Option<f64>,
}

/// What the columns of limits are.
const ABOUT_LIMITS: &str = "The limit is what the kernel's cheapest sending for the pattern and the cipher take alone. With receiving: and what \
                            the kernel's cheapest receiving takes, divided by the copies that are made of each packet. The floor: the same with \
                            packets in the longest trains that every kernel takes, if that is cheaper, and of each part the least of all \
                            repetitions. ×: how many times that a worker takes, at saturation and at half load.";

/// What the table of growth shows.
const ABOUT_GROWTH: &str = "A process of the worker for each size, all at half of the lowest of its saturations in them, in turns that alternate. \
                            All receive with as many sockets as the smallest has receivers, and no packet wakes anybody up. Each turn is held against that \
                            of the smallest size beside it; ×: the median of these ratios. In brackets the 95 % intervals of the medians.";

fn none() -> String {
    "–".to_owned()
}

/// How *× limit* is measured.
fn about_distances(distance::Schedule { turns, seconds, bursts, searches, .. }: distance::Schedule) -> String {
    format!(
        " × limit is of {turns} turns of {seconds} s at each load, or of fewer longer ones where {bursts} bursts of each stream take longer, which alternate with \
         turns of the limit, and in which no packet wakes anybody up; saturation is looked for {searches} times meanwhile: the median of the ratios to the limit beside them, its 95 % interval in brackets."
    )
}

fn show_distance(Distance { full, half }: Distance) -> String {
    [full, half].map(|times| times.map_or_else(none, |times| times.show(1.0, 2))).join(", ")
}

/// What the columns of the same load are.
fn about_same_load(schedule: Schedule) -> String {
    format!(
        " The same load is half of the lowest saturation of all workers, for each in {} turns of {} s that alternate{}: the median of the \
         turns' p99, its 95 % interval in brackets, with cores that are kept awake, and, in the next column, with cores that may sleep; and the \
         memory after {} s of it without a break.",
        schedule.turns,
        schedule.seconds,
        if schedule.most > schedule.turns {
            format!(", and up to {} where two programs' intervals overlap", schedule.most)
        } else {
            String::new()
        },
        schedule.warm_up
    )
}

fn title(kind: &str) -> &str {
    match kind {
        "even" => "Even",
        "burst" => "Bursts, as of video",
        "audio" => "Audio",
        "rooms" => "Rooms, video in bursts",
        other => other,
    }
}

fn cells(outcome: &Outcome, reference: Option<&Summary>, limits: Limits) -> Vec<String> {
    const COLUMNS: usize = 14;
    let Some(summary) = &outcome.summary else {
        let mut cells = vec![String::new(); COLUMNS];
        cells[0] = "FAILED".to_owned();
        return cells;
    };
    let times = |limit: Option<f64>| {
        let (full, half) = (summary.ns_full.median, summary.ns_half.median);
        limit.map_or_else(none, |limit| format!("{:.2}, {:.2}", full / limit, half / limit))
    };
    let at_least = if summary.load_limited { "≥ " } else { "" };
    let microseconds = |spread: Option<Spread>| spread.map_or_else(none, |spread| format!("{:.0}", spread.median));
    let same_load = |figures: fn(&same_load::Summary) -> Option<&Figures>| {
        let figures = summary.same_load.as_ref().and_then(figures);
        figures.map_or_else(none, |figures| figures.p99.show(1.0, 0))
    };
    let mebibytes = |bytes: Option<f64>| bytes.map_or_else(none, |bytes| format!("{:.0}", bytes / 1_048_576.0));
    vec![
        summary.ns_full.show(1.0, 0),
        summary.ns_half.show(1.0, 0),
        limits.limit.map_or_else(none, |limit| format!("{limit:.0}")),
        Distance::of(&outcome.beside_limit).map_or_else(|| times(limits.limit), show_distance),
        times(limits.with_receiving),
        times(limits.floor),
        reference.map_or_else(none, |reference| format!("{:.2}", summary.ns_full.median / reference.ns_full.median)),
        format!("{at_least}{}", summary.packets_per_second.show(1e3, 0)),
        format!("{:.0}, {:.0}", summary.worker_busy.median * 100.0, summary.load_busy.median * 100.0),
        [summary.p50, summary.p99, summary.p999].map(microseconds).join(", "),
        same_load(|load| load.awake.as_ref()),
        same_load(|load| load.asleep.as_ref()),
        outcome.calls_per_packet.map_or_else(none, |calls| format!("{calls:.3}")),
        match (summary.memory, summary.memory_at_same_load()) {
            (None, None) => none(),
            (full, same) => format!("{}, {}", mebibytes(full.map(|memory| memory.median)), mebibytes(same)),
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::Beside;
    use crate::growth::Growth;
    use crate::growth::tests::{rooms, same_load as slower};
    use crate::measure::Run;
    use crate::report::tests::{CASE, report, run};
    use crate::same_load::SameLoad;
    use crate::same_load::tests::turn;
    use crate::workload::Mode;

    #[test]
    fn a_contender_that_failed_once_has_no_result() {
        let results = vec![Ok(run(200e3)), Ok(run(100e3)), Ok(run(300e3))];
        let good = Outcome::new("good".to_owned(), CASE, results, Some(0.5));
        let results = vec![Ok(run(900e3)), Err("the worker has ended".to_owned())];
        let bad = Outcome::new("bad".to_owned(), CASE, results, None);
        let report = report(vec![good, bad]);
        assert!(!report.is_clean());
        assert_eq!(report.summary("good", &CASE).unwrap().packets_per_second.median, 200e3);
        assert!(report.summary("bad", &CASE).is_none());
        let table = report.markdown();
        assert!(
            table.contains("| 800 | 1.25, 1.25 | 1.00, 1.00 | 1.25, 1.25 | 1.00 | 200 (100–300) |")
                && !table.contains("900"),
            "{table}"
        );
        assert!(table.contains("| 1 to 10, plain | 600 | 400 | 200 | 2000 | 800 | 1000 | 800 |"), "{table}");
        assert!(table.contains("FAILED: bad, 1 to 10, plain, even: the worker has ended"), "{table}");
    }

    fn same_load(awake: &[(f64, u64)], asleep: &[(f64, u64)]) -> SameLoad {
        let turns = |turns: &[(f64, u64)]| turns.iter().map(|&(p99, lost)| turn(p99, lost)).collect();
        SameLoad { packets_per_second: 50e3, awake: turns(awake), asleep: turns(asleep), memory: Some(30 << 20) }
    }

    #[test]
    fn the_same_load_has_two_columns_and_its_losses_are_said() {
        let mut good = Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None);
        good.add_same_load(Ok(same_load(&[(10.0, 0), (20.0, 5), (30.0, 7)], &[(300.0, 0), (400.0, 0), (500.0, 0)])));
        let mut bad = Outcome::new("bad".to_owned(), CASE, vec![Ok(run(100e3))], None);
        bad.add_same_load(Err("at the same load: the worker has ended".to_owned()));
        let report = report(vec![good, bad]);
        let table = report.markdown();
        assert!(table.contains("| 20 (10–30) | 400 (300–500) | – | –, 30 |"), "{table}");
        assert!(
            table.contains("in 2 of 3 turns with cores kept awake") && !table.contains("cores that may sleep.\n\nLost"),
            "{table}"
        );
        // It has results of what it did before it died, which count no more.
        assert!(report.summary("bad", &CASE).is_none() && !report.is_clean());
        assert!(table.contains("FAILED: bad, 1 to 10, plain, even: at the same load: the worker has ended"), "{table}");
        // As it is written and read again.
        let again: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();
        assert_eq!(again.markdown(), table);
    }

    #[test]
    fn turns_beside_the_limit_count_more_than_medians_of_repetitions() {
        let mut good = Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None);
        let turn = |limit_ns| Beside { saturation: 200e3, limit_ns, full_ns: Some(900.0), half_ns: Some(1_200.0) };
        good.beside_limit = vec![turn(1_000.0), turn(900.0), turn(1_200.0)];
        let mut report = report(vec![good]);
        let table = report.markdown();
        assert!(table.contains("| 800 | 0.90 (0.75–1.00), 1.20 (1.00–1.33) | 1.00, 1.00 |"), "{table}");
        for turn in &mut report.outcomes[0].beside_limit {
            turn.full_ns = None;
        }
        assert!(report.markdown().contains("| 800 | –, 1.20 (1.00–1.33) |"));
    }

    #[test]
    fn growth_has_a_row_for_each_size_and_its_failures_are_said() {
        let cases = || vec![rooms(1, Mode::Plain), rooms(100, Mode::Plain)];
        let results = |far| vec![Ok(slower(&[100.0, 200.0])), far];
        let good = Growth::new("good".to_owned(), cases(), results(Ok(slower(&[120.0, 220.0]))));
        let bad = Growth::new("bad".to_owned(), cases(), results(Err("it died".to_owned())));
        let mut report = report(Vec::new());
        report.growth = vec![good, bad];
        let table = report.markdown();
        let row = "| 100 rooms of 4, plain, burst | good | 50 | 170 (120–220) | 1.15 (1.10–1.20) | 255 (180–330) | 1.15 (1.10–1.20) |";
        assert!(table.contains(row), "{table}");
        assert!(table.contains("FAILED: bad, growth, 100 rooms of 4, plain, burst: it died.") && !report.is_clean());
        assert!(!table.contains("| bad |"), "{table}");
    }

    #[test]
    fn what_was_wrong_with_the_load_is_said() {
        let mut good = Outcome::new("good".to_owned(), CASE, vec![Ok(Run { strays: 2, ..run(200e3) })], None);
        let mut disturbed = same_load(&[(10.0, 0), (20.0, 0)], &[(300.0, 0)]);
        (disturbed.awake[0].on_schedule, disturbed.asleep[0].strays) = (false, 3);
        disturbed.asleep[0].generator_late_us = Some(400.0);
        good.add_same_load(Ok(disturbed));
        let mut table = report(vec![good]).markdown();
        for sentence in [
            "99 % of the packets had left the generator 400 µs after they were due",
            "The generator was late at the same load: good, 1 to 10, plain, even, in 1 of 3 turns.",
            "Passed over: good, 1 to 10, plain, even: 5 datagrams that came",
        ] {
            assert!(table.contains(sentence), "{table}");
        }
        let mut good = Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None);
        good.add_same_load(Ok(same_load(&[(10.0, 0), (20.0, 0)], &[(300.0, 0)])));
        table = report(vec![good]).markdown();
        assert!(!table.contains("The generator was late") && !table.contains("Passed over"), "{table}");
    }

    #[test]
    fn older_results_get_the_intervals_of_today() {
        let mut good = Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None);
        good.add_same_load(Ok(same_load(&[(10.0, 0), (20.0, 0), (30.0, 0)], &[])));
        let mut old = report(vec![good]);
        let figures = old.outcomes[0].summary.as_mut().unwrap().same_load.as_mut().unwrap().awake.as_mut().unwrap();
        figures.p99 = Spread { median: 20.0, min: 15.0, max: 25.0 };
        assert!(old.markdown().contains("| 20 (15–25) |"));
        assert!(old.summarised().markdown().contains("| 20 (10–30) |"));
    }

    #[test]
    fn results_from_before_there_was_a_phase_for_it_have_a_table_without() {
        let report = report(vec![Outcome::new("good".to_owned(), CASE, vec![Ok(run(200e3))], None)]);
        let mut old = serde_json::to_value(&report).unwrap();
        let removed = [
            old.as_object_mut().unwrap().remove("distances"),
            old.as_object_mut().unwrap().remove("same_load"),
            old["outcomes"][0].as_object_mut().unwrap().remove("same_load"),
            old["outcomes"][0]["summary"].as_object_mut().unwrap().remove("same_load"),
        ];
        assert!(removed.iter().all(Option::is_some));
        for new in ["longest_trains_ns", "receive_ns"] {
            assert!(old["limits"][0][1][0].as_object_mut().unwrap().remove(new).is_some());
        }
        old["outcomes"][0]["summary"]["p99_shared"] = serde_json::json!({ "median": 1.0, "min": 1.0, "max": 1.0 });
        let table = serde_json::from_value::<Report>(old).unwrap().markdown();
        assert!(table.contains("| – | – | – | – |") && !table.contains("The same load is"), "{table}");
        assert!(!table.contains("beside them"), "{table}");
        assert!(table.contains("| 800 | 1.25, 1.25 | – | – |"), "{table}");
        assert!(table.contains("| 1 to 10, plain | 600 | – | 200 | – | 800 | – | – |"), "{table}");
    }
}
