//! The estimator in a simulated network, in the cases of RFC 8867 and a few more. Virtual time, and chance from seeds:
//! each run gives the same figures.
//!
//! Their table is a snapshot: a change of behaviour shows in it. `INSTA_UPDATE=always cargo test -p sfu-proto
//! --all-features --test congestion` writes it anew; with `CONGESTION_CSV=FILE` the course of every case is written too.

mod cases;
mod flows;
mod layered;
mod network;
mod simulation;

use std::fmt::Write;

use cases::{Case, Outcome};
use simulation::Simulation;

/// Each case is run with so many seeds; the figures are the medians.
const SEEDS: u64 = 5;
/// Seconds after a step of the capacity within which the estimate must follow.
const MAX_UP: f64 = 5.0;
const MAX_DOWN: f64 = 1.0;
/// The wait in the queue that 95 % of the packets must not exceed, in milliseconds.
const MAX_WAIT: f64 = 150.0;

fn check(case: &Case, outcome: &Outcome) {
    let name = case.name;
    assert!(outcome.utilisation >= case.min_utilisation, "{name}: {outcome:?}");
    assert!(outcome.up.is_none_or(|seconds| seconds <= MAX_UP), "{name}: {outcome:?}");
    assert!(outcome.down.is_none_or(|seconds| seconds <= MAX_DOWN), "{name}: {outcome:?}");
    assert!(outcome.share >= case.min_share, "{name}: {outcome:?}");
    // A TCP that fills the queue makes others wait in it.
    assert!(case.has_tcp || outcome.wait_p95 <= MAX_WAIT, "{name}: {outcome:?}");
}

#[test]
fn the_cases_of_rfc_8867_and_others() {
    let mut table = String::from(
        "case                          | used % | up s | down s | wait ms p50 |  p95 |  p99 | lost % | least share\n",
    );
    let mut csv = String::from("case,second,capacity,flow,estimate,arrived,wait\n");
    let mut outcomes = Vec::new();
    for case in cases::all() {
        let simulations: Vec<Simulation> = (1..=SEEDS).map(|seed| (case.build)(seed).run()).collect();
        let all: Vec<Outcome> = simulations.iter().map(|simulation| cases::judge(&case, simulation)).collect();
        let outcome = Outcome::median(&all);
        let seconds = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        writeln!(
            table,
            "{:<29} | {:>6.0} | {:>4} | {:>6} | {:>11.0} | {:>4.0} | {:>4.0} | {:>6.1} | {:>11.2}",
            case.name,
            outcome.utilisation * 100.0,
            seconds(outcome.up),
            seconds(outcome.down),
            outcome.wait_p50,
            outcome.wait_p95,
            outcome.wait_p99,
            outcome.lost * 100.0,
            outcome.share,
        )
        .expect("a string takes all");
        cases::write_course(&case, &simulations[0], &mut csv);
        outcomes.push((case, outcome));
    }
    if let Some(path) = std::env::var_os("CONGESTION_CSV") {
        std::fs::write(path, csv).expect("the file named by CONGESTION_CSV can be written");
    }
    println!("{table}");
    for (case, outcome) in &outcomes {
        check(case, outcome);
    }
    insta::assert_snapshot!(table);
}
