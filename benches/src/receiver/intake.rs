//! The receiver's sockets, and whose each datagram is that comes to them.

use crate::arrivals::Stamped;
use crate::case::Feed;
use crate::inlet::{Arrival, Inlet, Step};
use crate::machine::monotonic_ns;
use crate::workload::{Mode, Packets};
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sfu_proto::rtp;
use sfu_reactor::udp::{RecvBatch, UdpOptions, UdpSocket};
use std::collections::HashMap;
use std::net::SocketAddr;

/// How packets are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reception {
    /// By a socket for each who receives, waited for: a packet that comes while the receiver sleeps wakes it up.
    Woken,
    /// By sockets that all who receive share, read now and then: no packet wakes anybody up.
    ///
    /// On loopback the sender's call finds the receiving socket and wakes up who waits for it, so that a worker pays for that, and the more sockets
    /// there are, the more often. With this, a packet ends in the same way for any number of consumers.
    Swept {
        /// How many.
        sockets: usize,
    },
}

/// What a receiver is opened with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opening {
    /// How many receive.
    pub receivers: usize,
    /// By which sockets.
    pub reception: Reception,
    /// What they get.
    pub feeds: Vec<Feed>,
    /// Bytes of a packet as it was sent.
    pub packet_len: usize,
    /// Whether to take trains of datagrams as they are (UDP_GRO).
    pub trains: bool,
    /// Whether the kernel says when a packet came, not the receiver when it has it. It does so of no trains.
    pub stamps: bool,
}

/// The sockets, and what is known of their packets.
pub(super) struct Intake {
    pub(super) sockets: Vec<UdpSocket>,
    pub(super) inlets: Vec<Inlet>,
    pub(super) step: Step,
    /// Of shared sockets: who gets what comes from which port.
    owners: Option<HashMap<u16, usize>>,
    /// Datagrams to shared sockets that are nobody's.
    strays: u64,
    batch: RecvBatch,
    /// Used instead of the batch where the kernel stamps.
    stamped: Option<Stamped>,
    packets: Packets,
}

impl Intake {
    /// No sockets.
    pub(super) fn new() -> Result<Self> {
        Ok(Self {
            sockets: Vec::new(),
            inlets: Vec::new(),
            step: Step::default(),
            owners: None,
            strays: 0,
            batch: RecvBatch::new(64, 65_536),
            stamped: None,
            packets: Packets::new(Packets::MIN_LEN)?,
        })
    }

    /// Opens sockets instead of those that there are.
    pub(super) fn open(&mut self, opening: &Opening) -> Result<()> {
        let &Opening { receivers, reception, packet_len, trains, stamps, .. } = opening;
        if trains && stamps {
            bail!("trains that are taken as they are can't be stamped");
        }
        let options = UdpOptions { receive_buffer: Some(1 << 22), gro: trains, ..UdpOptions::default() };
        let (count, owners) = match reception {
            Reception::Woken => (receivers, None),
            Reception::Swept { sockets } => (sockets.min(receivers), Some(HashMap::new())),
        };
        self.sockets =
            (0..count).map(|_| Ok(UdpSocket::bind(([127, 0, 0, 1], 0).into(), &options)?)).collect::<Result<_>>()?;
        if stamps {
            self.sockets.iter().try_for_each(Stamped::ask)?;
        }
        self.inlets = (0..receivers).map(|_| Inlet::new()).collect();
        for feed in &opening.feeds {
            let inlet = self.inlets.get_mut(feed.socket).context("a feed for a receiver that there isn't")?;
            inlet.expect(feed.ssrc, feed.stream);
        }
        self.stamped = stamps.then(Stamped::new);
        self.packets = Packets::new(packet_len)?;
        self.owners = owners;
        self.step = Step::default();
        Ok(())
    }

    /// The port where each who receives gets packets.
    pub(super) fn ports(&self) -> Vec<u16> {
        let ports = self.sockets.iter().map(|socket| socket.local_addr().port());
        ports.cycle().take(self.inlets.len()).collect()
    }

    /// Whether the sockets are shared, and nobody is to wait for them.
    pub(super) fn is_swept(&self) -> bool {
        self.owners.is_some()
    }

