//! Bandwidth estimation: how much may be sent without a queue growing on the way.
//!
//! The method is Google Congestion Control (draft-ietf-rmcat-gcc-02, and what is known of how it went on):
//!
//! ```text
//!  packets sent ──> sent ────────────┐
//!                                    v
//!  transport-wide feedback ──> arrivals ──> groups ──> trendline ──> rate control ──┐
//!                                 │            load of the path     ^               v
//!                                 ├──> throughput ──────────────────┘          min ──> available bitrate
//!                                 ├──> loss control ────────────────────────────────^
//!                                 └──> probe clusters ──> raise both
//! ```
//!
//! Where there is only a bound (REMB), that is the available bitrate, and padding fills up to it while more is wanted.
//! [`RetransmissionBudget`] says how much of the available bitrate may go to what was lost, [`Repeats`] what of it was lost
//! once more.
//!
//! [`Estimator`] is the sender's side: it hears from the receiver when each packet arrived (transport-wide feedback,
//! draft-holmer-rmcat-transport-wide-cc-extensions-01), or only a bound (REMB). [`RemoteEstimator`] is the receiver's,
//! for senders that negotiated only absolute send times.
//!
//! Inside, times are microseconds since the estimator was made, or of the receiver's clock, as `i64`; bitrates are bits
//! per second as `f64`. Nothing is allocated for a packet but room in the ring of packets sent, which grows to what a
//! round trip needs and is bounded.
//!
//! Each constant says where it comes from: *draft*, from draft-ietf-rmcat-gcc-02; *libwebrtc*, the value of the implementation
//! that most senders have, found in use rather than specified; or *cases*, chosen by the cases of a simulated network in
//! `tests/congestion`, of which there is a table.
//!
//! What is assumed: feedback about every 50 to 250 ms. What differs from the usual: media are not paced, a frame leaves as
//! it came; so a probe cluster counts the burst of a frame as part of itself, and beside media that use the estimate in
//! full a cluster counts only if the path took it. Not here: ECN, the congestion window with its pushback, cross-traffic
//! heuristics, and the sharing of the result among streams.

mod budget;
mod burst;
mod delay;
mod estimator;
mod filler;
mod groups;
mod loss;
mod probe;
mod rate_control;
mod remote;
mod repeats;
mod sent;
mod throughput;
mod trendline;

pub use budget::RetransmissionBudget;
pub use estimator::{Bounds, Estimator};
pub use remote::RemoteEstimator;
pub use repeats::{Lost, Repeats};
pub use trendline::Usage;
