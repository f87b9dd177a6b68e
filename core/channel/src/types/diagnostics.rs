//! What the worker logs and traces.

use serde::{Deserialize, Serialize};

/// How much the worker logs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Nothing.
    None,
    /// Errors only.
    #[default]
    Error,
    /// Errors and warnings.
    Warn,
    /// Everything.
    Debug,
}

impl LogLevel {
    /// The name on the wire and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Debug => "debug",
        }
    }

    /// The level of that name, whatever its case.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Error, Self::Warn, Self::Debug]
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(name))
    }
}

/// What a transport can trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TransportTraceEventType {
    /// Probation packets sent.
    Probation,
    /// Changes of the bandwidth estimate.
    Bwe,
}

/// What a producer or a consumer can trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceEventType {
    /// RTP packets.
    Rtp,
    /// RTP packets with a key frame.
    KeyFrame,
    /// NACKs.
    Nack,
    /// Picture loss indications.
    Pli,
    /// Full intra requests.
    Fir,
}

/// A set of trace types that has names on the wire.
pub trait TraceType: Copy + 'static {
    /// All of them, in the order of dumps.
    const ALL: &'static [Self];

    /// The name on the wire.
    fn as_str(self) -> &'static str;

    /// The type of that name.
    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl TraceType for TransportTraceEventType {
    const ALL: &'static [Self] = &[Self::Probation, Self::Bwe];

    fn as_str(self) -> &'static str {
        match self {
            Self::Probation => "probation",
            Self::Bwe => "bwe",
        }
    }
}

impl TraceType for TraceEventType {
    const ALL: &'static [Self] = &[Self::Rtp, Self::KeyFrame, Self::Nack, Self::Pli, Self::Fir];

    fn as_str(self) -> &'static str {
        match self {
            Self::Rtp => "rtp",
            Self::KeyFrame => "keyframe",
            Self::Nack => "nack",
            Self::Pli => "pli",
            Self::Fir => "fir",
        }
    }
}
