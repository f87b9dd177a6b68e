//! The picture of a report: processor time a packet at saturation, a panel for each number of subscribers.

use super::report::{Outcome, Report};
use crate::bars::{BLUE, Bars, GREEN, GREY, PURPLE, Value};

fn colour(contender: &str) -> &'static str {
    match contender {
        "io-uring" => PURPLE,
        "mmsg" | "gso" | "tokio-gso" | "core" => GREEN,
        "control" => GREY,
        _ => BLUE,
    }
}

/// Draws it, as SVG.
#[must_use]
pub fn draw(report: &Report) -> String {
    let value = |contender: &str, subscribers: usize| {
        let same = |outcome: &&Outcome| outcome.contender == contender && outcome.subscribers == subscribers;
        let summary = report.outcomes.iter().find(same).and_then(|outcome| outcome.summary.as_ref());
        summary.map_or(Value::Absent("failed"), |summary| Value::Measured(summary.ns_full))
    };
    let panel = |subscribers: usize| {
        let values = report.contenders.iter().map(|contender| value(&contender.name, subscribers)).collect();
        (format!("1 to {subscribers}"), values)
    };
    let panels: Vec<_> = report.cases().into_iter().map(panel).collect();
    Bars {
        id: "ch05-plot",
        title: "Processor time per forwarded packet at saturation, ns (less is better)",
        rows: report.contenders.iter().map(|contender| (contender.name.as_str(), colour(&contender.name))).collect(),
        columns: panels.len(),
        panels,
        unit: (1.0, 0),
        legend: vec![
            (BLUE, "a call for each datagram"),
            (PURPLE, "completions"),
            (GREEN, "many datagrams a call"),
            (GREY, "control: no forwarder"),
        ],
    }
    .draw()
}
