//! The command line of the worker, and what is read because of it.
//!
//! The library that spawns a worker relies on three things here: a wrong setting ends the process with exit code 42;
//! an option may be shortened to any prefix that no other option shares (it writes `--logTag` for `--logTags`); and
//! every value is attached with `=`.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::log::{Level, Tags};

/// What the command line says, with the defaults where it says nothing.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is worth a log frame.
    pub log_level: Level,
    /// Which subjects are logged at levels debug and warn.
    pub log_tags: Tags,
    /// First port that a transport without a given port may take.
    pub rtc_min_port: u16,
    /// Last port that a transport without a given port may take.
    pub rtc_max_port: u16,
    /// PEM files of the DTLS certificate and of its private key; a certificate is generated when absent.
    pub dtls_files: Option<DtlsFiles>,
    /// Which implementation of SRTP protects media.
    pub srtp_backend: SrtpBackend,
}

/// The two PEM files of a DTLS identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DtlsFiles {
    /// The X.509 certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
}

/// The implementations of SRTP to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SrtpBackend {
    /// Our own, on the ciphers of AWS-LC.
    Evp,
    /// The system's libsrtp2 (only in builds with the feature `libsrtp`).
    Libsrtp2,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Run as a worker.
    Run(Box<Settings>),
    /// Print the options and leave.
    Help,
    /// Print the version and leave.
    Version,
}

/// A setting that cannot be used: the sentence names the option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SettingsError {}

/// What `--help` prints.
pub const HELP: &str = "\
sfu-worker: a media worker that speaks the channel protocol of mediasoup 3.12 on file descriptors 3 to 6.

It is meant to be spawned by a library; the environment variable MEDIASOUP_VERSION must be set.

  --logLevel=debug|warn|error|none   what is logged on the channel (default error)
  --logTags=TAG                      a subject to log; may be repeated: info ice dtls rtp srtp rtcp rtx bwe score
                                     simulcast svc sctp message
  --rtcMinPort=N                     first port for media (default 10000)
  --rtcMaxPort=N                     last port for media (default 59999)
  --dtlsCertificateFile=PATH         PEM certificate for DTLS (with the next one; default: made at start)
  --dtlsPrivateKeyFile=PATH          PEM private key for DTLS
  --srtpBackend=evp|libsrtp2         which SRTP implementation (default evp)
  --libwebrtcFieldTrials=X           accepted and ignored
  --help, --version
";

const OPTIONS: [&str; 10] = [
    "logLevel",
    "logTags",
    "rtcMinPort",
    "rtcMaxPort",
    "dtlsCertificateFile",
    "dtlsPrivateKeyFile",
    "libwebrtcFieldTrials",
    "srtpBackend",
    "help",
    "version",
];

impl Default for Settings {
    fn default() -> Self {
        Settings {
            log_level: Level::Error,
            log_tags: Tags::default(),
            rtc_min_port: 10_000,
            rtc_max_port: 59_999,
            dtls_files: None,
            srtp_backend: SrtpBackend::Evp,
        }
    }
}

impl Command {
    /// Reads the arguments that follow the program's name.
    ///
    /// # Errors
    /// A sentence that names the option which is unknown, lacks its value or has a wrong one.
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, SettingsError> {
        let mut settings = Settings::default();
        let mut tags = Vec::new();
        let mut certificate = None;
        let mut private_key = None;
        for arg in args {
            let mut parts = arg.as_bytes().splitn(2, |byte| *byte == b'=');
            let option = find_option(&String::from_utf8_lossy(parts.next().unwrap_or_default()))?;
            match option {
                "help" => return Ok(Command::Help),
                "version" => return Ok(Command::Version),
                _ => {}
            }
            let raw = parts
                .next()
                .map(OsStr::from_bytes)
                .ok_or_else(|| SettingsError(format!("option --{option} requires a value (--{option}=VALUE)")))?;
            let value: &str = &raw.to_string_lossy();
            match option {
                "logLevel" => {
                    settings.log_level = Level::from_name(value)
                        .ok_or_else(|| SettingsError(format!("invalid value '{value}' for --logLevel")))?;
                }
                "logTags" => tags.push(value.to_owned()),
                "rtcMinPort" => settings.rtc_min_port = parse_port(option, value)?,
                "rtcMaxPort" => settings.rtc_max_port = parse_port(option, value)?,
                // A file's name can be any bytes.
                "dtlsCertificateFile" => certificate = Some(PathBuf::from(raw)),
                "dtlsPrivateKeyFile" => private_key = Some(PathBuf::from(raw)),
                "srtpBackend" => settings.srtp_backend = parse_backend(value)?,
                _ => {}
            }
        }
        settings.log_tags = Tags::from_names(tags.iter().map(String::as_str));
        if settings.rtc_max_port < settings.rtc_min_port {
            return Err(SettingsError("rtcMaxPort cannot be less than rtcMinPort".to_owned()));
        }
        settings.dtls_files = match (certificate, private_key) {
            (None, None) => None,
            (Some(certificate), Some(private_key)) => {
                readable("dtlsCertificateFile", &certificate)?;
                readable("dtlsPrivateKeyFile", &private_key)?;
                Some(DtlsFiles { certificate, private_key })
            }
            (Some(_), None) => {
                return Err(SettingsError("dtlsCertificateFile given without dtlsPrivateKeyFile".to_owned()));
            }
            (None, Some(_)) => {
                return Err(SettingsError("dtlsPrivateKeyFile given without dtlsCertificateFile".to_owned()));
            }
        };
        Ok(Command::Run(Box::new(settings)))
    }
}

