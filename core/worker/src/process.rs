//! The process around the loop: environment, command line, file descriptors, signals, exit codes.

use std::ffi::OsString;
use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sfu_proto::{dtls, srtp};
use sfu_reactor::fd::take_fd;
use sfu_reactor::poll::Poller;
use sfu_reactor::signal::{self, SIGALRM, SIGHUP, SIGINT, SIGPIPE, SIGTERM, SIGUSR1, SIGUSR2, Signals};

use crate::channel::Output;
use crate::event_loop::{EventLoop, OUTPUT};
use crate::log;
use crate::settings::{Command, HELP, Settings, SrtpBackend};
use crate::sockets::Sockets;
use crate::worker::{Config, Worker};

/// Something failed that is nobody's setting.
const UNKNOWN_FAILURE: u8 = 40;
/// The library did not say its version.
const NO_VERSION: u8 = 41;
/// A setting cannot be used.
const WRONG_SETTINGS: u8 = 42;

/// The version of the library that spawns us.
const VERSION_VARIABLE: &str = "MEDIASOUP_VERSION";

/// Runs the process with the arguments that follow the program's name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = Command::parse(args);
    match command {
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("sfu-worker {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    if std::env::var_os(VERSION_VARIABLE).is_none() {
        eprintln!("sfu-worker: {VERSION_VARIABLE} is not set: this program is spawned by a library (see --help)");
        return ExitCode::from(NO_VERSION);
    }
    let settings = match command {
        Ok(Command::Run(settings)) => settings,
        Ok(Command::Help | Command::Version) => return ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sfu-worker: settings error: {error}");
            return ExitCode::from(WRONG_SETTINGS);
        }
    };
    log::configure(settings.log_level, settings.log_tags);
    match serve(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Settings(reason)) => {
            eprintln!("sfu-worker: settings error: {reason}");
            ExitCode::from(WRONG_SETTINGS)
        }
        Err(Failure::System(reason)) => {
            eprintln!("sfu-worker: {reason}");
            ExitCode::from(UNKNOWN_FAILURE)
        }
    }
}

enum Failure {
    Settings(String),
    System(String),
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Failure::System(error.to_string())
    }
}

fn serve(settings: &Settings) -> Result<(), Failure> {
    // First of all, so that a signal that comes while the certificate is made ends the worker in order.
    let signals = Signals::new(&[SIGTERM, SIGINT])?;
    signal::ignore(&[SIGPIPE, SIGHUP, SIGALRM, SIGUSR1, SIGUSR2])?;
    raise_descriptor_limit();
    let inherit = |fd| take_fd(fd).map_err(|error| Failure::System(format!("file descriptor {fd}: {error}")));
    let (requests, replies, payloads_in, payloads_out) = (inherit(3)?, inherit(4)?, inherit(5)?, inherit(6)?);
    let config = Config {
        certificate: certificate(settings)?,
        srtp_backend: match settings.srtp_backend {
            SrtpBackend::Evp => srtp::Backend::Evp,
            #[cfg(feature = "libsrtp")]
            SrtpBackend::Libsrtp2 => srtp::Backend::Libsrtp,
            #[cfg(not(feature = "libsrtp"))]
            SrtpBackend::Libsrtp2 => return Err(Failure::Settings("this build has no libsrtp2".to_owned())),
        },
    };
    let output = Output::new(replies, payloads_out, OUTPUT)?;
    let sockets = Sockets::new(Poller::new()?, settings.rtc_min_port, settings.rtc_max_port);
    let worker = Worker::new(config, output, sockets);
    crate::debug!(Info, "starting sfu-worker {}", env!("CARGO_PKG_VERSION"));
    Ok(EventLoop::new(worker, requests, payloads_in, signals)?.run()?)
}

/// Lets the process have as many descriptors as it may: each transport has one at least, and the usual limit is 1024.
fn raise_descriptor_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        crate::warn!(Info, "cannot raise the limit of open descriptors: {error}");
    }
}

fn certificate(settings: &Settings) -> Result<dtls::Certificate, Failure> {
    let Some(files) = &settings.dtls_files else {
        return dtls::Certificate::generate().map_err(|error| Failure::System(error.to_string()));
    };
    let read = |option: &str, path: &std::path::Path| {
        std::fs::read_to_string(path)
            .map_err(|error| Failure::Settings(format!("--{option}: {}: {error}", path.display())))
    };
    let certificate = read("dtlsCertificateFile", &files.certificate)?;
    let private_key = read("dtlsPrivateKeyFile", &files.private_key)?;
    dtls::Certificate::from_pem(&certificate, &private_key)
        .map_err(|error| Failure::Settings(format!("--dtlsCertificateFile, --dtlsPrivateKeyFile: {error}")))
}
