//! Captured streams, and what is forwarded of them.

use std::time::{Duration, Instant};

use sfu_proto::codec::dependency_descriptor::{Changes, MAX_LEN, Parser};
use sfu_proto::codec::{Codec, Inspector, PayloadInfo};
use sfu_proto::layers::{Forwarder, Input, Kind, Layers, Output, Released, Rewrite, SenderClock};
use sfu_proto::rtcp::Ntp;
use sfu_proto::rtp::{ExtensionIds, ExtensionKind, Header, SequenceMapper, parse_extensions};

const DEPENDENCY_DESCRIPTOR: u8 = 9;

/// A packet of a capture.
pub struct Received {
    /// Of simulcast, the spatial layer.
    pub stream: u8,
    pub header: Header,
    pub payload: Vec<u8>,
    pub dependency: Option<Vec<u8>>,
    pub info: PayloadInfo,
}

pub struct Capture {
    pub name: &'static str,
    pub codec: Codec,
    pub kind: Kind,
    pub packets: Vec<Received>,
    /// The timestamp of each stream at the same moment.
    starts: Vec<u32>,
}

impl Capture {
    pub fn new(name: &'static str, text: &str, codec: Codec, kind: Kind) -> Capture {
        let mut ids = ExtensionIds::new();
        ids.set(ExtensionKind::DependencyDescriptor, DEPENDENCY_DESCRIPTOR);
        let mut ssrcs: Vec<u32> = Vec::new();
        let bytes: Vec<Vec<u8>> = text.lines().map(|line| hex::decode(line).unwrap()).collect();
        ssrcs.extend(bytes.iter().map(|packet| Header::parse(packet).unwrap().ssrc));
        ssrcs.sort_unstable();
        ssrcs.dedup();
        let mut inspectors = vec![Inspector::for_layers(codec); ssrcs.len()];
        let mut packets = Vec::new();
        for packet in &bytes {
            let header = Header::parse(packet).unwrap();
            let stream = ssrcs.binary_search(&header.ssrc).unwrap();
            let extensions = parse_extensions(packet, &header, &ids);
            let dependency = extensions.value(ExtensionKind::DependencyDescriptor, packet);
            let payload = header.payload(packet);
            packets.push(Received {
                stream: stream as u8,
                header,
                payload: payload.to_vec(),
                dependency: dependency.map(<[u8]>::to_vec),
                info: inspectors[stream].inspect(payload, None, dependency),
            });
        }
        // A picture is sent on all streams within a moment: where the first picture of the last stream to begin is.
        let first = |stream| packets.iter().position(|packet: &Received| usize::from(packet.stream) == stream);
        let begin = (0..ssrcs.len()).filter_map(first).max().unwrap_or(0);
        let starts = (0..ssrcs.len())
            .map(|stream| {
                let newest = packets[..=begin].iter().rev().find(|packet| usize::from(packet.stream) == stream);
                newest.map_or(0, |packet| packet.header.timestamp)
            })
            .collect();
        Capture { name, codec, kind, packets, starts }
    }

    /// The spatial layer that a packet is of.
    pub fn spatial_layer(&self, packet: &Received) -> u8 {
        match self.kind {
            Kind::Simulcast => packet.stream,
            Kind::Svc { .. } => packet.info.spatial_layer,
        }
    }

    /// Whether a packet is of a stream that has a spatial layer.
    pub fn is_of(&self, packet: &Received, spatial: u8) -> bool {
        self.kind != Kind::Simulcast || packet.stream == spatial
    }

    /// Which packet it is that waited.
    fn find(&self, released: &Released) -> usize {
        let (stream, _) = Forwarder::stream_and_epoch(released.source);
        let is_it =
            |packet: &Received| packet.stream == stream && packet.header.sequence_number == released.sequence_number;
        self.packets.iter().position(is_it).expect("it came before")
    }

