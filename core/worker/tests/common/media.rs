//! Media by hand: parameters as the library writes them, RTP packets, and the sockets that stand for peers.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{PATIENCE, Worker};

/// The producer's SSRCs, as its peer sends them.
pub const SENT_SSRC: u32 = 1111;
pub const SENT_RTX_SSRC: u32 = 1112;
/// The consumer's SSRCs, as its peer receives them.
pub const RECEIVED_SSRC: u32 = 7001;
pub const RECEIVED_RTX_SSRC: u32 = 7002;
/// The producer's stream inside the router.
pub const MAPPED_SSRC: u32 = 5001;
/// Payload types: the sender's and the router's, media and RTX.
pub const SENT_PT: u8 = 96;
pub const SENT_RTX_PT: u8 = 97;
pub const PT: u8 = 101;
pub const RTX_PT: u8 = 102;

/// A peer: a socket on loopback.
pub struct Peer {
    pub socket: UdpSocket,
}

impl Peer {
    pub fn new() -> Peer {
        Peer::on("127.0.0.1:0")
    }

    pub fn on(address: &str) -> Peer {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer { socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    pub fn send(&self, to: SocketAddr, packet: &[u8]) {
        self.socket.send_to(packet, to).unwrap();
    }

    /// The next datagram, which must come.
    pub fn receive(&self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let length = self.socket.recv(&mut buffer).expect("a packet arrives");
        buffer[..length].to_vec()
    }

    /// The next RTP packet; RTCP that comes before it is passed over.
    pub fn receive_rtp(&self) -> Vec<u8> {
        self.receive_until("an RTP packet", |packet| (!is_rtcp(packet)).then(|| packet.to_vec()))
    }

    /// The next RTCP packet with this type and count field; all else that comes before it is passed over.
    pub fn receive_rtcp(&self, packet_type: u8, count: u8) -> Vec<u8> {
        self.receive_until("an RTCP packet of that type", |datagram| {
            let mut rest = if is_rtcp(datagram) { datagram } else { &[] };
            while rest.len() >= 4 {
                let length = 4 * (1 + usize::from(u16::from_be_bytes([rest[2], rest[3]])));
                if rest[1] == packet_type && rest[0] & 31 == count {
                    return Some(rest[..length].to_vec());
                }
                rest = rest.get(length..).unwrap_or_default();
            }
            None
        })
    }

    /// What `wanted` makes of the first datagram that it wants; others that come before it are passed over.
    fn receive_until(&self, what: &str, wanted: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(found) = wanted(&self.receive()) {
                return found;
            }
        }
        panic!("{what} did not come");
    }

    /// Throws away what is here, and what comes until nothing has come for that time.
    pub fn drain_for(&self, quiet: Duration) {
        self.socket.set_read_timeout(Some(quiet)).unwrap();
        while self.socket.recv(&mut [0; 2048]).is_ok() {}
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    /// Everything that is here now. Call it after an answer of the worker that came later than what sent the packets.
    pub fn drain_rtp(&self) -> Vec<Vec<u8>> {
        self.socket.set_nonblocking(true).unwrap();
        let mut packets = Vec::new();
        let mut buffer = [0; 2048];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            if !is_rtcp(&buffer[..length]) {
                packets.push(buffer[..length].to_vec());
            }
        }
        self.socket.set_nonblocking(false).unwrap();
        packets
    }
}

pub fn is_rtcp(packet: &[u8]) -> bool {
    packet.len() > 1 && (192..=223).contains(&packet[1])
}

/// An RTP packet without extensions.
pub fn rtp(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&timestamp.to_be_bytes());
    packet.extend_from_slice(&ssrc.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

/// An RTP packet with header extensions, each an id and a value of 1 to 16 bytes (RFC 8285, one-byte headers).
pub fn rtp_with(extensions: &[(u8, &[u8])], packet: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for (id, value) in extensions {
        block.push(id << 4 | (value.len() - 1) as u8);
        block.extend_from_slice(value);
    }
    block.resize(block.len().next_multiple_of(4), 0);
    let words = (block.len() / 4) as u16;
    let head = [&packet[..12], &[0xbe, 0xde], &words.to_be_bytes(), &block].concat();
    let mut packet = [&head, &packet[12..]].concat();
    packet[0] |= 0x10;
    packet
}

/// The header extensions of an RTP packet (RFC 8285, one-byte headers).
pub fn extensions(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    assert_eq!((packet[0] & 0x1f, &packet[12..14]), (0x10, &[0xbe, 0xde][..]), "one-byte headers and no CSRC");
    let mut rest = &packet[16..packet.len() - payload(packet).len()];
    let mut found = Vec::new();
    while let [head, more @ ..] = rest {
        rest = more;
        if *head != 0 {
            let (value, more) = rest.split_at(usize::from(head & 15) + 1);
            found.push((head >> 4, value.to_vec()));
            rest = more;
        }
    }
    found
}

pub fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

pub fn ssrc(packet: &[u8]) -> u32 {
    u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]])
}

