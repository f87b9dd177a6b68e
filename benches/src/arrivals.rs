//! Datagrams with the time at which the kernel had them on their way to the socket.
//!
//! Who takes the time in user space, after having been woken up, measures its own wake-up too, and waits for its core if something else
//! has it. The kernel's stamp (`SO_TIMESTAMPNS`) has neither. On loopback it is taken in the sender's send call, when the packet
//! is handed to the loopback device: what comes after it, cutting a train (UDP GSO) into datagrams and queueing them at the socket, still in
//! that call, is not in it. All datagrams of a train have the stamp of the train, so that the last of them was in the socket later by what
//! cutting and queueing those before it takes.
//!
//! - The stamp is by CLOCK_REALTIME, and the generator's times by CLOCK_MONOTONIC. Both are read after each batch, one between two readings
//!   of the other, so that their difference is known to half of the time between those two, some ten nanoseconds. An adjustment of
//!   the clock between stamp and reading comes on top: at the most that NTP slews by, 500 ppm, half a microsecond for each millisecond that the
//!   datagram waited. A clock that is set in that time makes that batch wrong.
//! - While any socket asks for stamps, the kernel reads a clock for each packet that any process sends or receives: some ten nanoseconds a
//!   packet for every worker alike.
//! - The kernel begins to stamp shortly after the first socket has asked. What came before gets the time at which it is read.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use std::array;
use std::io::IoSliceMut;
use std::os::fd::AsRawFd;

use crate::machine::monotonic_ns;
use sfu_reactor::udp::UdpSocket;

/// Messages a call.
const BURST: usize = 64;

/// Bytes from one message's buffer to the next one's: more than any packet of the benchmarks has, and no power of two, so that they don't
/// share the same few sets of the cache. What is longer is cut off.
const STRIDE: usize = 33 * 64;

/// Buffers for what one socket has received.
pub(crate) struct Stamped {
    headers: MultiHeaders<SockaddrIn>,
    memory: Vec<u8>,
    datagrams: Vec<Datagram>,
}

/// A datagram of the last batch.
#[derive(Debug, Clone, Copy)]
struct Datagram {
    /// The sender's port.
    from: u16,
    len: usize,
    /// Nanoseconds of the monotonic clock.
    arrival: u64,
}

impl Stamped {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            headers: MultiHeaders::preallocate(BURST, Some(nix::cmsg_space!(TimeSpec))),
            memory: vec![0; BURST * STRIDE],
            datagrams: Vec::with_capacity(BURST),
        }
    }

    /// Has the kernel stamp what comes to a socket from now on. It must not take trains: there would be room for the stamp alone.
    ///
    /// # Errors
    /// The kernel doesn't.
    pub(crate) fn ask(socket: &UdpSocket) -> Result<()> {
        setsockopt(socket, ReceiveTimestampns, &true).context("the kernel doesn't stamp datagrams (SO_TIMESTAMPNS)")
    }

    /// Takes what waits in a socket that stamps were asked for, up to [`BURST`] datagrams. Returns how many there were.
    ///
    /// # Errors
    /// Those of the system, and a datagram without a stamp.
    pub(crate) fn receive(&mut self, socket: &UdpSocket) -> Result<usize> {
        self.datagrams.clear();
        let mut buffers = self.memory.chunks_exact_mut(STRIDE);
        let mut slices: [_; BURST] = array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let messages = match recvmmsg(socket.as_raw_fd(), &mut self.headers, &mut slices, flags, None) {
            Ok(messages) => messages,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let ahead = realtime_ahead();
        for message in messages {
            let stamp = message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(time) => Some(time),
                _ => None,
            });
            let Some(stamp) = stamp else { bail!("the kernel has not stamped a datagram") };
            let arrival = i128::from(nanoseconds(stamp)) - i128::from(ahead);
            self.datagrams.push(Datagram {
                from: message.address.map_or(0, |address| address.port()),
                len: message.bytes,
                arrival: u64::try_from(arrival).unwrap_or(0),
            });
        }
        Ok(self.datagrams.len())
    }

    /// A datagram of the last batch: the sender's port, the bytes, and the arrival in nanoseconds of the monotonic clock. Panics when
    /// there is no such datagram, as slices do.
    pub(crate) fn datagram_mut(&mut self, index: usize) -> (u16, &mut [u8], u64) {
        let Datagram { from, len, arrival } = self.datagrams[index];
        (from, &mut self.memory[index * STRIDE..][..len.min(STRIDE)], arrival)
    }
}

