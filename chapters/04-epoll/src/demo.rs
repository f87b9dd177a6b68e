//! The demonstrations. Where the order of things is the point, the server is turned by hand, in the clients' own thread.

mod crowd;
mod datagrams;
mod fault;

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ch01_simplest_server::{CHUNK, read_some};
use ch04_epoll::server::write_what_fits;
use ch04_epoll::{
    Epoll, Event, EventFd, Events, Interest, Progress, Server, Settings, TimerFd, Timers, Token, Trigger,
};
use stage::Transcript;
use stage::transcript::time;

pub use fault::faults;

/// Whoever hears nothing for this long says so, instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a wait is that is there to show that nothing comes.
const NOTHING: Duration = Duration::from_millis(100);

/// How much the greedy client has for the server: eight reads' worth, and less than a socket holds.
const GREEDY: usize = 8 * CHUNK;

/// How many timers are compared.
const TIMERS: u32 = 1_000;

/// Plays the whole demonstration, in a few seconds; datagrams go to the capture file as well.
pub fn run(pcap: Option<&Path>) -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    lost_wake_up(&mut transcript)?;
    fairness(&mut transcript)?;
    no_room(&mut transcript)?;
    datagrams::datagrams(&mut transcript, pcap)?;
    timers(&mut transcript)?;
    other_thread(&mut transcript)?;
    crowd::crowd(&mut transcript)
}

/// An event for people.
pub fn told(event: &Event) -> String {
    match event {
        Event::Accepted(peer) => format!("accepted {peer}"),
        Event::Full => "no descriptor left: EMFILE; who comes now waits in the accept queue".to_owned(),
        Event::Turn { peer, bytes, progress } => {
            let why = match progress {
                Progress::Dry => "nothing more to read now",
                Progress::Blocked => "no room for its echo",
                Progress::Spent => "its budget is used up",
                Progress::Finished => "it has finished sending",
            };
            format!("{bytes} bytes of {peer}; {why}")
        }
        Event::Closed { peer, bytes, error: None } => format!("closed {peer} after {bytes} bytes"),
        Event::Closed { peer, bytes, error: Some(error) } => format!("closed {peer} after {bytes} bytes: {error}"),
        Event::Datagram { peer, bytes } => format!("a datagram of {bytes} bytes, back to {peer}"),
        other => format!("{other:?}"),
    }
}

// ANCHOR: lost_wake_up
fn lost_wake_up(transcript: &mut Transcript) -> anyhow::Result<()> {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let name = if trigger == Trigger::Level { "level" } else { "edge" };
        transcript.heading(&format!("Ten bytes come, and a reader takes four; {name} triggered"));
        let (mut peer, mut ours) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let epoll = Epoll::new()?;
        let mut events = Events::with_capacity(8);
        epoll.add(&ours, Token(1), Interest::READ, trigger)?;
        peer.write_all(b"0123456789")?;
        transcript.line("peer", "write 10 bytes \"0123456789\"");
        epoll.wait(&mut events, Some(PATIENCE))?;
        ensure!(!events.is_empty(), "no event for new bytes");
        transcript.line("loop", "epoll_wait: readable");
        let mut four = [0; 4];
        ours.read_exact(&mut four)?;
        transcript.line("loop", format!("read 4 bytes {:?}, and wait again", text(&four)));
        epoll.wait(&mut events, Some(NOTHING))?;
        ensure!(events.is_empty() == (trigger == Trigger::Edge), "that is not how {name} triggered works");
        let mut rest = Vec::new();
        if trigger == Trigger::Edge {
            transcript.line("loop", format!("epoll_wait: nothing, for {}, with 6 bytes there to read", time(NOTHING)));
            transcript.note("the wake-up is lost: if the peer waits for an answer now, both wait for ever");
            peer.write_all(b"!")?;
            transcript.line("peer", "write 1 byte \"!\"");
            epoll.wait(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "no event for a new byte");
        }
        transcript.line("loop", "epoll_wait: readable");
        let mut one = [0];
        while read_some(&mut ours, &mut one).is_ok_and(|length| length == 1) {
            rest.push(one[0]);
        }
        transcript.line("loop", format!("read until EAGAIN: {} bytes {:?}", rest.len(), text(&rest)));
    }
    Ok(())
}
// ANCHOR_END: lost_wake_up

