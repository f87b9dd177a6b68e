//! The whole program, put together.

use std::{io::Write, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::Method,
    response::{IntoResponse, Response},
};
use sfu_channel::LogLevel;
use sfu_control::WorkerSettings;
use thiserror::Error;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    addresses,
    certificate::{self, CertificateError, Files},
    cli::Options,
    codecs::media_codecs,
    listener::{self, ListenError},
    page,
    rooms::Rooms,
    signalling,
    workers::{Workers, WorkersError},
};

/// The argument that makes this program a worker instead.
pub const WORKER_ARGUMENT: &str = "worker";
/// How long open connections may take to end when the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Why the server does not start, or no longer runs.
#[derive(Debug, Error)]
pub enum ServerError {
    /// There is no TLS identity.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The port cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There are no workers.
    #[error(transparent)]
    Workers(#[from] WorkersError),
    /// The range of ports for media is empty.
    #[error("no port is left for media: --rtc-min-port {min} is above --rtc-max-port {max}")]
    PortRange {
        /// The lowest.
        min: u16,
        /// The highest.
        max: u16,
    },
    /// The system refuses something basic.
    #[error("the system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
///
/// [`ServerError`], a sentence that says what to do.
pub async fn run(options: Options) -> Result<(), ServerError> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let server = Server::start(options).await?;
    // The terminal may be gone; that is no reason not to serve.
    let _ = server.invite(&mut std::io::stdout());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    info!("stopping");
    server.stop().await;
    Ok(())
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    local: Vec<std::net::IpAddr>,
    rooms: Arc<Rooms>,
    workers: Arc<Workers>,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts serving.
    ///
    /// # Errors
    ///
    /// [`ServerError`], a sentence that says what to do.
    pub async fn start(options: Options) -> Result<Self, ServerError> {
        let (min, max) = (options.rtc_min_port, options.rtc_max_port);
        if min > max {
            return Err(ServerError::PortRange { min, max });
        }
        let local = addresses::local();
        let listener = listener::bind(options.listen.unwrap_or_default()).await?;
        let address = listener.local_addr()?;
        let tls = certificate::acceptor(&identity(&options, &local)?)?;

        let count = match options.workers {
            Some(count) => usize::from(count),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let workers = Workers::start(worker_settings(&options)?, count, media_codecs()).await?;
        let (media, left) = addresses::media(&options.announce, &local);
        if !left.is_empty() {
            warn!("a transport takes {} addresses, so these get no media: {left:?}; choose by --announce", media.len());
        }
        let rooms = Rooms::new(Arc::clone(&workers), media);
        let stop = CancellationToken::new();
        let app = app(Arc::clone(&rooms), addresses::reachable_urls(address, &local).into());
        let serving = tokio::spawn(listener::serve(listener, tls, app, stop.clone()));
        Ok(Self { address, local, rooms, workers, stop, serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The rooms that are open.
    #[must_use]
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// The worker processes.
    #[must_use]
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Says where to click.
    ///
    /// # Errors
    ///
    /// What `terminal` says when it cannot be written.
    pub fn invite(&self, terminal: &mut impl Write) -> std::io::Result<()> {
        writeln!(terminal, "The conference is open at")?;
        for url in addresses::urls(self.address, &self.local) {
            writeln!(terminal, "  {url}")?;
        }
        writeln!(terminal, "The browser warns of a self-signed certificate once: let it continue. Ctrl-C stops.")?;
        terminal.flush()
    }

    /// Tells everybody, ends the workers, and returns when all is done.
    pub async fn stop(self) {
        self.stop.cancel();
        // Whoever does not listen, and connections that browsers keep open, are cut off when the program ends.
        let _ = timeout(STOP_TIMEOUT, async {
            self.rooms.shut_down().await;
            self.serving.await
        })
        .await;
        self.workers.stop().await;
    }
}

fn identity(options: &Options, local: &[std::net::IpAddr]) -> Result<Files, CertificateError> {
    if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
        return Ok(Files { cert: cert.clone(), key: key.clone() });
    }
    let data_dir = match &options.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => certificate::default_data_dir()?,
    };
    let mut addresses = local.to_vec();
    addresses.extend(&options.announce);
    certificate::self_signed(&data_dir, &addresses)
}

fn worker_settings(options: &Options) -> Result<WorkerSettings, std::io::Error> {
    let (program, leading_args) = match &options.worker {
        Some(program) => (program.clone(), Vec::new()),
        None => (this_program()?, vec![WORKER_ARGUMENT.to_owned()]),
    };
    Ok(WorkerSettings {
        leading_args,
        log_level: LogLevel::Warn,
        rtc_min_port: options.rtc_min_port,
        rtc_max_port: options.rtc_max_port,
        ..WorkerSettings::new(program)
    })
}

/// This very executable, even when its file has been replaced since.
fn this_program() -> Result<PathBuf, std::io::Error> {
    let path = std::env::current_exe()?;
    if path.exists() { Ok(path) } else { Ok(format!("/proc/{}/exe", std::process::id()).into()) }
}

/// What is served: `rooms`, and a page that knows where it is `reachable`.
fn app(rooms: Arc<Rooms>, reachable: Arc<[String]>) -> Router {
    Router::new().fallback(move |upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>, request: Request| {
        answer(Arc::clone(&rooms), Arc::clone(&reachable), upgrade, request)
    })
}

/// An upgrade to WebSocket is signalling, whatever the path; the rest is the page.
async fn answer(
    rooms: Arc<Rooms>,
    reachable: Arc<[String]>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    request: Request,
) -> Response {
    match upgrade {
        Ok(upgrade) => signalling::connect(rooms, upgrade, request.uri()).await,
        Err(_) if matches!(*request.method(), Method::GET | Method::HEAD) => {
            page::serve(request.into_parts().0.uri, &reachable).await
        }
        Err(_) => axum::http::StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}
