//! The demonstration: a server and its clients in one process, with a transcript of who did what.

use std::io::{self, IsTerminal, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ch01_simplest_server::{Event, serve_tcp, serve_udp};

/// How long the silent client keeps the server to itself: long enough to see, short enough to wait for.
const SILENCE: Duration = Duration::from_millis(400);

/// A client that hears nothing for this long is told so, instead of hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// Plays the whole demonstration, in well under ten seconds.
pub fn run() -> anyhow::Result<()> {
    let transcript = Transcript::new();
    tcp(&transcript)?;
    slow_client(&transcript)?;
    udp(&transcript)
}

fn tcp(transcript: &Transcript) -> anyhow::Result<()> {
    transcript.heading("TCP: a message, and a half-closed peer that still gets its answer");
    let (server, events) = start_tcp()?;
    let mut client = connect(server)?;
    client.write_all(b"hello")?;
    transcript.line("client", "write  5 bytes \"hello\"");
    client.shutdown(Shutdown::Write)?;
    transcript.line("client", "shutdown(SHUT_WR): it will send no more, but it still listens");
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer == "hello", "the echo was {answer:?}");
    transcript.line("client", "read   5 bytes \"hello\", then 0: end of file");
    transcript.events(&events, 2)
}

fn slow_client(transcript: &Transcript) -> anyhow::Result<()> {
    transcript.heading("TCP: one silent client stops everyone");
    let (server, events) = start_tcp()?;
    let silent = connect(server)?;
    transcript.line("silent", "connect, and say nothing");
    transcript.events(&events, 1)?;

    let mut eager = connect(server)?;
    eager.write_all(b"me too")?;
    transcript.line("eager", "connect: the kernel completes the handshake, into the listen backlog");
    transcript.line("eager", "write  6 bytes \"me too\": they wait in the kernel, nobody reads them");

    let asked = Instant::now();
    let mut answer = [0; 6];
    eager.set_read_timeout(Some(SILENCE))?;
    let waited = eager.read(&mut answer);
    ensure!(waited.is_err(), "the eager client was served while the silent one held the server");
    transcript.line("eager", "no answer yet");

    drop(silent);
    transcript.line("silent", "close");
    eager.set_read_timeout(Some(PATIENCE))?;
    eager.read_exact(&mut answer)?;
    transcript.line("eager", &format!("read   6 bytes \"me too\", {} ms after asking", asked.elapsed().as_millis()));
    drop(eager);
    transcript.events(&events, 3)
}

fn udp(transcript: &Transcript) -> anyhow::Result<()> {
    transcript.heading("UDP: no connection, so a silent client costs nothing");
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let server = socket.local_addr()?;
    let (sender, events) = mpsc::channel();
    thread::spawn(move || serve_udp(&socket, |event| sender.send(event).is_ok()));

    let _silent = UdpSocket::bind("127.0.0.1:0")?;
    transcript.line("silent", "bind, and say nothing: the server does not even know");
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(PATIENCE))?;
    for message in [&b"one"[..], b"", b"three"] {
        client.send_to(message, server)?;
        let mut answer = [0; 16];
        let (length, _) = client.recv_from(&mut answer).context("no echo came back")?;
        ensure!(&answer[..length] == message, "the echo differs");
        transcript
            .line("client", &format!("sendto {length} bytes, recvfrom {length} bytes: a datagram keeps its edges"));
    }
    transcript.events(&events, 3)
}

/// Starts a TCP echo server on a free port; its events come through the channel.
fn start_tcp() -> anyhow::Result<(SocketAddr, Receiver<Event>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (sender, events) = mpsc::channel();
    thread::spawn(move || serve_tcp(&listener, |event| sender.send(event).is_ok()));
    Ok((address, events))
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Prints who did what, in colour on a terminal and plainly into a pipe.
struct Transcript {
    colour: bool,
}

impl Transcript {
    fn new() -> Self {
        Self { colour: io::stdout().is_terminal() }
    }

    fn heading(&self, text: &str) {
        if self.colour {
            println!("\n\x1b[1m{text}\x1b[0m");
        } else {
            println!("\n{text}");
        }
    }

    fn line(&self, who: &str, what: &str) {
        let colour = if who == "server" { 32 } else { 36 };
        if self.colour {
            println!("  \x1b[{colour}m{who:>6}\x1b[0m  {what}");
        } else {
            println!("  {who:>6}  {what}");
        }
    }

    /// Prints the next `count` things that the server did.
    fn events(&self, events: &Receiver<Event>, count: usize) -> anyhow::Result<()> {
        for _ in 0..count {
            let what = match events.recv_timeout(PATIENCE).context("the server did not do what it should")? {
                Event::Accepted(peer) => format!("accept returned {peer}"),
                Event::Finished { bytes, error: None, .. } => {
                    format!("read returned 0 after {bytes} echoed bytes: close")
                }
                Event::Finished { bytes, error: Some(error), .. } => format!("broke after {bytes} bytes: {error}"),
                Event::Echoed { peer, bytes } => format!("recvfrom {bytes} bytes, sendto {peer}"),
                other => format!("{other:?}"),
            };
            self.line("server", &what);
        }
        Ok(())
    }
}
