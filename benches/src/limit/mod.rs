//! The limits that a result is held against: what the kernel takes to send a packet in the cheapest way known for its pattern, what the
//! cipher takes, and what the kernel takes to receive a packet, all on the worker's core and without anything around them.
//!
//! Even packets leave in one `sendmmsg` for all their receivers, a message each; a burst's packets for one receiver leave as one train
//! (UDP GSO). A worker that is busy finds several bursts, or even packets, and can send longer trains than the pattern allows for; so the longest
//! ones are measured as well. Longer than that no train is, whatever the pattern.

mod receiving;
mod sending;

use crate::case::{Audience, Case};
use crate::machine::{Cores, pinned_to};
use crate::workload::{HEADER_LEN, Mode};
use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use sending::Way;
use serde::{Deserialize, Serialize};
use sfu_proto::srtp::{Backend, MAX_RTP_OVERHEAD, Sender};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// In nanoseconds of processor time a packet.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Limit {
    /// Of the kernel's sending, in the cheapest way for the pattern.
    pub send_ns: f64,
    /// Of its sending in the longest trains that every kernel takes; none in older results.
    #[serde(default)]
    pub longest_trains_ns: Option<f64>,
    /// Of the cipher.
    pub cipher_ns: f64,
    /// Of the kernel's receiving, for each packet that comes in, whatever number goes out for it; none in older results.
    #[serde(default)]
    pub receive_ns: Option<f64>,
}

impl Limit {
    /// Of a packet that goes out: sending and cipher.
    #[must_use]
    pub fn without_receiving(&self) -> f64 {
        self.send_ns + self.cipher_ns
    }

    /// The same, and its share of the packet that has come in.
    #[must_use]
    pub fn with_receiving(&self, audience: Audience) -> Option<f64> {
        Some(self.without_receiving() + self.receive_ns? / audience.copies() as f64)
    }
}

/// How long sending is measured, and the cipher for a fifth of that.
const SENDING: Duration = Duration::from_millis(200);

/// Measures it.
///
/// # Errors
/// The system's; or packets were lost.
pub fn measure(case: Case, cores: Cores) -> Result<Limit> {
    Ok(Limit {
        longest_trains_ns: Some(send(case, Way::LongestTrains, cores, SENDING)?),
        receive_ns: Some(receiving::measure(case.audience.streams(), case.traffic.packet_len, cores)?),
        ..without_receiving(case, cores, SENDING)?
    })
}

/// Measures what [`Limit::without_receiving`] consists of, and nothing else: sending for so long, and the cipher for a fifth of that.
///
/// # Errors
/// Likewise.
pub fn without_receiving(case: Case, cores: Cores, duration: Duration) -> Result<Limit> {
    let Case { mode, traffic, .. } = case;
    let cipher_ns = pinned_to(cores.worker, || Ok(cipher(mode, traffic.packet_len, duration / 5)))??;
    let send_ns = send(case, Way::of(traffic.pattern), cores, duration)?;
    Ok(Limit { send_ns, longest_trains_ns: None, cipher_ns, receive_ns: None })
}

fn send(Case { audience, mode, traffic }: Case, way: Way, cores: Cores, duration: Duration) -> Result<f64> {
    let len = traffic.packet_len + mode.suite().map_or(0, |suite| suite.rtp_tag_len());
    sending::measure(audience, way, len, cores, duration)
}

/// Processor time of this thread, in nanoseconds.
fn thread_ns() -> Result<u64> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("a thread's processor time is unknown")?;
    Ok(now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64)
}

fn cipher(mode: Mode, packet_len: usize, duration: Duration) -> Result<f64> {
    let Some(suite) = mode.suite() else { return Ok(0.0) };
    let mut sender = Sender::new(Backend::Evp, suite, &vec![7; suite.key_and_salt_len()])?;
    let payload = vec![9; packet_len - HEADER_LEN];
    let mut slot = vec![0; packet_len + MAX_RTP_OVERHEAD];
    let mut sequence = 0_u16;
    let mut protect = |count: u64| -> Result<()> {
        for _ in 0..count {
            slot[..2].copy_from_slice(&[0x80, 96]);
            slot[2..4].copy_from_slice(&sequence.to_be_bytes());
            black_box(sender.protect_rtp(&mut slot, HEADER_LEN, &payload)?);
            sequence = sequence.wrapping_add(1);
        }
        Ok(())
    };
    protect(100)?;
    let (mut count, start) = (0, Instant::now());
    let before = thread_ns()?;
    while start.elapsed() < duration {
        protect(1_000)?;
        count += 1_000;
    }
    Ok((thread_ns()? - before) as f64 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{Pattern, Traffic};

    #[test]
    fn trains_are_cheaper_than_messages_and_ciphers_cost_something() {
        let Ok(cores) = Cores::divide() else { return };
        let case = |mode, pattern| Case::one_to(4, mode, pattern);
        // A machine that does other work may be wrong once.
        let trains_are_cheaper = (0..3).any(|_| {
            let even = measure(case(Mode::AesCm, Pattern::Even), cores).unwrap();
            let burst = measure(case(Mode::Plain, Pattern::Burst), cores).unwrap();
            assert!(even.cipher_ns > 50.0 && burst.cipher_ns == 0.0, "{even:?}");
            let [even_trains, trains] = [even, burst].map(|limit| limit.longest_trains_ns.unwrap());
            trains < burst.send_ns && burst.send_ns < even.send_ns && even_trains < even.send_ns
        });
        assert!(trains_are_cheaper);
        let rooms = Audience::Rooms { rooms: 2, people: 3 };
        let rooms = Case { audience: rooms, mode: Mode::AesGcm, traffic: Traffic::audio() };
        assert!(measure(rooms, cores).unwrap().send_ns > 100.0);
    }

    #[test]
    fn a_packet_that_comes_in_costs_something_on_one_socket_and_on_many() {
        let Ok(cores) = Cores::divide() else { return };
        for streams in [1, 12] {
            let receive_ns =
                (0..3).map(|_| receiving::measure(streams, 1_200, cores).unwrap()).fold(f64::MAX, f64::min);
            assert!((50.0..20_000.0).contains(&receive_ns), "{receive_ns}");
        }
    }

    #[test]
    fn what_comes_in_is_shared_by_its_copies() {
        let limit = Limit { send_ns: 800.0, longest_trains_ns: Some(700.0), cipher_ns: 100.0, receive_ns: Some(600.0) };
        let to = |consumers| Audience::Fan { producers: 1, consumers };
        assert_eq!(limit.without_receiving(), 900.0);
        assert_eq!(limit.with_receiving(to(1)), Some(1_500.0));
        assert_eq!(limit.with_receiving(to(10)), Some(960.0));
        assert_eq!(limit.with_receiving(Audience::Rooms { rooms: 100, people: 4 }), Some(1_100.0));
        // Older results have neither.
        let old: Limit = serde_json::from_str(r#"{ "send_ns": 800.0, "cipher_ns": 100.0 }"#).unwrap();
        assert_eq!((old.with_receiving(to(1)), old.longest_trains_ns), (None, None));
    }
}