    /// A packet as it is sent.
    fn forwarded(&self, at: usize, output: &Output, parser: &Parser) -> Forwarded<'_> {
        let packet = &self.packets[at];
        let Rewrite { picture_id, tl0_pic_idx, frame_number, forwarded, reach, timestamp, marker, .. } = output.rewrite;
        let mut payload = packet.payload.clone();
        packet.info.descriptor.set_numbers(&mut payload, picture_id, tl0_pic_idx);
        if let Some(references) = &output.rewrite.references {
            let excess = packet.info.descriptor.set_references(&mut payload, references);
            payload.drain(..excess);
        }
        let dependency = packet.dependency.as_ref().map(|value| {
            let mut out = [0; MAX_LEN];
            let len = parser.rewrite(value, &Changes { frame_number, forwarded, reach }, &mut out).unwrap();
            out[..len].to_vec()
        });
        let sequence_number = output.sequence_number;
        Forwarded { at, input: packet, sequence_number, timestamp, marker, payload, dependency }
    }

    fn clock(&self, stream: u8) -> Option<SenderClock> {
        self.starts.get(usize::from(stream)).map(|timestamp| SenderClock { ntp: Ntp(1 << 40), timestamp: *timestamp })
    }
}

/// A packet that was forwarded.
pub struct Forwarded<'a> {
    /// Which one of the capture.
    pub at: usize,
    pub input: &'a Received,
    pub sequence_number: u16,
    pub timestamp: u32,
    pub marker: bool,
    pub payload: Vec<u8>,
    pub dependency: Option<Vec<u8>>,
}

/// Forwards a capture, with layers that are wanted from a packet on. Also sees to it that each packet, if it is to be sent
/// again in the end, is the same.
pub fn run<'a>(capture: &'a Capture, script: &[(usize, Layers)]) -> Vec<Forwarded<'a>> {
    run_in_order(capture, 0..capture.packets.len(), script)
}

/// The same with the packets that arrive, in the order in which they do.
pub fn run_in_order<'a>(
    capture: &'a Capture,
    arrivals: impl Iterator<Item = usize>,
    script: &[(usize, Layers)],
) -> Vec<Forwarded<'a>> {
    let start = Instant::now();
    let mut forwarder = Forwarder::new(capture.kind, 90_000);
    let mut sequence = SequenceMapper::new(65_500);
    let mut parsers = vec![Parser::new(); capture.starts.len()];
    let mut forwarded = Vec::new();
    let mut rewrites = Vec::new();
    for (place, at) in arrivals.enumerate() {
        let packet = &capture.packets[at];
        for (_, layers) in script.iter().filter(|(from, _)| *from == place) {
            forwarder.set_wanted(Some(*layers));
        }
        let parser = &mut parsers[usize::from(packet.stream)];
        if let Some(value) = &packet.dependency {
            // Before the first structure there is nothing to read, and nothing is forwarded.
            let _ = parser.parse(value);
        }
        let input = described(packet);
        let now = start + Duration::from_millis(place as u64 * 5);
        let output = forwarder.handle_packet(now, &mut sequence, &input, |stream| capture.clock(stream));
        let released = forwarder.poll_released().map(|released| (capture.find(&released), released.output));
        for (at, output) in released.into_iter().chain(output.map(|output| (at, output))) {
            rewrites.push((at, output));
            forwarded.push(capture.forwarded(at, &output, parser));
        }
    }
    for (at, output) in rewrites {
        let origin = sequence.to_input(output.sequence_number).unwrap();
        let packet = &capture.packets[at];
        assert_eq!(origin.sequence_number, packet.header.sequence_number);
        assert_eq!(Forwarder::stream_and_epoch(origin.source), (packet.stream, 0));
        assert_eq!(forwarder.recall(origin.source, &described(packet)), Some(output.rewrite), "{} {at}", capture.name);
    }
    forwarded
}

fn described(packet: &Received) -> Input<'_> {
    Input {
        stream: packet.stream,
        epoch: 0,
        sequence_number: packet.header.sequence_number,
        timestamp: packet.header.timestamp,
        marker: packet.header.marker,
        is_kept: true,
        info: &packet.info,
    }
}
