//! Draws what the congestion tests of sfu-proto have written: `plot-congestion COURSES.csv PICTURE.svg`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use plotters::prelude::*;

const COLUMNS: usize = 2;
const PANEL: (u32, u32) = (600, 260);
/// Readable on white, and told apart by lightness too.
const COLOURS: [RGBColor; 5] = [
    RGBColor(31, 87, 153),
    RGBColor(230, 138, 0),
    RGBColor(60, 145, 90),
    RGBColor(170, 60, 60),
    RGBColor(110, 80, 160),
];
/// Flows beyond these are many short ones, and would hide the others.
const MAX_FLOWS: usize = 5;

/// A case: by flow, what arrived, Mbit/s by second; and the capacity of the first flow's link.
#[derive(Default)]
struct Course {
    capacity: Vec<(f64, f64)>,
    flows: BTreeMap<usize, Vec<(f64, f64)>>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [courses, picture] = arguments.as_slice() else { bail!("usage: plot-congestion COURSES.csv PICTURE.svg") };
    let text = fs::read_to_string(courses).with_context(|| format!("{courses} can't be read"))?;
    draw(&parse(&text)?, Path::new(picture))
}

/// The cases in their order.
fn parse(text: &str) -> Result<Vec<(String, Course)>> {
    let mut cases: Vec<(String, Course)> = Vec::new();
    for line in text.lines().skip(1) {
        // A name may have commas; the other six columns have none.
        let columns: Vec<&str> = line.rsplitn(7, ',').collect();
        let [_, arrived, _, flow, capacity, second, name] = columns[..] else { bail!("not seven columns: {line}") };
        let number = |text: &str| text.parse::<f64>().with_context(|| format!("no number in: {line}"));
        let (second, capacity, arrived) = (number(second)?, number(capacity)? / 1e6, number(arrived)? / 1e6);
        if cases.last().is_none_or(|(last, _)| last != name) {
            cases.push((name.to_owned(), Course::default()));
        }
        let Some((_, course)) = cases.last_mut() else { continue };
        let flow = number(flow)? as usize;
        if flow == 0 {
            course.capacity.push((second, capacity));
        }
        course.flows.entry(flow).or_default().push((second, arrived));
    }
    Ok(cases)
}

fn draw(cases: &[(String, Course)], path: &Path) -> Result<()> {
    let rows = cases.len().div_ceil(COLUMNS);
    let size = (PANEL.0 * COLUMNS as u32, PANEL.1 * rows as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    for (area, (name, course)) in root.split_evenly((rows, COLUMNS)).iter().zip(cases) {
        let end = course.capacity.last().map_or(1.0, |(second, _)| second + 1.0);
        let most = course.capacity.iter().map(|(_, capacity)| *capacity).fold(0.1, f64::max) * 1.2;
        let mut chart = ChartBuilder::on(area)
            .caption(format!("{name}: Mbit/s that arrive, and the capacity (grey)"), ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(24)
            .y_label_area_size(32)
            .build_cartesian_2d(0.0..end, 0.0..most)
            .map_err(failed)?;
        chart.configure_mesh().disable_x_mesh().light_line_style(WHITE).draw().map_err(failed)?;
        let steps =
            course.capacity.iter().flat_map(|(second, capacity)| [(*second, *capacity), (second + 1.0, *capacity)]);
        chart.draw_series(LineSeries::new(steps, RGBColor(170, 170, 170).stroke_width(3))).map_err(failed)?;
        for (points, colour) in course.flows.values().take(MAX_FLOWS).zip(COLOURS) {
            chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(1))).map_err(failed)?;
        }
    }
    root.present().map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the plot can't be drawn: {error}")
}
