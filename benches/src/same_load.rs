//! How long packets take at a load that is the same for all workers.
//!
//! All workers of a case are set up beside each other, with a generator and a receiver each; those that have no turn wait for packets
//! and take no processor time. Turns are short, and alternate: what else happens on the machine hits a few turns of everybody, and
//! medians over turns don't see it. In each turn all get the same packets at the same times.
//!
//! Each worker has as many turns with cores that are kept awake ([`crate::awake`]), which show the worker, as with cores that may sleep,
//! which show the worker on this machine.

use crate::awake::Awake;
use crate::case::Case;
use crate::machine::{self, Core};
use crate::measure::Load;
use crate::session::{Contender, Session, Setting};
use crate::stats::{Latency, Spread};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// How many turns, and how long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Schedule {
    /// Turns of each worker with cores kept awake, and as many with cores that may sleep.
    pub turns: usize,
    /// Seconds of each.
    pub seconds: f64,
    /// Seconds of the same load before, untimed: caches hold what the worker before has left.
    pub settle: f64,
    /// Seconds under a small load before the first turn, every packet compared.
    pub compare: f64,
    /// Seconds of the load after that, untimed: as long as workers keep packets for retransmission.
    pub warm_up: f64,
}

impl Schedule {
    /// For results.
    pub const FULL: Self = Self { turns: 12, seconds: 0.25, settle: 0.05, compare: 0.3, warm_up: 2.0 };
    /// To see that everything works.
    pub const QUICK: Self = Self { turns: 4, seconds: 0.05, settle: 0.01, compare: 0.1, warm_up: 0.1 };
}

/// What came of a worker's turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SameLoad {
    /// The load, in packets a second that all consumers together get.
    pub packets_per_second: f64,
    /// With cores kept awake, in the order of time; none where that can't be done.
    pub awake: Vec<Turn>,
    /// With cores that may sleep.
    pub asleep: Vec<Turn>,
    /// Bytes resident after [`Schedule::warm_up`]: everybody has had the same load for the same time, and without a break. None in older
    /// results.
    #[serde(default)]
    pub memory: Option<u64>,
}

/// One stretch of the load.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Turn {
    /// Packets that should have arrived, all consumers together.
    pub packets: u64,
    /// How many of them did not.
    pub lost: u64,
    /// Processor time of the worker for each that did, in nanoseconds.
    pub worker_ns_per_packet: f64,
    /// How busy the worker was, 0 to 1.
    pub worker_busy: f64,
    /// How busy the busier of the load's cores was, 0 to 1: close to 1, packets wait for the load and not for the worker.
    pub load_busy: f64,
    /// How long the worker was ready to run while something else had its core, in microseconds in all.
    pub worker_waited_us: f64,
    /// How long the hypervisor kept the cores in use from the machine, in hundredths of a second, as far as it tells.
    pub steal_ticks: Option<u64>,
    /// How long packets took.
    pub latency: Option<Latency>,
}

/// Medians over turns, and quartiles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The load.
    pub packets_per_second: f64,
    /// With cores kept awake, where that can be done.
    pub awake: Option<Figures>,
    /// With cores that may sleep.
    pub asleep: Option<Figures>,
    /// Bytes resident after a while of it.
    #[serde(default)]
    pub memory: Option<u64>,
}

/// Those of one kind of turns; min and max of each are the quartiles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// How many there were.
    pub turns: usize,
    /// In how many of them packets were lost.
    pub lossy: usize,
    /// Microseconds; half of the packets were faster.
    pub p50: Spread,
    /// 99 % were.
    pub p99: Spread,
    /// 99.9 % were; none where a turn has less than ten packets beyond that.
    pub p999: Option<Spread>,
    /// Processor nanoseconds of the worker a packet.
    pub ns: Spread,
    /// How busy the busier of the load's cores was, 0 to 1.
    pub load_busy: Spread,
}

impl SameLoad {
    /// Over all turns.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            packets_per_second: self.packets_per_second,
            awake: Figures::of(&self.awake),
            asleep: Figures::of(&self.asleep),
            memory: self.memory,
        }
    }
}

