//! The loop: wait, read the clock, take in what has come, send what follows from it.
//!
//! One turn handles, in this order, the network, the library's messages, and what has become due, so that everything
//! that a datagram or a request causes leaves within its turn.
//!
//! A turn is bounded: it takes in one batch at most, and what that comes to when a thousand consumers get each packet is
//! spread over as many turns as it needs, so that the library is heard and timers run in between. All of a turn goes by
//! one reading of the clock, and a timer that comes due during it is late by what is left of it: microseconds mostly,
//! tens of milliseconds at worst, which is no more than the shortest of the timers (NACKs are repeated after 40 ms).
//!
//! When the loop comes back late, because the process was stopped or got no processor, media have waited in the sockets.
//! Sent on in one go they would do more harm than good: a receiver takes them for a network that has become slower by that
//! time, and holds back what follows; Chromium shows no picture for seconds then. They are passed over, and senders are asked
//! for key frames.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use sfu_channel::json::{BadRequest, RequestFrame, payload, write_response};
use sfu_channel::payload::PayloadToWorker;
use sfu_channel::response::{Refusal, Reply, Response};
use sfu_reactor::frame::{FrameReader, MAX_PAYLOAD, Stream};
use sfu_reactor::poll::{Event, Events, Interest, Poller, Token};
use sfu_reactor::signal::Signals;
use sfu_reactor::udp::RecvBatch;

use crate::media::intake::MAX_LOAD;
use crate::sockets::SocketIo;
use crate::worker::{TimerKey, Worker};
use crate::{payloads, requests};

const REQUESTS: Token = Token(0);
const PAYLOADS: Token = Token(1);
const SIGNALS: Token = Token(2);
/// The descriptors that are written to.
pub const OUTPUT: [Token; 2] = [Token(3), Token(4)];

/// Events taken per turn.
const MAX_EVENTS: usize = 256;
/// Messages received per turn; with GRO each can be a train of datagrams.
const BATCH_SLOTS: usize = 64;
/// With GRO a message can be as long as this.
const BATCH_SLOT_SIZE: usize = 65_536;
/// Datagrams received per turn, about.
const MAX_DATAGRAMS: usize = 256;

/// How late the loop may be before media that waited for it are too old to be sent on.
const MAX_LATENESS: Duration = Duration::from_millis(500);
/// After a turn with datagrams the loop is back by then, so that it is seen how late it is. (While media flow it is back much
/// sooner.)
const WATCH: Duration = Duration::from_millis(250);
/// Batches that are read from one socket of what has waited: more than fits into its buffer, and a bound, since strangers
/// may send as fast as is read.
const MAX_STALE_BATCHES: usize = 64;

/// Connections accepted per turn and listening socket.
const MAX_ACCEPTED: usize = 64;
/// How long a listening socket is left alone when a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// The loop and what it reads from.
pub struct EventLoop {
    worker: Worker,
    requests: FrameReader,
    payloads: FrameReader,
    /// A header of the payload channel that waits for its payload.
    payload_header: Option<PayloadToWorker>,
    signals: Signals,
    events: Events,
    /// The events of this turn.
    ready: Vec<Event>,
    batch: RecvBatch,
    /// Whether the last turn has brought datagrams.
    has_received: bool,
    /// Sockets to close when what they brought has been handled.
    closed_connections: Vec<Token>,
    /// The first socket that the last turn left unread, for want of room.
    postponed: Option<Token>,
    /// Which of the channel's inputs are left alone because the library does not read the answers: see [`Inputs`].
    paused: Inputs,
}

/// A yes or no for each input of the channel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Inputs {
    requests: bool,
    payloads: bool,
}

/// Whether the loop goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Again,
    Stop,
}

impl EventLoop {
    /// A loop that reads requests and payloads from these streams, and ends with one of these signals.
    ///
    /// # Errors
    /// Those of the system calls that set it up.
    pub fn new(worker: Worker, requests: OwnedFd, payloads: OwnedFd, signals: Signals) -> io::Result<EventLoop> {
        let requests = FrameReader::new(requests)?;
        let payloads = FrameReader::new(payloads)?;
        let poller = worker.sockets.poller();
        poller.add(&requests, REQUESTS, Interest::READ)?;
        poller.add(&payloads, PAYLOADS, Interest::READ)?;
        poller.add(&signals, SIGNALS, Interest::READ)?;
        Ok(EventLoop {
            worker,
            requests,
            payloads,
            payload_header: None,
            signals,
            events: Events::with_capacity(MAX_EVENTS),
            ready: Vec::with_capacity(MAX_EVENTS),
            batch: RecvBatch::new(BATCH_SLOTS, BATCH_SLOT_SIZE).with_max_datagrams(MAX_DATAGRAMS),
            has_received: false,
            closed_connections: Vec::new(),
            postponed: None,
            paused: Inputs::default(),
        })
    }