    /// From which port each who receives gets packets.
    pub(super) fn set_sources(&mut self, ports: &[u16]) -> Result<()> {
        if ports.len() != self.inlets.len() {
            bail!("{} sources for {} receivers", ports.len(), self.inlets.len());
        }
        self.inlets.iter_mut().zip(ports).for_each(|(inlet, &port)| inlet.expect_from(port));
        if let Some(owners) = &mut self.owners {
            owners.clear();
            owners.extend(ports.iter().enumerate().map(|(index, &port)| (port, index)));
            if owners.len() != ports.len() {
                bail!("several receivers get packets from the same port, and share a socket");
            }
        }
        Ok(())
    }

    /// How what each gets is protected.
    pub(super) fn set_keys(&mut self, mode: Mode, keys: &[String]) -> Result<()> {
        let Some(suite) = mode.suite() else { return Ok(()) };
        if keys.len() != self.inlets.len() {
            bail!("{} keys for {} receivers", keys.len(), self.inlets.len());
        }
        for (inlet, key) in self.inlets.iter_mut().zip(keys) {
            let key = STANDARD.decode(key).context("a key isn't base64")?;
            inlet.protect(suite, &key)?;
        }
        Ok(())
    }

    /// Subscribes each to a forwarder of chapter 05.
    pub(super) fn join(&mut self, forwarder: SocketAddr) -> Result<()> {
        if self.is_swept() {
            bail!("a forwarder sends to everybody from one port, which tells nothing where sockets are shared");
        }
        self.inlets.iter_mut().zip(&mut self.sockets).try_for_each(|(inlet, socket)| inlet.join(socket, forwarder))
    }

    /// Forgets what came.
    pub(super) fn begin(&mut self, step: Step) {
        self.step = step;
        self.strays = 0;
        self.inlets.iter_mut().for_each(Inlet::begin);
    }

    /// Takes a batch of what waits in this socket. Returns how many datagrams that were, and how many of them are media.
    pub(super) fn take(&mut self, socket_index: usize) -> Result<(usize, usize)> {
        let Self { sockets, inlets, step, owners, strays, batch, stamped, packets } = self;
        let Some(socket) = sockets.get_mut(socket_index) else { return Ok((0, 0)) };
        let mut media = 0;
        let mut take = |from: u16, bytes: &mut [u8], arrival| {
            let owner = owners.as_ref().map_or(Some(socket_index), |owners| owners.get(&from).copied());
            let Some((index, inlet)) = owner.and_then(|index| Some((index, inlets.get_mut(index)?))) else {
                *strays += 1;
                return;
            };
            // Sender reports and the like aren't counted.
            if !inlet.admits(from) || rtp::is_rtcp(bytes) {
                return;
            }
            media += 1;
            if let Err(error) = inlet.take(index, bytes, arrival, step, packets) {
                step.wrong_count += 1;
                step.wrong.get_or_insert_with(|| format!("receiver {index}: {error:#}"));
            }
        };
        if let Some(stamped) = stamped {
            let count = stamped.receive(socket)?;
            let read = monotonic_ns();
            for datagram in 0..count {
                let (from, bytes, came) = stamped.datagram_mut(datagram);
                take(from, bytes, Arrival { came, read });
            }
            return Ok((count, media));
        }
        batch.clear();
        socket.recv_batch(batch)?;
        let read = monotonic_ns();
        for datagram in 0..batch.len() {
            let (from, bytes) = batch.datagram_mut(datagram);
            let from = from.port();
            take(from, bytes, Arrival { came: read, read });
        }
        Ok((batch.len(), media))
    }

    /// Takes all that waits in any socket. Returns how many of the datagrams are media.
    pub(super) fn sweep(&mut self) -> Result<usize> {
        let mut media = 0;
        for socket in 0..self.sockets.len() {
            loop {
                let (datagrams, of_them) = self.take(socket)?;
                media += of_them;
                if datagrams == 0 {
                    break;
                }
            }
        }
        Ok(media)
    }

    /// Different packets that came.
    pub(super) fn received(&self) -> u64 {
        self.inlets.iter().map(Inlet::count).sum()
    }

    /// Datagrams that came from elsewhere.
    pub(super) fn strays(&self) -> u64 {
        self.strays + self.inlets.iter().map(|inlet| inlet.strays).sum::<u64>()
    }

    /// Receive calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.sockets.iter().map(|socket| socket.counters().receive_calls).sum()
    }

    /// Whether the kernel says when packets came.
    pub(super) fn is_stamped(&self) -> bool {
        self.stamped.is_some()
    }
}
