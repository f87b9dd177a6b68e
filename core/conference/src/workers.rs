//! The worker processes: one per core, replaced when they die.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::future::{join_all, try_join_all};
use sfu_channel::RtpCodecCapability;
use sfu_control::{Router, SpawnError, Worker, WorkerEnd, WorkerSettings};
use thiserror::Error;
use tokio::{sync::Notify, time::timeout};
use tracing::{info, warn};

/// A worker that cannot be started is tried again after this time.
const RESPAWN_DELAY: Duration = Duration::from_secs(1);
/// A room waits so long for a worker while there is none.
const PATIENCE: Duration = Duration::from_secs(5);

/// A worker that does not answer within this time gets no new rooms until it does.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Why there is no worker. Each says what to do.
#[derive(Debug, Error)]
pub enum WorkersError {
    /// The program does not start.
    #[error("no media worker: {0}; check --worker, --rtc-min-port and --rtc-max-port")]
    Start(#[from] SpawnError),
    /// All workers are down at this moment.
    #[error("no media worker is running")]
    NoWorker,
    /// A worker fails at its work.
    #[error(transparent)]
    Failed(#[from] sfu_control::Error),
}

/// All workers.
#[derive(Debug)]
pub struct Workers {
    settings: WorkerSettings,
    codecs: Vec<RtpCodecCapability>,
    slots: Mutex<Vec<Slot>>,
    /// Notified when a worker is put to use.
    arrivals: Notify,
    stopping: AtomicBool,
}

#[derive(Debug, Clone)]
struct Slot {
    worker: Worker,
    load: Arc<AtomicUsize>,
    /// It runs, but does not answer.
    hangs: Arc<AtomicBool>,
}

impl Workers {
    /// Starts `count` workers, whose routers will speak `codecs`.
    ///
    /// # Errors
    ///
    /// [`WorkersError::Start`] when one of them does not start.
    pub async fn start(
        settings: WorkerSettings,
        count: usize,
        codecs: Vec<RtpCodecCapability>,
    ) -> Result<Arc<Self>, WorkersError> {
        let started = try_join_all((0..count).map(|_| Worker::spawn(settings.clone()))).await?;
        let workers = Arc::new(Self {
            settings,
            codecs,
            slots: Mutex::default(),
            arrivals: Notify::new(),
            stopping: AtomicBool::new(false),
        });
        for worker in started {
            workers.keep(worker);
        }
        Ok(workers)
    }

    /// A new router on the worker that has least to do.
    ///
    /// # Errors
    ///
    /// [`WorkersError`] when there is no worker, or the one chosen refuses.
    pub async fn create_router(self: &Arc<Self>) -> Result<(Router, Place), WorkersError> {
        loop {
            let slot = timeout(PATIENCE, self.least_loaded()).await.map_err(|_| WorkersError::NoWorker)?;
            // Counted before the router is there, so that the next room goes elsewhere.
            let place = Place(slot);
            let _arriving = place.occupy();
            // Asked for a dump first, as a router that is asked for in vain would be made when the worker goes on.
            if timeout(ANSWER_TIMEOUT, place.0.worker.dump()).await.is_err() {
                self.set_aside(place.0.clone());
                continue;
            }
            let router = place.0.worker.create_router(&self.codecs).await?;
            return Ok((router, place));
        }
    }

    /// The processes, for whoever watches them.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        self.slots().iter().map(|slot| slot.worker.pid()).collect()
    }

    /// Stops all workers.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        let slots = std::mem::take(&mut *self.slots());
        join_all(slots.iter().map(|slot| slot.worker.close())).await;
    }

    /// Of those that answer. Waits while there is none, as after the death of the only one.
    async fn least_loaded(&self) -> Slot {
        loop {
            let arrival = self.arrivals.notified();
            let least = {
                let slots = self.slots();
                let answering = slots.iter().filter(|slot| !slot.hangs.load(Ordering::Relaxed));
                answering.min_by_key(|slot| slot.load.load(Ordering::Relaxed)).cloned()
            };
            match least {
                Some(slot) => return slot,
                None => arrival.await,
            }
        }
    }

    /// Gives a worker no new rooms until it answers again, or is dead.
    fn set_aside(self: &Arc<Self>, slot: Slot) {
        if slot.hangs.swap(true, Ordering::Relaxed) {
            return;
        }
        let pid = slot.worker.pid();
        warn!("worker {pid} does not answer: no new rooms on it until it does");
        let workers = Arc::clone(self);
        tokio::spawn(async move {
            // Each try takes as long as any request may.
            while let Err(sfu_control::Error::Timeout(_)) = slot.worker.dump().await {}
            if !slot.worker.closed() {
                info!("worker {pid} answers again");
            }
            slot.hangs.store(false, Ordering::Relaxed);
            workers.arrivals.notify_waiters();
        });
    }

    /// Puts a worker to use, and another in its place when it dies.
    fn keep(self: &Arc<Self>, worker: Worker) {
        let pid = worker.pid();
        info!("worker {pid} runs");
        self.slots().push(Slot { worker: worker.clone(), load: Arc::default(), hangs: Arc::default() });
        self.arrivals.notify_waiters();
        let workers = Arc::clone(self);
        tokio::spawn(async move {
            let end = worker.ended().await;
            workers.slots().retain(|slot| slot.worker.pid() != pid);
            if matches!(end, WorkerEnd::Closed(_)) || workers.stopping.load(Ordering::Relaxed) {
                return;
            }
            loop {
                match Worker::spawn(workers.settings.clone()).await {
                    Ok(worker) => return workers.keep(worker),
                    Err(error) => warn!("no new worker: {error}"),
                }
                tokio::time::sleep(RESPAWN_DELAY).await;
                if workers.stopping.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place on a worker.
#[derive(Debug, Clone)]
pub struct Place(Slot);

impl Place {
    /// Counts as load until it is dropped.
    #[must_use]
    pub fn occupy(&self) -> Occupancy {
        self.0.load.fetch_add(1, Ordering::Relaxed);
        Occupancy(Arc::clone(&self.0.load))
    }

    /// The worker's process.
    #[must_use]
    pub fn worker_pid(&self) -> u32 {
        self.0.worker.pid()
    }

    /// Resolves when the worker has died.
    pub fn died(&self) -> impl Future<Output = ()> + Send + 'static {
        let worker = self.0.worker.clone();
        async move {
            if let WorkerEnd::Closed(_) = worker.ended().await {
                // That happens only when the whole server stops.
                std::future::pending().await
            }
        }
    }
}

/// One room or peer that a worker has to do with.
#[derive(Debug)]
pub struct Occupancy(Arc<AtomicUsize>);

impl Drop for Occupancy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
