//! The contenders: each as two ends that carry messages, with every system call counted where it is made.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ipc_demos::ring::{Ring, Wake};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, setsockopt, socketpair, sockopt};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// How much a stream's reader asks for while messages are short, in bytes.
const CHUNK: usize = 64 * 1024;

/// What of a message goes into one UDP datagram at most, in bytes.
const UDP_PART: usize = 32 * 1024;

/// A ring's size in bytes.
const RING: usize = 1024 * 1024;

/// A datagram that has not come by then is lost.
const LOST: Duration = Duration::from_secs(2);

/// One end. Messages of one run all have the same length, so that no way needs frames but those that have them anyway.
pub trait Link {
    /// Sends a message; waits as the way does.
    fn send(&mut self, message: &[u8]) -> Result<()>;
    /// Waits for a message of that length, and returns it where it lies.
    fn receive(&mut self, length: usize) -> Result<&[u8]>;
    /// How many system calls this end has made in this process.
    fn calls(&self) -> u64;
    /// How many messages may be under way without an answer. Only UDP, which stops nobody, has a bound.
    fn window(&self, _length: usize) -> Option<u64> {
        None
    }
}

/// The two ends, made before fork; each process drops one.
pub type Ends = (Box<dyn Link>, Box<dyn Link>);

/// A way to be measured.
#[derive(Debug, Clone, Copy)]
pub struct Contender {
    /// Its name in the results.
    pub name: &'static str,
    /// Makes its ends.
    pub open: fn() -> Result<Ends>,
    /// Whether the other end is in another process. The control's is not.
    pub forks: bool,
}

/// All of them, in the order of the table.
pub const CONTENDERS: [Contender; 12] = [
    contender("pipe", pipes),
    contender("FIFO", fifos),
    contender("socketpair, stream", stream_pair),
    contender("socketpair, seqpacket", packet_pair),
    contender("unix socket, stream", unix_stream),
    contender("unix socket, datagram", unix_datagram),
    contender("TCP loopback", tcp),
    contender("UDP loopback", udp),
    contender("ring, futex", || rings(|| Ok(Wake::Futex))),
    contender("ring, eventfd", || rings(Wake::eventfd)),
    contender("ring, busy waiting", || rings(|| Ok(Wake::Busy))),
    Contender { name: "control: pipe, one process", open: pipes, forks: false },
];

const fn contender(name: &'static str, open: fn() -> Result<Ends>) -> Contender {
    Contender { name, open, forks: true }
}

fn pipes() -> Result<Ends> {
    let (there, back) = (io::pipe()?, io::pipe()?);
    Ok((Stream::open(back.0.into(), there.1.into()), Stream::open(there.0.into(), back.1.into())))
}

fn fifos() -> Result<Ends> {
    let folder = tempfile::tempdir()?;
    let open = |name: &str| -> Result<(OwnedFd, OwnedFd)> {
        let path = folder.path().join(name);
        mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Opening would wait for the other end, which is ours as well.
        let reader = File::from(OwnedFd::from(
            OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path)?,
        ));
        let writer = OpenOptions::new().write(true).open(&path)?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::empty()))?;
        Ok((reader.into(), writer.into()))
    };
    let (there, back) = (open("there")?, open("back")?);
    Ok((Stream::open(back.0, there.1), Stream::open(there.0, back.1)))
}

fn stream_pair() -> Result<Ends> {
    let (left, right) = UnixStream::pair()?;
    Ok((Stream::both(left.into())?, Stream::both(right.into())?))
}

fn unix_stream() -> Result<Ends> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path)?;
    let left = UnixStream::connect(&path)?;
    let (right, _) = listener.accept()?;
    Ok((Stream::both(left.into())?, Stream::both(right.into())?))
}

fn tcp() -> Result<Ends> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let left = TcpStream::connect(listener.local_addr()?)?;
    let (right, _) = listener.accept()?;
    left.set_nodelay(true)?;
    right.set_nodelay(true)?;
    Ok((Stream::both(left.into())?, Stream::both(right.into())?))
}

fn packet_pair() -> Result<Ends> {
    let (left, right) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((Packets::open(left, usize::MAX), Packets::open(right, usize::MAX)))
}

fn unix_datagram() -> Result<Ends> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let (left, right) = (UnixDatagram::bind(path("l"))?, UnixDatagram::bind(path("r"))?);
    left.connect(path("r"))?;
    right.connect(path("l"))?;
    Ok((Packets::open(left.into(), usize::MAX), Packets::open(right.into(), usize::MAX)))
}

fn udp() -> Result<Ends> {
    let (left, right) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    left.connect(right.local_addr()?)?;
    right.connect(left.local_addr()?)?;
    for socket in [&left, &right] {
        // Twice as much as is there by default on most machines; a process may ask for no more than net.core.rmem_max.
        setsockopt(socket, sockopt::RcvBuf, &(512 * 1024))?;
        socket.set_read_timeout(Some(LOST))?;
    }
    Ok((Packets::open(left.into(), UDP_PART), Packets::open(right.into(), UDP_PART)))
}