impl Figures {
    /// `None` when there are no turns, or nothing came in any.
    fn of(turns: &[Turn]) -> Option<Self> {
        /// What is slower than 999 of 1,000, ten times.
        const ENOUGH: usize = 10_000;
        let timed = || turns.iter().filter_map(|turn| turn.latency);
        let of = |value: fn(Latency) -> f64| Spread::quartiles(timed().map(value));
        Some(Self {
            turns: turns.len(),
            lossy: turns.iter().filter(|turn| turn.lost > 0).count(),
            p50: of(|latency| latency.p50)?,
            p99: of(|latency| latency.p99)?,
            p999: of(|latency| latency.p999).filter(|_| timed().all(|latency| latency.samples >= ENOUGH)),
            ns: Spread::quartiles(turns.iter().map(|turn| turn.worker_ns_per_packet))?,
            load_busy: Spread::quartiles(turns.iter().map(|turn| turn.load_busy))?,
        })
    }
}

/// Half of the lowest of these saturations; `None` for one worker alone, who has nobody to be compared with.
#[must_use]
pub fn rate(saturations: &[f64]) -> Option<f64> {
    let lowest = saturations.iter().copied().min_by(f64::total_cmp)?;
    (saturations.len() > 1).then_some(lowest / 2.0)
}

/// What a turn is run by: a worker under a load.
trait Rival {
    /// Runs the load for a while.
    fn turn(&mut self, seconds: f64, settle: f64) -> Result<Turn>;
}

/// Measures all contenders in a case, each at this rate in all; `tell` hears of each step. The second result says why no turn had its cores
/// kept awake, if so.
#[must_use]
pub fn measure(
    contenders: &[&Contender],
    case: Case,
    packets_per_second: f64,
    setting: Setting<'_>,
    schedule: Schedule,
    tell: &mut dyn FnMut(&str),
) -> (Vec<Result<SameLoad, String>>, Option<String>) {
    let mut rivals = Vec::new();
    for (index, contender) in contenders.iter().enumerate() {
        tell(&format!("the same load: setting up {}", contender.name));
        let directory = setting.directory.join(format!("same-load-{index}"));
        rivals.push(Contestant::start(contender, case, packets_per_second, setting, schedule, directory));
    }
    let memories: Vec<Option<u64>> =
        rivals.iter().map(|rival| rival.as_ref().ok().and_then(|rival| rival.memory)).collect();
    let cores = setting.cores.all();
    let mut keep = || Awake::keep(&cores, &std::env::current_exe().context("this program's own path is unknown")?);
    let (results, asleep) = alternate(rivals, schedule, &mut keep, tell);
    let results = results.into_iter().zip(memories).map(|(result, memory)| {
        let (awake, asleep) = result.map_err(|error| format!("at the same load: {error:#}"))?;
        Ok(SameLoad { packets_per_second, awake, asleep, memory })
    });
    (results.collect(), asleep.map(|error| format!("{error:#}")))
}

/// A contender, set up.
struct Contestant {
    session: Session,
    rate: f64,
    cores: Vec<Core>,
    /// Bytes resident when it was set up.
    memory: Option<u64>,
    /// Of its files: two workers that write errors at once have a file each.
    _directory: Directory,
}

/// Removed with what is in it when dropped.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // Whatever is left goes with the directory that it is in.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Contestant {
    fn start(
        contender: &Contender,
        case: Case,
        rate: f64,
        setting: Setting<'_>,
        schedule: Schedule,
        directory: PathBuf,
    ) -> Result<Self> {
        fs::create_dir_all(&directory).with_context(|| format!("{} can't be made", directory.display()))?;
        let directory = Directory(directory);
        let mut session = Session::start(contender, case, Setting { directory: &directory.0, ..setting })?;
        let mut load = Load::new(&mut session);
        // That none is missing was seen in each repetition; what is lost from here on is counted.
        load.compare(schedule.compare)?;
        load.hold(rate, schedule.warm_up)?;
        let memory = session.memory()?.map(|memory| memory.now);
        Ok(Self { session, rate, cores: setting.cores.all(), memory, _directory: directory })
    }
}

