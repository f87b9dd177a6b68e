//! Percentiles of one run, and medians with their spread over several.

use serde::{Deserialize, Serialize};

/// How long packets took, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many were timed.
    pub samples: usize,
    /// Half were faster.
    pub p50: f64,
    /// 99 % were faster.
    pub p99: f64,
    /// 99.9 % were faster.
    pub p999: f64,
    /// The slowest.
    pub max: f64,
}

impl Latency {
    /// Of samples in nanoseconds; `None` of none.
    #[must_use]
    pub fn of(mut samples: Vec<u64>) -> Option<Self> {
        samples.sort_unstable();
        let at = |share: f64| {
            // The smallest sample that so large a share doesn't exceed.
            let rank = (share * samples.len() as f64).ceil() as usize;
            samples.get(rank.saturating_sub(1)).map(|&nanoseconds| nanoseconds as f64 / 1e3)
        };
        Some(Self { samples: samples.len(), p50: at(0.5)?, p99: at(0.99)?, p999: at(0.999)?, max: at(1.0)? })
    }
}

/// The middle of several measurements of the same, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median; of an even number, the mean of the middle two.
    pub median: f64,
    /// The smallest; the lower end of the median's interval where it is said to be.
    pub min: f64,
    /// The greatest; the upper end.
    pub max: f64,
}

impl Spread {
    /// In a unit, with so many digits: the median, and in brackets the smallest and the greatest.
    #[must_use]
    pub fn show(self, unit: f64, digits: usize) -> String {
        let [median, min, max] = [self.median, self.min, self.max].map(|value| value / unit);
        format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
    }

    /// `None` of nothing.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len().is_multiple_of(2) { (values[middle - 1] + values[middle]) / 2.0 } else { values[middle] };
        Some(Self { median, min, max })
    }

    /// The median and, instead of the smallest and the greatest, the ends of its 95 % interval: where the median would lie if there were
    /// endlessly many measurements, 95 times in a hundred at least. It becomes narrower with their number, as quartiles don't. Of the order
    /// of the values alone: each lies below the true median as likely as above, so that how many do is binomial. Fewer than six values
    /// are too few for it; then it is from the smallest to the greatest. `None` of nothing.
    #[must_use]
    pub fn median_interval(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let outside = outside(values.len());
        let inside = values.get(outside..values.len().checked_sub(outside)?)?;
        Self::of(inside.iter().copied())
    }

    /// Whether the two have values in common: which one is greater may then be chance.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
}

/// How many values at either end lie outside of the median's 95 % interval.
fn outside(count: usize) -> usize {
    const EITHER_END: f64 = 0.025;
    // How likely so many values are below the median, and so many or fewer.
    let mut exactly = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut at_most = exactly;
    let mut below = 0;
    while at_most <= EITHER_END && below < count {
        below += 1;
        exactly *= (count + 1 - below) as f64 / below as f64;
        at_most += exactly;
    }
    below.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let latency = Latency::of((1..=1_000).rev().map(|number| number * 1_000).collect()).unwrap();
        assert_eq!(latency, Latency { samples: 1_000, p50: 500.0, p99: 990.0, p999: 999.0, max: 1_000.0 });
        assert_eq!(Latency::of(vec![7_000]).unwrap().p50, 7.0);
        assert_eq!(Latency::of(Vec::new()), None);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 9.0]), Some(Spread { median: 3.0, min: 1.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 2.0]), Some(Spread { median: 3.0, min: 2.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_median_s_interval_is_that_of_the_binomial_distribution() {
        // As tables of the sign test have it: from the r-th to the r-th last.
        for (count, rank) in [(6, 1), (8, 1), (9, 2), (12, 3), (24, 7), (36, 12), (48, 17), (100, 40)] {
            let values = (1..=count).rev().map(f64::from);
            let median = f64::from(count + 1) / 2.0;
            let (min, max) = (f64::from(rank), f64::from(count + 1 - rank));
            assert_eq!(Spread::median_interval(values), Some(Spread { median, min, max }), "{count} values");
        }
        // Five values lie on one side of the median too often.
        assert_eq!(Spread::median_interval([1.0, 3.0, 2.0]), Spread::of([1.0, 2.0, 3.0]));
        assert_eq!(Spread::median_interval([]), None);
    }
}
