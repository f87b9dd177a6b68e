//! How long packets take at a load that is the same for all workers.
//!
//! All workers of a case are set up beside each other, with a generator and a receiver each; those that have no turn wait for packets
//! and take no processor time. Turns are short, and alternate: what else happens on the machine hits a few turns of everybody, and
//! medians over turns don't see it. In each turn all get the same packets at the same times.
//!
//! Each worker has as many turns with cores that are kept awake ([`crate::awake`]), which show the worker, as with cores that may sleep,
//! which show the worker on this machine. Where the p99 of two programs may be in either order, there are more turns.
//!
//! The load is not to be what is measured. So in this phase
//!
//! - a packet takes from the generator's send call until the kernel has it on its way into the receiver's socket (`arrivals`). How long
//!   the receiver then takes to have it is noted beside it. The kernel's stamp costs a reading of the clock for each packet, for all workers alike, so
//!   that a packet's processor time here is greater by so much than elsewhere.
//! - the generator runs before everything else on its core (`precedence`), and notes how late its packets left.

mod alternation;

use crate::awake::Awake;
use crate::case::Case;
use crate::machine::{self, Core};
use crate::measure::Load;
use crate::precedence;
use crate::session::{Contender, Session, Setting};
use crate::stats::{Latency, Spread};
use alternation::{Rival, alternate, pairs};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::PathBuf;

/// How many turns, and how long.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Schedule {
    /// Turns of each worker with cores kept awake, and as many with cores that may sleep.
    pub turns: usize,
    /// How many there are at most: while it isn't decided whose p99 is lower, as many again are added. 0 in older results, which
    /// have no more than the first.
    #[serde(default)]
    pub most: usize,
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
    pub const FULL: Self = Self { turns: 12, most: 48, seconds: 0.25, settle: 0.05, compare: 0.3, warm_up: 2.0 };
    /// To see that everything works.
    pub const QUICK: Self = Self { turns: 4, most: 4, seconds: 0.05, settle: 0.01, compare: 0.1, warm_up: 0.1 };
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
    /// How long packets took, until the kernel had them on their way into the receiver's socket; in older results until the receiver had
    /// them.
    pub latency: Option<Latency>,
    /// Until the receiver had them, where the other is the kernel's.
    #[serde(default)]
    pub latency_read: Option<Latency>,
    /// By how many microseconds after they were due 99 % of the packets had left the generator at the latest. None in older results.
    #[serde(default)]
    pub generator_late_us: Option<f64>,
    /// How busy the generator was, 0 to 1. None in older results.
    #[serde(default)]
    pub generator_busy: Option<f64>,
    /// Whether the generator kept its schedule: it was done in time, and 99 % of its packets had left within a millisecond after they were due.
    #[serde(default = "kept")]
    pub on_schedule: bool,
    /// Datagrams that came to the receiver from elsewhere, and were passed over.
    #[serde(default)]
    pub strays: u64,
}

/// What older results don't say.
const fn kept() -> bool {
    true
}

/// Medians over turns, and their 95 % intervals.
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

/// Those of one kind of turns; min and max of each are the ends of the median's 95 % interval.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    /// How many there were.
    pub turns: usize,
    /// In how many of them packets were lost.
    pub lossy: usize,
    /// In how many the generator didn't keep its schedule.
    #[serde(default)]
    pub off_schedule: usize,
    /// By how many microseconds after they were due 99 % of the packets had left the generator at the latest, where that is on record.
    #[serde(default)]
    pub generator_late_us: Option<Spread>,
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
        let of = |value: fn(Latency) -> f64| Spread::median_interval(timed().map(value));
        Some(Self {
            turns: turns.len(),
            lossy: turns.iter().filter(|turn| turn.lost > 0).count(),
            off_schedule: turns.iter().filter(|turn| !turn.on_schedule).count(),
            generator_late_us: Spread::median_interval(turns.iter().filter_map(|turn| turn.generator_late_us)),
            p50: of(|latency| latency.p50)?,
            p99: of(|latency| latency.p99)?,
            p999: of(|latency| latency.p999).filter(|_| timed().all(|latency| latency.samples >= ENOUGH)),
            ns: Spread::median_interval(turns.iter().map(|turn| turn.worker_ns_per_packet))?,
            load_busy: Spread::median_interval(turns.iter().map(|turn| turn.load_busy))?,
        })
    }
}

/// Half of the lowest of these saturations; `None` for one worker alone, who has nobody to be compared with.
#[must_use]
pub fn rate(saturations: &[f64]) -> Option<f64> {
    let lowest = saturations.iter().copied().min_by(f64::total_cmp)?;
    (saturations.len() > 1).then_some(lowest / 2.0)
}

/// What came of all.
#[derive(Debug)]
pub struct Measured {
    /// Of each, in their order.
    pub results: Vec<Result<SameLoad, String>>,
    /// What could not be done, and why.
    pub absent: Vec<String>,
}