fn nanoseconds(time: TimeSpec) -> i64 {
    time.tv_sec() * 1_000_000_000 + time.tv_nsec()
}

fn realtime_ns() -> i64 {
    // Fails only for a clock that doesn't exist.
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, nanoseconds)
}

/// By how many nanoseconds the clock of stamps is ahead of the monotonic one.
fn realtime_ahead() -> i64 {
    /// Longer than the three readings take unless something comes between.
    const CLOSE: u64 = 1_000;
    const ATTEMPTS: usize = 4;
    let read = || {
        let (before, realtime, after) = (monotonic_ns(), realtime_ns(), monotonic_ns());
        let took = after.saturating_sub(before);
        (took, realtime - i64::try_from(before + took / 2).unwrap_or(0))
    };
    let mut best = read();
    for _ in 1..ATTEMPTS {
        if best.0 < CLOSE {
            break;
        }
        best = best.min(read());
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu_reactor::udp::UdpOptions;
    use std::time::{Duration, Instant};

    const LEN: usize = 1_200;

    /// A socket whose datagrams are stamped, and one to send from.
    fn pair() -> (UdpSocket, UdpSocket) {
        let bind = |options: &UdpOptions| UdpSocket::bind("127.0.0.1:0".parse().unwrap(), options).unwrap();
        let receiver = bind(&UdpOptions { gro: false, receive_buffer: Some(1 << 20), ..UdpOptions::default() });
        Stamped::ask(&receiver).unwrap();
        (receiver, bind(&UdpOptions::default()))
    }

    /// Sends so many at once and receives them. Returns how many of them were stamped before the call was over.
    fn within_the_call(count: usize, (receiver, sender): &mut (UdpSocket, UdpSocket), stamped: &mut Stamped) -> usize {
        let bytes = vec![7; count * LEN];
        let before = monotonic_ns();
        sender.send_segments(receiver.local_addr(), &bytes, &vec![LEN as u16; count]);
        let after = monotonic_ns();
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut arrivals = Vec::new();
        // On a busy machine the kernel may queue them a little later.
        while arrivals.len() < count {
            assert!(Instant::now() < deadline, "{} of {count} came", arrivals.len());
            for index in 0..stamped.receive(receiver).unwrap() {
                let (from, bytes, arrival) = stamped.datagram_mut(index);
                assert_eq!((from, bytes.len()), (sender.local_addr().port(), LEN));
                arrivals.push(arrival);
            }
        }
        // The two clocks are compared to within less than that.
        arrivals.into_iter().filter(|&arrival| before < arrival + 100 && arrival < after + 100).count()
    }

    #[test]
    fn the_kernel_s_stamp_is_taken_while_the_sender_sends_and_for_each_datagram_of_a_train() {
        let mut sockets = pair();
        let mut stamped = Stamped::new();
        // It begins soon after the first socket has asked.
        let deadline = Instant::now() + Duration::from_secs(10);
        while within_the_call(1, &mut sockets, &mut stamped) == 0 {
            assert!(Instant::now() < deadline, "stamps are taken when datagrams are read");
        }
        for count in [1, 2, 40] {
            assert_eq!(within_the_call(count, &mut sockets, &mut stamped), count);
        }
        assert!(sockets.1.counters().trains >= 2, "the kernel sends no trains: {:?}", sockets.1.counters());
        assert_eq!(stamped.receive(&sockets.0).unwrap(), 0);
    }

    #[test]
    fn what_is_too_long_is_cut_off() {
        let (receiver, mut sender) = pair();
        sender.send_to(receiver.local_addr(), &[7; STRIDE + 1]);
        let mut stamped = Stamped::new();
        assert_eq!(stamped.receive(&receiver).unwrap(), 1);
        assert_eq!(stamped.datagram_mut(0).1.len(), STRIDE);
    }
}
