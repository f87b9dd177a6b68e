//! `cargo run -p ipc-demos --bin unix`: sockets with a name on this machine, and what else they carry.

use std::io::{ErrorKind, Read};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ch02_processes_and_signals::fork_alone;
use ch03_socketpair::{Decoder, fork_with_channel, read_message, write_message};
use ipc_demos::passing::{receive_credentials, receive_descriptor, send_credentials, send_descriptor};
use ipc_demos::play::{begin, child, fork, reap, text};
use nix::sys::socket::{UnixCredentials, setsockopt, sockopt};
use nix::unistd::{ForkResult, getpid};
use stage::Transcript;

/// A client that hears nothing for this long fails, instead of hanging.
const PATIENCE: Duration = Duration::from_secs(5);

fn main() -> anyhow::Result<()> {
    let mut transcript = begin(
        "Shows unix sockets with a name, stream and datagram, and passes an open UDP socket and credentials over them",
    );
    let folder = tempfile::tempdir().context("there is no place for a socket's name")?;
    stream(&mut transcript, &folder.path().join("server"))?;
    datagrams(&mut transcript, folder.path())?;
    rights(&mut transcript)?;
    credentials(&mut transcript)
}

fn stream(transcript: &mut Transcript, path: &Path) -> anyhow::Result<()> {
    transcript.heading("Stream: listen and connect, by a name in the file system");
    let listener = UnixListener::bind(path)?;
    transcript.line("parent", "bind \"server\", listen");
    let pid = match fork_alone()? {
        ForkResult::Child => {
            drop(listener);
            child(transcript, |_| {
                let mut stream = UnixStream::connect(path)?;
                write_message(&mut stream, b"hello")?;
                let answer = read_message(&mut stream, &mut Decoder::default())?;
                ensure!(answer.as_deref() == Some(b"HELLO"), "the answer was {answer:?}");
                Ok(())
            })
        }
        ForkResult::Parent { child } => child,
    };
    let (mut client, _) = listener.accept()?;
    let peer = nix::sys::socket::getsockopt(&client, sockopt::PeerCredentials)?;
    ensure!(peer.pid() == pid.as_raw(), "somebody else has connected");
    transcript.line("parent", format!("accept; SO_PEERCRED says that it is pid {}", peer.pid()));
    let message = read_message(&mut client, &mut Decoder::default())?.context("the client left")?;
    write_message(&mut client, &message.to_ascii_uppercase())?;
    transcript.line("parent", format!("a message {:?}, answered in capitals", text(&message)));
    reap(transcript, pid)?;

    drop(listener);
    let again = UnixListener::bind(path).err().map(|error| error.kind());
    ensure!(again == Some(ErrorKind::AddrInUse) && path.exists(), "binding again: {again:?}");
    transcript.line("parent", "close, bind again: EADDRINUSE. The name stays until somebody removes it");
    let nobody = UnixStream::connect(path).err().map(|error| error.kind());
    ensure!(nobody == Some(ErrorKind::ConnectionRefused), "connecting to nobody: {nobody:?}");
    transcript.line("parent", "connect to it: ECONNREFUSED, that is how one knows that it is stale");
    let name = SocketAddr::from_abstract_name(format!("ipc-demos {}", getpid()))?;
    let listener = UnixListener::bind_addr(&name)?;
    UnixStream::connect_addr(&name)?;
    drop(listener);
    UnixListener::bind_addr(&name)?;
    transcript.line("parent", "with an abstract name (it begins with a zero byte) there is no file, and nothing stays");
    Ok(())
}

