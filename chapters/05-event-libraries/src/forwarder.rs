//! What is forwarded to whom: no socket, no clock, no thread. Every driver asks this same code, so that the drivers can
//! differ in one thing only: how bytes come in and go out.
//!
//! All that a peer says is in the first byte of a datagram:
//!
//! | first byte | name | rest | answer |
//! |---|---|---|---|
//! | `01` | join | nothing | `02`, and the number of subscribers as 16 bits, big-endian |
//! | `03` | leave | nothing | `04`, and the number of subscribers left |
//! | `80` to `bf` | payload | anything | none: it goes to every subscriber, unchanged |
//!
//! A payload's first byte is that of an RTP packet (RFC 3550 §5.1), and one socket tells traffic from control by the
//! first byte, as WebRTC does (RFC 7983 §7). Whoever sends the first payload is the sender, until it leaves. What
//! anybody else sends as payload is dropped, and so is every datagram that the table does not have.

use std::net::SocketAddr;

/// The longest datagram that is forwarded, in bytes: what fits one Ethernet frame of 1,500 less IPv4 and UDP headers.
pub const MAX_DATAGRAM: usize = 1_472;

/// A buffer to receive into: one byte more, so that a longer datagram, which the kernel cuts, is known by its length.
pub const BUFFER: usize = MAX_DATAGRAM + 1;

/// How many may subscribe. Every payload is sent as often: a bound on the work that one datagram can cause.
pub const MAX_SUBSCRIBERS: usize = 1_000;

/// First byte: the peer wants every payload from now on.
pub const JOIN: u8 = 0x01;
/// First byte of the answer to [`JOIN`].
pub const JOINED: u8 = 0x02;
/// First byte: the peer is a subscriber no more, or not the sender any more.
pub const LEAVE: u8 = 0x03;
/// First byte of the answer to [`LEAVE`].
pub const LEFT: u8 = 0x04;

/// Whether a datagram is a payload. Any other may change who subscribes.
pub fn is_payload(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80..=0xbf, ..])
}

// ANCHOR: route
/// What a driver has to do with the datagram that it just handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Nothing.
    Drop,
    /// Send these bytes back to where it came from.
    Answer([u8; 3]),
    /// Send the datagram as it is to each of [`Forwarder::subscribers`].
    Forward,
}
// ANCHOR_END: route

/// Something worth telling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A subscriber more; how many there are now.
    Joined(SocketAddr, usize),
    /// One less.
    Left(SocketAddr, usize),
    /// From here payloads come from now on.
    Sender(SocketAddr),
    /// A datagram was dropped, and why.
    Dropped(SocketAddr, &'static str),
}

/// Who subscribes, and who sends.
#[derive(Debug)]
pub struct Forwarder {
    sender: Option<SocketAddr>,
    subscribers: Vec<SocketAddr>,
    observe: fn(Event),
}

impl Forwarder {
    /// With nobody in it. `observe` is told what happens, except for payloads that are forwarded.
    pub fn new(observe: fn(Event)) -> Forwarder {
        Forwarder { sender: None, subscribers: Vec::new(), observe }
    }

    /// Where payloads go.
    pub fn subscribers(&self) -> &[SocketAddr] {
        &self.subscribers
    }

    // ANCHOR: handle
    /// Takes a datagram that has come, and says what is to be done with it.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8]) -> Route {
        match bytes {
            [JOIN] => self.join(from),
            [LEAVE] => self.leave(from),
            _ if !is_payload(bytes) => self.refuse(from, "neither join, leave nor payload"),
            _ if bytes.len() > MAX_DATAGRAM => self.refuse(from, "longer than an Ethernet frame"),
            _ if self.sender.is_some_and(|sender| sender != from) => self.refuse(from, "there is a sender already"),
            _ if self.sender.is_some() => Route::Forward,
            _ => {
                self.sender = Some(from);
                (self.observe)(Event::Sender(from));
                Route::Forward
            }
        }
    }
    // ANCHOR_END: handle

    fn join(&mut self, from: SocketAddr) -> Route {
        // An answer may be lost, and then the peer asks again.
        if !self.subscribers.contains(&from) {
            if self.subscribers.len() == MAX_SUBSCRIBERS {
                return self.refuse(from, "no room for another subscriber");
            }
            self.subscribers.push(from);
            (self.observe)(Event::Joined(from, self.subscribers.len()));
        }
        self.answer(JOINED)
    }

    fn leave(&mut self, from: SocketAddr) -> Route {
        if self.sender == Some(from) {
            self.sender = None;
        }
        if let Some(index) = self.subscribers.iter().position(|subscriber| *subscriber == from) {
            self.subscribers.remove(index);
            (self.observe)(Event::Left(from, self.subscribers.len()));
        }
        self.answer(LEFT)
    }

    fn answer(&self, kind: u8) -> Route {
        // At most MAX_SUBSCRIBERS, which fits.
        let [high, low] = (self.subscribers.len() as u16).to_be_bytes();
        Route::Answer([kind, high, low])
    }

    fn refuse(&self, from: SocketAddr, why: &'static str) -> Route {
        (self.observe)(Event::Dropped(from, why));
        Route::Drop
    }
}
