//! Pictures of spreads as bars, written by hand so that the book can put them into a page of any theme: their text takes
//! the page's colour.

use crate::stats::Spread;
use std::fmt::Write as _;

const WIDTH: usize = 760;
const TOP: usize = 30;
/// Of a panel: its title, and the room below its last row.
const HEAD: usize = 28;
const FOOT: usize = 14;
const ROW: usize = 22;
const LEGEND: usize = 28;
/// Between a panel's bars and the next panel; the numbers stand there.
const GAP: usize = 62;
/// How wide a character is, about, at the size of the text.
const CHARACTER: usize = 7;

/// Blue: told apart from the other colours on dark and on light.
pub const BLUE: &str = "#4a7fd4";
/// Purple.
pub const PURPLE: &str = "#b065c9";
/// Green.
pub const GREEN: &str = "#2a9d8f";
/// Orange.
pub const ORANGE: &str = "#d98a2b";
/// Grey: for what everything else is held against.
pub const GREY: &str = "#8a8f98";

/// Bars of medians with whiskers from the smallest to the greatest: a panel a case, a row a contender.
#[derive(Debug)]
pub struct Bars<'a> {
    /// Part of the ids in the picture: several may be on one page.
    pub id: &'a str,
    /// What is shown, in which unit, and which way is better.
    pub title: &'a str,
    /// Who is compared, and in which colour.
    pub rows: Vec<(&'a str, &'static str)>,
    /// Each case's name, and a value for each row.
    pub panels: Vec<(String, Vec<Value>)>,
    /// How many panels stand side by side.
    pub columns: usize,
    /// What is divided by to come to the title's unit, and how many digits then stand behind the point.
    pub unit: (f64, usize),
    /// What the colours mean.
    pub legend: Vec<(&'static str, &'a str)>,
}

/// What stands in a row of a panel.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    /// A bar.
    Measured(Spread),
    /// A word on why there is none.
    Absent(&'static str),
}

impl Bars<'_> {
    /// Draws it, as SVG.
    #[must_use]
    pub fn draw(&self) -> String {
        let names = self.rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0) * CHARACTER + 14;
        let columns = self.columns.clamp(1, self.panels.len().max(1));
        let panel_height = HEAD + ROW * self.rows.len() + FOOT;
        let legend = if self.legend.is_empty() { 0 } else { LEGEND };
        let height = TOP + panel_height * self.panels.len().div_ceil(columns) + legend;
        let panel_width = (WIDTH - names) / columns;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-labelledby=\"{id}-title\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"currentColor\">\n\
             <title id=\"{id}-title\">{title}</title>\n\
             <text x=\"0\" y=\"18\" font-weight=\"600\">{title}</text>\n",
            id = self.id,
            title = self.title,
        );
        for (place, (title, values)) in self.panels.iter().enumerate() {
            let (left, top) = (names + panel_width * (place % columns), TOP + panel_height * (place / columns));
            if place % columns == 0 {
                self.names(&mut svg, names, top + HEAD);
            }
            let room = panel_width.saturating_sub(GAP) as f64;
            // Writing to a String doesn't fail.
            let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\">{title}</text>", top + 20);
            self.panel(&mut svg, values, (left, top + HEAD), room);
        }
        self.keys(&mut svg, height - 10);
        svg + "</svg>\n"
    }

    fn names(&self, svg: &mut String, right: usize, top: usize) {
        for (index, (name, _)) in self.rows.iter().enumerate() {
            let (x, y) = (right - 8, top + ROW * index + 14);
            let _ = writeln!(svg, "<text x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{name}</text>");
        }
    }

    fn panel(&self, svg: &mut String, values: &[Value], (left, top): (usize, usize), room: f64) {
        let greatest = values.iter().map(|value| if let Value::Measured(spread) = value { spread.max } else { 0.0 });
        let greatest = greatest.fold(f64::MIN_POSITIVE, f64::max);
        for (index, ((_, colour), value)) in self.rows.iter().zip(values).enumerate() {
            let y = top + ROW * index;
            let spread = match value {
                Value::Measured(spread) => spread,
                Value::Absent(why) => {
                    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-size=\"12\">{why}</text>", y + 14);
                    continue;
                }
            };
            let at = |value: f64| left as f64 + value / greatest * room;
            let _ = writeln!(
                svg,
                "<rect x=\"{left}\" y=\"{}\" width=\"{:.1}\" height=\"14\" rx=\"2\" fill=\"{colour}\"/>\n\
                 <path d=\"M{:.1} {}H{:.1}\" stroke=\"currentColor\" stroke-width=\"1.5\" opacity=\"0.8\"/>\n\
                 <text x=\"{:.1}\" y=\"{}\" font-size=\"12\">{:.digits$}</text>",
                y + 3,
                at(spread.median) - left as f64,
                at(spread.min),
                y + 10,
                at(spread.max),
                at(spread.max) + 6.0,
                y + 14,
                spread.median / self.unit.0,
                digits = self.unit.1,
            );
        }
    }

    fn keys(&self, svg: &mut String, y: usize) {
        let mut x = 0;
        for (colour, what) in &self.legend {
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/>\n\
                 <text x=\"{}\" y=\"{y}\" font-size=\"12\">{what}</text>",
                y - 10,
                x + 18
            );
            x += 40 + CHARACTER * what.chars().count();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars() -> Bars<'static> {
        let spread = |median| Value::Measured(Spread { median, min: median / 2.0, max: median * 2.0 });
        Bars {
            id: "test",
            title: "µs an echo",
            rows: vec![("one", BLUE), ("another", GREEN)],
            panels: vec![
                ("first".to_owned(), vec![spread(2_000.0), Value::Absent("serves one")]),
                ("second".to_owned(), vec![spread(4_000.0), spread(1_000.0)]),
                ("third".to_owned(), vec![spread(0.0), spread(0.0)]),
            ],
            columns: 2,
            unit: (1e3, 2),
            legend: vec![(BLUE, "blue")],
        }
    }

    #[test]
    fn every_value_is_a_bar_or_a_word() {
        let svg = bars().draw();
        assert_eq!(svg.matches("<rect").count(), 5 + 1);
        assert_eq!(svg.matches(">serves one<").count(), 1);
        assert_eq!((svg.matches(">2.00<").count(), svg.matches(">4.00<").count()), (1, 1));
        // Names stand once for each line of panels.
        assert_eq!(svg.matches(">another<").count(), 2);
    }

    #[test]
    fn nothing_leaves_the_picture() {
        let svg = bars().draw();
        let numbers = svg.split("x=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse::<f64>().ok());
        assert!(numbers.into_iter().all(|x| (0.0..WIDTH as f64).contains(&x)), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
