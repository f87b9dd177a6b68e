//! One contender set up for one case, between a load generator and a receiver.

use crate::case::{Audience, Case};
use crate::generator::{self, Generated, Load, Target};
use crate::link::Helper;
use crate::machine::{self, Core, Cores, Memory};
use crate::receiver::{Opening, Received, Reception, Request};
use crate::scene;
use crate::worker::Worker;
use crate::workload::{CONSUMER_PAYLOAD_TYPE, Mode, PRODUCER_PAYLOAD_TYPE, producer_ssrc};
use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contender {
    /// Its name in tables.
    pub name: String,
    /// The worker's program; `None` for the control, where the generator itself sends to every receiver, on the worker's core.
    pub program: Option<PathBuf>,
    /// Arguments beyond the protocol's own.
    pub arguments: Vec<String>,
    /// The modes that it is measured in.
    pub modes: Vec<Mode>,
}

/// What holds for all contenders and cases of an invocation.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// Which process runs where.
    pub cores: Cores,
    /// Whether receivers take trains of datagrams as they are (UDP_GRO).
    ///
    /// Off, the kernel cuts the trains that a worker sends before it queues them, in the worker's time, as it does for most network
    /// cards. On, a train passes loopback as one packet, which flatters a worker that sends trains.
    pub receive_trains: bool,
    /// Whether the kernel says when packets came (`arrivals`), where receivers take no trains, and the generator notes how late they left.
    pub precise: bool,
    /// Whether the generator runs before anything else on its core (`precedence`).
    pub generator_first: bool,
    /// How packets are taken.
    pub reception: Reception,
    /// For files that pass between the processes.
    pub directory: &'a Path,
}

impl<'a> Setting<'a> {
    /// Receivers that wait for packets, and take no trains; times as processes have them.
    #[must_use]
    pub const fn new(cores: Cores, directory: &'a Path) -> Self {
        let reception = Reception::Woken;
        Self { cores, receive_trains: false, precise: false, generator_first: false, reception, directory }
    }
}

/// How a step is checked.
#[derive(Debug, Clone, Copy)]
pub struct Checks {
    /// Of how many packets one is decrypted and compared.
    pub check_every: u64,
    /// Of how many packets one is timed.
    pub time_every: u64,
}

/// A stretch of constant load, and what came of it.
#[derive(Debug, Clone)]
pub struct Step {
    /// Packets that should have arrived, all consumers together.
    pub expected: u64,
    /// For so long, in seconds.
    pub seconds: f64,
    /// The receiver's account.
    pub received: Received,
    /// Processor time of the worker, in nanoseconds; of the generator where it is the control.
    pub worker_ns: u64,
    /// How much of the time the worker was busy while the load lasted, 0 to 1.
    pub worker_busy: f64,
    /// How much of it the busier of the load's cores was, 0 to 1.
    pub load_busy: f64,
    /// How much of it the generator was, 0 to 1.
    pub generator_busy: f64,
    /// Whether the generator kept its schedule.
    pub on_schedule: bool,
    /// By how many nanoseconds after they were due 99 % of the packets had left at the latest, where that is noted.
    pub late: Option<u64>,
    /// Whether the last packets came soon after they were sent. A load that only fills the contender's receive buffer, to be
    /// worked off afterwards, loses nothing either and is still too much.
    pub kept_up: bool,
}

impl Step {
    /// The share of packets that are missing, 0 to 1.
    #[must_use]
    pub fn loss(&self) -> f64 {
        1.0 - self.received.packets as f64 / self.expected.max(1) as f64
    }

    /// Packets a second that arrived.
    #[must_use]
    pub fn packets_per_second(&self) -> f64 {
        self.received.packets as f64 / self.seconds
    }

    /// Processor time of the worker for each packet that arrived.
    #[must_use]
    pub fn worker_ns_per_packet(&self) -> f64 {
        self.worker_ns as f64 / self.received.packets.max(1) as f64
    }
}

