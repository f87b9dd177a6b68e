//! What a turn of the loop has received.

use super::address::RawAddress;
use std::net::SocketAddr;
use std::ops::Range;

/// Datagrams of one turn, from any number of sockets, in buffers that are allocated once.
///
/// The memory is divided into slots; each received message takes one. With GRO a message is a train of datagrams, so there
/// can be many more datagrams than slots. [`super::UdpSocket::recv_batch`] appends, and everything stays where it is, and keeps its index, until
/// [`RecvBatch::clear`]: so a turn reads all its ready sockets into one batch and refers to packets by index. Untouched
/// slots cost address space, not memory.
///
/// When the batch is full in the middle of a turn's events, handle what it holds, clear it, and go on with the
/// remaining events: starting over with the first would starve the later ones.
pub struct RecvBatch {
    memory: Box<[u8]>,
    slots: usize,
    slot_size: usize,
    stride: usize,
    max_datagrams: usize,
    used: usize,
    datagrams: Vec<Datagram>,
}

#[derive(Clone)]
struct Datagram {
    remote: SocketAddr,
    bytes: Range<usize>,
    truncated: bool,
}

impl RecvBatch {
    /// A batch of `slots` messages (at least one) of up to `slot_size` bytes each.
    ///
    /// With GRO `slot_size` must be 65,535 or more, or the ends of trains are cut off. 64 slots of 65,536 bytes suit a worker.
    #[must_use]
    pub fn new(slots: usize, slot_size: usize) -> Self {
        // The first bytes of all slots would share the same few cache sets if slots were a power of two apart.
        const SKEW: usize = 21 * 64;
        let (slots, slot_size) = (slots.max(1), slot_size.max(1));
        let stride = slot_size.next_multiple_of(64) + SKEW;
        Self {
            memory: vec![0; slots * stride].into_boxed_slice(),
            slots,
            slot_size,
            stride,
            max_datagrams: usize::MAX,
            used: 0,
            datagrams: Vec::with_capacity(slots * 4),
        }
    }

    /// The same, full as soon as it holds `max_datagrams`: a bound of what a turn has to do, which trains would otherwise
    /// make 64 times as much. A call that brings the batch there may bring as many more as its trains hold.
    #[must_use]
    pub fn with_max_datagrams(self, max_datagrams: usize) -> Self {
        Self { max_datagrams, ..self }
    }

    /// Forgets all datagrams.
    pub fn clear(&mut self) {
        self.used = 0;
        self.datagrams.clear();
    }

    /// How many datagrams it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.datagrams.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty()
    }

    /// Whether no slot is left, or it holds as many datagrams as it should.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.used == self.slots || self.datagrams.len() >= self.max_datagrams
    }

    /// A datagram and its sender. Panics when there is no such datagram, as slices do.
    #[must_use]
    pub fn datagram(&self, index: usize) -> (&SocketAddr, &[u8]) {
        let datagram = &self.datagrams[index];
        (&datagram.remote, &self.memory[datagram.bytes.clone()])
    }

    /// The same, to be decrypted in place.
    #[must_use]
    pub fn datagram_mut(&mut self, index: usize) -> (&SocketAddr, &mut [u8]) {
        let datagram = &self.datagrams[index];
        (&datagram.remote, &mut self.memory[datagram.bytes.clone()])
    }

    /// Whether a datagram is only the beginning of what was sent, because its slot was too small.
    #[must_use]
    pub fn is_truncated(&self, index: usize) -> bool {
        self.datagrams[index].truncated
    }

    /// All datagrams in the order of their indices.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&SocketAddr, &[u8])> {
        self.datagrams.iter().map(|datagram| (&datagram.remote, &self.memory[datagram.bytes.clone()]))
    }

    /// Copies in a datagram that came another way, such as a frame from a TCP connection, so that all packets of a turn have
    /// indices of one kind. Returns its index, or `None` when the batch is full or it is longer than a slot.
    pub fn push(&mut self, remote: SocketAddr, bytes: &[u8]) -> Option<usize> {
        if self.is_full() || bytes.len() > self.slot_size {
            return None;
        }
        let start = self.used * self.stride;
        let range = start..start + bytes.len();
        self.memory[range.clone()].copy_from_slice(bytes);
        self.used += 1;
        self.datagrams.push(Datagram { remote, bytes: range, truncated: false });
        Some(self.datagrams.len() - 1)
    }

    /// How many slots are left.
    pub(super) const fn free_slots(&self) -> usize {
        self.slots - self.used
    }

    /// Where the message after `ahead` further ones is to be received.
    pub(super) fn slot(&mut self, ahead: usize) -> &mut [u8] {
        let start = (self.used + ahead) * self.stride;
        &mut self.memory[start..start + self.slot_size]
    }

    /// Notes that the next slot has been filled, and cuts its train into datagrams. Returns how many.
    pub(super) fn accept(&mut self, remote: &RawAddress, len: usize, segment: Option<usize>, truncated: bool) -> usize {
        let start = self.used * self.stride;
        self.used += 1;
        let Some(remote) = remote.get() else { return 0 };
        let len = len.min(self.slot_size);
        let segment = segment.filter(|&segment| segment > 0).unwrap_or(len);
        let before = self.datagrams.len();
        let mut at = 0;
        while at + segment < len {
            self.datagrams.push(Datagram { remote, bytes: start + at..start + at + segment, truncated: false });
            at += segment;
        }
        self.datagrams.push(Datagram { remote, bytes: start + at..start + len, truncated });
        self.datagrams.len() - before
    }
}
