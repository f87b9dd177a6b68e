//! How far a worker is from the limit, in turns that alternate.
//!
//! A worker's run and the limit's measurement before it are half a minute apart, and a machine that others use too isn't the same after so
//! long: half a second may be too long. So the limit is measured again and again, right before or right after each of many short turns of
//! the worker, at its saturation and at half of that, and each turn is held against the limit beside it. And saturation is looked for again after
//! some turns: half of what a slower machine had room for is less than half load.

use crate::case::Case;
use crate::measure::{self, Load, TOLERATED_LOSS};
use crate::receiver::Reception;
use crate::session::{Session, Setting};
use crate::stats::Spread;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many turns, and how long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Schedule {
    /// Turns at each load, and as many of the limit.
    pub turns: usize,
    /// Seconds of each.
    pub seconds: f64,
    /// Bursts of each stream in a turn at half load. Where they take longer, turns are longer, up to ten times, and fewer.
    pub bursts: f64,
    /// Seconds of the same load before each, untimed, and more before longer ones: caches hold what the turn before has left.
    pub settle: f64,
    /// Seconds under a small load before the first turn, every packet compared.
    pub compare: f64,
    /// How often saturation is looked for.
    pub searches: usize,
    /// Seconds of a step of that search.
    pub search: f64,
    /// Seconds of half load before, untimed: as long as workers keep packets for retransmission.
    pub warm_up: f64,
}

impl Schedule {
    /// For results.
    pub const FULL: Self = Self {
        turns: 96,
        seconds: 0.1,
        bursts: 8.0,
        settle: 0.02,
        compare: 0.3,
        searches: 6,
        search: 0.2,
        warm_up: 2.0,
    };
    /// To see that everything works.
    pub const QUICK: Self = Self {
        turns: 2,
        seconds: 0.05,
        bursts: 1.0,
        settle: 0.01,
        compare: 0.1,
        searches: 1,
        search: 0.05,
        warm_up: 0.1,
    };

    /// With turns as long as the bursts of a case take, and so many that all together take about as long.
    fn stretched(self, Case { audience, traffic, .. }: Case, saturation: f64) -> Self {
        /// Enough for a median with an interval.
        const FEWEST: usize = 12;
        const LONGEST: f64 = 10.0;
        // Packets that come in for a burst of each stream, and how many come in a second.
        let round = audience.streams() as f64 * traffic.pattern.mean_group();
        let rate = saturation / 2.0 / audience.copies() as f64;
        let times = (self.bursts * round / rate / self.seconds).clamp(1.0, LONGEST);
        let turns = ((self.turns as f64 / times).ceil() as usize).max(FEWEST.min(self.turns));
        Self { turns, seconds: self.seconds * times, settle: self.settle * times, ..self }
    }
}

/// The limit, and a worker's turn at each load beside it, in processor nanoseconds a packet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Beside {
    /// What counted as the worker's saturation, in packets a second that all consumers together get.
    pub saturation: f64,
    /// The kernel's cheapest sending for the pattern and the cipher.
    pub limit_ns: f64,
    /// At the worker's saturation; none when packets were lost.
    pub full_ns: Option<f64>,
    /// At half of it, likewise.
    pub half_ns: Option<f64>,
}

/// How many times the limit a worker takes: medians over turns with their 95 % intervals; none where there is no turn without loss.
#[derive(Debug, Clone, Copy)]
pub struct Distance {
    /// At saturation.
    pub full: Option<Spread>,
    /// At half of it.
    pub half: Option<Spread>,
}

impl Distance {
    /// `None` of no turns.
    #[must_use]
    pub fn of(turns: &[Beside]) -> Option<Self> {
        let times = |ns: fn(&Beside) -> Option<f64>| {
            Spread::median_interval(turns.iter().filter_map(|turn| Some(ns(turn)? / turn.limit_ns)))
        };
        (!turns.is_empty()).then(|| Self { full: times(|turn| turn.full_ns), half: times(|turn| turn.half_ns) })
    }
}

/// What is measured in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Limit,
    Half,
    Full,
}

/// In which order. Half load is always beside the limit, before it as often as after it.
const fn parts(turn: usize) -> [Part; 3] {
    if turn.is_multiple_of(2) { [Part::Limit, Part::Half, Part::Full] } else { [Part::Full, Part::Half, Part::Limit] }
}