/// Measures contenders, each in its case and at this rate in all; `tell` hears of each step. There are more turns where different programs'
/// order isn't decided.
#[must_use]
pub fn measure(
    entrants: &[(&Contender, Case)],
    packets_per_second: f64,
    setting: Setting<'_>,
    schedule: Schedule,
    tell: &mut dyn FnMut(&str),
) -> Measured {
    let mut absent = Vec::new();
    let first = precedence::check();
    let setting = Setting { precise: true, generator_first: first.is_ok(), ..setting };
    if let Err(error) = first {
        absent.push(format!("latency with a generator that nothing keeps from its core: {error:#}"));
    }
    if setting.receive_trains {
        absent.push("latency by the kernel's stamps: the receivers take trains".to_owned());
    }
    let mut rivals = Vec::new();
    for (index, &(contender, case)) in entrants.iter().enumerate() {
        tell(&format!("the same load: setting up {}, {case}", contender.name));
        let directory = setting.directory.join(format!("same-load-{index}"));
        rivals.push(Contestant::start(contender, case, packets_per_second, setting, schedule, directory));
    }
    let memories: Vec<Option<u64>> =
        rivals.iter().map(|rival| rival.as_ref().ok().and_then(|rival| rival.memory)).collect();
    let cores = setting.cores.all();
    let mut keep = || Awake::keep(&cores, &std::env::current_exe().context("this program's own path is unknown")?);
    let programs: Vec<_> = entrants.iter().map(|(contender, _)| contender.program.as_deref()).collect();
    let (results, asleep) = alternate(rivals, &pairs(&programs), schedule, &mut keep, tell);
    let results = results.into_iter().zip(memories).map(|(result, memory)| {
        let (awake, asleep) = result.map_err(|error| format!("at the same load: {error:#}"))?;
        Ok(SameLoad { packets_per_second, awake, asleep, memory })
    });
    absent.extend(asleep.map(|error| format!("latency with cores that are kept awake: {error:#}")));
    Measured { results: results.collect(), absent }
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
            latency_read: step.received.latency_read,
            generator_late_us: step.late.map(|late| late as f64 / 1e3),
            generator_busy: Some(step.generator_busy),
            on_schedule: step.on_schedule && in_time(step.late),
            strays: step.received.strays,
        })
    }
}

/// Whether packets that are so many nanoseconds late are the load that was asked for. A generator that was kept from its core for a while catches
/// up, and may be done in time all the same.
fn in_time(late: Option<u64>) -> bool {
    /// Several times of what sending a group takes.
    const TOLERATED: u64 = 1_000_000;
    late.is_none_or(|late| late <= TOLERATED)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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
            latency_read: None,
            generator_late_us: Some(5.0),
            generator_busy: Some(0.1),
            on_schedule: true,
            strays: 0,
        }
    }

    #[test]
    fn a_few_bad_turns_of_many_move_neither_the_median_nor_its_interval() {
        let turns = |bad: &[f64]| {
            [&[10.0, 11.0, 12.0, 13.0, 14.0, 15.0, 16.0, 17.0, 18.0, 19.0], bad]
                .concat()
                .into_iter()
                .map(|p99| turn(p99, 0))
        };
        let usual = Figures::of(&turns(&[20.0, 21.0]).collect::<Vec<_>>()).unwrap();
        let disturbed = Figures::of(&turns(&[10_000.0, 20_000.0]).collect::<Vec<_>>()).unwrap();
        assert_eq!(usual.p99, Spread { median: 15.5, min: 12.0, max: 19.0 });
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
    fn turns_without_the_whole_load_are_counted_and_older_ones_are_read() {
        let late = Turn { on_schedule: false, generator_late_us: Some(9_000.0), ..turn(10.0, 0) };
        let figures = Figures::of(&[turn(10.0, 0), late, turn(10.0, 0)]).unwrap();
        assert_eq!((figures.off_schedule, figures.generator_late_us.unwrap().median), (1, 5.0));
        // 50 ms is for how long the kernel stops a process of the class that takes more than 95 % of a second.
        assert!(in_time(Some(200_000)) && in_time(None) && !in_time(Some(50_000_000)));
        let mut older = serde_json::to_value(turn(10.0, 0)).unwrap();
        let fields = older.as_object_mut().unwrap();
        for new in ["latency_read", "generator_late_us", "generator_busy", "on_schedule", "strays"] {
            assert!(fields.remove(new).is_some(), "{new}");
        }
        let older: Turn = serde_json::from_value(older).unwrap();
        assert!(older.on_schedule && older.generator_late_us.is_none() && older.strays == 0);
    }

    #[test]
    fn the_load_is_what_the_slowest_worker_can_do_half_of() {
        assert_eq!(rate(&[900e3, 200e3]), Some(100e3));
        assert_eq!((rate(&[200e3]), rate(&[])), (None, None));
    }
}
