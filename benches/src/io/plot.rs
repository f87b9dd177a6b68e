//! The picture of a report, written by hand so that the book can put it into a page of any theme: its text takes the
//! page's colour.

use super::report::Report;
use std::fmt::Write as _;

const WIDTH: usize = 760;
const NAMES: usize = 84;
const TOP: usize = 58;
const ROW: usize = 22;
/// Between a panel's bars and the next panel; the numbers stand there.
const GAP: usize = 62;

/// Colours that are told apart on dark and on light.
const ONE_CALL: &str = "#4a7fd4";
const COMPLETIONS: &str = "#b065c9";
const BATCHES: &str = "#2a9d8f";
const OTHER: &str = "#8a8f98";

fn colour(contender: &str) -> &'static str {
    match contender {
        "io-uring" => COMPLETIONS,
        "mmsg" | "gso" | "tokio-gso" | "core" => BATCHES,
        "control" => OTHER,
        _ => ONE_CALL,
    }
}

/// Processor time a packet at saturation: a panel for each number of subscribers, bars are medians, whiskers reach from
/// the smallest to the greatest.
#[must_use]
pub fn draw(report: &Report) -> String {
    let cases = report.cases();
    let height = TOP + ROW * report.contenders.len() + 44;
    let panel = (WIDTH - NAMES) / cases.len().max(1);
    let room = (panel - GAP) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"ch05-plot-title\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"currentColor\">\n\
         <title id=\"ch05-plot-title\">Processor time per forwarded packet at saturation, by driver and number of subscribers</title>\n\
         <text x=\"{NAMES}\" y=\"18\" font-weight=\"600\">Processor time per forwarded packet at saturation, ns (less is better)</text>\n"
    );
    // Writing to a String doesn't fail.
    for (index, contender) in report.contenders.iter().enumerate() {
        let y = TOP + ROW * index + 14;
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\" text-anchor=\"end\">{}</text>", NAMES - 8, contender.name);
    }
    for (place, &subscribers) in cases.iter().enumerate() {
        let left = NAMES + panel * place;
        let _ = writeln!(svg, "<text x=\"{left}\" y=\"44\">1 to {subscribers}</text>");
        let spreads: Vec<_> = report
            .contenders
            .iter()
            .map(|contender| {
                let same = |outcome: &&super::report::Outcome| {
                    outcome.contender == contender.name && outcome.subscribers == subscribers
                };
                report.outcomes.iter().find(same).and_then(|outcome| Some(outcome.summary.as_ref()?.ns_full))
            })
            .collect();
        let greatest = spreads.iter().flatten().map(|spread| spread.max).fold(1.0, f64::max);
        for (index, (contender, spread)) in report.contenders.iter().zip(&spreads).enumerate() {
            let y = TOP + ROW * index;
            let Some(spread) = spread else {
                let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\">failed</text>", y + 14);
                continue;
            };
            let x = |value: f64| value / greatest * room;
            let colour = colour(&contender.name);
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{}\" width=\"{:.1}\" height=\"14\" rx=\"2\" fill=\"{colour}\"/>",
                y + 3,
                x(spread.median)
            );
            let _ = writeln!(
                svg,
                "<path d=\"M{:.1} {middle}H{:.1}\" stroke=\"currentColor\" stroke-width=\"1.5\" opacity=\"0.8\"/>",
                left as f64 + x(spread.min),
                left as f64 + x(spread.max),
                middle = y + 10
            );
            let text = left as f64 + x(spread.max) + 6.0;
            let _ =
                writeln!(svg, "<text x=\"{text:.1}\" y=\"{}\" font-size=\"12\">{:.0}</text>", y + 14, spread.median);
        }
    }
    let mut x = NAMES;
    let y = height - 14;
    for (colour, what) in [
        (ONE_CALL, "a call for each datagram"),
        (COMPLETIONS, "completions"),
        (BATCHES, "many datagrams a call"),
        (OTHER, "control: no forwarder"),
    ] {
        let _ =
            writeln!(svg, "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>", y - 10);
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{y}\" font-size=\"12\">{what}</text>", x + 18);
        x += 40 + 7 * what.len();
    }
    svg + "</svg>\n"
}
