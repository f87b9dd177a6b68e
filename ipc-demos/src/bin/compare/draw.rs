//! The picture: bars of all contenders, a panel for what is measured, a column for each length. Logarithmic, since a busy
//! ring and TCP are far apart. It takes its colours from the page that it is in.

use std::fmt::Write as _;

use crate::report::{Outcome, Report, Spread, bytes, digits};

const WIDTH: f64 = 760.0;
const NAMES: f64 = 170.0;
const ROW: f64 = 13.5;
const HEAD: f64 = 42.0;
/// What is left free to the right of a bar for its numbers.
const NUMBERS: f64 = 78.0;

struct Panel {
    title: &'static str,
    /// What the bars of a row are, and their class.
    bars: &'static [(&'static str, Value)],
}

type Value = fn(&Outcome) -> Spread;

const PANELS: [Panel; 2] = [
    Panel {
        title: "Round trip, p50 in µs: on two cores (upper bars, first number), on one core (less is better)",
        bars: &[("ok", |outcome| outcome.round_trip_p50_us), ("cold", |outcome| outcome.one_core_p50_us)],
    },
    Panel {
        title: "One way, on two cores, in MB/s (more is better)",
        bars: &[("ok", |outcome| {
            let scale = outcome.length as f64 / 1e6;
            let Spread { median, min, max } = outcome.messages_per_second;
            Spread { median: median * scale, min: min * scale, max: max * scale }
        })],
    },
];

/// Draws a report.
pub fn svg(report: &Report) -> String {
    let panel_height = HEAD + ROW * report.names().len() as f64 + 8.0;
    let height = panel_height * PANELS.len() as f64 + 22.0;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"ipc-results-title\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title id=\"ipc-results-title\">Round trip and throughput of every way, at {} lengths</title>",
        report.lengths.len()
    );
    for (panel, top) in PANELS.iter().zip([0.0, panel_height]) {
        draw(report, panel, top, &mut text);
    }
    let _ = writeln!(
        text,
        "<text class=\"small\" x=\"12\" y=\"{}\">Logarithmic, each column by itself. Lines reach from the smallest to the \
         greatest of {} repetitions.</text>\n</svg>",
        height - 8.0,
        report.repetitions
    );
    text
}

fn draw(report: &Report, panel: &Panel, top: f64, text: &mut String) {
    let _ = writeln!(text, "<text x=\"12\" y=\"{:.1}\" font-weight=\"600\">{}</text>", top + 17.0, panel.title);
    for (row, name) in report.names().iter().enumerate() {
        let (x, y) = (NAMES - 8.0, top + HEAD + ROW * row as f64 + 9.5);
        let _ = writeln!(text, "<text class=\"small\" x=\"{x}\" y=\"{y:.1}\" text-anchor=\"end\">{name}</text>");
    }
    let column = (WIDTH - NAMES - 4.0) / report.lengths.len() as f64;
    for (place, length) in report.lengths.iter().enumerate() {
        let left = NAMES + column * place as f64;
        let _ =
            writeln!(text, "<text class=\"small\" x=\"{left:.1}\" y=\"{:.1}\">{}</text>", top + 36.0, bytes(*length));
        let axis = Axis::of(panel, report.at(*length), left, column - NUMBERS);
        for (row, outcome) in report.at(*length).enumerate() {
            bars(panel, outcome, &axis, top + HEAD + ROW * row as f64, text);
        }
    }
}

/// The bars of one contender, and their numbers behind the longest.
fn bars(panel: &Panel, outcome: &Outcome, axis: &Axis, top: f64, text: &mut String) {
    let height = (ROW - 2.5) / panel.bars.len() as f64;
    let mut end: f64 = axis.left;
    for (place, (class, value)) in panel.bars.iter().enumerate() {
        let spread = value(outcome);
        let y = top + height * place as f64 + 1.0;
        let class = if outcome.contender.starts_with("control") { "box" } else { class };
        let (from, to, bar) = (axis.x(spread.min), axis.x(spread.max), axis.x(spread.median));
        end = end.max(to).max(bar);
        let _ = writeln!(
            text,
            "<rect class=\"{class}\" style=\"stroke-width:1\" x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\"/>\n\
             <path class=\"arrow\" style=\"stroke-width:1\" d=\"M{from:.1} {middle:.1}H{to:.1}\"/>",
            axis.left,
            (bar - axis.left).max(1.0),
            height - 1.0,
            middle = y + (height - 1.0) / 2.0,
        );
    }
    let numbers: Vec<String> = panel.bars.iter().map(|(_, value)| digits(value(outcome).median)).collect();
    let (x, y, numbers) = (end + 4.0, top + 9.5, numbers.join(" · "));
    let _ = writeln!(text, "<text class=\"small\" x=\"{x:.1}\" y=\"{y:.1}\">{numbers}</text>");
}

/// Where values are in a column.
struct Axis {
    left: f64,
    room: f64,
    low: f64,
    high: f64,
}

impl Axis {
    /// From half of the smallest value, so that it has a bar as well, to the greatest.
    fn of<'a>(panel: &Panel, outcomes: impl Iterator<Item = &'a Outcome>, left: f64, room: f64) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, 0_f64);
        for outcome in outcomes {
            for (_, value) in panel.bars {
                let spread = value(outcome);
                (low, high) = (low.min(spread.min), high.max(spread.max));
            }
        }
        Axis { left, room, low: low / 2.0, high }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + self.room * ((value / self.low).ln() / (self.high / self.low).ln()).clamp(0.0, 1.0)
    }
}