pub fn payload_type(packet: &[u8]) -> u8 {
    packet[1] & 0x7f
}

/// Where the payload begins, header extension included.
pub fn payload(packet: &[u8]) -> &[u8] {
    let fixed = 12 + 4 * usize::from(packet[0] & 15);
    let extension = if packet[0] & 0x10 == 0 {
        0
    } else {
        4 + 4 * usize::from(u16::from_be_bytes([packet[fixed + 2], packet[fixed + 3]]))
    };
    &packet[fixed + extension..]
}

/// A VP8 payload (RFC 7741): a one-byte descriptor that begins a partition, then a frame header.
pub fn vp8(key_frame: bool, filler: u8) -> Vec<u8> {
    let mut bytes = vec![0x10, if key_frame { 0x10 } else { 0x11 }, 0, 0, 0x9d, 0x01, 0x2a, 64, 0, 64, 0];
    bytes.resize(200, filler);
    bytes
}

/// A generic NACK (RFC 4585 §6.2.1) for one packet.
pub fn nack(media_ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x81, 205, 0, 3];
    packet.extend_from_slice(&4242_u32.to_be_bytes());
    packet.extend_from_slice(&media_ssrc.to_be_bytes());
    packet.extend_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0, 0]);
    with_report(packet)
}

/// A picture loss indication (RFC 4585 §6.3.1).
pub fn pli(media_ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x81, 206, 0, 2];
    packet.extend_from_slice(&4242_u32.to_be_bytes());
    packet.extend_from_slice(&media_ssrc.to_be_bytes());
    with_report(packet)
}

/// Puts an empty receiver report first, as a compound packet begins.
fn with_report(packet: Vec<u8>) -> Vec<u8> {
    let mut compound = vec![0x80, 201, 0, 1];
    compound.extend_from_slice(&4242_u32.to_be_bytes());
    compound.extend_from_slice(&packet);
    compound
}

