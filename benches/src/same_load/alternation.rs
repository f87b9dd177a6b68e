//! Turns that alternate between rivals and between conditions, until it is decided who is faster.

use super::{Schedule, Turn};
use crate::stats::Spread;
use anyhow::Result;

/// What a turn is run by: a worker under a load.
pub(super) trait Rival {
    /// Runs the load for a while.
    fn turn(&mut self, seconds: f64, settle: f64) -> Result<Turn>;
}
/// With cores kept awake, and with cores that may sleep.
pub(super) type Turns = (Vec<Turn>, Vec<Turn>);

/// Whose order is to be decided: that of different programs, which are compared. One program's ways to run may do the same.
pub(super) fn pairs<P: PartialEq>(programs: &[P]) -> Vec<(usize, usize)> {
    let all = (0..programs.len()).flat_map(|one| (0..one).map(move |other| (other, one)));
    all.filter(|&(one, other)| programs[one] != programs[other]).collect()
}

/// Whether it is decided whose p99 is lower, with cores awake where that can be done: whether the 95 % intervals of the medians have nothing in
/// common.
///
/// Each interval misses its median once in twenty times at most, and for the wrong order both must miss theirs, towards each other: that is
/// far less often than once in twenty, also after four looks.
fn is_decided(one: &Turns, other: &Turns) -> bool {
    let interval = |turns: &[Turn]| Spread::median_interval(turns.iter().filter_map(|turn| Some(turn.latency?.p99)));
    let p99 = |(awake, asleep): &Turns| interval(awake).or_else(|| interval(asleep));
    match (p99(one), p99(other)) {
        (Some(one), Some(other)) => !one.overlaps(other),
        // More of nothing is nothing.
        _ => true,
    }
}

/// Runs the turns of all rivals, as many as the schedule says, and then as many again while the order of any of the pairs isn't decided.
/// Who fails once has no more turns, and no result. `keep` keeps the cores awake as long as what it returns lives; when it fails for the first time
/// it isn't tried again.
pub(super) fn alternate<R: Rival, A>(
    rivals: Vec<Result<R>>,
    pairs: &[(usize, usize)],
    schedule: Schedule,
    keep: &mut dyn FnMut() -> Result<A>,
    tell: &mut dyn FnMut(&str),
) -> (Vec<Result<Turns>>, Option<anyhow::Error>) {
    let mut rivals: Vec<Result<(R, Turns)>> =
        rivals.into_iter().map(|rival| rival.map(|rival| (rival, Turns::default()))).collect();
    let mut cannot = None;
    let mut planned = schedule.turns;
    let mut turn = 0;
    loop {
        if turn == planned {
            let undecided = |&(one, other): &(usize, usize)| match (&rivals[one], &rivals[other]) {
                (Ok((_, one)), Ok((_, other))) => !is_decided(one, other),
                _ => false,
            };
            if schedule.turns == 0 || planned + schedule.turns > schedule.most || !pairs.iter().any(undecided) {
                break;
            }
            planned += schedule.turns;
        }
        for Block { awake, backwards } in blocks(turn) {
            tell(&format!(
                "the same load: turn {} of {planned}, cores {}",
                turn + 1,
                if awake { "kept awake" } else { "may sleep" }
            ));
            let _awake = match (awake, &cannot) {
                (true, None) => match keep() {
                    Ok(awake) => Some(awake),
                    Err(error) => {
                        cannot = Some(error);
                        continue;
                    }
                },
                (true, Some(_)) => continue,
                (false, _) => None,
            };
            for place in 0..rivals.len() {
                let index = if backwards { rivals.len() - 1 - place } else { place };
                let Ok((rival, turns)) = &mut rivals[index] else { continue };
                match rival.turn(schedule.seconds, schedule.settle) {
                    Ok(turn) if awake => turns.0.push(turn),
                    Ok(turn) => turns.1.push(turn),
                    Err(error) => rivals[index] = Err(error),
                }
            }
        }
        turn += 1;
    }
    (rivals.into_iter().map(|rival| rival.map(|(_, turns)| turns)).collect(), cannot)
}

/// A turn of each rival, all in the same conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    awake: bool,
    /// Whether the last one comes first.
    backwards: bool,
}