/// A process that forwards, while it is measured.
pub trait Subject: std::fmt::Debug {
    /// Its process id.
    fn id(&self) -> u32;

    /// Whether it still runs.
    ///
    /// # Errors
    /// Says how it ended, if it has.
    fn check_alive(&mut self) -> Result<()>;
}

/// A contender at work on a case.
#[derive(Debug)]
pub struct Session {
    case: Case,
    cores: Cores,
    subject: Option<Box<dyn Subject>>,
    generator: Helper,
    receiver: Helper,
    times: PathBuf,
    lateness: bool,
    next: u64,
}

/// What is measured, once it is ready, and where each stream goes.
pub(crate) type Ready = (Box<dyn Subject>, Vec<Target>);

impl Session {
    /// Sets it up.
    ///
    /// # Errors
    /// Something can't be started, or the worker refuses a request.
    pub fn start(contender: &Contender, case: Case, setting: Setting<'_>) -> Result<Self> {
        let Some(program) = &contender.program else { return Self::control(case, setting) };
        Self::with(case, setting, PRODUCER_PAYLOAD_TYPE, |receiver, ports| {
            let mut worker = Worker::start(program, &contender.arguments, setting.cores.worker, setting.directory)?;
            let scene = scene::set_up(&mut worker, case, ports)?;
            let () = receiver.ask(&Request::Sources(scene.sources))?;
            let () = receiver.ask(&Request::Keys { mode: case.mode, keys: scene.keys })?;
            let target = |(stream, port)| Target { address: local(port), ssrc: producer_ssrc(stream) };
            Ok((Box::new(worker), scene.ports.into_iter().enumerate().map(target).collect()))
        })
    }

    /// With what `make_ready` starts when the receiver's sockets, which have these ports, are open.
    pub(crate) fn with(
        case: Case,
        setting: Setting<'_>,
        payload_type: u8,
        make_ready: impl FnOnce(&mut Helper, &[u16]) -> Result<Ready>,
    ) -> Result<Self> {
        let (mut receiver, ports) = receiver(case, setting)?;
        let (subject, targets) = make_ready(&mut receiver, &ports)?;
        let targets = targets.into_iter().map(|target| vec![target]).collect();
        let generator = generator(case, setting, setting.cores.generator, targets, payload_type)?;
        Ok(Self::of(case, setting, Some(subject), generator, receiver))
    }

    /// Without anything between: the generator itself sends to every receiver, on the worker's core.
    ///
    /// # Errors
    /// Something can't be started.
    pub(crate) fn control(case: Case, setting: Setting<'_>) -> Result<Self> {
        let (receiver, ports) = receiver(case, setting)?;
        let targets = control_targets(case.audience, &ports);
        let generator = generator(case, setting, setting.cores.worker, targets, CONSUMER_PAYLOAD_TYPE)?;
        Ok(Self::of(case, setting, None, generator, receiver))
    }

    fn of(
        case: Case,
        setting: Setting<'_>,
        subject: Option<Box<dyn Subject>>,
        generator: Helper,
        receiver: Helper,
    ) -> Self {
        let times = setting.directory.join("times");
        let lateness = setting.precise;
        Self { case, cores: setting.cores, subject, generator, receiver, times, lateness, next: 0 }
    }

    /// The process that is measured; none for the control.
    #[must_use]
    pub fn process(&self) -> Option<u32> {
        self.subject.as_ref().map(|subject| subject.id())
    }

    /// What it does.
    #[must_use]
    pub const fn case(&self) -> Case {
        self.case
    }