/// In what a worker's turns are measured: like the limit's, its packets wake nobody up.
#[must_use]
pub fn setting(case: Case, setting: Setting<'_>) -> Setting<'_> {
    Setting { reception: Reception::Swept { sockets: case.audience.sockets() }, ..setting }
}

/// Measures a worker whose saturation was once so many packets a second in all, as long as `limit`, which is told for how long to measure, has an
/// answer.
///
/// # Errors
/// The worker died, or did other work than it had to.
pub fn measure(
    session: &mut Session,
    mut saturation: f64,
    schedule: Schedule,
    limit: &mut dyn FnMut(Duration) -> Option<f64>,
) -> Result<Vec<Beside>> {
    let Schedule { turns, seconds, settle, compare, searches, search, warm_up, .. } =
        schedule.stretched(session.case(), saturation);
    let mut load = Load::new(session);
    load.compare(compare)?;
    load.hold(saturation / 2.0, warm_up)?;
    let at = |load: &mut Load<'_>, rate: f64| -> Result<Option<f64>> {
        load.hold(rate, settle)?;
        let step = load.hold(rate, seconds)?;
        Ok((step.loss() < TOLERATED_LOSS).then(|| step.worker_ns_per_packet()))
    };
    let mut results = Vec::with_capacity(turns);
    for turn in 0..turns {
        if turn.is_multiple_of(turns.div_ceil(searches)) {
            saturation = measure::search(&mut load, saturation, search, &mut |_| {})?.rate;
        }
        let (mut limit_ns, mut full_ns, mut half_ns) = (None, None, None);
        for part in parts(turn) {
            match part {
                Part::Limit => limit_ns = limit(Duration::from_secs_f64(seconds)),
                Part::Half => half_ns = at(&mut load, saturation / 2.0)?,
                Part::Full => full_ns = at(&mut load, saturation)?,
            }
        }
        let Some(limit_ns) = limit_ns else { break };
        results.push(Beside { saturation, limit_ns, full_ns, half_ns });
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::Pattern;
    use crate::workload::Mode;

    #[test]
    fn turns_are_held_against_the_limit_beside_them() {
        // In the second turn everything took twice as long, which is no distance.
        let turn = |times: f64| Beside {
            saturation: 1e6,
            limit_ns: 500.0 * times,
            full_ns: Some(450.0 * times),
            half_ns: Some(600.0 * times),
        };
        let lossy = Beside { full_ns: None, ..turn(1.0) };
        let distance = Distance::of(&[turn(1.0), turn(2.0), lossy]).unwrap();
        let same = |value| Some(Spread { median: value, min: value, max: value });
        assert_eq!((distance.full, distance.half), (same(0.9), same(1.2)));
        assert!(Distance::of(&[lossy]).unwrap().full.is_none());
        assert!(Distance::of(&[]).is_none());
    }

    #[test]
    fn a_turn_has_some_bursts_of_each_stream() {
        let fan = |consumers| Case::one_to(consumers, Mode::Plain, Pattern::Burst);
        let at = |consumers, saturation| {
            let stretched = Schedule::FULL.stretched(fan(consumers), saturation);
            (stretched.turns, stretched.seconds, stretched.settle)
        };
        // 5,000 packets a second come in at half load, of bursts of about 12.
        assert_eq!(at(100, 1e6), (96, 0.1, 0.02));
        // 500 do.
        let (turns, seconds, settle) = at(1_000, 1e6);
        let bursts = seconds * 500.0 / Pattern::Burst.mean_group();
        assert!((bursts - 8.0).abs() < 1e-9 && (settle / seconds - 0.2).abs() < 1e-9, "{seconds} {settle}");
        assert!((0.9..1.1).contains(&(turns as f64 * seconds / 9.6)), "{turns} of {seconds}");
        // So slow that there would be turns of minutes.
        assert_eq!(at(1_000, 1e4), (12, 1.0, 0.2));
    }

    #[test]
    fn half_load_is_always_beside_the_limit() {
        let order: Vec<Part> = (0..4).flat_map(parts).collect();
        for (place, _) in order.iter().enumerate().filter(|(_, part)| **part == Part::Half) {
            assert!(order[place - 1] == Part::Limit || order[place + 1] == Part::Limit, "{order:?}");
        }
    }
}
