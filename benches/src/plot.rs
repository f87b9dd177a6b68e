//! A picture of a report: processor time per packet at saturation, a panel a case.

use crate::bars::{BLUE, Bars, GREEN, GREY, ORANGE, PURPLE, Value};
use crate::report::Report;
use crate::stats::Spread;

const COLOURS: [&str; 4] = [GREEN, BLUE, ORANGE, PURPLE];

/// Draws it, as SVG. Bars are medians, whiskers reach from the smallest to the greatest; what has failed has no bar.
#[must_use]
pub fn draw(report: &Report) -> String {
    let mut rows: Vec<(&str, &'static str)> = Vec::new();
    let workers = report.contenders.iter().filter(|contender| contender.program.is_some());
    rows.extend(workers.zip(COLOURS.iter().cycle()).map(|(contender, colour)| (contender.name.as_str(), *colour)));
    let names: Vec<&str> = rows.iter().map(|(name, _)| *name).collect();
    rows.push(("limit", GREY));
    let panel = |case| {
        let value = |name: &&str| {
            let outcome = report.outcomes.iter().find(|outcome| outcome.contender == *name && outcome.case == case);
            match outcome.map(|outcome| &outcome.summary) {
                Some(Some(summary)) => Value::Measured(summary.ns_full),
                Some(None) => Value::Absent("failed"),
                None => Value::Absent(""),
            }
        };
        let mut values: Vec<Value> = names.iter().map(value).collect();
        let limit = report.limit(&case).and_then(|limit| Spread::of([limit.without_receiving()]));
        values.push(limit.map_or(Value::Absent(""), Value::Measured));
        (case.to_string(), values)
    };
    Bars {
        id: "forward-plot",
        title: "Processor time per forwarded packet at saturation, ns (less is better)",
        columns: 2,
        panels: report.cases().into_iter().map(panel).collect(),
        rows,
        unit: (1.0, 0),
        legend: vec![(GREY, "limit: the kernel's cheapest sending for the pattern, and the cipher, alone")],
    }
    .draw()
}
