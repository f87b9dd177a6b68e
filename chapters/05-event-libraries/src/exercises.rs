//! Exercises of chapter 05: replace each `unsolved!()`, then let them be graded:
//!
//! ```text
//! cargo test -p ch05-event-libraries --test exercises
//! ```

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::time::{Duration, Instant};

use stage::unsolved;

/// Exercise 1. A subscriber that vanished never says "leave". Let each have to join again within `lease`: `joined` has
/// every subscriber and when it last joined. Remove those whose time is over at `now` (exactly `lease` is over), and
/// return when the next one's will be, for the driver to wait until then; `None` when nobody is left.
pub fn expire(joined: &mut Vec<(SocketAddr, Instant)>, now: Instant, lease: Duration) -> Option<Instant> {
    let _ = (joined, now, lease);
    unsolved!()
}

/// Exercise 2. Cuts a turn's datagrams, of these lengths in bytes, into as few trains as the kernel allows, in order. All
/// pieces of a train have one length, but its last may be shorter. A train has at most 64 pieces and 65,000 bytes; an
/// empty datagram, and one that is longer than the limit, is alone.
pub fn trains(lengths: &[usize]) -> Vec<Range<usize>> {
    let _ = lengths;
    unsolved!()
}

/// Exercise 3. One driver more: poll(2), which is told all descriptors anew with every call. Each of these sockets has a
/// forwarder of its own, and one thread serves all of them, for ever. While nothing comes it must cost nothing, not even
/// a look at the clock; and one socket's flood must not keep the others waiting. (The crate `nix` has `poll::poll`.)
///
/// # Errors
/// A socket is unusable.
pub fn serve_with_poll(sockets: &[UdpSocket]) -> io::Result<Infallible> {
    let _ = sockets;
    unsolved!()
}