    /// Runs until the library closes the worker, goes away, or a signal says to end.
    ///
    /// # Errors
    /// When the poller fails.
    pub fn run(mut self) -> io::Result<()> {
        let mut now = Instant::now();
        self.worker.output.notify_running();
        loop {
            self.worker.output.flush(self.worker.sockets.poller())?;
            self.pause_inputs()?;
            let at_once = self.has_input() || !self.worker.media.intake.is_empty();
            let watch = self.has_received.then(|| now + WATCH);
            let deadline = if at_once { Some(now) } else { earliest(self.worker.timers.next_deadline(), watch) };
            let timeout = deadline.map(|deadline| deadline.saturating_duration_since(now));
            self.worker.sockets.poller().wait(&mut self.events, timeout)?;
            // A turn that leaves something to do has had much to do, and is no less late for that.
            let due = deadline.filter(|_| !at_once).map(|deadline| deadline.max(now));
            now = Instant::now();
            if let Some(lateness) = lateness(due, now) {
                crate::warn!(Info, "media are passed over that have waited for up to {} ms", lateness.as_millis());
                self.pass_over_stale(now);
            }
            if self.turn(now)? == Turn::Stop {
                break;
            }
        }
        self.close();
        Ok(())
    }

    /// Takes in all that waits in the sockets, but media are only counted. (Not in ICE-TCP connections: what waits there,
    /// and how long it has, is not here to be seen alone, but in the sender's buffers too.)
    fn pass_over_stale(&mut self, now: Instant) {
        self.worker.media.is_stale = true;
        self.handle_all_received(now);
        let tokens: Vec<Token> = self.worker.sockets.tokens().collect();
        for token in tokens {
            for _ in 0..MAX_STALE_BATCHES {
                // Handling a datagram may close a socket.
                let socket = self.worker.sockets.resolve(token).and_then(|key| self.worker.sockets.get_mut(key));
                let Some(SocketIo::Udp(udp)) = socket.map(|socket| &mut socket.io) else { break };
                // An error will be met, and told, again.
                let received = udp.recv_batch(&mut self.batch).unwrap_or(0);
                let is_full = self.batch.is_full();
                self.worker.media.intake.push(token, self.batch.len() - received..self.batch.len());
                self.handle_all_received(now);
                if !is_full {
                    break;
                }
            }
        }
        self.worker.media.is_stale = false;
    }

    /// Handles all that the batch holds, and empties it.
    fn handle_all_received(&mut self, now: Instant) {
        while !self.worker.media.intake.is_empty() {
            self.handle_received(now);
        }
    }

    fn turn(&mut self, now: Instant) -> io::Result<Turn> {
        let mut ready = std::mem::take(&mut self.ready);
        ready.clear();
        ready.extend(&self.events);
        self.take_in_all(now, &mut ready);
        self.has_received = !self.worker.media.intake.is_empty();
        self.handle_received(now);
        let turn = self.handle_control(now, &ready);
        self.ready = ready;
        if turn? == Turn::Stop {
            return Ok(Turn::Stop);
        }
        self.worker.handle_timers(now);
        self.worker.flush_data(now);
        Ok(Turn::Again)
    }

    /// Leaves alone the inputs whose answers the library does not read, and goes back to those whose answers it has
    /// read.
    fn pause_inputs(&mut self) -> io::Result<()> {
        let output = &self.worker.output;
        let paused = Inputs { requests: output.is_congested(), payloads: output.is_payload_congested() };
        let before = std::mem::replace(&mut self.paused, paused);
        let poller = self.worker.sockets.poller();
        // Without interest the poller still tells of the end of the stream.
        let interest = |paused| if paused { Interest::NONE } else { Interest::READ };
        if paused.requests != before.requests {
            poller.modify(&self.requests, REQUESTS, interest(paused.requests))?;
        }
        if paused.payloads != before.payloads {
            poller.modify(&self.payloads, PAYLOADS, interest(paused.payloads))?;
        }
        Ok(())
    }

    /// Whether messages that were read before an input was paused can be handled now: no event tells of them.
    fn has_input(&self) -> bool {
        !self.paused.requests && self.requests.has_frame() || !self.paused.payloads && self.payloads.has_frame()
    }

    /// Handles what came from the library and the system.
    fn handle_control(&mut self, now: Instant, ready: &[Event]) -> io::Result<Turn> {
        // What was left in the buffers.
        if self.handle_requests(now) == Turn::Stop {
            return Ok(Turn::Stop);
        }
        self.handle_payloads(now);
        for event in ready {
            let turn = match event.token {
                // The only event of a paused input is its end.
                REQUESTS if self.paused.requests => Turn::Stop,
                PAYLOADS if self.paused.payloads => Turn::Stop,
                REQUESTS => self.read_requests(now)?,
                PAYLOADS => self.read_payloads(now)?,
                SIGNALS => match self.signals.pending()? {
                    Some(_) => Turn::Stop,
                    None => Turn::Again,
                },
                // Output is flushed at the end of every turn; other tokens are those of sockets.
                _ => Turn::Again,
            };
            if turn == Turn::Stop {
                return Ok(Turn::Stop);
            }
        }
        Ok(Turn::Again)
    }

