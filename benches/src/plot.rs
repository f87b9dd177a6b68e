//! A picture of a report: throughput and processor time, a row a pattern, a group of bars a case.

use crate::report::{Report, Summary};
use crate::session::Case;
use crate::stats::Spread;
use crate::workload::Pattern;
use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use std::path::Path;

const WIDTH: u32 = 1_200;
const PANEL_HEIGHT: u32 = 340;
const HEADER: u32 = 70;

/// Readable on white, and told apart by lightness too.
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 87, 153),
    RGBColor(230, 138, 0),
    RGBColor(60, 145, 90),
    RGBColor(170, 60, 60),
    RGBColor(125, 125, 135),
    RGBColor(110, 80, 160),
];

/// What a panel shows.
struct Metric {
    title: &'static str,
    value: fn(&Summary) -> Spread,
    unit: f64,
}

const METRICS: [Metric; 2] = [
    Metric {
        title: "Thousand packets/s at saturation (more is better)",
        value: |summary| summary.packets_per_second,
        unit: 1e3,
    },
    Metric {
        title: "Processor time per packet at saturation, µs (less is better)",
        value: |summary| summary.ns_full,
        unit: 1e3,
    },
];

/// Draws it as SVG. Bars are medians, whiskers reach from the smallest to the greatest; what has failed has no bar.
///
/// # Errors
/// The file can't be written.
pub fn draw(report: &Report, path: &Path) -> Result<()> {
    let patterns: Vec<(Pattern, Vec<Case>)> = [Pattern::Even, Pattern::Burst]
        .into_iter()
        .map(|pattern| (pattern, report.cases().into_iter().filter(|case| case.pattern == pattern).collect::<Vec<_>>()))
        .filter(|(_, cases)| !cases.is_empty())
        .collect();
    let height = HEADER + PANEL_HEIGHT * patterns.len() as u32;
    let root = SVGBackend::new(path, (WIDTH, height)).into_drawing_area();
    root.fill(&WHITE).map_err(failed)?;
    let (header, body) = root.split_vertically(HEADER);
    legend(report, &header)?;
    for (row, (pattern, cases)) in body.split_evenly((patterns.len(), 1)).iter().zip(&patterns) {
        for (area, metric) in row.split_evenly((1, METRICS.len())).iter().zip(&METRICS) {
            panel(report, *pattern, cases, metric, area)?;
        }
    }
    root.present().map_err(failed)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn legend(report: &Report, area: &Area<'_>) -> Result<()> {
    let style = ("sans-serif", 15).into_font().color(&BLACK);
    area.draw(&Text::new(report.machine.summary(), (20, 14), style.clone())).map_err(failed)?;
    let mut x = 20;
    for (contender, colour) in report.contenders.iter().zip(COLOURS.iter().cycle()) {
        area.draw(&Rectangle::new([(x, 42), (x + 14, 56)], colour.filled())).map_err(failed)?;
        area.draw(&Text::new(contender.name.clone(), (x + 20, 42), style.clone())).map_err(failed)?;
        x += 50 + 8 * contender.name.chars().count() as i32;
    }
    Ok(())
}

fn panel(report: &Report, pattern: Pattern, cases: &[Case], metric: &Metric, area: &Area<'_>) -> Result<()> {
    let spread_of = |case: &Case, contender: &str| report.summary(contender, case).map(metric.value);
    let greatest = cases
        .iter()
        .flat_map(|case| report.contenders.iter().filter_map(|contender| spread_of(case, &contender.name)))
        .map(|spread| spread.max / metric.unit)
        .fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(format!("{}, {} load", metric.title, pattern.name()), ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(46)
        .build_cartesian_2d(-0.5..cases.len() as f64 - 0.5, 0.0..(greatest * 1.05).max(1e-3))
        .map_err(failed)?;
    chart.configure_mesh().disable_x_mesh().disable_x_axis().light_line_style(WHITE).draw().map_err(failed)?;

    let bar = 0.8 / report.contenders.len().max(1) as f64;
    for (group, case) in cases.iter().enumerate() {
        for (index, (contender, colour)) in report.contenders.iter().zip(COLOURS.iter().cycle()).enumerate() {
            let Some(spread) = spread_of(case, &contender.name) else { continue };
            let left = group as f64 - 0.4 + bar * index as f64;
            let top = spread.median / metric.unit;
            let middle = left + bar * 0.45;
            let whisker = vec![(middle, spread.min / metric.unit), (middle, spread.max / metric.unit)];
            chart
                .draw_series([Rectangle::new([(left, 0.0), (left + bar * 0.9, top)], colour.filled())])
                .map_err(failed)?;
            chart.draw_series([PathElement::new(whisker, BLACK.stroke_width(1))]).map_err(failed)?;
        }
    }
    let style = ("sans-serif", 12).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
    let (left, top) = area.get_base_pixel();
    for (group, case) in cases.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(group as f64, 0.0));
        let lines = [format!("1 to {}", case.consumers), case.mode.name().to_owned()];
        for (line, offset) in lines.into_iter().zip([6, 21]) {
            area.draw(&Text::new(line, (x - left, y - top + offset), style.clone())).map_err(failed)?;
        }
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the plot can't be drawn: {error}")
}
