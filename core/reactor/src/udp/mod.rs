//! UDP, many datagrams per system call.
//!
//! Two things make a forwarding server cheap, and both are about calls, not about loops:
//!
//! - inwards, one `recvmmsg` takes what has queued up, and with UDP_GRO (Linux 5.0) each message may hold a train of
//!   equally long datagrams of one sender: [`UdpSocket::recv_batch`] into a [`RecvBatch`];
//! - outwards, one message with UDP_SEGMENT (GSO, Linux 4.18) carries a train to one destination, which the kernel or the network
//!   card cuts up: [`UdpSocket::send_segments`].
//!
//! Each has a slower path that does the same (`recvmmsg` without GRO, `recvmsg`; `sendmmsg`, `sendmsg`), taken where the
//! kernel lacks the faster and forced by [`UdpOptions`] in tests, where it serves as the oracle.

mod address;
mod backlog;
mod batch;
mod send;
mod socket;

pub(crate) use address::RawAddress;
pub(crate) use socket::local_addr;

pub use batch::RecvBatch;
pub use send::{SendFault, Sent};
pub use socket::{UdpCounters, UdpOptions, UdpSocket};