fn fairness(transcript: &mut Transcript) -> anyhow::Result<()> {
    for budget in [usize::MAX, 2] {
        let limit = if budget == usize::MAX { "without a limit".to_owned() } else { format!("{budget} reads a turn") };
        transcript.heading(&format!("Fairness: eight reads' worth of one client, six bytes of another; {limit}"));
        let mut stage = Stage::new(Settings { budget, ..Settings::default() })?;
        let (mut greedy, mut modest) = (stage.connect()?, stage.connect()?);
        let greedy_is = greedy.local_addr()?;
        greedy.write_all(&[7; GREEDY])?;
        arrived(&greedy)?;
        modest.write_all(b"me too")?;
        arrived(&modest)?;
        transcript.line("greedy", format!("write {GREEDY} bytes"));
        transcript.line("modest", "write 6 bytes");
        let mut left = GREEDY + 6;
        for turn in 1.. {
            for event in stage.turn(PATIENCE)? {
                let Event::Turn { peer, bytes, .. } = event else {
                    continue;
                };
                if bytes > 0 {
                    let name = if peer == greedy_is { "greedy" } else { "modest" };
                    transcript.line("server", format!("turn {turn}: {bytes} bytes of the {name} one, echoed"));
                }
                left -= bytes;
            }
            if left == 0 {
                break;
            }
        }
        greedy.read_exact(&mut [0; GREEDY])?;
        modest.read_exact(&mut [0; 6])?;
    }
    transcript.note("the first way a client that sends as fast as the server reads would have it for itself");
    Ok(())
}

fn no_room(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("A client sends and sends, and doesn't read");
    let mut stage = Stage::new(Settings::default())?;
    let mut client = stage.connect()?;
    client.set_nonblocking(true)?;
    let message: Vec<u8> = (0..1 << 20).map(|index: u32| (index / 251) as u8).collect();
    let mut sent = 0;
    let mut progress = Progress::Dry;
    loop {
        // Always the same MiB, over and over, so that the echo can be compared wherever it is cut.
        let taken = write_what_fits(&mut client, &message[sent % message.len()..])?;
        sent += taken;
        let kept = stage.server.unsent();
        ensure!(kept <= CHUNK, "the server keeps {kept} bytes for a client that doesn't read");
        let events = stage.turn(NOTHING)?;
        for event in &events {
            if let Event::Turn { progress: now, .. } = event {
                progress = *now;
            }
        }
        if taken == 0 && events.is_empty() {
            break;
        }
    }
    ensure!(progress == Progress::Blocked, "the server waits for {progress:?}");
    transcript.line("client", format!("write until EAGAIN: ≈ {sent} bytes are under way"));
    transcript
        .line("server", format!("write: EAGAIN; it keeps at most {CHUNK} bytes, and waits for room, not for more"));
    transcript.note("so its socket fills up, then the client's, and then the client waits: back-pressure");
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    let begin = Instant::now();
    while received < sent {
        match client.read(&mut buffer) {
            Ok(length) => {
                for byte in &buffer[..length] {
                    ensure!(*byte == message[received % message.len()], "byte {received} of the echo differs");
                    received += 1;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                // The kernel, too, may be the one who has something to do.
                stage.turn(Duration::from_millis(1))?;
                ensure!(begin.elapsed() < PATIENCE, "{received} bytes of {sent} are back, and no more come");
            }
            Err(error) => return Err(error.into()),
        }
    }
    transcript.line("client", "read: all of it is back, and compared");
    Ok(())
}

fn timers(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Timers: a heap, whose earliest deadline is epoll_wait's timeout");
    let epoll = Epoll::new()?;
    let mut events = Events::with_capacity(8);
    let mut heap = Timers::default();
    let begin = Instant::now();
    for milliseconds in [30, 10, 20] {
        heap.set(begin + Duration::from_millis(milliseconds), Token(milliseconds));
    }
    transcript.line("loop", "deadlines after 30, 10 and 20 milliseconds");
    while let Some(next) = heap.next() {
        epoll.wait(&mut events, Some(next.saturating_duration_since(Instant::now())))?;
        while let Some(Token(milliseconds)) = heap.expired(Instant::now()) {
            let late = begin.elapsed().saturating_sub(Duration::from_millis(milliseconds));
            transcript.line("loop", format!("the one after {milliseconds} has come, {} late", time(late)));
        }
    }

    transcript.heading("Timers: a descriptor, readable when its time has come");
    let short = Duration::from_micros(250);
    let timer = TimerFd::new()?;
    epoll.add(&timer, Token(1), Interest::READ, Trigger::Level)?;
    let begin = Instant::now();
    timer.set(short)?;
    epoll.wait(&mut events, Some(PATIENCE))?;
    let precise = begin.elapsed();
    ensure!(timer.fired()? == 1, "the timer has not fired");
    let begin = Instant::now();
    epoll.wait(&mut events, Some(short))?;
    let coarse = begin.elapsed();
    transcript.line("loop", format!("{} by timerfd took {}", time(short), time(precise)));
    transcript.line("loop", format!("{} by epoll_wait's timeout took {}", time(short), time(coarse)));
    transcript.note("epoll_wait counts in milliseconds (epoll_pwait2, since Linux 5.11, in nanoseconds)");
    let far = Duration::from_secs(60);
    let begin = Instant::now();
    for number in 0..TIMERS {
        heap.set(begin + far, Token(number.into()));
    }
    let by_heap = begin.elapsed();
    let begin = Instant::now();
    let descriptors = (0..TIMERS).map(|_| {
        let timer = TimerFd::new()?;
        timer.set(far)?;
        epoll.add(&timer, Token(2), Interest::READ, Trigger::Level)?;
        Ok(timer)
    });
    let descriptors = descriptors.collect::<io::Result<Vec<_>>>()?;
    let by_descriptor = begin.elapsed();
    transcript.line("loop", format!("{TIMERS} timers in a heap: {}, no system call", time(by_heap)));
    transcript.line(
        "loop",
        format!("{} timerfds: {}, {} system calls", descriptors.len(), time(by_descriptor), 3 * descriptors.len()),
    );
    Ok(())
}

fn other_thread(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Another thread has something for the loop: eventfd");
    let epoll = Epoll::new()?;
    let mut events = Events::with_capacity(8);
    let bell = EventFd::new()?;
    epoll.add(&bell, Token(1), Interest::READ, Trigger::Level)?;
    thread::scope(|scope| scope.spawn(|| (0..3).try_for_each(|_| bell.notify())).join())
        .map_err(|_| anyhow::anyhow!("the thread panicked"))??;
    transcript.line("thread", "notify, three times, while the loop does something else");
    epoll.wait(&mut events, Some(PATIENCE))?;
    let count = events.iter().count();
    ensure!((count, bell.take()?) == (1, 3), "not one wake-up for three notifications");
    transcript.line("loop", "epoll_wait: the eventfd is readable; read: 3");
    epoll.wait(&mut events, Some(Duration::ZERO))?;
    ensure!(events.is_empty(), "it is still readable");
    transcript.line("loop", "epoll_wait, without a timeout: it sleeps");
    let begin = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(NOTHING);
            bell.notify()
        });
        epoll.wait(&mut events, None)
    })?;
    transcript.line("thread", format!("notify, {} later", time(NOTHING)));
    transcript.line("loop", format!("epoll_wait: readable, after {}; read: {}", time(begin.elapsed()), bell.take()?));
    Ok(())
}

