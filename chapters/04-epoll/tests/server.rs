//! What a user of the server relies on: every byte comes back, in order, whoever else is connected and whatever they do.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use ch01_simplest_server::{CHUNK, MAX_DATAGRAM};
use ch04_epoll::server::write_what_fits;
use ch04_epoll::{Event, EventFd, Server, Settings, Timers, Token, Trigger};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proptest::prelude::*;

/// A sink whose calls are interrupted and cut short as the script says: `None` is an interruption, 0 is no room.
struct Awkward {
    output: Vec<u8>,
    script: VecDeque<Option<usize>>,
}

impl Write for Awkward {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let limit = match self.script.pop_front() {
            Some(None) => return Err(ErrorKind::Interrupted.into()),
            Some(Some(0)) => return Err(ErrorKind::WouldBlock.into()),
            Some(Some(limit)) => limit,
            None => bytes.len(),
        };
        let length = limit.min(bytes.len());
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn what_fits_is_written_and_what_is_not_written_is_known(
        input in prop::collection::vec(any::<u8>(), 0..5_000),
        script in prop::collection::vec(prop::option::of(0_usize..700), 0..50),
    ) {
        let mut sink = Awkward { output: Vec::new(), script: script.into() };
        let mut sent = 0;
        // As often as there is no room in the script, and once more.
        while sent < input.len() {
            sent += write_what_fits(&mut sink, &input[sent..]).unwrap();
            prop_assert_eq!(&sink.output, &input[..sent]);
        }
    }

    #[test]
    fn deadlines_come_in_order_none_early_and_all_of_them(
        times in prop::collection::vec(0_u64..1_000, 0..100),
        step in 1_u64..200,
    ) {
        let begin = Instant::now();
        let at = |milliseconds: u64| begin + Duration::from_millis(milliseconds);
        let mut timers = Timers::default();
        times.iter().for_each(|time| timers.set(at(*time), Token(*time)));
        let mut rang = Vec::new();
        for now in (0..1_000 + step).step_by(step as usize) {
            while let Some(Token(time)) = timers.expired(at(now)) {
                prop_assert!(time <= now && time + step > now, "the one for {} came at {}", time, now);
                rang.push(time);
            }
            prop_assert!(timers.next().is_none_or(|next| next > at(now)));
        }
        let mut times = times;
        times.sort_unstable();
        prop_assert_eq!(rang, times);
    }
}

/// Runs a server in a thread of its own while `clients` play; then it is stopped.
fn with_server(settings: Settings, clients: impl FnOnce(SocketAddr)) -> Vec<Event> {
    with_sockets(settings, None, clients)
}

fn with_sockets(settings: Settings, datagrams: Option<UdpSocket>, clients: impl FnOnce(SocketAddr)) -> Vec<Event> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = EventFd::new().unwrap();
    let mut server = Server::new(listener, datagrams, settings).unwrap();
    thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut events = Vec::new();
            server.serve_until(&stop, |event| events.push(event)).map(|()| events)
        });
        // A client that fails must not leave the server running: the scope would wait for it.
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| clients(address)));
        stop.notify().unwrap();
        let events = serving.join().unwrap().unwrap();
        played.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        events
    })
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client
}

/// Sends much, half closes, and expects all of it back.
fn visit(mut client: TcpStream, seed: u8) {
    let message: Vec<u8> = (0..300_000_u32).map(|index| (index / 7) as u8 ^ seed).collect();
    let mut writer = client.try_clone().unwrap();
    let mut answer = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&message).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        client.read_to_end(&mut answer).unwrap();
    });
    assert!(answer == message, "{} bytes came back", answer.len());
}

#[test]
fn every_byte_comes_back_to_everyone_however_it_is_watched() {
    for (trigger, budget) in
        [(Trigger::Level, 16), (Trigger::Edge, 16), (Trigger::Edge, 1), (Trigger::Level, usize::MAX)]
    {
        with_server(Settings { trigger, budget, idle: None }, |address| {
            let _silent = connect(address);
            thread::scope(|scope| {
                for seed in 0..12 {
                    scope.spawn(move || visit(connect(address), seed));
                }
            });
        });
    }
}

#[test]
fn a_flood_has_one_turn_in_each_of_the_loops_however_it_is_watched() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut flood = connect(listener.local_addr().unwrap());
        let mut server = Server::new(listener, None, Settings { trigger, budget: 1, idle: None }).unwrap();
        server.turn(Some(Duration::from_secs(10)), drop).unwrap();
        let mut echo = [0; CHUNK];
        for _ in 0..20 {
            // More than a turn takes: what is left of it, and the news of what has come, are there together.
            flood.write_all(&[1; 2 * CHUNK]).unwrap();
            let mut turns = 0;
            let count = |event| turns += usize::from(matches!(event, Event::Turn { bytes: 1.., .. }));
            server.turn(Some(Duration::from_secs(10)), count).unwrap();
            assert_eq!(turns, 1, "{trigger:?}");
            flood.read_exact(&mut echo).unwrap();
        }
    }
}

