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
    /// The smallest; the lower quartile where it is said to be.
    pub min: f64,
    /// The greatest; the upper quartile.
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

    /// The median and, instead of the smallest and the greatest, the quartiles: of many short measurements a few always meet what else
    /// happens on a machine. Between two values they lie where a straight line from one to the other does. `None` of nothing.
    #[must_use]
    pub fn quartiles(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * values.len().checked_sub(1)? as f64;
            let (below, above) = (values.get(place.floor() as usize)?, values.get(place.ceil() as usize)?);
            Some(below + (above - below) * place.fract())
        };
        Some(Self { median: at(0.5)?, min: at(0.25)?, max: at(0.75)? })
    }

    /// Whether the two have values in common: which one is greater may then be chance.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max
    }
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
        assert_eq!(Spread::quartiles([4.0, 100.0, 1.0, 3.0, 2.0]), Some(Spread { median: 3.0, min: 2.0, max: 4.0 }));
        assert_eq!(Spread::quartiles([2.0, 4.0]), Some(Spread { median: 3.0, min: 2.5, max: 3.5 }));
        assert_eq!(Spread::quartiles([]), None);
    }
}
