//! The picture of a report: processor time a packet at saturation, a panel for each case.

use super::report::{Outcome, Place, Report};
use crate::bars::{BLUE, Bars, GREEN, GREY, PURPLE, Value};

fn colour(contender: &str) -> &'static str {
    match contender {
        "io-uring-plain" | "io-uring" => PURPLE,
        "mmsg" | "gso" | "tokio-gso" | "core" => GREEN,
        "control" => GREY,
        _ => BLUE,
    }
}

/// Draws it, as SVG.
#[must_use]
pub fn draw(report: &Report) -> String {
    let value = |contender: &str, place: Place| {
        let same = |outcome: &&Outcome| outcome.contender == contender && outcome.place == place;
        let summary = report.outcomes.iter().find(same).and_then(|outcome| outcome.summary.as_ref());
        summary.map_or(Value::Absent("failed"), |summary| Value::Measured(summary.ns_full))
    };
    let panel = |place: Place| {
        let values = report.contenders.iter().map(|contender| value(&contender.name, place)).collect();
        (format!("1 to {}, {} B", place.subscribers, place.packet_len), values)
    };
    let places = report.places();
    // A line of panels for each length.
    let columns =
        places.iter().filter(|place| Some(place.packet_len) == places.first().map(|first| first.packet_len)).count();
    let panels: Vec<_> = places.into_iter().map(panel).collect();
    Bars {
        id: "ch05-plot",
        title: "Processor time per forwarded packet at saturation, ns (less is better)",
        rows: report.contenders.iter().map(|contender| (contender.name.as_str(), colour(&contender.name))).collect(),
        columns,
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