    /// Runs a constant load of so many packets a second into the worker, and says what came out.
    ///
    /// # Errors
    /// A process has failed, or what came out isn't what had to: then the measurement is worth nothing.
    pub fn step(&mut self, rate: f64, seconds: f64, checks: Checks) -> Result<Step> {
        let Checks { check_every, time_every } = checks;
        let () = self.receiver.ask(&Request::Begin { first: self.next, check_every, time_every })?;
        let before = self.usage()?;
        let load = Load { first: self.next, rate, seconds, times: self.times.clone(), lateness: self.lateness };
        let generated: Generated = self.generator.ask(&generator::Request::Load(load))?;
        self.next += generated.packets;
        let loaded = self.usage()?;
        let expected = generated.packets * self.case.audience.copies() as u64;
        let received: Received = self.receiver.ask(&Request::End { expected, times: self.times.clone() })?;
        let worker_ns = self.usage()?.worker.saturating_sub(before.worker);
        if let Some(wrong) = &received.wrong {
            bail!("{} of the packets that came out are wrong, the first: {wrong}", received.wrong_count);
        }
        if received.duplicates > 0 {
            bail!("{} packets came out twice", received.duplicates);
        }
        let (generator, receiver) = (loaded.generator - before.generator, loaded.receiver - before.receiver);
        let load_ns = match (&self.subject, self.cores.generator == self.cores.receiver) {
            (Some(_), true) => generator + receiver,
            (Some(_), false) => generator.max(receiver),
            (None, _) => receiver,
        };
        let lag = received.last.saturating_sub(generated.ended) as f64 / 1e9;
        Ok(Step {
            expected,
            seconds: generated.seconds,
            received,
            worker_ns,
            worker_busy: loaded.worker.saturating_sub(before.worker) as f64 / 1e9 / generated.seconds,
            load_busy: load_ns as f64 / 1e9 / generated.seconds,
            generator_busy: generator as f64 / 1e9 / generated.seconds,
            late: generated.late,
            on_schedule: generated.seconds < seconds * 1.03 + 0.01 && generated.refused == 0,
            kept_up: lag < seconds * 0.03 + 0.02,
        })
    }

    /// The worker's resident memory, in bytes; `None` for the control.
    ///
    /// # Errors
    /// The worker has died.
    pub(crate) fn memory(&self) -> Result<Option<Memory>> {
        self.subject.as_ref().map(|worker| machine::memory(worker.id())).transpose()
    }

    /// Processor time so far. What has died has none any more, so that is asked first.
    fn usage(&mut self) -> Result<Usage> {
        let generator = machine::cpu_ns(self.generator.id())?;
        let receiver = machine::cpu_ns(self.receiver.id())?;
        let worker = match &mut self.subject {
            Some(worker) => {
                worker.check_alive()?;
                machine::cpu_ns(worker.id())?
            }
            None => generator,
        };
        Ok(Usage { worker, generator, receiver })
    }
}

struct Usage {
    worker: u64,
    generator: u64,
    receiver: u64,
}

fn receiver(case: Case, setting: Setting<'_>) -> Result<(Helper, Vec<u16>)> {
    let mut receiver = Helper::start("receiver", setting.cores.receiver)?;
    let ports = receiver.ask(&Request::Open(Opening {
        receivers: case.audience.sockets(),
        reception: setting.reception,
        feeds: case.audience.feeds(),
        packet_len: case.traffic.packet_len,
        trains: setting.receive_trains,
        stamps: setting.precise && !setting.receive_trains,
    }))?;
    Ok((receiver, ports))
}

fn generator(
    case: Case,
    setting: Setting<'_>,
    core: Core,
    targets: Vec<Vec<Target>>,
    payload_type: u8,
) -> Result<Helper> {
    let start = if setting.generator_first { Helper::start_first } else { Helper::start };
    let mut generator = start("generator", core)?;
    let () = generator.ask(&generator::Request::Streams { targets, payload_type, traffic: case.traffic })?;
    Ok(generator)
}

/// Every receiver's socket, for a generator that sends to them itself: each stream's targets.
fn control_targets(audience: Audience, ports: &[u16]) -> Vec<Vec<Target>> {
    let mut targets = vec![Vec::new(); audience.streams()];
    for feed in audience.feeds() {
        targets[feed.stream].push(Target { address: local(ports[feed.socket]), ssrc: feed.ssrc });
    }
    targets
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::new([127, 0, 0, 1].into(), port)
}