impl Rival for Contestant {
    fn turn(&mut self, seconds: f64, settle: f64) -> Result<Turn> {
        let process = self.session.process().context("the control has no worker")?;
        let mut load = Load::new(&mut self.session);
        load.hold(self.rate, settle)?;
        let (steal, waited) = (machine::steal_ticks(&self.cores), machine::waited_ns(process)?);
        let step = load.hold(self.rate, seconds)?;
        if step.received.packets == 0 {
            bail!("none of {} packets came out", step.expected);
        }
        let steal_ticks =
            machine::steal_ticks(&self.cores).zip(steal).map(|(after, before)| after.saturating_sub(before));
        Ok(Turn {
            packets: step.expected,
            lost: step.expected.saturating_sub(step.received.packets),
            worker_ns_per_packet: step.worker_ns_per_packet(),
            worker_busy: step.worker_busy,
            load_busy: step.load_busy,
            worker_waited_us: machine::waited_ns(process)?.saturating_sub(waited) as f64 / 1e3,
            steal_ticks,
            latency: step.received.latency,
        })
    }
}

/// With cores kept awake, and with cores that may sleep.
type Turns = (Vec<Turn>, Vec<Turn>);

/// Runs the turns of all rivals. Who fails once has no more turns, and no result. `keep` keeps the cores awake as long as what it returns
/// lives; when it fails for the first time it isn't tried again.
fn alternate<R: Rival, A>(
    rivals: Vec<Result<R>>,
    schedule: Schedule,
    keep: &mut dyn FnMut() -> Result<A>,
    tell: &mut dyn FnMut(&str),
) -> (Vec<Result<Turns>>, Option<anyhow::Error>) {
    let mut rivals: Vec<Result<(R, Turns)>> =
        rivals.into_iter().map(|rival| rival.map(|rival| (rival, Turns::default()))).collect();
    let mut cannot = None;
    for turn in 0..schedule.turns {
        for Block { awake, backwards } in blocks(turn) {
            tell(&format!(
                "the same load: turn {} of {}, cores {}",
                turn + 1,
                schedule.turns,
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
pub(crate) mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// A turn that had this p99, and lost so many.
    pub(crate) fn turn(p99: f64, lost: u64) -> Turn {
        Turn {
            packets: 1_000,
            lost,
            worker_ns_per_packet: 2_000.0,
            worker_busy: 0.4,
            load_busy: 0.3,
            worker_waited_us: 0.0,
            steal_ticks: Some(0),
            latency: Some(Latency { samples: 1_000, p50: p99 / 2.0, p99, p999: p99, max: p99 }),
        }
    }

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
        let (results, cannot) = alternate(vec![noted('a', 100), noted('b', left)], SCHEDULE, &mut keep, &mut |_| {});
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

    #[test]
    fn a_few_bad_turns_of_many_move_neither_the_median_nor_the_quartiles() {
        let turns = |bad: &[f64]| {
            [&[10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0], bad].concat().into_iter().map(|p99| turn(p99, 0))
        };
        let usual = Figures::of(&turns(&[17.0, 18.0]).collect::<Vec<_>>()).unwrap();
        let disturbed = Figures::of(&turns(&[10_000.0, 20_000.0]).collect::<Vec<_>>()).unwrap();
        assert_eq!(usual.p99, Spread { median: 14.0, min: 12.0, max: 16.0 });
        assert_eq!(disturbed.p99, usual.p99);
        assert_eq!(usual.p999, None, "a thousand packets say nothing of the slowest in a thousand");
    }

    #[test]
    fn turns_with_losses_are_counted() {
        let mut lost_all = turn(0.0, 1_000);
        lost_all.latency = None;
        let figures = Figures::of(&[turn(10.0, 0), turn(30.0, 2), lost_all]).unwrap();
        assert_eq!((figures.turns, figures.lossy, figures.p99.median), (3, 2, 20.0));
        assert!(Figures::of(&[lost_all]).is_none() && Figures::of(&[]).is_none());
    }

    #[test]
    fn the_load_is_what_the_slowest_worker_can_do_half_of() {
        assert_eq!(rate(&[900e3, 200e3]), Some(100e3));
        assert_eq!((rate(&[200e3]), rate(&[])), (None, None));
    }
}