/// A server that is turned by hand.
struct Stage {
    server: Server,
    address: SocketAddr,
}

impl Stage {
    fn new(settings: Settings) -> anyhow::Result<Stage> {
        Stage::with_datagrams(None, settings)
    }

    fn with_datagrams(datagrams: Option<UdpSocket>, settings: Settings) -> anyhow::Result<Stage> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        Ok(Stage { server: Server::new(listener, datagrams, settings)?, address })
    }

    /// A client that the server has accepted.
    fn connect(&mut self) -> anyhow::Result<TcpStream> {
        let client = TcpStream::connect(self.address)?;
        client.set_read_timeout(Some(PATIENCE))?;
        let events = self.turn(PATIENCE)?;
        ensure!(events.contains(&Event::Accepted(client.local_addr()?)), "not accepted: {events:?}");
        Ok(client)
    }

    /// One turn, and what was done in it.
    fn turn(&mut self, limit: Duration) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        self.server.turn(Some(limit), |event| events.push(event)).context("a turn of the loop failed")?;
        Ok(events)
    }
}

/// Waits until what the client has written is in the server's socket.
fn arrived(client: &TcpStream) -> anyhow::Result<()> {
    let begin = Instant::now();
    loop {
        let mut unacknowledged: libc::c_int = 0;
        // SAFETY: this request writes one number of that type.
        let result = unsafe { libc::ioctl(client.as_raw_fd(), libc::TIOCOUTQ, &raw mut unacknowledged) };
        ensure!(result == 0, "TIOCOUTQ failed: {}", io::Error::last_os_error());
        if unacknowledged == 0 {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "the bytes never arrive");
        thread::sleep(Duration::from_micros(100));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