/// The option that `name` (with its dashes) means: its exact name or the only one that begins so.
fn find_option(name: &str) -> Result<&'static str, SettingsError> {
    let bare = name
        .strip_prefix("--")
        .or_else(|| name.strip_prefix('-'))
        .filter(|bare| !bare.is_empty())
        .ok_or_else(|| SettingsError(format!("unexpected argument '{name}'")))?;
    if let Some(option) = OPTIONS.iter().find(|option| **option == bare) {
        return Ok(option);
    }
    let mut matches = OPTIONS.iter().filter(|option| option.starts_with(bare));
    match (matches.next(), matches.next()) {
        (Some(option), None) => Ok(option),
        (Some(_), Some(_)) => Err(SettingsError(format!("ambiguous option '{name}'"))),
        _ => Err(SettingsError(format!("unknown option '{name}'"))),
    }
}

fn parse_port(option: &str, value: &str) -> Result<u16, SettingsError> {
    value.parse().map_err(|_| {
        SettingsError(format!("invalid value '{value}' for --{option}: a port from 0 to 65535 is expected"))
    })
}

fn parse_backend(value: &str) -> Result<SrtpBackend, SettingsError> {
    match value {
        "evp" => Ok(SrtpBackend::Evp),
        "libsrtp2" if cfg!(feature = "libsrtp") => Ok(SrtpBackend::Libsrtp2),
        "libsrtp2" => Err(SettingsError("--srtpBackend=libsrtp2 needs a build with the feature 'libsrtp'".to_owned())),
        _ => Err(SettingsError(format!("invalid value '{value}' for --srtpBackend: evp or libsrtp2 is expected"))),
    }
}

fn readable(option: &str, path: &std::path::Path) -> Result<(), SettingsError> {
    std::fs::File::open(path)
        .map(drop)
        .map_err(|error| SettingsError(format!("--{option}: cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Command, SettingsError> {
        Command::parse(args.iter().map(OsString::from))
    }

    fn settings(args: &[&str]) -> Settings {
        match parse(args) {
            Ok(Command::Run(settings)) => *settings,
            other => panic!("expected settings, got {other:?}"),
        }
    }

    #[test]
    fn defaults_are_mediasoups() {
        let s = settings(&[]);
        assert_eq!((s.log_level, s.rtc_min_port, s.rtc_max_port), (Level::Error, 10_000, 59_999));
        assert_eq!(s.dtls_files, None);
    }

    #[test]
    fn the_library_writes_log_tag_in_the_singular() {
        let s = settings(&["--logLevel=WARN", "--logTag=ice", "--logTag=nonsense", "--logTags=rtp"]);
        assert_eq!(s.log_level, Level::Warn);
        assert_eq!(s.log_tags, Tags::from_names(["ice", "rtp"]));
    }

    #[test]
    fn wrong_settings_are_refused_and_named() {
        let empty = tempfile::NamedTempFile::new().unwrap();
        let path = empty.path().display();
        for (args, named) in [
            (vec!["--logLevel=chicken".to_owned()], "logLevel"),
            (vec!["--logLevel".to_owned()], "logLevel"),
            (vec!["--rtcMinPort=1000".to_owned(), "--rtcMaxPort=999".to_owned()], "rtcMaxPort"),
            (vec!["--rtcMinPort=70000".to_owned()], "rtcMinPort"),
            (vec!["--rtcM=1".to_owned()], "rtcM"),
            (vec!["--chicken=1".to_owned()], "chicken"),
            (vec!["chicken".to_owned()], "chicken"),
            (
                vec![
                    "--dtlsCertificateFile=/notfound/cert.pem".to_owned(),
                    "--dtlsPrivateKeyFile=/notfound/key.pem".to_owned(),
                ],
                "dtlsCertificateFile",
            ),
            (vec![format!("--dtlsPrivateKeyFile={path}")], "dtlsPrivateKeyFile"),
            (vec!["--srtpBackend=none".to_owned()], "srtpBackend"),
        ] {
            let error = Command::parse(args.iter().map(OsString::from)).expect_err("must be refused");
            assert!(error.to_string().contains(named), "{args:?}: {error}");
        }
    }

    #[test]
    fn field_trials_are_ignored() {
        settings(&["--libwebrtcFieldTrials=WebRTC-Bwe/Enabled/"]);
    }
}