    /// Serves the sockets that are ready. Where the batch has room for some of them only, the others are first in the
    /// next turn.
    fn take_in_all(&mut self, now: Instant, ready: &mut [Event]) {
        let may_read = self.worker.media.intake.is_empty();
        if may_read
            && let Some(postponed) = self.postponed.take()
            && let Some(place) = ready.iter().position(|event| event.token == postponed)
        {
            ready.rotate_left(place);
        }
        for event in ready {
            if let Some(socket) = self.worker.sockets.resolve(event.token) {
                self.worker.expect_datagrams(socket);
                self.take_in(now, socket, event, may_read);
                self.worker.expect_routing(socket);
            }
        }
    }

    /// Reads a socket into the batch, if it may and there is room, and writes what waited for room.
    fn take_in(&mut self, now: Instant, key: usize, event: &Event, may_read: bool) {
        let Some(socket) = self.worker.sockets.get_mut(key) else { return };
        let reads = event.is_readable() && may_read && !self.batch.is_full();
        if event.is_readable() && !reads && !matches!(socket.io, SocketIo::Listener(_)) {
            self.postponed.get_or_insert(event.token);
        }
        match &mut socket.io {
            SocketIo::Udp(udp) => {
                if event.is_writable() {
                    udp.flush();
                }
                if reads {
                    let before = self.batch.len();
                    if let Err(error) = udp.recv_batch(&mut self.batch) {
                        crate::warn!(Info, "cannot receive from a socket: {error}");
                    }
                    self.worker.media.intake.push(event.token, before..self.batch.len());
                }
            }
            SocketIo::Tcp(tcp) => {
                let mut closed = event.is_writable() && tcp.flush().is_err();
                if reads {
                    match tcp.read() {
                        Ok(read) => {
                            let remote = tcp.remote_addr();
                            let here =
                                (0..read.frames).all(|frame| self.take_in_frame(now, event.token, remote, frame));
                            closed |= read.closed && here;
                        }
                        Err(_) => closed = true,
                    }
                }
                if closed {
                    self.closed_connections.push(event.token);
                }
            }
            SocketIo::Listener(_) => self.accept(now, key),
        }
        self.worker.sockets.update_interest(key);
    }

    /// Copies a frame of a TCP connection into the batch. Returns whether the connection is still there.
    fn take_in_frame(&mut self, now: Instant, token: Token, remote: SocketAddr, frame: usize) -> bool {
        // Frames can't wait: the connection's buffer holds them until the next read only.
        while self.batch.is_full() {
            self.handle_received(now);
        }
        let socket = self.worker.sockets.resolve(token).and_then(|key| self.worker.sockets.get_mut(key));
        let Some(SocketIo::Tcp(tcp)) = socket.map(|socket| &mut socket.io) else { return false };
        if let Some(index) = self.batch.push(remote, tcp.frame(frame)) {
            self.worker.media.intake.push(token, index..index + 1);
        }
        true
    }

    /// Accepts what waits on a listening socket, up to a bound: strangers decide how much there is.
    fn accept(&mut self, now: Instant, key: usize) {
        for _ in 0..MAX_ACCEPTED {
            let Some(socket) = self.worker.sockets.get_mut(key) else { return };
            let SocketIo::Listener(listener) = &mut socket.io else { return };
            let stream = match listener.accept() {
                Ok(Some(stream)) => stream,
                Ok(None) => return,
                Err(error) => {
                    // Out of descriptors, mostly. The connection still waits, so that polling would tell again at once.
                    crate::warn!(Ice, "cannot accept a connection: {error}");
                    self.worker.sockets.set_accepting(key, false);
                    self.worker.timers.set(TimerKey::Accept(key), now + ACCEPT_PAUSE);
                    return;
                }
            };
            self.worker.handle_connection(now, key, stream);
        }
    }

    /// Routes and sends what the batch holds, up to the bound of a turn; the rest remains for the next. Empties the batch
    /// after the last.
    fn handle_received(&mut self, now: Instant) {
        self.worker.handle_received(now, &mut self.batch);
        self.finish_routing(now);
    }

