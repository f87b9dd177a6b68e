//! Thousands of clients on one thread, and another one that plays them all, by the same means.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Context, anyhow, ensure};
use ch04_epoll::server::raise_descriptor_limit;
use ch04_epoll::{Epoll, Event, EventFd, Events, Interest, Server, Settings, Token, Trigger};
use stage::Transcript;
use stage::transcript::time;

use super::PATIENCE;

/// How many clients. Each needs two descriptors: both ends are in this process.
const CLIENTS: u64 = 2_000;

/// Descriptors for everything else.
const OTHERS: u64 = 64;

/// How often each says something.
const ROUNDS: u8 = 10;

/// What each says, in bytes.
const MESSAGE: usize = 64;

/// Connections begun before the last one is known to be accepted. The accept queue holds 128; with more at once the
/// kernel would drop some, which their clients try again a second later.
const AT_ONCE: usize = 64;

/// A client, and how much of its echo has come.
struct Client {
    stream: TcpStream,
    echo: Vec<u8>,
}

pub fn crowd(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("Thousands of clients, one thread");
    let limit = raise_descriptor_limit()?;
    let clients = CLIENTS.min(limit.saturating_sub(OTHERS) / 2);
    transcript.line("process", format!("setrlimit: it may have ≈ {limit} descriptors now"));
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let stop = EventFd::new()?;
    let mut server = Server::new(listener, None, Settings::default())?;
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut most = 0;
            let mut alive = 0;
            let result = server.serve_until(&stop, |event| match event {
                Event::Accepted(_) => {
                    alive += 1;
                    most = most.max(alive);
                }
                Event::Closed { .. } => alive -= 1,
                _ => {}
            });
            result.map(|()| most)
        });
        let played = play(transcript, clients, || Ok(TcpStream::connect(address)?));
        // Whatever the clients met, the server is told to stop: the scope waits for it.
        stop.notify()?;
        let most = serving.join().map_err(|_| anyhow!("the server panicked"))?.context("the server failed")?;
        played?;
        ensure!(most == clients, "only {most} were connected at once");
        transcript.line("server", format!("stops at the eventfd's word; {most} connections at once, on 1 thread"));
        Ok(())
    })
}

fn play(
    transcript: &mut Transcript,
    count: u64,
    connect: impl Fn() -> anyhow::Result<TcpStream>,
) -> anyhow::Result<()> {
    let epoll = Epoll::new()?;
    let begin = Instant::now();
    let mut clients = Vec::new();
    for number in 0..count {
        let mut stream = connect()?;
        if clients.len() % AT_ONCE == AT_ONCE - 1 {
            // The queue is served in order: an echo for this one says that those before it are in.
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(b"?")?;
            stream.read_exact(&mut [0]).context("a connection was not served")?;
        }
        stream.set_nonblocking(true)?;
        epoll.add(&stream, Token(number), Interest::READ, Trigger::Level)?;
        clients.push(Client { stream, echo: Vec::with_capacity(MESSAGE) });
    }
    transcript.line("clients", format!("{count} connect, and stay: {}", time(begin.elapsed())));

    let begin = Instant::now();
    let mut events = Events::with_capacity(256);
    for round in 0..ROUNDS {
        for (number, client) in (0..).zip(&mut clients) {
            client.echo.clear();
            client.stream.write_all(&message(number, round))?;
        }
        let mut complete = 0;
        while complete < count {
            epoll.wait(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "{} clients have no echo", count - complete);
            for ready in events.iter() {
                let client = clients.get_mut(ready.token.0 as usize).context("an event for nobody")?;
                if receive(client)? {
                    ensure!(client.echo == message(ready.token.0, round), "client {}'s echo differs", ready.token.0);
                    complete += 1;
                }
            }
        }
    }
    let took = begin.elapsed();
    let echoes = count * u64::from(ROUNDS);
    let rate = echoes as f64 / took.as_secs_f64();
    transcript.line("clients", format!("{ROUNDS} times {MESSAGE} bytes from each: {echoes} echoes, each compared"));
    transcript.line("clients", format!("that took {}: ≈ {rate:.0} echoes a second", time(took)));
    Ok(())
}

/// What a client says; no two say the same.
fn message(number: u64, round: u8) -> [u8; MESSAGE] {
    let mut message = [round; MESSAGE];
    message[..8].copy_from_slice(&number.to_be_bytes());
    message
}

/// Reads what has come of an echo, and says whether it is complete now.
fn receive(client: &mut Client) -> anyhow::Result<bool> {
    let mut buffer = [0; MESSAGE];
    match client.stream.read(&mut buffer[client.echo.len()..]) {
        Ok(0) => Err(anyhow!("the server closed a connection")),
        Ok(length) => {
            let from = client.echo.len();
            client.echo.extend_from_slice(&buffer[from..from + length]);
            Ok(client.echo.len() == MESSAGE)
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error.into()),
    }
}
