//! Grades the exercises of chapter 01.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use ch01_simplest_server::{exercises, solutions};
use stage::grade::{self, Exercise};

type Serve = fn(&TcpListener, Duration) -> io::Result<()>;
type Listen = fn(SocketAddr, i32) -> io::Result<TcpListener>;

/// How long the servers under test bear silence.
const PATIENCE: Duration = Duration::from_millis(300);

fn main() -> ExitCode {
    grade::main(vec![
        Exercise::new("a silent client", silent, exercises::serve_patiently as Serve, solutions::serve_patiently),
        Exercise::new("a client that never reads", wary, exercises::serve_warily as Serve, solutions::serve_warily),
        Exercise::new(
            "a short backlog",
            backlog,
            exercises::listen_with_backlog as Listen,
            solutions::listen_with_backlog,
        ),
    ])
}

/// Starts the server.
fn start(serve: Serve) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || serve(&listener, PATIENCE));
    // An empty visit: it ends when the server has served it, or has ended itself.
    let client = connect(address);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!((&client).read(&mut [0; 1]).unwrap_or(0), 0);
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream
}

/// Asks the server for an echo and says how long it took.
fn visit(address: SocketAddr) -> Duration {
    let begin = Instant::now();
    let mut client = connect(address);
    client.write_all(b"anyone?").unwrap();
    let mut answer = [0; 7];
    client.read_exact(&mut answer).expect("an eager client is served once the other one was given up");
    begin.elapsed()
}

fn silent(serve: Serve) {
    let address = start(serve);
    // Slow: every pause is shorter than the patience, and all together are longer.
    let mut slow = connect(address);
    for byte in 0..6 {
        slow.write_all(&[byte]).unwrap();
        let mut answer = [0];
        slow.read_exact(&mut answer).expect("a slow client is served to its end");
        assert_eq!(answer, [byte]);
        thread::sleep(PATIENCE / 4);
    }
    drop(slow);

    let _silent = connect(address);
    let waited = visit(address);
    assert!(waited >= PATIENCE / 2, "the silent client was given up after {waited:?}, which is no patience");
}

fn wary(serve: Serve) {
    let address = start(serve);
    let mut deaf = connect(address);
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    // Until both directions' buffers are full.
    while deaf.write(&[0; 65_536]).is_ok() {}
    visit(address);
    let _silent = connect(address);
    visit(address);
}

fn backlog(listen: Listen) {
    let listener = listen("127.0.0.1:0".parse().unwrap(), 2).unwrap();
    let address = listener.local_addr().unwrap();
    let connections: Vec<TcpStream> =
        (0..20).map_while(|_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()).collect();
    assert!((2..=3).contains(&connections.len()), "{} connections fit into a backlog of 2", connections.len());
    listener.accept().expect("those that fit can be accepted");
}
