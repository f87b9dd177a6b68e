//! A WebRTC server: sockets that many WebRTC transports share, so that one UDP and one TCP port serve them all.
//!
//! A connectivity check shows by the username fragment that it is for which transport. Once one has passed, all else that
//! comes from that address is for that transport too. An ICE-TCP connection is the server's until a check has passed on it,
//! and then the transport's.

use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};

use rustc_hash::{FxBuildHasher, FxHashMap};
use sfu_channel::dump::{IceUsernameFragmentDump, SocketDump, TupleHashDump, WebRtcServerDump};
use sfu_channel::request::{CreateWebRtcServer, CreateWebRtcTransportWithServer, local_preference};
use sfu_channel::response::Refusal;
use sfu_channel::{IceCandidate, ListenInfo, Protocol};
use sfu_proto::stun::{Message, is_stun};
use slab::Slab;

use crate::sockets::{Owner, Sockets};
use crate::transport::connections::Connections;
use crate::transport::webrtc::candidate;
use crate::transport::{Path, Transport};

/// Connections without a passed check that a server may have at a time; further ones are closed at once.
const MAX_CONNECTIONS: usize = 512;

/// Bits of the numbers that stand for tuples in dumps: JavaScript has no larger integers.
const HASH_BITS: u32 = 53;

/// One server.
#[derive(Debug)]
pub struct WebRtcServer {
    /// Its id.
    pub id: String,
    listeners: Vec<Listener>,
    /// The transports that use it, in the order in which they came.
    pub transports: Vec<usize>,
    by_username_fragment: FxHashMap<Box<str>, usize>,
    by_tuple: FxHashMap<TupleKey, usize>,
    /// Its ICE-TCP connections that no check has passed on yet.
    pub connections: Connections,
}

#[derive(Debug)]
struct Listener {
    socket: usize,
    info: ListenInfo,
}

/// A path in a form that is quickly hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct TupleKey {
    socket: usize,
    ip: u128,
    port: u16,
}

impl From<Path> for TupleKey {
    fn from(path: Path) -> TupleKey {
        let ip = match path.remote.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        TupleKey { socket: path.socket, ip, port: path.remote.port() }
    }
}

impl WebRtcServer {
    /// Opens the sockets of a server that will have that index.
    ///
    /// # Errors
    /// An `Error` when a port cannot be bound.
    pub fn new(index: usize, request: CreateWebRtcServer, sockets: &mut Sockets) -> Result<WebRtcServer, Refusal> {
        let mut listeners: Vec<Listener> = Vec::new();
        for info in request.listen_infos {
            match sockets.listen(Owner::WebRtcServer(index), &info) {
                Ok(socket) => listeners.push(Listener { socket, info }),
                Err(error) => {
                    listeners.iter().for_each(|listener| sockets.remove(listener.socket));
                    return Err(error);
                }
            }
        }
        Ok(WebRtcServer {
            id: request.web_rtc_server_id,
            listeners,
            transports: Vec::new(),
            by_username_fragment: FxHashMap::default(),
            by_tuple: FxHashMap::default(),
            connections: Connections::new(MAX_CONNECTIONS),
        })
    }

    /// The keys of its listening sockets.
    pub fn sockets(&self) -> impl Iterator<Item = usize> {
        self.listeners.iter().map(|listener| listener.socket)
    }

    /// The candidates of a transport, by the protocols that it may use, in the order of the listeners.
    pub fn candidates(&self, request: &CreateWebRtcTransportWithServer, sockets: &Sockets) -> Vec<IceCandidate> {
        let enabled = |info: &ListenInfo| match info.protocol {
            Protocol::Udp => request.enable_udp,
            Protocol::Tcp => request.enable_tcp,
        };
        let listeners = self.listeners.iter().enumerate().filter(|(_, listener)| enabled(&listener.info));
        listeners
            .filter_map(|(index, Listener { socket, info })| {
                let preference = local_preference(info.protocol, index, request.prefer_udp, request.prefer_tcp);
                Some(candidate(info, sockets.get(*socket)?.local.port(), preference))
            })
            .collect()
    }