fn rings(wake: impl Fn() -> io::Result<Wake>) -> Result<Ends> {
    let (there, back) = (Rc::new(Ring::create(RING, wake()?)?), Rc::new(Ring::create(RING, wake()?)?));
    let left = Rings { sends: Rc::clone(&there), receives: Rc::clone(&back), message: Vec::new() };
    Ok((Box::new(left), Box::new(Rings { sends: back, receives: there, message: Vec::new() })))
}

/// Bytes without edges.
struct Stream {
    reads: OwnedFd,
    writes: OwnedFd,
    buffer: Vec<u8>,
    /// What of the buffer has been read from the kernel, and not yet given out.
    unread: std::ops::Range<usize>,
    calls: u64,
}

impl Stream {
    fn open(reads: OwnedFd, writes: OwnedFd) -> Box<dyn Link> {
        Box::new(Stream { reads, writes, buffer: vec![0; 2 * CHUNK], unread: 0..0, calls: 0 })
    }

    fn both(socket: OwnedFd) -> Result<Box<dyn Link>> {
        Ok(Stream::open(socket.try_clone()?, socket))
    }
}

impl Link for Stream {
    fn send(&mut self, mut message: &[u8]) -> Result<()> {
        while !message.is_empty() {
            self.calls += 1;
            match nix::unistd::write(&self.writes, message) {
                Ok(length) => message = &message[length..],
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("write failed"),
            }
        }
        Ok(())
    }

    /// Reads ahead while messages are short, as chapter 03's decoder does. A long one is read to its end and no
    /// further: what lies behind it would have to be moved.
    fn receive(&mut self, length: usize) -> Result<&[u8]> {
        ensure!(length <= CHUNK, "a message of {length} bytes is longer than the buffer");
        while self.unread.len() < length {
            if self.unread.is_empty() {
                self.unread = 0..0;
            } else if self.unread.start > CHUNK {
                self.buffer.copy_within(self.unread.clone(), 0);
                self.unread = 0..self.unread.len();
            }
            let wanted = if length > CHUNK / 4 { length - self.unread.len() } else { CHUNK };
            let end = (self.unread.end + wanted).min(self.buffer.len());
            self.calls += 1;
            match nix::unistd::read(&self.reads, &mut self.buffer[self.unread.end..end]) {
                Ok(0) => bail!("the other end has closed"),
                Ok(more) => self.unread.end += more,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error).context("read failed"),
            }
        }
        let start = self.unread.start;
        self.unread.start += length;
        Ok(&self.buffer[start..start + length])
    }

    fn calls(&self) -> u64 {
        self.calls
    }
}

/// Messages with edges, one a call; longer ones in parts where a part has a bound.
struct Packets {
    socket: OwnedFd,
    part: usize,
    buffer: Vec<u8>,
    calls: u64,
}

impl Packets {
    fn open(socket: OwnedFd, part: usize) -> Box<dyn Link> {
        Box::new(Packets { socket, part, buffer: vec![0; CHUNK], calls: 0 })
    }

    fn raw(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Link for Packets {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        for part in message.chunks(self.part.min(message.len())) {
            loop {
                self.calls += 1;
                match send(self.raw(), part, MsgFlags::MSG_NOSIGNAL) {
                    Ok(_) => break,
                    Err(Errno::EINTR) => {}
                    Err(error) => return Err(error).context("send failed"),
                }
            }
        }
        Ok(())
    }

    fn receive(&mut self, length: usize) -> Result<&[u8]> {
        let mut received = 0;
        while received < length {
            self.calls += 1;
            match recv(self.socket.as_raw_fd(), &mut self.buffer[received..length], MsgFlags::empty()) {
                Ok(0) => bail!("the other end has closed"),
                Ok(more) => received += more,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => bail!("a datagram is lost"),
                Err(error) => return Err(error).context("recv failed"),
            }
        }
        Ok(&self.buffer[..length])
    }

    fn calls(&self) -> u64 {
        self.calls
    }

    fn window(&self, length: usize) -> Option<u64> {
        (self.part == UDP_PART).then_some(if length > UDP_PART { 4 } else { 64 })
    }
}

/// A ring in each direction.
struct Rings {
    sends: Rc<Ring>,
    receives: Rc<Ring>,
    message: Vec<u8>,
}

impl Link for Rings {
    fn send(&mut self, message: &[u8]) -> Result<()> {
        Ok(self.sends.send(message)?)
    }

    fn receive(&mut self, length: usize) -> Result<&[u8]> {
        self.receives.receive(&mut self.message)?;
        ensure!(self.message.len() == length, "a message of {} bytes came, not of {length}", self.message.len());
        Ok(&self.message)
    }

    fn calls(&self) -> u64 {
        self.sends.calls() + self.receives.calls()
    }
}
