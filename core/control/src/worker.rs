//! A worker: the process that moves the media, and the routers in it.

use std::sync::Arc;
use std::time::Duration;

use sfu_channel::dump::{ResourceUsage, WorkerDump};
use sfu_channel::notification::Event;
use sfu_channel::request::{CreateWebRtcServer, Request, RouterId, UpdateSettings};
use sfu_channel::{ListenInfo, RtpCodecCapability};
use tokio::process::Child;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::channel::Channel;
use crate::entity::new_id;
use crate::error::Error;
use crate::ortc;
use crate::process::{Process, SpawnError, WorkerExit, WorkerSettings, terminate, wait_or_kill};
use crate::router::Router;
use crate::web_rtc_server::WebRtcServer;

/// A worker's handle. Clones are the same worker.
///
/// The process lives until [`Worker::close`], until it dies, or until this process ends; dropping handles does not end it.
#[derive(Clone)]
pub struct Worker {
    inner: Arc<Inner>,
}

struct Inner {
    pid: u32,
    channel: Channel,
    /// Cancelled when the worker is closed or dead; all of its entities' tokens are its children.
    closed: CancellationToken,
    /// Cancelled when the worker is to be closed.
    close: CancellationToken,
    end: watch::Receiver<Option<WorkerEnd>>,
}

/// How a worker came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerEnd {
    /// It was closed.
    Closed(WorkerExit),
    /// It died by itself.
    Died(WorkerExit),
}

impl Worker {
    /// Starts a worker's process and waits until it runs.
    pub async fn spawn(settings: WorkerSettings) -> Result<Self, SpawnError> {
        let process = Process::start(&settings)
            .map_err(|source| SpawnError::Io { worker_bin: settings.worker_bin.clone(), source })?;
        let Process { mut child, pid, to_worker, from_worker, payload_to_worker, payload_from_worker } = process;
        let (channel, mut events) = Channel::start(to_worker, from_worker, settings.request_timeout, pid.to_string());
        let started = tokio::time::timeout(settings.start_timeout, async {
            loop {
                match events.next().await {
                    Some(Event::Running) => return true,
                    Some(other) => debug!(pid, event = ?other, "unexpected event of a worker that starts"),
                    None => return false,
                }
            }
        });
        match started.await {
            Ok(true) => {}
            Ok(false) => return Err(wait_or_kill(&mut child, settings.close_timeout).await.before_running()),
            Err(_) => {
                channel.end();
                let _ = child.kill().await;
                return Err(SpawnError::Timeout);
            }
        }
        drop(events);

        let (end_sender, end) = watch::channel(None);
        let inner = Arc::new(Inner {
            pid,
            channel: channel.clone(),
            closed: CancellationToken::new(),
            close: CancellationToken::new(),
            end,
        });
        // The worker ends when this does.
        channel.open_payload_channel(payload_to_worker, payload_from_worker);
        tokio::spawn(watch_process(Watched {
            child,
            channel,
            closed: inner.closed.clone(),
            close: inner.close.clone(),
            patience: settings.close_timeout,
            end: end_sender,
        }));
        Ok(Self { inner })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.inner.pid
    }

    /// Whether it is closed or dead.
    pub fn closed(&self) -> bool {
        self.inner.closed.is_cancelled()
    }

    /// Waits until the worker's process has ended, and says how: [`WorkerEnd::Died`] unless it was closed.
    pub async fn ended(&self) -> WorkerEnd {
        let mut end = self.inner.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        // The sender is only dropped without a value when the runtime shuts down.
        ended.ok().and_then(|end| *end).unwrap_or(WorkerEnd::Closed(WorkerExit::Unknown))
    }

    /// Ends the worker: everything in it is closed at once, the process gets SIGTERM, and SIGKILL if that does not help.
    /// Returns when the process is gone.
    pub async fn close(&self) -> WorkerEnd {
        self.inner.close.cancel();
        self.ended().await
    }

    /// Makes a router for those codecs.
    pub async fn create_router(&self, media_codecs: &[RtpCodecCapability]) -> Result<Router, Error> {
        let rtp_capabilities = ortc::generate_router_rtp_capabilities(media_codecs)?;
        let router_id = new_id();
        let request = Request::WorkerCreateRouter(RouterId { router_id: router_id.clone() });
        self.request(&request).await?;
        let closed = self.inner.closed.child_token();
        Ok(Router::new(router_id, self.inner.channel.clone(), closed, rtp_capabilities))
    }

    /// Makes a WebRTC server that listens there: 1 to 8 places, each with a port of its own.
    pub async fn create_web_rtc_server(&self, listen_infos: Vec<ListenInfo>) -> Result<WebRtcServer, Error> {
        let web_rtc_server_id = new_id();
        let request = Request::WorkerCreateWebRtcServer(CreateWebRtcServer {
            web_rtc_server_id: web_rtc_server_id.clone(),
            listen_infos,
        });
        self.request(&request).await?;
        Ok(WebRtcServer::new(web_rtc_server_id, self.inner.channel.clone(), self.inner.closed.child_token()))
    }

    /// Changes what the worker logs.
    pub async fn update_settings(&self, settings: UpdateSettings) -> Result<(), Error> {
        self.request(&Request::WorkerUpdateSettings(settings)).await
    }

    /// What the worker has.
    pub async fn dump(&self) -> Result<WorkerDump, Error> {
        self.check_open()?;
        self.inner.channel.ask(None, &Request::WorkerDump).await
    }

    /// What the worker uses of the machine.
    pub async fn get_resource_usage(&self) -> Result<ResourceUsage, Error> {
        self.check_open()?;
        self.inner.channel.ask(None, &Request::WorkerGetResourceUsage).await
    }

    async fn request(&self, request: &Request) -> Result<(), Error> {
        self.check_open()?;
        self.inner.channel.request(None, request).await.map(drop)
    }

    fn check_open(&self) -> Result<(), Error> {
        if self.closed() { Err(Error::Closed) } else { Ok(()) }
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("pid", &self.pid()).finish_non_exhaustive()
    }
}

struct Watched {
    child: Child,
    channel: Channel,
    closed: CancellationToken,
    close: CancellationToken,
    patience: Duration,
    end: watch::Sender<Option<WorkerEnd>>,
}

/// Waits until the worker is closed or dies, closes all that is in it, and tells how it ended.
async fn watch_process(watched: Watched) {
    enum First {
        Close,
        Exit(WorkerExit),
        ChannelEnd,
    }
    let Watched { mut child, channel, closed, close, patience, end } = watched;
    let pid = child.id();
    let first = tokio::select! {
        biased;
        () = close.cancelled() => First::Close,
        status = child.wait() => First::Exit(status.into()),
        () = channel.ended() => First::ChannelEnd,
    };
    closed.cancel();
    channel.end();
    let how = match first {
        First::Close => WorkerEnd::Closed(terminate(&mut child, patience).await),
        First::Exit(exit) => WorkerEnd::Died(exit),
        // It usually exits just now; if it does not, a worker without a channel is of no use.
        First::ChannelEnd => WorkerEnd::Died(wait_or_kill(&mut child, patience).await),
    };
    match how {
        WorkerEnd::Died(exit) => error!(pid, "the worker died: {exit}"),
        WorkerEnd::Closed(exit) => debug!(pid, "the worker is closed: {exit}"),
    }
    end.send_replace(Some(how));
}
