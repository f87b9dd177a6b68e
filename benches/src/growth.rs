//! Whether a packet costs the same however many receivers, or rooms, there are.
//!
//! A case's sizes are set up beside each other, with a process of the same worker for each, and get the same number of packets a second in
//! turns that alternate ([`crate::same_load`]). Each turn of a size is held against the turn of the smallest beside it: that shows a few percent
//! where two saturations, found minutes apart on a machine that others use too, differ by more.
//!
//! What a packet comes to is the same for all sizes: as many sockets as the smallest has receivers, which nobody waits for ([`Reception::Swept`]).

use crate::case::{Audience, Case};
use crate::receiver::Reception;
use crate::report::Outcome;
use crate::same_load::{SameLoad, Turn};
use crate::session::Setting;
use crate::stats::Spread;
use serde::{Deserialize, Serialize};

/// Fewer consumers than this share what it takes to receive a packet among too few for their number not to be what is measured.
const FEWEST_CONSUMERS: usize = 10;

/// How a worker's cost grows with the size of a case.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Growth {
    /// Whose.
    pub contender: String,
    /// Each size, the smallest first; none when something has failed.
    pub sizes: Vec<Size>,
    /// What went wrong.
    pub failures: Vec<String>,
    /// The sizes that there were to be.
    pub cases: Vec<Case>,
}

/// A size, and its turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Size {
    /// Which.
    pub case: Case,
    /// What came of it. The load is in packets that come out, as everywhere.
    pub same_load: SameLoad,
}

/// A worker's cost of a packet at one size, and how many times that of the smallest it is: medians over turns with their 95 % intervals.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Processor nanoseconds a packet.
    pub ns: Spread,
    /// The median of the turns' ratios.
    pub times: Spread,
}

impl Growth {
    /// Of what came of each size.
    #[must_use]
    pub fn new(contender: String, cases: Vec<Case>, results: Vec<Result<SameLoad, String>>) -> Self {
        let (mut sizes, mut failures) = (Vec::new(), Vec::new());
        for (&case, result) in cases.iter().zip(results) {
            match result {
                Ok(same_load) => sizes.push(Size { case, same_load }),
                Err(failure) => failures.push(format!("{case}: {failure}")),
            }
        }
        // Of sizes that others are missing from, none is known to be the smallest.
        if !failures.is_empty() {
            sizes.clear();
        }
        Self { contender, sizes, failures, cases }
    }

    /// The cost of each size with cores kept awake, and with cores that may sleep, as far as that was measured.
    #[must_use]
    pub fn costs(&self) -> Vec<(Case, [Option<Cost>; 2])> {
        let Some(smallest) = self.sizes.first() else { return Vec::new() };
        let first = &smallest.same_load;
        let costs = |Size { case, same_load }: &Size| {
            let awake = Cost::of(&same_load.awake, &first.awake);
            (*case, [awake, Cost::of(&same_load.asleep, &first.asleep)])
        };
        self.sizes.iter().map(costs).collect()
    }

    /// Whether it is of the same worker and of sizes of the same case.
    #[must_use]
    pub fn is_of_same(&self, other: &Self) -> bool {
        let cases = self.cases.first().zip(other.cases.first());
        self.contender == other.contender && cases.is_some_and(|(one, other)| family(one) == family(other))
    }
}

impl Cost {
    /// `None` when there are no turns.
    fn of(turns: &[Turn], smallest: &[Turn]) -> Option<Self> {
        let ns = |turn: &Turn| turn.worker_ns_per_packet;
        let pairs = turns.iter().zip(smallest);
        Some(Self {
            ns: Spread::median_interval(turns.iter().map(ns))?,
            times: Spread::median_interval(pairs.map(|(turn, smallest)| ns(turn) / ns(smallest)))?,
        })
    }
}

/// A case without its size.
fn family(case: &Case) -> Case {
    let audience = match case.audience {
        Audience::Fan { producers, .. } => Audience::Fan { producers, consumers: 0 },
        Audience::Rooms { people, .. } => Audience::Rooms { rooms: 0, people },
    };
    Case { audience, ..*case }
}

/// The cases of which there are several sizes: for each, those that are compared, the smallest first.
#[must_use]
pub fn families(cases: &[Case]) -> Vec<Vec<Case>> {
    let mut families: Vec<Vec<Case>> = Vec::new();
    for &case in cases {
        if matches!(case.audience, Audience::Fan { consumers, .. } if consumers < FEWEST_CONSUMERS) {
            continue;
        }
        match families.iter_mut().find(|sizes| family(&sizes[0]) == family(&case)) {
            Some(sizes) if sizes.contains(&case) => {}
            Some(sizes) => sizes.push(case),
            None => families.push(vec![case]),
        }
    }
    families.retain(|sizes| sizes.len() > 1);
    for sizes in &mut families {
        sizes.sort_by_key(|case| case.audience.sockets());
    }
    families
}