    /// The transport that a datagram or frame is for, which has come by this path: a check by whom it names, all else,
    /// and checks that name nobody here, by where it comes from.
    pub fn find_transport(&self, path: Path, datagram: &[u8]) -> Option<usize> {
        let by_tuple = || self.by_tuple.get(&path.into()).copied();
        if !is_stun(datagram) {
            return by_tuple();
        }
        let message = Message::parse(datagram).ok()?;
        let named = message.receiver_username_fragment().ok().flatten();
        named.and_then(|fragment| self.by_username_fragment.get(fragment).copied()).or_else(by_tuple)
    }

    /// From now on checks that name this fragment are for that transport.
    pub fn add_username_fragment(&mut self, fragment: &str, transport: usize) {
        self.by_username_fragment.insert(fragment.into(), transport);
    }

    /// The fragment stands for nobody any more.
    pub fn remove_username_fragment(&mut self, fragment: &str) {
        self.by_username_fragment.remove(fragment);
    }

    /// A check of a transport has passed by this path. Returns the other transport whose path it was, if there is one.
    pub fn add_tuple(&mut self, path: Path, transport: usize) -> Option<usize> {
        self.by_tuple.insert(path.into(), transport).filter(|other| *other != transport)
    }

    /// The path is no more this transport's.
    pub fn remove_tuple(&mut self, path: Path, transport: usize) {
        let key = path.into();
        if self.by_tuple.get(&key) == Some(&transport) {
            self.by_tuple.remove(&key);
        }
    }

    /// A transport uses it no more.
    pub fn forget_transport(&mut self, transport: usize) {
        self.transports.retain(|known| *known != transport);
        self.by_username_fragment.retain(|_, known| *known != transport);
        self.by_tuple.retain(|_, known| *known != transport);
    }

    /// Closes the sockets.
    pub fn close(&mut self, sockets: &mut Sockets) {
        for key in self.listeners.drain(..).map(|listener| listener.socket) {
            sockets.remove(key);
        }
        for key in self.connections.keys() {
            sockets.remove(key);
        }
    }

    /// What it shows of itself.
    pub fn dump(&self, sockets: &Sockets, transports: &Slab<Transport>) -> WebRtcServerDump {
        let listening = |protocol: Protocol| {
            let listeners = self.listeners.iter().filter(|listener| listener.info.protocol == protocol);
            let local = listeners.filter_map(|listener| Some(sockets.get(listener.socket)?.local)).map(socket_dump);
            local.collect()
        };
        let id = |transport: &usize| transports.get(*transport).map(|entity| entity.id.clone());
        let fragments = self.by_username_fragment.iter().filter_map(|(fragment, transport)| {
            let web_rtc_transport_id = id(transport)?;
            Some(IceUsernameFragmentDump { local_ice_username_fragment: fragment.to_string(), web_rtc_transport_id })
        });
        let tuples = self.by_tuple.iter().filter_map(|(key, transport)| {
            let tuple_hash = FxBuildHasher.hash_one(key) >> (u64::BITS - HASH_BITS);
            Some(TupleHashDump { tuple_hash, web_rtc_transport_id: id(transport)? })
        });
        WebRtcServerDump {
            id: self.id.clone(),
            udp_sockets: listening(Protocol::Udp),
            tcp_servers: listening(Protocol::Tcp),
            web_rtc_transport_ids: self.transports.iter().filter_map(id).collect(),
            local_ice_username_fragments: fragments.collect(),
            tuple_hashes: tuples.collect(),
        }
    }
}

fn socket_dump(address: SocketAddr) -> SocketDump {
    SocketDump { ip: address.ip().to_string(), port: address.port() }
}