/// The parameters of a sender of VP8.
pub fn producer_parameters() -> Value {
    json!({
        "mid": "v",
        "codecs": [
            {"mimeType": "video/VP8", "payloadType": SENT_PT, "clockRate": 90000, "parameters": {},
             "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "ccm", "parameter": "fir"}]},
            {"mimeType": "video/rtx", "payloadType": SENT_RTX_PT, "clockRate": 90000, "parameters": {"apt": SENT_PT}},
        ],
        "headerExtensions": [],
        "encodings": [{"ssrc": SENT_SSRC, "rtx": {"ssrc": SENT_RTX_SSRC}}],
        "rtcp": {"cname": "sender", "reducedSize": true},
    })
}

/// A request to produce it.
pub fn produce(id: &str) -> Value {
    json!({
        "producerId": id,
        "kind": "video",
        "rtpParameters": producer_parameters(),
        "rtpMapping": {
            "codecs": [
                {"payloadType": SENT_PT, "mappedPayloadType": PT},
                {"payloadType": SENT_RTX_PT, "mappedPayloadType": RTX_PT},
            ],
            "encodings": [{"ssrc": SENT_SSRC, "mappedSsrc": MAPPED_SSRC}],
        },
        "paused": false,
    })
}

/// A request to consume it.
pub fn consume(id: &str, producer: &str) -> Value {
    json!({
        "consumerId": id,
        "producerId": producer,
        "kind": "video",
        "rtpParameters": {
            "mid": "0",
            "codecs": [
                {"mimeType": "video/VP8", "payloadType": PT, "clockRate": 90000, "parameters": {},
                 "rtcpFeedback": [{"type": "nack"}, {"type": "nack", "parameter": "pli"}, {"type": "ccm", "parameter": "fir"}]},
                {"mimeType": "video/rtx", "payloadType": RTX_PT, "clockRate": 90000, "parameters": {"apt": PT}},
            ],
            "headerExtensions": [],
            "encodings": [{"ssrc": RECEIVED_SSRC, "rtx": {"ssrc": RECEIVED_RTX_SSRC}}],
            "rtcp": {"cname": "sender", "reducedSize": true, "mux": true},
        },
        "type": "simple",
        "consumableRtpEncodings": [{"ssrc": MAPPED_SSRC}],
        "paused": false,
    })
}

/// Creates a PlainTransport in the router and returns its dump; `options` are added to the request.
pub fn create_plain(worker: &mut Worker, router: &str, id: &str, options: Value) -> Value {
    let mut data = json!({
        "transportId": id, "listenIp": {"ip": "127.0.0.1"}, "rtcpMux": true, "comedia": false,
        "enableSctp": false, "isDataChannel": false, "maxSctpMessageSize": 262_144,
    });
    merge(&mut data, options);
    worker.ask("router.createPlainTransport", router, data)
}

/// Where the transport of that dump listens.
pub fn listens(dump: &Value) -> SocketAddr {
    tuple_address(&dump["tuple"])
}

pub fn tuple_address(tuple: &Value) -> SocketAddr {
    let ip = tuple["localIp"].as_str().unwrap();
    SocketAddr::new(ip.parse().unwrap(), tuple["localPort"].as_u64().unwrap() as u16)
}

pub fn merge(data: &mut Value, more: Value) {
    let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) else { return };
    data.extend(more);
}

/// A router with a sender on one plain transport and a receiver on another.
pub struct Scene {
    pub worker: Worker,
    pub sender: Peer,
    pub receiver: Peer,
    /// Where the sender's packets go.
    pub inlet: SocketAddr,
    /// Where the receiver's feedback goes.
    pub outlet: SocketAddr,
}

impl Scene {
    /// Producer `p` on transport `in` (comedia), consumer `c` on transport `out`, router `r`.
    pub fn new() -> Scene {
        Scene::with(produce("p"), consume("c", "p"))
    }

    /// The same with other requests to produce and consume.
    pub fn with(produce: Value, consume: Value) -> Scene {
        let mut worker = Worker::start();
        worker.ask("worker.createRouter", "undefined", json!({"routerId": "r"}));
        let inlet = listens(&create_plain(&mut worker, "r", "in", json!({"comedia": true})));
        let outlet = listens(&create_plain(&mut worker, "r", "out", json!({})));
        let (sender, receiver) = (Peer::new(), Peer::new());
        worker.ask("transport.connect", "out", json!({"ip": "127.0.0.1", "port": receiver.address().port()}));
        worker.ask("transport.produce", "in", produce);
        worker.ask("transport.consume", "out", consume);
        Scene { worker, sender, receiver, inlet, outlet }
    }

    /// Sends a packet of the sender's stream.
    pub fn send(&self, sequence: u16, payload: &[u8]) {
        let packet = rtp(SENT_PT, sequence, u32::from(sequence) * 3000, SENT_SSRC, payload);
        self.sender.send(self.inlet, &packet);
    }

    /// Waits until the producer has received that many packets in all.
    pub fn settle(&mut self, packets: u64) {
        self.wait_for_total("producer.getStats", "p", "packetCount", packets);
    }

    /// Waits until that field, added up over what the statistics are of, is as great as this.
    pub fn wait_for_total(&mut self, method: &str, handler: &str, field: &str, least: u64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stats = self.worker.ask(method, handler, Value::Null);
            let total: u64 = stats.as_array().unwrap().iter().filter_map(|stat| stat[field].as_u64()).sum();
            if total >= least {
                return;
            }
            assert!(Instant::now() < deadline, "{field} has come to {total} of {least}: {stats}");
        }
    }
}
