//! The demonstration: a server and its clients in one process, with a transcript of who did what.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use ch01_simplest_server::{Event, serve_tcp, serve_udp};
use stage::Transcript;
use stage::capture::Capture;
use stage::transcript::time;

/// How long the silent client keeps the server to itself: long enough to see, short enough to wait for.
const SILENCE: Duration = Duration::from_millis(400);

/// A client that hears nothing for this long is told so, instead of hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// Plays the whole demonstration, in well under ten seconds; datagrams go to the capture file as well.
pub fn run(pcap: Option<&Path>) -> anyhow::Result<()> {
    let mut transcript = Transcript::new();
    tcp(&mut transcript)?;
    slow_client(&mut transcript)?;
    udp(&mut transcript, pcap)
}

fn tcp(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("TCP: a message, and a half-closed peer that still gets its answer");
    let (server, events) = start_tcp()?;
    let mut client = connect(server)?;
    transcript.line("client", format!("connect to {server}"));
    tell(transcript, &events, 1)?;
    client.write_all(b"hello")?;
    transcript.line("client", "write 5 bytes \"hello\"");
    client.shutdown(Shutdown::Write)?;
    transcript.line("client", "shutdown(SHUT_WR): it will send no more, but it still listens");
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    ensure!(answer == "hello", "the echo was {answer:?}");
    tell(transcript, &events, 1)?;
    transcript.line("client", "read 5 bytes \"hello\", then 0: end of file");
    Ok(())
}

fn slow_client(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("TCP: one silent client stops everyone");
    let (server, events) = start_tcp()?;
    let silent = connect(server)?;
    transcript.line("silent", format!("connect to {server}, and say nothing"));
    tell(transcript, &events, 1)?;

    let mut eager = connect(server)?;
    transcript.line("eager", format!("connect to {server}: it succeeds"));
    transcript.note("the kernel completes the handshake and queues the connection for accept");
    eager.write_all(b"me too")?;
    transcript.line("eager", "write 6 bytes \"me too\": they wait in the kernel, nobody reads them");

    let asked = Instant::now();
    let mut answer = [0; 6];
    eager.set_read_timeout(Some(SILENCE))?;
    let waited = eager.read(&mut answer);
    ensure!(waited.is_err(), "the eager client was served while the silent one held the server");
    transcript.line("eager", "no answer yet");

    drop(silent);
    transcript.line("silent", "close");
    tell(transcript, &events, 2)?;
    eager.set_read_timeout(Some(PATIENCE))?;
    eager.read_exact(&mut answer)?;
    transcript.line("eager", format!("read 6 bytes \"me too\", {} after asking", time(asked.elapsed())));
    drop(eager);
    tell(transcript, &events, 1)
}

fn udp(transcript: &mut Transcript, pcap: Option<&Path>) -> anyhow::Result<()> {
    transcript.heading("UDP: no connection, so a silent client costs nothing");
    let mut capture = Capture::create(pcap)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let server = socket.local_addr()?;
    let (sender, events) = mpsc::channel();
    thread::spawn(move || serve_udp(&socket, |event| sender.send(event).is_ok()));

    let _silent = UdpSocket::bind("127.0.0.1:0")?;
    transcript.line("silent", "bind, and say nothing: the server does not even know");
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(PATIENCE))?;
    let address = client.local_addr()?;
    for message in [&b"one"[..], b"", b"three"] {
        let sent = SystemTime::now();
        client.send_to(message, server)?;
        let mut answer = [0; 16];
        let (length, _) = client.recv_from(&mut answer).context("no echo came back")?;
        ensure!(&answer[..length] == message, "the echo differs");
        transcript.line("client", format!("sendto {server}, {length} bytes"));
        tell(transcript, &events, 1)?;
        transcript.line("client", format!("recvfrom {length} bytes: a datagram keeps its edges"));
        capture.udp(sent, address, server, message, "client: sendto")?;
        capture.udp(SystemTime::now(), server, address, message, "server: echoed")?;
    }
    capture.finish()?;
    Ok(())
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

/// Prints the next `count` things that the server did.
fn tell(transcript: &mut Transcript, events: &Receiver<Event>, count: usize) -> anyhow::Result<()> {
    for _ in 0..count {
        let what = match events.recv_timeout(PATIENCE).context("the server did not do what it should")? {
            Event::Accepted(peer) => format!("accept returned {peer}"),
            Event::Finished { bytes, error: None, .. } => format!("read returned 0 after {bytes} echoed bytes: close"),
            Event::Finished { bytes, error: Some(error), .. } => format!("broke after {bytes} bytes: {error}"),
            Event::Echoed { peer, bytes } => format!("recvfrom {bytes} bytes, sendto {peer}"),
            other => format!("{other:?}"),
        };
        transcript.line("server", what);
    }
    Ok(())
}