/// The load for these sizes: half of the lowest of a worker's saturations in them. `None` where one has no result.
#[must_use]
pub fn rate(contender: &str, sizes: &[Case], outcomes: &[Outcome]) -> Option<f64> {
    let saturation = |case: &Case| {
        let outcome = outcomes.iter().find(|outcome| outcome.contender == contender && outcome.case == *case)?;
        Some(outcome.summary.as_ref()?.packets_per_second.median)
    };
    let saturations: Option<Vec<f64>> = sizes.iter().map(saturation).collect();
    crate::same_load::rate(&saturations?)
}

/// What the sizes of a case are measured in: otherwise the larger ones would pay for looking up more sockets, and waking up who waits for them,
/// which on loopback the sender does.
#[must_use]
pub fn setting<'a>(sizes: &[Case], setting: Setting<'a>) -> Setting<'a> {
    let smallest = sizes.first().map_or(1, |smallest| smallest.audience.sockets());
    Setting { reception: Reception::Swept { sockets: smallest }, ..setting }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report::tests::run;
    use crate::same_load::tests::turn;
    use crate::traffic::{Pattern, Traffic};
    use crate::workload::Mode;

    pub(crate) fn rooms(rooms: usize, mode: Mode) -> Case {
        Case { audience: Audience::Rooms { rooms, people: 4 }, mode, traffic: Traffic::video(Pattern::Burst) }
    }

    /// Turns that took so many nanoseconds a packet with cores awake, and half as many more with cores that may sleep.
    pub(crate) fn same_load(ns: &[f64]) -> SameLoad {
        let turns =
            |times: f64| ns.iter().map(|ns| Turn { worker_ns_per_packet: ns * times, ..turn(10.0, 0) }).collect();
        SameLoad { packets_per_second: 50e3, awake: turns(1.0), asleep: turns(1.5), memory: None }
    }

    #[test]
    fn turns_are_held_against_those_beside_them() {
        // In the second turn everything took half as long again, which is nobody's growth.
        let results = vec![Ok(same_load(&[100.0, 150.0, 100.0])), Ok(same_load(&[110.0, 165.0, 120.0]))];
        let growth = Growth::new("good".to_owned(), vec![rooms(1, Mode::Plain), rooms(9, Mode::Plain)], results);
        let costs = growth.costs();
        let [(_, [Some(smallest), _]), (case, [Some(awake), Some(asleep)])] = costs[..] else { panic!("{costs:?}") };
        assert_eq!(smallest.times, Spread { median: 1.0, min: 1.0, max: 1.0 });
        assert_eq!((case, awake.ns.median, asleep.ns.median), (rooms(9, Mode::Plain), 120.0, 180.0));
        assert!((awake.times.median - 1.1).abs() < 1e-9 && (awake.times.max - 1.2).abs() < 1e-9, "{awake:?}");
    }

    #[test]
    fn a_size_that_fails_leaves_no_result() {
        let results = vec![Err("it died".to_owned()), Ok(same_load(&[110.0]))];
        let growth = Growth::new("bad".to_owned(), vec![rooms(1, Mode::Plain), rooms(9, Mode::Plain)], results);
        assert!(growth.costs().is_empty());
        assert_eq!(growth.failures, ["1 room of 4, plain, burst: it died"]);
    }

    #[test]
    fn sizes_of_a_case_are_found_and_few_consumers_left_out() {
        let fan = |consumers| Case::one_to(consumers, Mode::Plain, Pattern::Even);
        let cases = [
            fan(200),
            fan(1),
            rooms(1, Mode::Plain),
            rooms(1, Mode::AesGcm),
            fan(10),
            rooms(100, Mode::Plain),
            rooms(1, Mode::Plain),
        ];
        let expected = [vec![fan(10), fan(200)], vec![rooms(1, Mode::Plain), rooms(100, Mode::Plain)]];
        assert_eq!(families(&cases), expected);
    }

    #[test]
    fn all_sizes_are_received_by_the_sockets_of_the_smallest() {
        let Ok(cores) = crate::machine::Cores::divide() else { return };
        let setting = Setting::new(cores, std::path::Path::new(""));
        let sizes = [rooms(2, Mode::Plain), rooms(9, Mode::Plain)];
        assert_eq!(super::setting(&sizes, setting).reception, Reception::Swept { sockets: 8 });
    }

    #[test]
    fn the_load_is_half_of_what_the_worst_size_can_do() {
        let sizes = [rooms(1, Mode::Plain), rooms(9, Mode::Plain)];
        let outcome = |case, rate| Outcome::new("good".to_owned(), case, vec![Ok(run(rate))], None);
        let outcomes = [outcome(sizes[0], 300e3), outcome(sizes[1], 200e3)];
        assert_eq!(rate("good", &sizes, &outcomes), Some(100e3));
        assert_eq!((rate("good", &sizes, &outcomes[..1]), rate("bad", &sizes, &outcomes)), (None, None));
    }
}
