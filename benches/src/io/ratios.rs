//! What the others take beside epoll, as ratios within a repetition: contenders take turns in each, so that a machine that
//! becomes slower does so for both sides of a ratio.

use super::report::{Outcome, Place, ReceivingOutcome, Report, distinct};
use crate::stats::Spread;
use std::fmt::Write as _;

/// Who the others are compared with.
const BASE: &str = "epoll";

/// A row for each contender and a column for each number of subscribers: processor time a packet at saturation, as a multiple of
/// epoll's in the same repetition. Empty where epoll was not measured.
#[must_use]
pub fn table(report: &Report, packet_len: usize) -> String {
    let places = places(report, packet_len);
    let others: Vec<&str> =
        report.contenders.iter().map(|contender| contender.name.as_str()).filter(|&name| name != BASE).collect();
    if others.is_empty() || places.iter().all(|&place| costs(report, BASE, place).is_none()) {
        return String::new();
    }
    let mut text = format!("\n**CPU time a packet, as a multiple of {BASE}'s in the same repetition**\n\n| driver |");
    for Place { subscribers, .. } in &places {
        // Writing to a String doesn't fail.
        let _ = write!(text, " 1 to {subscribers} |");
    }
    let _ = writeln!(text, "\n|---|{}", "--:|".repeat(places.len()));
    for other in others {
        let _ = write!(text, "| {other} |");
        for &place in &places {
            let cell = ratio(report, other, place).map_or("-".to_owned(), |ratio| ratio.show(1.0, 2));
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}

/// The cases with packets of this length, receiving alone among them.
fn places(report: &Report, packet_len: usize) -> Vec<Place> {
    let receiving = report.receiving.iter().map(|outcome| Place { packet_len: outcome.packet_len, subscribers: 0 });
    distinct(receiving.chain(report.places()).filter(|place| place.packet_len == packet_len))
}

fn ratio(report: &Report, contender: &str, place: Place) -> Option<Spread> {
    let (ours, base) = costs(report, contender, place).zip(costs(report, BASE, place))?;
    Spread::of(ours.into_iter().zip(base).map(|(ours, base)| ours / base))
}

/// Nanoseconds a packet at saturation, by repetition. `None` where one has failed: what is left of the others' order doesn't say
/// which of them are of the same repetition.
fn costs(report: &Report, contender: &str, place: Place) -> Option<Vec<f64>> {
    if place.subscribers == 0 {
        let same = |outcome: &&ReceivingOutcome| {
            outcome.contender == contender && outcome.packet_len == place.packet_len && outcome.failures.is_empty()
        };
        let outcome = report.receiving.iter().find(same)?;
        return Some(outcome.runs.iter().map(|run| run.full.ns_per_packet).collect());
    }
    let same =
        |outcome: &&Outcome| outcome.contender == contender && outcome.place == place && outcome.failures.is_empty();
    let outcome = report.outcomes.iter().find(same)?;
    Some(outcome.runs.iter().map(|measured| measured.run.full.worker_ns_per_packet).collect())
}

#[cfg(test)]
mod tests {
    use super::super::forwarder::Contender;
    use super::super::receiving::{Point, Receiving};
    use super::super::report::Measured;
    use super::*;
    use crate::machine::Cores;
    use crate::measure::{Durations, TOLERATED_LOSS};
    use crate::report::tests::run;
    use crate::traffic::Pattern;
    use stage::Machine;

    fn report(contenders: &[&str], receiving: Vec<ReceivingOutcome>, outcomes: Vec<Outcome>) -> Report {
        let contender = |&name: &&str| Contender { name: name.to_owned(), command: Vec::new() };
        Report {
            machine: Machine::describe(),
            cores: Cores { worker: 1, generator: 0, receiver: 0 },
            pattern: Pattern::Even,
            tolerated_loss: TOLERATED_LOSS,
            durations: Durations::QUICK,
            repetitions: 3,
            contenders: contenders.iter().map(contender).collect(),
            absent: Vec::new(),
            receiving,
            outcomes,
        }
    }

    fn measured(ns: f64) -> Result<Measured, String> {
        let mut run = run(1_000.0);
        run.full.worker_ns_per_packet = ns;
        Ok(Measured { run, calls_per_packet: None, uncounted: None, allocations_per_packet: None })
    }

    fn outcome(contender: &str, subscribers: usize, results: Vec<Result<Measured, String>>) -> Outcome {
        Outcome::new(contender.to_owned(), Place { packet_len: 100, subscribers }, results)
    }

    fn received(contender: &str, ns: [f64; 3]) -> ReceivingOutcome {
        let point = |ns_per_packet| Point { packets_per_second: 1e3, ns_per_packet, busy: 1.0, load_busy: 1.0 };
        let receiving = |ns| Receiving {
            full: point(ns),
            half: point(1.0),
            calls_per_packet: None,
            uncounted: None,
            allocations_per_packet: 0.0,
        };
        ReceivingOutcome::new(contender.to_owned(), 100, ns.map(|ns| Ok(receiving(ns))).to_vec())
    }

    #[test]
    fn ratios_are_those_within_a_repetition_and_failures_have_none() {
        // The machine was twice as slow in the second repetition: mio's medians say 1.5 times, its ratios 0.75.
        let epoll = [1_000.0, 2_000.0, 1_000.0].map(measured).to_vec();
        let mio = [750.0, 1_500.0, 1_500.0].map(measured).to_vec();
        let failed = vec![measured(1_000.0), Err("it died".to_owned()), measured(1_000.0)];
        let report = report(
            &["epoll", "mio", "gso", "control"],
            vec![received("epoll", [100.0, 200.0, 400.0]), received("mio", [100.0, 100.0, 100.0])],
            vec![
                outcome("epoll", 10, epoll),
                outcome("mio", 10, mio),
                outcome("gso", 10, failed),
                outcome("control", 10, [500.0, 500.0, 500.0].map(measured).to_vec()),
            ],
        );
        let text = table(&report, 100);
        let rows = "| driver | 1 to 0 | 1 to 10 |\n|---|--:|--:|\n\
                    | mio | 0.50 (0.25–1.00) | 0.75 (0.75–1.50) |\n\
                    | gso | - | - |\n\
                    | control | - | 0.50 (0.25–0.50) |\n";
        assert!(text.ends_with(rows), "{text}");
        assert_eq!(table(&report, 1_200), "", "nothing was measured with packets of that length");
        assert!(report.markdown().contains(rows), "the runner writes it beside its other tables");
    }

    #[test]
    fn without_epoll_there_is_nothing_to_compare_with() {
        let only = report(&["core"], Vec::new(), vec![outcome("core", 10, vec![measured(1.0)])]);
        assert_eq!(table(&only, 100), "");
        let alone = report(&["epoll"], Vec::new(), vec![outcome("epoll", 10, vec![measured(1.0)])]);
        assert_eq!(table(&alone, 100), "");
    }

    #[test]
    fn a_report_comes_back_from_its_json_with_the_same_tables() {
        let outcomes = vec![outcome("epoll", 10, vec![measured(1_000.0)]), outcome("mio", 10, vec![measured(1_234.5)])];
        let report = report(&["epoll", "mio"], vec![received("epoll", [1.0, 2.0, 3.0])], outcomes);
        let file = tempfile::NamedTempFile::new().unwrap();
        serde_json::to_writer(&file, &report).unwrap();
        assert_eq!(Report::read(file.path()).unwrap().markdown(), report.markdown());
    }
}