    /// Sends what has been routed, and empties the batch unless there is more in it.
    fn finish_routing(&mut self, now: Instant) {
        self.worker.finish_routing(now, &mut self.batch);
        if !self.worker.media.intake.is_empty() {
            return;
        }
        self.batch.clear();
        for connection in std::mem::take(&mut self.closed_connections) {
            if let Some(connection) = self.worker.sockets.resolve(connection) {
                self.worker.handle_connection_closed(now, connection);
            }
        }
    }

    fn read_requests(&mut self, now: Instant) -> io::Result<Turn> {
        // Frames that are left in the buffer may fill it.
        if self.worker.output.is_congested() {
            return Ok(Turn::Again);
        }
        let stream = self.requests.fill()?;
        if self.handle_requests(now) == Turn::Stop || stream == Stream::Closed {
            return Ok(Turn::Stop);
        }
        Ok(Turn::Again)
    }

    /// Handles the requests that have been read, until too many answers wait.
    fn handle_requests(&mut self, now: Instant) -> Turn {
        while !self.worker.output.is_congested() {
            match self.requests.next_frame() {
                Ok(Some(frame)) => {
                    handle_request(&mut self.worker, now, frame);
                    if self.worker.closing {
                        return Turn::Stop;
                    }
                }
                Ok(None) => break,
                Err(error) => crate::error!("request passed over: {error}"),
            }
        }
        Turn::Again
    }

    fn read_payloads(&mut self, now: Instant) -> io::Result<Turn> {
        if self.worker.output.is_payload_congested() {
            return Ok(Turn::Again);
        }
        let stream = self.payloads.fill()?;
        self.handle_payloads(now);
        Ok(if stream == Stream::Closed { Turn::Stop } else { Turn::Again })
    }

    /// Handles the messages of the payload channel that have been read, up to the bound of a turn.
    fn handle_payloads(&mut self, now: Instant) {
        while self.worker.media.load < MAX_LOAD && !self.worker.output.is_payload_congested() {
            if self.batch.is_full() {
                self.finish_routing(now);
            }
            // What peers have sent fills it, and goes first in the next turn.
            if self.batch.is_full() {
                break;
            }
            match self.payloads.next_frame() {
                Ok(Some(frame)) => match self.payload_header.take() {
                    None => match payload::read_to_worker(frame) {
                        Ok(header) => self.payload_header = Some(header),
                        Err(error) => crate::error!("bad message on the payload channel: {error}"),
                    },
                    Some(header) => payloads::handle(&mut self.worker, now, &header, frame, &mut self.batch),
                },
                Ok(None) => break,
                Err(error) => {
                    self.payload_header = None;
                    crate::error!("payload message passed over: {error}");
                }
            }
        }
        self.finish_routing(now);
    }

    /// Closes everything, and gives the last messages a moment to leave.
    fn close(mut self) {
        const PATIENCE: Duration = Duration::from_millis(200);
        let routers: Vec<usize> = self.worker.routers.iter().map(|(router, _)| router).collect();
        for router in routers {
            self.worker.close_router(router);
        }
        let output = &mut self.worker.output;
        let poller: &Poller = self.worker.sockets.poller();
        if output.flush(poller).is_ok() && output.has_queued() {
            let _ = poller.wait(&mut self.events, Some(PATIENCE));
            let _ = output.flush(poller);
        }
    }
}

fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    one.into_iter().chain(other).min()
}

/// By how much the loop has come back too late from waiting, if media are too old then: `due` is when it was to come back at the
/// latest. Nothing is due where no datagrams come.
fn lateness(due: Option<Instant>, now: Instant) -> Option<Duration> {
    Some(now.saturating_duration_since(due?)).filter(|lateness| *lateness > MAX_LATENESS)
}

/// Handles one frame of the request channel.
fn handle_request(worker: &mut Worker, now: Instant, frame: &[u8]) {
    let request = match RequestFrame::parse(frame) {
        Ok(request) => request,
        Err(BadRequest::Unreadable(reason)) => {
            crate::error!("unreadable request: {reason}");
            return;
        }
        Err(error @ BadRequest::UnknownMethod { id, .. }) => {
            let refusal = Refusal::error(error.to_string());
            let reply = write_response(&Response::<Reply> { id, outcome: Err(refusal) });
            worker.output.reply(Some(reply.as_bytes()));
            return;
        }
    };
    worker.output.begin_request();
    let outcome = requests::handle(worker, now, &request).map_err(|refusal| refusal.in_method(request.method));
    if worker.closing {
        worker.output.reply(None);
        return;
    }
    let mut reply = write_response(&Response { id: request.id, outcome });
    if reply.len() > MAX_PAYLOAD {
        let reason = format!("the answer would have {} bytes, and a message holds {MAX_PAYLOAD}", reply.len());
        let refusal = Refusal::error(reason).in_method(request.method);
        reply = write_response(&Response::<Reply> { id: request.id, outcome: Err(refusal) });
    }
    worker.output.reply(Some(reply.as_bytes()));
}
