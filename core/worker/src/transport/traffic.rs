//! What has gone through a transport: totals, and bit rates over the last seconds.

use std::time::Duration;

use sfu_proto::stream::RateCounter;

/// Bit rates are those of this window.
const WINDOW: Duration = Duration::from_millis(2500);

/// The counters of one transport.
#[derive(Debug, Clone)]
pub struct Traffic {
    /// All that came in.
    pub received: RateCounter,
    /// All that went out.
    pub sent: RateCounter,
    /// Media that came in.
    pub rtp_received: RateCounter,
    /// Media that went out.
    pub rtp_sent: RateCounter,
    /// Retransmissions that came in.
    pub rtx_received: RateCounter,
    /// Retransmissions that went out.
    pub rtx_sent: RateCounter,
    /// Packets that only probe the bandwidth.
    pub probation_sent: RateCounter,
}

impl Default for Traffic {
    fn default() -> Traffic {
        let counter = RateCounter::new(WINDOW);
        Traffic {
            received: counter.clone(),
            sent: counter.clone(),
            rtp_received: counter.clone(),
            rtp_sent: counter.clone(),
            rtx_received: counter.clone(),
            rtx_sent: counter.clone(),
            probation_sent: counter,
        }
    }
}
