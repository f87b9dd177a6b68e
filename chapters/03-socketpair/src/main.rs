//! `cargo run -p ch03-socketpair`: shows the chapter's idea by itself, breaks it with `--fault`, serves frames on a unix
//! socket with `--listen`, or talks to any program over a socketpair with `--run`.

mod demo;

use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, thread};

use anyhow::{Context, bail, ensure};
use ch03_socketpair::{Decoder, Duplex, Error, read_message, write_message};
use clap::Parser;

/// A parent and its child, talking both ways over one socketpair.
///
/// Without arguments it forks children and prints what happens between them and their parent. With --listen it answers
/// framed messages on a unix socket, in capitals; try `printf '\5\0\0\0hello' | socat - UNIX-CONNECT:PATH` against it.
/// With --run it starts a program that has one end of a socketpair as its standard input and output, sends it messages,
/// and prints what comes back; try `--run cat`.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Show what goes wrong, and what is lost by it.
    #[arg(long, conflicts_with_all = ["listen", "run"])]
    fault: bool,
    /// The path of a unix socket to answer messages on.
    #[arg(long, value_name = "PATH", conflicts_with = "run")]
    listen: Option<PathBuf>,
    /// With --listen: say nothing of what happens.
    #[arg(long, requires = "listen")]
    quiet: bool,
    /// A program, and its arguments, that sends back the bytes that it gets.
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true)]
    run: Vec<String>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    match (&arguments.listen, arguments.run.split_first()) {
        (Some(path), _) => serve(path, arguments.quiet),
        (None, Some((program, arguments))) => run(program, arguments),
        (None, None) if arguments.fault => demo::faults(),
        (None, None) => demo::run(),
    }
}

/// Answers every client of a unix socket, each in a thread of its own.
fn serve(path: &Path, quiet: bool) -> anyhow::Result<()> {
    let shown = path.display();
    // The name of a socket stays when its server has gone. It is ours to replace if nobody answers there.
    match UnixStream::connect(path) {
        Ok(_) => bail!("{shown} is served already, by another process"),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("cannot remove {shown}, which nobody serves"))?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen on {shown}"))?;
    println!("answering frames on {shown}; stop with Ctrl-C");
    loop {
        let (client, _) = listener.accept().context("accepting connections failed")?;
        thread::spawn(move || {
            let mut answered = 0;
            let result = answer(&client, &mut answered);
            match result {
                _ if quiet => {}
                Ok(()) => println!("a client said goodbye after {answered} messages"),
                Err(error) => println!("a client broke after {answered} messages: {error}"),
            }
        });
    }
}

/// Answers each message, in capitals, until the peer has no more.
fn answer(mut stream: &UnixStream, answered: &mut usize) -> Result<(), Error> {
    let mut decoder = Decoder::default();
    while let Some(message) = read_message(&mut stream, &mut decoder)? {
        write_message(&mut stream, &message.to_ascii_uppercase())?;
        *answered += 1;
    }
    Ok(())
}

/// Sends messages to a program that knows nothing of frames, and gives back the bytes it gets.
fn run(program: &str, arguments: &[String]) -> anyhow::Result<()> {
    let (ours, theirs) = UnixStream::pair().context("socketpair failed")?;
    // Standard input and output are two descriptors of the one end; the command's copies close when it is dropped.
    let mut command = Command::new(program);
    command.args(arguments).stdin(OwnedFd::from(theirs.try_clone()?)).stdout(OwnedFd::from(theirs));
    let mut child = command.stderr(Stdio::inherit()).spawn().with_context(|| format!("cannot run {program}"))?;
    drop(command);

    let mut channel = Duplex::new(ours);
    let messages = ["hello", "", "how are you?"];
    for message in messages {
        channel.send(message.as_bytes())?;
        println!("sent {:>2} bytes {message:?}", message.len());
    }
    channel.finish()?;
    println!("shutdown(SHUT_WR): no more will come, says the parent");
    for message in messages {
        let back = channel.receive()?.context("it ended before everything was back")?;
        println!("got  {:>2} bytes {:?}", back.len(), String::from_utf8_lossy(&back));
        ensure!(back == message.as_bytes(), "that is not what was sent");
    }
    ensure!(channel.receive()?.is_none(), "more came back than was sent");
    println!("end of file, then {}", child.wait()?);
    Ok(())
}
