//! The rates of a received stream's layers.

use std::collections::BTreeMap;
use std::time::Instant;

use sfu_proto::stream::RateCounter;
use sfu_proto::stream::rate::BITRATE_WINDOW;

/// Counts each layer by itself. A stream of one layer has nothing to count, and costs nothing.
#[derive(Debug)]
pub struct LayerRates {
    temporal_layers: u8,
    /// By spatial layer, then by temporal layer.
    counters: Box<[RateCounter]>,
}

/// More layers than any sender has: those above count with the highest.
const MAX_LAYERS: u8 = 8;

impl LayerRates {
    /// Counters for so many layers.
    pub fn new(spatial_layers: u8, temporal_layers: u8) -> LayerRates {
        let (spatial, temporal) = (spatial_layers.clamp(1, MAX_LAYERS), temporal_layers.clamp(1, MAX_LAYERS));
        let count = match spatial * temporal {
            1 => 0,
            count => usize::from(count),
        };
        let counters = vec![RateCounter::new(BITRATE_WINDOW); count].into_boxed_slice();
        LayerRates { temporal_layers: temporal, counters }
    }

    /// Counts a packet. One of a higher layer than there should be counts with the highest.
    pub fn add(&mut self, now: Instant, spatial: u8, temporal: u8, bytes: usize) {
        if self.counters.is_empty() {
            return;
        }
        let spatial_layers = self.counters.len() as u8 / self.temporal_layers;
        let place = self.place(spatial.min(spatial_layers - 1), temporal.min(self.temporal_layers - 1));
        if let Some(counter) = self.counters.get_mut(place) {
            counter.add(now, bytes);
        }
    }

    /// The rate of one layer alone, in bits per second; `None` for a stream of one layer.
    pub fn of_layer(&mut self, now: Instant, spatial: u8, temporal: u8) -> Option<u64> {
        if self.counters.is_empty() {
            return None;
        }
        let place = self.place(spatial, temporal);
        let counter = self.counters.get_mut(place).filter(|_| temporal < self.temporal_layers);
        Some(counter.map_or(0, |counter| counter.bitrate(now)))
    }

    /// For statistics, by `spatial.temporal`: the rate of each layer with those below it, or 0 where it does not come.
    pub fn by_layer(&mut self, now: Instant) -> Option<BTreeMap<String, u64>> {
        if self.counters.is_empty() {
            return None;
        }
        let mut rates = BTreeMap::new();
        let (mut lower_spatial, mut spatial) = (0, 0);
        for row in self.counters.chunks_mut(usize::from(self.temporal_layers)) {
            let mut sum = lower_spatial;
            for (temporal, counter) in row.iter_mut().enumerate() {
                let rate = counter.bitrate(now);
                sum += rate;
                rates.insert(format!("{spatial}.{temporal}"), if rate > 0 { sum } else { 0 });
            }
            (lower_spatial, spatial) = (sum, spatial + 1);
        }
        Some(rates)
    }

    fn place(&self, spatial: u8, temporal: u8) -> usize {
        usize::from(spatial) * usize::from(self.temporal_layers) + usize::from(temporal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_add_up_and_those_that_do_not_come_have_none() {
        let now = Instant::now();
        let mut rates = LayerRates::new(2, 2);
        for (spatial, temporal, bytes) in [(0, 0, 2500), (0, 1, 1250), (1, 0, 5000), (7, 0, 5000)] {
            rates.add(now, spatial, temporal, bytes);
        }
        let of = |rates: &mut LayerRates, layer: &str| rates.by_layer(now).unwrap()[layer];
        let shown: Vec<u64> = ["0.0", "0.1", "1.0", "1.1"].map(|layer| of(&mut rates, layer)).into();
        assert_eq!(shown, [8000, 12_000, 44_000, 0]);
        assert_eq!((rates.of_layer(now, 1, 0), rates.of_layer(now, 1, 2)), (Some(32_000), Some(0)));
    }

    #[test]
    fn one_layer_is_not_counted() {
        let mut rates = LayerRates::new(1, 1);
        rates.add(Instant::now(), 0, 0, 100);
        assert_eq!((rates.by_layer(Instant::now()), rates.of_layer(Instant::now(), 0, 0)), (None, None));
        assert_eq!(rates.counters.len(), 0);
    }
}
