//! A peer of a WebRtcTransport by hand, over UDP or TCP: connectivity checks as a browser sends them, and its side of the
//! handshake.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sfu_proto::dtls::{self, Certificate, Dtls, Fingerprint, Role, SrtpKeys};
use sfu_proto::stun::{self, Class, Message, MessageBuilder, TransactionId};

use super::media::{Peer, merge};
use super::{PATIENCE, Worker};

/// A way to one transport.
pub trait Link {
    /// Our address.
    fn local(&self) -> SocketAddr;
    fn send(&mut self, datagram: &[u8]);
    /// The next datagram; `None` when none comes within the patience.
    fn receive_within(&mut self, patience: Duration) -> Option<Vec<u8>>;

    /// The next datagram, which must come.
    fn receive(&mut self) -> Vec<u8> {
        self.receive_within(PATIENCE).expect("a packet arrives")
    }
}

/// A peer's way over UDP.
pub struct Udp<'a> {
    pub peer: &'a Peer,
    pub to: SocketAddr,
}

impl Link for Udp<'_> {
    fn local(&self) -> SocketAddr {
        self.peer.address()
    }

    fn send(&mut self, datagram: &[u8]) {
        self.peer.send(self.to, datagram);
    }

    fn receive_within(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.peer.socket.set_read_timeout(Some(patience)).unwrap();
        let mut buffer = [0; 2048];
        let received = self.peer.socket.recv(&mut buffer);
        self.peer.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(buffer[..received.ok()?].to_vec())
    }
}

/// A way over TCP: frames with a length before them (RFC 4571).
pub struct Tcp {
    pub stream: TcpStream,
    received: Vec<u8>,
}

impl Tcp {
    pub fn connect(to: SocketAddr) -> Tcp {
        let stream = TcpStream::connect(to).unwrap();
        stream.set_nodelay(true).unwrap();
        Tcp { stream, received: Vec::new() }
    }

    /// Sends bytes, framed or not.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Waits for the worker to close the connection.
    pub fn wait_for_end(&mut self) {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        loop {
            match self.stream.read(&mut [0; 2048]) {
                Ok(0) => return,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return,
                Ok(_) => {}
                Err(error) => panic!("the worker does not close the connection: {error}"),
            }
        }
    }
}

/// A datagram with its length before it.
pub fn frame(datagram: &[u8]) -> Vec<u8> {
    [&(datagram.len() as u16).to_be_bytes()[..], datagram].concat()
}

impl Link for Tcp {
    fn local(&self) -> SocketAddr {
        self.stream.local_addr().unwrap()
    }

    fn send(&mut self, datagram: &[u8]) {
        self.send_bytes(&frame(datagram));
    }

    fn receive_within(&mut self, patience: Duration) -> Option<Vec<u8>> {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        loop {
            if let [high, low, rest @ ..] = &self.received[..]
                && let Some(datagram) = rest.get(..usize::from(u16::from_be_bytes([*high, *low])))
            {
                let datagram = datagram.to_vec();
                self.received.drain(..2 + datagram.len());
                return Some(datagram);
            }
            let mut buffer = [0; 4096];
            let count = self.stream.read(&mut buffer).ok()?;
            assert_ne!(count, 0, "the worker closed the connection");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }
}

/// A router `r` with WebRtcTransport `t`, its dump, and where its first candidate is.
pub fn transport(options: Value) -> (Worker, Value, SocketAddr) {
    let mut worker = Worker::start();
    worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
    let mut data = json!({
        "transportId": "t", "listenIps": [{"ip": "127.0.0.1"}],
        "enableUdp": true, "enableTcp": false, "preferUdp": false, "preferTcp": false,
        "initialAvailableOutgoingBitrate": 1_000_000, "enableSctp": false, "isDataChannel": true,
        "maxSctpMessageSize": 262_144,
    });
    merge(&mut data, options);
    let dump = worker.ask("router.createWebRtcTransport", "r", data);
    let candidate = &dump["iceCandidates"][0];
    let address = format!("{}:{}", candidate["ip"].as_str().unwrap(), candidate["port"]);
    (worker, dump.clone(), address.parse().unwrap())
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

/// A connectivity check as a browser sends it, with this password.
pub fn check(ice: &Value, password: &str, nominate: bool) -> Vec<u8> {
    let builder = MessageBuilder::new(Class::Request, stun::METHOD_BINDING, TransactionId([7; 12]))
        .username(&format!("{}:browser", text(ice, "usernameFragment")))
        .ice_controlling(1)
        .priority(1_853_824_767);
    let builder = if nominate { builder.use_candidate() } else { builder };
    builder.message_integrity(password.as_bytes()).fingerprint().finish()
}

/// Sends a check that nominates, which must be answered with success.
pub fn nominate(link: &mut impl Link, ice: &Value) {
    link.send(&check(ice, text(ice, "password"), true));
    expect_success(link, ice);
}

/// The next datagram must be a good answer to a check.
pub fn expect_success(link: &mut impl Link, ice: &Value) {
    let answer = link.receive();
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.class(), Class::SuccessResponse);
    assert!(answer.check_message_integrity(text(ice, "password").as_bytes()) && answer.check_fingerprint());
    assert_eq!(answer.xor_mapped_address(), Ok(Some(link.local())));
}

/// Does the peer's side of the handshake, as the client, and returns the keys.
pub fn shake_hands(link: &mut impl Link, certificate: &Certificate, remote: &Value) -> SrtpKeys {
    associate(link, certificate, remote).1
}

/// The same, and returns the association too.
pub fn associate(link: &mut impl Link, certificate: &Certificate, remote: &Value) -> (Dtls, SrtpKeys) {
    let fingerprint = remote.as_array().unwrap().iter().find(|one| one["algorithm"] == "sha-256").unwrap();
    let fingerprint = Fingerprint::parse("sha-256", text(fingerprint, "value")).unwrap();
    let mut association = Dtls::new(certificate, Role::Client, Some(fingerprint)).unwrap();
    let deadline = Instant::now() + PATIENCE;
    association.start(Instant::now());
    loop {
        while let Some(datagram) = association.poll_transmit() {
            link.send(&datagram);
        }
        match association.poll_event() {
            Some(dtls::Event::Connected { keys, .. }) => return (association, keys),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        assert!(Instant::now() < deadline, "the handshake did not end");
        match link.receive_within(Duration::from_millis(20)) {
            Some(datagram) if (20..64).contains(&datagram[0]) => {
                association.handle_packet(Instant::now(), &datagram).unwrap();
            }
            _ => association.handle_timeout(Instant::now()),
        }
    }
}

/// What `transport.connect` takes for a peer that is the DTLS client.
pub fn connect_parameters(certificate: &Certificate) -> Value {
    let fingerprint = certificate.fingerprint(dtls::FingerprintAlgorithm::Sha256).unwrap();
    json!({"dtlsParameters": {
        "role": "client", "fingerprints": [{"algorithm": "sha-256", "value": fingerprint.value()}],
    }})
}
