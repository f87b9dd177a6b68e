//! The command line.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::Parser;

/// Where browsers find the conference unless told otherwise.
pub const DEFAULT_PORT: u16 = 4443;

/// Where to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// One address of the machine; without it, every address of both families.
    pub ip: Option<IpAddr>,
    /// 0 lets the system choose one.
    pub port: u16,
}

impl Default for Listen {
    fn default() -> Self {
        Self { ip: None, port: DEFAULT_PORT }
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { ip: Some(address.ip()), port: address.port() });
        }
        let port = text.parse().map_err(|_| "it wants a port such as 4555, 127.0.0.1:4555 or [::1]:4555")?;
        Ok(Self { ip: None, port })
    }
}

/// A video conference in one program: HTTPS, signalling, rooms and the page.
#[derive(Debug, Clone, Parser)]
#[command(version, about, after_help = "The conference can be stopped with Ctrl-C.")]
pub struct Options {
    /// Port for HTTPS and WebSocket, on every address or on one [default: 4443]
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    pub listen: Option<Listen>,

    /// IP address that browsers shall send media to, instead of the machine's own; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    pub announce: Vec<IpAddr>,

    /// TLS certificate chain, PEM [default: a self-signed one, made at the first start]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,

    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,

    /// Folder for what is kept between starts [default: $XDG_DATA_HOME/sfu-conference]
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// Media worker processes [default: one per core]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,

    /// Another media worker program that speaks mediasoup 3.12's channel protocol
    #[arg(long, value_name = "PROGRAM")]
    pub worker: Option<PathBuf>,

    /// Lowest port for media
    #[arg(long, value_name = "PORT", default_value_t = 10000)]
    pub rtc_min_port: u16,

    /// Highest port for media
    #[arg(long, value_name = "PORT", default_value_t = 59999)]
    pub rtc_max_port: u16,

    /// What to log: error, warn, info, debug, trace, or filters such as sfu_conference=debug
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub log: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_read() {
        let options =
            Options::try_parse_from(["x", "--listen", "[::1]:0", "--announce", "192.0.2.1", "--announce", "::1"])
                .expect("good options");
        assert_eq!(options.listen, Some(Listen { ip: Some("::1".parse().expect("address")), port: 0 }));
        assert_eq!(options.announce.len(), 2);
    }

    #[test]
    fn a_port_alone_is_one_on_every_address() {
        let options = Options::try_parse_from(["x", "--listen", "4555"]).expect("good options");
        assert_eq!(options.listen, Some(Listen { ip: None, port: 4555 }));
    }

    #[test]
    fn a_name_is_refused_with_an_example() {
        for wrong in ["localhost:4555", "127.0.0.1", "65536", ""] {
            let error = Options::try_parse_from(["x", "--listen", wrong]).expect_err("no address").to_string();
            assert!(error.contains("127.0.0.1:4555"), "{error}");
        }
    }

    #[test]
    fn a_certificate_wants_its_key() {
        let error = Options::try_parse_from(["x", "--cert", "a.pem"]).expect_err("no key");
        assert!(error.to_string().contains("--key"), "{error}");
    }
}