#[test]
fn clients_that_break_or_never_read_concern_nobody_else() {
    for trigger in [Trigger::Level, Trigger::Edge] {
        let events = with_server(Settings { trigger, ..Settings::default() }, |address| {
            let mut deaf = connect(address);
            deaf.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            while deaf.write(&[0; 65_536]).is_ok() {}
            // Closing with unread data makes the kernel reset the connection under the server.
            let mut rude = connect(address);
            rude.write_all(&[7; 100_000]).unwrap();
            rude.read_exact(&mut [0]).unwrap();
            drop(rude);
            visit(connect(address), 1);
            visit(connect(address), 2);
        });
        let count = |filter: fn(&Event) -> bool| events.iter().filter(|event| filter(event)).count();
        // The deaf one leaves last, perhaps too late to be told of.
        assert!((1..=2).contains(&count(|event| matches!(event, Event::Closed { error: Some(_), .. }))), "{trigger:?}");
        let served = count(|event| matches!(event, Event::Closed { bytes: 300_000, error: None, .. }));
        assert_eq!(served, 2, "{trigger:?}");
    }
}

#[test]
fn only_the_silent_are_ended_for_being_idle() {
    let idle = Duration::from_millis(200);
    let events = with_server(Settings { idle: Some(idle), ..Settings::default() }, |address| {
        let mut active = connect(address);
        let begin = Instant::now();
        let silent = connect(address);
        silent.set_nonblocking(true).unwrap();
        // It speaks all the time, for longer than it may be silent.
        while begin.elapsed() < idle * 2 || (&silent).read(&mut [0]).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(10), "the silent one is still there");
            active.write_all(b"here").unwrap();
            active.read_exact(&mut [0; 4]).unwrap();
        }
    });
    let ended: Vec<_> = events.iter().filter(|event| matches!(event, Event::Closed { error: Some(_), .. })).collect();
    assert!(matches!(ended[..], [Event::Closed { bytes: 0, error: Some(ErrorKind::TimedOut), .. }]), "{ended:?}");
}

#[test]
fn datagrams_come_back_whole_including_the_empty_and_the_largest() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    with_sockets(Settings::default(), Some(socket), |_| {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut buffer = vec![0; MAX_DATAGRAM];
        for length in [0, 1, 1_200, MAX_DATAGRAM] {
            let message: Vec<u8> = (0..length).map(|index| index as u8).collect();
            client.send_to(&message, address).unwrap();
            let (received, _) = client.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..received], message);
        }
    });
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ch04-epoll")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}:\n{text}{errors}", output.status);
    text
}

#[test]
fn the_demonstrations_hold() {
    let text = run(&[]);
    assert!(text.contains("the wake-up is lost") && text.contains("connections at once, on 1 thread"), "{text}");
    let text = run(&["--fault"]);
    assert!(text.contains("all five have had their echo") && text.contains("it is reported no more"), "{text}");
}

/// Source port, destination port, payload and comment of each datagram in a capture file, whose blocks `stage::capture`
/// describes.
fn captured(mut file: &[u8]) -> Vec<(u16, u16, Vec<u8>, String)> {
    let mut datagrams = Vec::new();
    while !file.is_empty() {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let (block, rest) = file.split_at(word(4));
        // An enhanced packet: 28 bytes, the packet itself (IPv4 without options, UDP), then options.
        if word(0) == 6 {
            let (packet, options) = block[28..].split_at(word(20));
            let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
            let options = &options[packet.len().next_multiple_of(4) - packet.len()..];
            let comment = &options[4..4 + usize::from(options[2])];
            datagrams.push((port(20), port(22), packet[28..].to_vec(), String::from_utf8(comment.to_vec()).unwrap()));
        }
        file = rest;
    }
    datagrams
}

#[test]
fn a_capture_has_every_datagram_once_and_in_order() {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("datagrams.pcapng");
    run(&["--pcap", path.to_str().unwrap()]);
    let datagrams = captured(&fs::read(path).unwrap());
    let (client, server) = (datagrams[0].0, datagrams[0].1);
    let expected = [
        (client, server, "one", "client: sendto"),
        (client, server, "", "client: sendto"),
        (client, server, "three", "client: sendto"),
        (server, client, "one", "server: echoed in turn 1"),
        (server, client, "", "server: echoed in turn 1"),
        (server, client, "three", "server: echoed in turn 2"),
    ];
    assert_eq!(datagrams, expected.map(|(from, to, payload, comment)| (from, to, payload.into(), comment.into())));
}

#[test]
fn the_program_serves_and_ends_at_sigterm() {
    let (mut process, address) = loop {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ch04-epoll"))
            .args(["--listen", "127.0.0.1:0", "--quiet", "--edge"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        match line.split([' ', ';']).find_map(|word| word.parse().ok()) {
            Some(address) => break (process, address),
            // The port that is free for TCP may be taken for UDP, and then it ends.
            None => assert!(!process.wait().unwrap().success(), "its first line says where: {line}"),
        }
    };
    // Whatever comes of the visit, the program doesn't outlive the test.
    let visited = std::panic::catch_unwind(|| visit(connect(address), 3));
    kill(Pid::from_raw(process.id() as i32), Signal::SIGTERM).unwrap();
    assert!(process.wait().unwrap().success());
    visited.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
