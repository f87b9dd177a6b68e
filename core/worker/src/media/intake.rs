//! What a turn takes in: datagrams that lie in the batch, and those that come while others are being sent.
//!
//! Sending to many takes a while, and packets that follow closely on those that woke the loop, as the rest of a video frame does,
//! come meanwhile. So the sockets that brought something are looked at again while there are receivers left: these get all in one
//! train, and only those that had been served before get a second one. Nobody waits for it. A look that finds nothing is a
//! system call in vain, so that it is taken only after a number of sends that makes it a small part of them.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Instant;

use sfu_reactor::poll::Token;
use sfu_reactor::udp::RecvBatch;

use crate::sockets::SocketIo;
use crate::worker::Worker;

/// Packets received and sent per turn, about: less than a tenth of a second, and enough for a key frame to a thousand
/// consumers, to each of which it then goes in one call.
pub const MAX_LOAD: usize = 65_536;

/// A look at one socket comes after so many transports have been sent to, at least.
const SENDS_PER_LOOK: usize = 2;

/// Datagrams of the batch that are still to be handled.
#[derive(Debug)]
pub struct Intake {
    /// Which, and through which socket they came. By token, since that one may be closed by then, and its key another's.
    waiting: VecDeque<(Token, Range<usize>)>,
    /// The sockets that brought what is being routed.
    sources: Vec<Token>,
}

impl Intake {
    pub(super) fn with_capacity(sockets: usize) -> Intake {
        Intake { waiting: VecDeque::with_capacity(sockets), sources: Vec::with_capacity(sockets) }
    }

    /// Notes that these datagrams of the batch have come through a socket.
    pub fn push(&mut self, socket: Token, datagrams: Range<usize>) {
        self.waiting.push_back((socket, datagrams));
    }

    /// Whether nothing is left to be handled.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many transports are sent to before the next look, when it was last looked after `sent` of them: each time three times
    /// as many, so that looks stay few however many transports there are, and enough for each socket that has to be looked at.
    pub(super) fn next_look(&self, sent: usize) -> Option<usize> {
        (!self.sources.is_empty()).then_some((sent * 3).max(sent + SENDS_PER_LOOK * self.sources.len()))
    }

    /// What was routed has been sent.
    pub(super) fn forget_sources(&mut self) {
        self.sources.clear();
    }
}

impl Worker {
    /// Routes what waits in the batch, up to the bound of a turn; the rest remains for the next.
    pub fn handle_received(&mut self, now: Instant, batch: &mut RecvBatch) {
        while self.media.load < MAX_LOAD
            && let Some((token, mut datagrams)) = self.media.intake.waiting.pop_front()
        {
            let Some(socket) = self.sockets.resolve(token) else { continue };
            while self.media.load < MAX_LOAD
                && let Some(index) = datagrams.next()
            {
                self.handle_datagram(now, socket, batch, index);
            }
            if !datagrams.is_empty() {
                self.media.intake.waiting.push_front((token, datagrams));
            }
            if !self.media.is_stale && !self.media.intake.sources.contains(&token) {
                self.media.intake.sources.push(token);
            }
        }
    }

    /// Takes in what has come meanwhile through the sockets that brought what is being sent, unless the turn has enough to do.
    pub(super) fn look_again(&mut self, now: Instant, batch: &mut RecvBatch) {
        if !self.media.intake.is_empty() {
            return;
        }
        for position in 0..self.media.intake.sources.len() {
            let token = self.media.intake.sources[position];
            let socket = self.sockets.resolve(token).and_then(|key| self.sockets.get_mut(key));
            let Some(SocketIo::Udp(socket)) = socket.map(|socket| &mut socket.io) else { continue };
            let before = batch.len();
            // An error is met again, and told, when the poller tells of the socket.
            if socket.recv_batch(batch).is_ok_and(|received| received > 0) {
                self.media.intake.push(token, before..batch.len());
            }
        }
        self.handle_received(now, batch);
    }
}
