//! `cargo run -p ipc-demos --bin fifo`: a pipe with a name, for processes that are not related.

use std::fs::{File, OpenOptions, metadata};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use ipc_demos::play::{begin, fork, reap};
use nix::errno::Errno;
use nix::libc::O_NONBLOCK;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use stage::Transcript;
use stage::transcript::time;

/// How late the reader comes: long enough to see.
const LATE: Duration = Duration::from_millis(200);

fn main() -> anyhow::Result<()> {
    let mut transcript =
        begin("Shows what named pipes do: the name, how opening waits, and an end of file that is not the end");
    let folder = tempfile::tempdir().context("there is no place for a named pipe")?;
    let path = folder.path().join("talk");
    name(&mut transcript, &path)?;
    meeting(&mut transcript, &path)?;
    end_of_file(&mut transcript, &path)
}

fn name(transcript: &mut Transcript, path: &Path) -> anyhow::Result<()> {
    transcript.heading("A name in the file system, and nothing behind it");
    mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).context("mkfifo failed")?;
    let found = metadata(path)?;
    ensure!(found.file_type().is_fifo(), "that is no FIFO");
    transcript.line("parent", format!("mkfifo \"talk\", mode rw-------; its size is {} and stays so", found.len()));
    let refused = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(path);
    let refused = refused.err().and_then(|error| error.raw_os_error());
    ensure!(refused == Some(Errno::ENXIO as i32), "opening it without a reader: {refused:?}");
    transcript.line("parent", "open for writing with O_NONBLOCK: ENXIO, there is no reader");
    Ok(())
}

fn meeting(transcript: &mut Transcript, path: &Path) -> anyhow::Result<()> {
    transcript.heading("open waits until somebody has opened the other end");
    let begin = Instant::now();
    let pid = fork(transcript, |_| {
        sleep(LATE);
        let mut all = String::new();
        File::open(path)?.read_to_string(&mut all)?;
        ensure!(all == "at last", "{all:?} came");
        Ok(())
    })?;
    let file = OpenOptions::new().write(true).open(path)?;
    let waited = begin.elapsed();
    ensure!(waited >= LATE, "open did not wait");
    transcript
        .line("parent", format!("open for writing: returns after {}, when the child opens for reading", time(waited)));
    std::io::Write::write_all(&mut &file, b"at last")?;
    drop(file);
    transcript.line("parent", "write \"at last\", close");
    reap(transcript, pid)?;
    Ok(())
}

fn end_of_file(transcript: &mut Transcript, path: &Path) -> anyhow::Result<()> {
    transcript.heading("End of file, and then somebody else comes");
    let mut first = shell(path, "one")?;
    let mut reader = File::open(path)?;
    transcript.line("shell 1", "echo one >talk");
    ensure!(first.wait()?.success(), "the shell failed");
    read(transcript, &mut reader, "one\n")?;
    read(transcript, &mut reader, "")?;
    let mut second = shell(path, "two")?;
    transcript.line("shell 2", "echo two >talk");
    ensure!(second.wait()?.success(), "the shell failed");
    read(transcript, &mut reader, "two\n")?;
    transcript.note("0 said that nobody is writing now; a server that is to stay opens it for reading and writing:");
    // Its own end for writing keeps end of file away. (Linux allows this; POSIX leaves it open.)
    let mut server = OpenOptions::new().read(true).write(true).open(path)?;
    drop(reader);
    for word in ["three", "four"] {
        ensure!(shell(path, word)?.wait()?.success(), "the shell failed");
        read(transcript, &mut server, &format!("{word}\n"))?;
    }
    Ok(())
}

/// A program that knows of the FIFO no more than its name.
fn shell(path: &Path, word: &str) -> anyhow::Result<Child> {
    let mut command = Command::new("sh");
    command.args(["-c", "echo \"$1\" >\"$0\""]).arg(path).arg(word);
    command.spawn().context("cannot run sh")
}

fn read(transcript: &mut Transcript, reader: &mut File, expected: &str) -> anyhow::Result<()> {
    let mut buffer = [0; 64];
    let length = reader.read(&mut buffer)?;
    ensure!(&buffer[..length] == expected.as_bytes(), "something else came");
    let what = if length == 0 { "0: end of file".to_owned() } else { format!("{length} bytes {expected:?}") };
    transcript.line("reader", format!("read {what}"));
    Ok(())
}