/// What a turn consists of. In four turns each order of rivals meets each order of conditions once, so that neither coming first nor coming
/// after the other condition is anybody's privilege.
fn blocks(turn: usize) -> [Block; 2] {
    let backwards = turn % 2 == 1;
    let awake_first = turn % 4 < 2;
    [awake_first, !awake_first].map(|awake| Block { awake, backwards })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::same_load::tests::turn;
    use anyhow::{Context, bail};
    use std::cell::{Cell, RefCell};

    /// Notes when it is asked, and fails the first time that it would be asked for more turns than this.
    struct Noted<'a> {
        name: char,
        log: &'a RefCell<String>,
        awake: &'a Cell<bool>,
        left: usize,
    }

    impl Rival for Noted<'_> {
        fn turn(&mut self, _: f64, _: f64) -> Result<Turn> {
            self.log.borrow_mut().push(if self.awake.get() { self.name.to_ascii_uppercase() } else { self.name });
            self.left = self.left.checked_sub(1).context("it died")?;
            Ok(turn(if self.awake.get() { 10.0 } else { 20.0 }, 0))
        }
    }

    /// Cores are awake while it lives.
    struct Guard<'a>(&'a Cell<bool>);

    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            self.0.set(false);
        }
    }

    const SCHEDULE: Schedule = Schedule { turns: 4, ..Schedule::QUICK };

    /// The course of turns of `a` and `b`, capitals where cores were awake, and what came of it; `b` can do so many turns.
    fn course(left: usize, can_keep: bool) -> (String, Vec<Result<Turns>>, Option<anyhow::Error>) {
        let (log, awake) = (RefCell::default(), Cell::new(false));
        let noted = |name, left| Ok(Noted { name, log: &log, awake: &awake, left });
        let mut keep = || {
            if !can_keep {
                bail!("no chrt");
            }
            assert!(!awake.replace(true), "twice at once");
            Ok(Guard(&awake))
        };
        let (results, cannot) =
            alternate(vec![noted('a', 100), noted('b', left)], &[(0, 1)], SCHEDULE, &mut keep, &mut |_| {});
        assert!(!awake.get(), "what keeps cores awake ends with the phase");
        (log.into_inner(), results, cannot)
    }

    #[test]
    fn rivals_and_conditions_alternate_and_each_is_first_as_often_as_the_other() {
        let (log, results, cannot) = course(100, true);
        assert_eq!(log, "ABabBAbaabABbaBA");
        assert!(cannot.is_none());
        for result in results {
            let (awake, asleep) = result.unwrap();
            assert!(awake.len() == 4 && awake.iter().all(|turn| turn.latency.unwrap().p99 == 10.0));
            assert!(asleep.len() == 4 && asleep.iter().all(|turn| turn.latency.unwrap().p99 == 20.0));
        }
    }

    #[test]
    fn who_fails_has_no_result_and_the_others_go_on() {
        let (log, results, _) = course(2, true);
        assert_eq!(log, "ABabBAaaAaA");
        assert_eq!(results[0].as_ref().unwrap().0.len(), 4);
        assert_eq!(results[1].as_ref().unwrap_err().to_string(), "it died");
    }

    #[test]
    fn where_cores_cannot_be_kept_awake_they_are_measured_as_they_are() {
        let (log, results, cannot) = course(100, false);
        assert_eq!(log, "abbaabba");
        assert_eq!(cannot.unwrap().to_string(), "no chrt");
        let (awake, asleep) = results.into_iter().next().unwrap().unwrap();
        assert_eq!((awake.len(), asleep.len()), (0, 4));
    }

    /// Has these p99s in turn, again and again, with cores awake; otherwise the same every time.
    struct Varying<'a> {
        p99s: &'static [f64],
        awake: &'a Cell<bool>,
        next: usize,
    }

    impl Rival for Varying<'_> {
        fn turn(&mut self, _: f64, _: f64) -> Result<Turn> {
            if !self.awake.get() {
                return Ok(turn(70.0, 0));
            }
            self.next += 1;
            Ok(turn(self.p99s[(self.next - 1) % self.p99s.len()], 0))
        }
    }

    /// How many turns with cores awake these have, and how many with cores that may sleep.
    fn turns_of(p99s: &[&'static [f64]], pairs: &[(usize, usize)]) -> (usize, usize) {
        let awake = Cell::new(false);
        let mut keep = || {
            awake.set(true);
            Ok(Guard(&awake))
        };
        let rivals = p99s.iter().map(|p99s| Ok(Varying { p99s, awake: &awake, next: 0 })).collect();
        let (results, _) = alternate(rivals, pairs, Schedule::FULL, &mut keep, &mut |_| {});
        let all: Vec<(usize, usize)> = results.iter().flatten().map(|turns| (turns.0.len(), turns.1.len())).collect();
        assert!(all.iter().all(|&turns| turns == all[0]), "{all:?}");
        all[0]
    }

    #[test]
    fn there_are_more_turns_until_it_is_decided_who_is_faster() {
        const FAST: &[f64] = &[10.0, 11.0, 12.0];
        const SLOW: &[f64] = &[30.0, 31.0, 32.0];
        // Of 12 turns the intervals are 3 to 10 and 9 to 16, of 24 they are 4 to 9 and 10 to 15.
        const LOW: &[f64] = &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
        const HIGH: &[f64] = &[7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0];
        assert_eq!(turns_of(&[FAST, SLOW], &[(0, 1)]), (12, 12));
        // What is the same stays undecided; what isn't compared needs no decision.
        assert_eq!(turns_of(&[FAST, FAST], &[(0, 1)]), (48, 48));
        assert_eq!(turns_of(&[FAST, FAST], &[]), (12, 12));
        assert_eq!(turns_of(&[FAST, FAST, SLOW], &[(0, 2), (1, 2)]), (12, 12));
        assert_eq!(turns_of(&[LOW, HIGH], &[(0, 1)]), (24, 24));
    }

    #[test]
    fn programs_are_compared_and_not_their_backends() {
        assert_eq!(pairs(&["ours", "ours", "theirs"]), [(0, 2), (1, 2)]);
        assert_eq!(pairs(&["ours"]), []);
    }
}