fn datagrams(transcript: &mut Transcript, folder: &Path) -> anyhow::Result<()> {
    transcript.heading("Datagram: edges, order, and no loss");
    let (receiver, sender) = (UnixDatagram::bind(folder.join("inbox"))?, UnixDatagram::bind(folder.join("outbox"))?);
    sender.send_to(b"one", folder.join("inbox"))?;
    sender.send_to(b"", folder.join("inbox"))?;
    for _ in 0..2 {
        let mut buffer = [0; 64];
        let (length, from) = receiver.recv_from(&mut buffer)?;
        let from = from.as_pathname().and_then(Path::file_name).context("it has no name")?;
        transcript.line("inbox", format!("recvfrom {length} bytes {:?} from {from:?}", text(&buffer[..length])));
    }
    sender.set_nonblocking(true)?;
    let mut sent = 0_u32;
    let full = loop {
        match sender.send_to(&sent.to_ne_bytes(), folder.join("inbox")) {
            Ok(_) => sent += 1,
            Err(error) => break error.kind(),
        }
    };
    ensure!(full == ErrorKind::WouldBlock, "sending without end: {full:?}");
    transcript
        .line("outbox", format!("send without end: after ≈ {sent} datagrams EAGAIN; without O_NONBLOCK it waits"));
    receiver.set_nonblocking(true)?;
    let mut number = [0; 4];
    for expected in 0..sent {
        receiver.recv(&mut number)?;
        ensure!(u32::from_ne_bytes(number) == expected, "a datagram is lost");
    }
    transcript.line("inbox", "all of them are there, in order: UDP would have dropped what had no room");
    Ok(())
}

fn rights(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("SCM_RIGHTS: an open UDP socket goes to another process");
    // ANCHOR: rights
    let (pid, channel) = fork_with_channel(|channel| {
        child(transcript, |transcript| {
            let mut note = [0; 64];
            let (length, descriptor) = receive_descriptor(&channel, &mut note)?;
            let socket = UdpSocket::from(descriptor.context("no descriptor came")?);
            let address = socket.local_addr()?;
            transcript.line("child", format!("recvmsg {:?}, and a UDP socket: {address}", text(&note[..length])));
            // The parent closes its copy, and says so by closing the channel.
            ensure!((&channel).read(&mut note)? == 0, "the parent was to say no more");
            let mut buffer = [0; 64];
            let (length, from) = socket.recv_from(&mut buffer)?;
            transcript.line("child", format!("recvfrom {from}: {:?}, which had come before", text(&buffer[..length])));
            socket.send_to(b"answered by another process", from)?;
            Ok(())
        })
    })?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(PATIENCE))?;
    client.connect(socket.local_addr()?)?;
    client.send(b"is anyone there?")?;
    transcript.line("parent", format!("bind UDP {}; a datagram has come, unread", socket.local_addr()?));
    transcript.line("parent", "sendmsg: 11 bytes and the socket; close both");
    send_descriptor(&channel, b"take it now", socket.as_fd())?;
    drop((socket, channel));
    let mut answer = [0; 64];
    let length = client.recv(&mut answer).context("no answer came")?;
    // ANCHOR_END: rights
    transcript.line("client", format!("{:?}", text(&answer[..length])));
    reap(transcript, pid)?;
    transcript.note("the socket, its port and its queue went on; only the process behind them is another one");
    Ok(())
}

fn credentials(transcript: &mut Transcript) -> anyhow::Result<()> {
    transcript.heading("SCM_CREDENTIALS: who is it that says this?");
    let (ours, theirs) = UnixStream::pair()?;
    setsockopt(&ours, sockopt::PassCred, &true)?;
    let pid = fork(transcript, |_| {
        send_credentials(&theirs, b"it is me", &UnixCredentials::new())?;
        Ok(())
    })?;
    let mut buffer = [0; 64];
    let (length, sender) = receive_credentials(&ours, &mut buffer)?;
    let Some(sender) = sender else { bail!("no credentials came") };
    ensure!(sender.pid() == pid.as_raw(), "the kernel says that it was pid {}", sender.pid());
    let whose = if sender.uid() == nix::unistd::getuid().as_raw() { "the user's own" } else { "another" };
    transcript.line("parent", format!("{:?} from pid {}, uid: {whose}", text(&buffer[..length]), sender.pid()));
    transcript.note("the kernel has checked it: only a privileged process can name another pid or user than its own");
    reap(transcript, pid)?;
    Ok(())
}
