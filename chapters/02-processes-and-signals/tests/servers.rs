//! What clients and operators rely on, seen from outside: the program is the server. Its own demonstrations are tests
//! too: they fail when what they show is not so.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn run(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_ch02-processes-and-signals")).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}:\n{text}{errors}", output.status);
    text
}

#[test]
fn the_demonstration_holds() {
    let text = run(&[]);
    let together = text.lines().find(|line| line.matches("exited with 0").count() == 3);
    assert!(together.is_some_and(|line| line.contains("SIGCHLD")), "one signal for three children: {text}");
    let lines = ["was killed by SIGKILL", "nothing has happened to it", "refused", "it was let in before"];
    let places: Vec<usize> =
        lines.iter().map(|line| text.find(line).unwrap_or_else(|| panic!("{line}: {text}"))).collect();
    assert!(places.is_sorted(), "{text}");
}

#[test]
fn the_faults_lose_what_they_must_and_no_more() {
    let text = run(&["--fault"]);
    assert!(text.contains("the grace is over") && text.contains("the port is free again"), "{text}");
}

/// The program as a server. What is left of it ends with the test.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(mode: &[&str]) -> Server {
        let mut process = Command::new(env!("CARGO_BIN_EXE_ch02-processes-and-signals"))
            .args(["--listen", "127.0.0.1:0", "--quiet"])
            .args(mode)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.split([' ', ';']).find_map(|word| word.parse().ok()).expect("its first line says where");
        Server { process, address }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client
    }
}

/// How it ends; it is to do so soon.
fn end_of(process: &mut Child) -> ExitStatus {
    let begin = Instant::now();
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        assert!(begin.elapsed() < Duration::from_secs(15), "the server doesn't end");
        thread::yield_now();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn visit(mut client: TcpStream, seed: u8) {
    let message: Vec<u8> = (0..300_000_u32).map(|index| (index / 7) as u8 ^ seed).collect();
    let mut writer = client.try_clone().unwrap();
    let sent = message.clone();
    let sending = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    sending.join().unwrap();
    assert!(answer == message, "{} bytes came back", answer.len());
}

fn many_clients_then_stop(mode: &[&str]) {
    let mut server = Server::start(mode);
    // Preforked, four of these are served at a time, and the rest wait for their turn.
    let clients: Vec<_> = (0..12)
        .map(|seed| {
            let client = server.connect();
            thread::spawn(move || visit(client, seed))
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    // Served, and not only queued, when the signal comes.
    let mut last = server.connect();
    last.write_all(b"a").unwrap();
    last.read_exact(&mut [0]).unwrap();
    kill(Pid::from_raw(server.process.id() as i32), Signal::SIGTERM).unwrap();
    visit(last, 99);
    assert!(end_of(&mut server.process).success());
    assert!(TcpStream::connect(server.address).is_err(), "somebody still listens");
}

#[test]
fn a_process_for_each_serves_all_and_stops_when_they_have_finished() {
    many_clients_then_stop(&["--mode", "fork"]);
}

#[test]
fn preforked_processes_serve_all_and_stop_when_they_have_finished() {
    many_clients_then_stop(&["--mode", "prefork", "--children", "4"]);
}

#[test]
fn a_broken_connection_ends_no_preforked_process() {
    let server = Server::start(&["--mode", "prefork", "--children", "1"]);
    for _ in 0..3 {
        // Closing with unread data makes the kernel reset the connection under the child.
        let mut rude = server.connect();
        rude.write_all(&[7; 100_000]).unwrap();
        drop(rude);
        visit(server.connect(), 1);
    }
}
