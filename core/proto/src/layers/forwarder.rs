//! What is forwarded to one receiver, and how it is rewritten.

use std::time::Instant;

use super::Layers;
use super::choice::{Arrival, Chooser};
use super::numbers::Numbers;
use super::pictures::{Picture, Pictures};
use super::timeline::{SenderClock, Timeline};
use crate::codec::{PayloadDescriptor, PayloadInfo, vp9};
use crate::rtp::SequenceMapper;
use crate::rtp::seq::{self, timestamp_newer};

/// Where the spatial layers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each is a stream of its own.
    Simulcast,
    /// All are in one stream.
    Svc {
        /// None refers to another one, but in key frames (K-SVC) or not even there (S modes). Streams with dependency
        /// descriptors say so themselves.
        independent: bool,
    },
}

/// A packet of a sender.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Of simulcast, the spatial layer that its stream is, 0 to 15; else 0.
    pub stream: u8,
    /// How often that stream had started anew, with other numbers, when it came.
    pub epoch: u16,
    /// Its sequence number.
    pub sequence_number: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its marker bit.
    pub marker: bool,
    /// The caller keeps it, so that it can be sent after the next one has come: see [`Forwarder::poll_released`].
    pub is_kept: bool,
    /// What its payload is.
    pub info: &'a PayloadInfo,
}

/// A packet that is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
    /// Under this number.
    pub sequence_number: u16,
    /// With these values.
    pub rewrite: Rewrite,
}

/// What is to be written into a packet instead of what the sender wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewrite {
    /// The timestamp.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// The payload descriptor's picture id, of which the low 7 or 15 bits count.
    pub picture_id: u16,
    /// The payload descriptor's TL0PICIDX.
    pub tl0_pic_idx: u8,
    /// The dependency descriptor's frame number.
    pub frame_number: u16,
    /// Layers of the decode target that is forwarded, if the dependency descriptor must tell the active ones.
    pub forwarded: Option<(u8, u8)>,
    /// How many frames back the dependency descriptor's references may be, if some are farther.
    pub reach: Option<u16>,
    /// The references of VP9's payload descriptor, if they are others.
    pub references: Option<vp9::References>,
}

/// A packet that came before, and is to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// The input that it is of, as the source of an [`Origin`](crate::rtp::Origin).
    pub source: u16,
    /// Its number there.
    pub sequence_number: u16,
    /// How to send it.
    pub output: Output,
}

/// The last packet of a frame that waits for what comes next: if its picture has no frame of a higher layer for the
/// receiver, the packet must say that the picture ends.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    packet: Released,
    /// The input's timestamp.
    timestamp: u32,
    spatial: u8,
    /// The number of the packet that tells how it goes on.
    next: u16,
}

/// Forwards one stream of a simulcast, or some layers of a stream, to one receiver.
#[derive(Clone, Debug)]
pub struct Forwarder {
    kind: Kind,
    wanted: Option<Layers>,
    /// The input that is being forwarded; `None` until a key frame comes.
    source: Option<u16>,
    /// The timestamps of the picture that it began with, and of its newest one.
    first: u32,
    newest: u32,
    /// Whether the packet of the highest number ended its picture.
    is_complete: bool,
    chooser: Chooser,
    numbers: Numbers,
    pictures: Pictures,
    timeline: Timeline,
    /// The input that the timeline was last set to.
    aligned_to: Option<u16>,
    /// The decode target that the receiver was last told.
    announced: Option<Layers>,
    /// What is shown as current.
    current: Option<Layers>,
    told: Option<Layers>,
    /// A key frame was left alone since it came too far behind; the next one is not.
    insists: bool,
    wants_key_frame: bool,
    waiting: Option<Waiting>,
    released: Option<Released>,
}

/// Names an input in 16 bits: its stream, and the low bits of its epoch.
fn source_of(stream: u8, epoch: u16) -> u16 {
    u16::from(stream & 15) << 12 | epoch & 0x0fff
}

impl Forwarder {
    /// Forwards nothing yet. The clock rate is that of the timestamps, in Hz.
    pub fn new(kind: Kind, clock_rate: u32) -> Forwarder {
        let independent = matches!(kind, Kind::Svc { independent: true });
        Forwarder {
            kind,
            wanted: None,
            source: None,
            first: 0,
            newest: 0,
            is_complete: true,
            chooser: Chooser::new(independent),
            numbers: Numbers::default(),
            pictures: Pictures::default(),
            timeline: Timeline::new(clock_rate),
            aligned_to: None,
            announced: None,
            current: None,
            told: None,
            insists: false,
            wants_key_frame: false,
            waiting: None,
            released: None,
        }
    }

    /// Sets what is to be forwarded, as soon as it can be; `None` for nothing, at once.
    pub fn set_wanted(&mut self, wanted: Option<Layers>) {
        if wanted.map(|layers| layers.spatial) != self.wanted.map(|layers| layers.spatial) {
            self.insists = false;
        }
        self.wanted = wanted;
        if wanted.is_none() {
            self.source = None;
            self.current = None;
        }
    }

    /// The next packet sent must begin a key frame, as after a pause.
    pub fn require_key_frame(&mut self) {
        self.source = None;
    }

    /// The layers that are being forwarded: of the newest picture, and not more than has been seen.
    pub fn current(&self) -> Option<Layers> {
        self.current
    }

    /// Of simulcast, the stream that is being forwarded.
    pub fn current_stream(&self) -> Option<u8> {
        self.source.map(|source| (source >> 12) as u8)
    }

    /// Whether [`current`](Self::current) has changed since the last call.
    pub fn poll_change(&mut self) -> bool {
        std::mem::replace(&mut self.told, self.current) != self.current
    }

    /// Whether one of the polls below or above would say something.
    pub fn has_news(&self) -> bool {
        self.wants_key_frame || self.told != self.current
    }

    /// Whether a key frame of the wanted layers is needed since the last one could not be used; says so once.
    pub fn poll_key_frame_request(&mut self) -> bool {
        std::mem::take(&mut self.wants_key_frame)
    }

    /// Decides about a packet: how to send it, or `None` for not at all, or not yet. Before it is sent,
    /// [`poll_released`](Self::poll_released) must be asked. `sequence` numbers what is sent to the receiver; `clock` knows
    /// the last sender report of a stream.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        sequence: &mut SequenceMapper,
        packet: &Input<'_>,
        clock: impl Fn(u8) -> Option<SenderClock>,
    ) -> Option<Output> {
        let waiting = self.waiting.take();
        let output = self.forward(now, sequence, packet, clock);
        if let Some(waiting) = waiting {
            self.go_on(waiting, packet, output.is_some());
        }
        let output = output?;
        if self.must_wait(sequence, packet, &output) {
            let source = source_of(packet.stream, packet.epoch);
            self.waiting = Some(Waiting {
                packet: Released { source, sequence_number: packet.sequence_number, output },
                timestamp: packet.timestamp,
                spatial: packet.info.spatial_layer,
                next: packet.sequence_number.wrapping_add(1),
            });
            return None;
        }
        Some(output)
    }

    /// A packet that waited to be sent until the last one came; it goes out before that one.
    pub fn poll_released(&mut self) -> Option<Released> {
        self.released.take()
    }

    /// Whether a packet that is to be sent waits. Encoders leave out frames of layers when they run out of bits (libaom
    /// does, of each layer for itself), so that a picture may have no frame of the layer that is to end it. Receivers
    /// decode no picture whose end is not marked.
    fn must_wait(&mut self, sequence: &SequenceMapper, packet: &Input<'_>, output: &Output) -> bool {
        let info = packet.info;
        let is_last = info.ends_frame && !output.rewrite.marker && self.tells_layers(info);
        if !packet.is_kept || !is_last || output.sequence_number != sequence.max_output() {
            return false;
        }
        let picture = self.pictures.find(source_of(packet.stream, packet.epoch), packet.timestamp);
        picture.is_some_and(|picture| info.spatial_layer < picture.ends_with)
    }

    /// The packet after one that waits has come. If it is the very next one of the stream, it tells whether the picture goes
    /// on for the receiver.
    fn go_on(&mut self, mut waiting: Waiting, packet: &Input<'_>, is_forwarded: bool) {
        let source = source_of(packet.stream, packet.epoch);
        let is_same_source = source == waiting.packet.source;
        if is_same_source && seq::diff(packet.sequence_number, waiting.next) < 0 {
            self.waiting = Some(waiting);
            return;
        }
        let is_next = is_same_source && packet.sequence_number == waiting.next;
        let is_same_picture = packet.timestamp == waiting.timestamp;
        if is_next && let Some(picture) = self.pictures.find(source, waiting.timestamp) {
            let spatial = packet.info.spatial_layer;
            if is_same_picture && !is_forwarded && spatial < picture.ends_with {
                waiting.next = waiting.next.wrapping_add(1);
                self.waiting = Some(waiting);
                return;
            }
            if !is_same_picture || !is_forwarded {
                picture.end_with(waiting.spatial);
                waiting.packet.output.rewrite.marker = true;
                self.is_complete |= !is_forwarded;
            }
        }
        self.released = Some(waiting.packet);
    }

    fn forward(
        &mut self,
        now: Instant,
        sequence: &mut SequenceMapper,
        packet: &Input<'_>,
        clock: impl Fn(u8) -> Option<SenderClock>,
    ) -> Option<Output> {
        let wanted = self.wanted?;
        let source = source_of(packet.stream, packet.epoch);
        let wanted_stream = match self.kind {
            Kind::Simulcast => wanted.spatial,
            Kind::Svc { .. } => 0,
        };
        if self.source != Some(source) {
            if packet.stream != wanted_stream || !packet.info.is_key_frame {
                return None;
            }
            // The rest of this picture overtook its beginning, and was sent before another input. It can't be sent as another
            // picture now: packets that are asked for again would be rewritten as that one's.
            if self.pictures.find(source, packet.timestamp).is_some_and(|picture| picture.is_forwarded()) {
                self.wants_key_frame = true;
                return None;
            }
            self.switch(now, sequence, source, packet, clock)?;
        }
        let picture = self.decide(source, packet)?;
        if picture.decision(packet.info.spatial_layer) != Some(true) {
            sequence.drop(packet.sequence_number);
            return None;
        }
        let sequence_number = sequence.input(packet.sequence_number)?;
        let rewrite = self.rewrite(&picture, packet);
        if sequence_number == sequence.max_output() {
            self.is_complete = rewrite.marker;
        }
        self.timeline.handle_sent(now, rewrite.timestamp);
        Some(Output { sequence_number, rewrite })
    }

    /// How a packet was sent, or would have been, that is to be sent again: `source` is that of its number's
    /// [`Origin`](crate::rtp::Origin). `None` if it was not to be sent, or is too old. Only the packet's marker, timestamp
    /// and info count.
    pub fn recall(&mut self, source: u16, packet: &Input<'_>) -> Option<Rewrite> {
        let picture = *self.pictures.find(source, packet.timestamp)?;
        picture.decision(packet.info.spatial_layer).filter(|forwarded| *forwarded)?;
        Some(self.rewrite(&picture, packet))
    }

    /// The stream and the epoch of an [`Origin`](crate::rtp::Origin)'s source, of the epoch the low 12 bits.
    pub fn stream_and_epoch(source: u16) -> (u8, u16) {
        ((source >> 12) as u8, source & 0x0fff)
    }

    /// Begins with another input, whose key frame this packet begins. `None` if the packet is left alone.
    fn switch(
        &mut self,
        now: Instant,
        sequence: &mut SequenceMapper,
        source: u16,
        packet: &Input<'_>,
        clock: impl Fn(u8) -> Option<SenderClock>,
    ) -> Option<()> {
        let wanted = self.wanted?;
        if self.aligned_to != Some(source) {
            // The report of a stream that has started anew is about its old timestamps, or might be.
            let is_other_stream = self.aligned_to.is_some_and(|before| before >> 12 != source >> 12);
            let before = self.aligned_to.filter(|_| is_other_stream).and_then(|before| clock((before >> 12) as u8));
            let new = clock(packet.stream).filter(|_| is_other_stream);
            if self.timeline.switch(now, packet.timestamp, before, new, self.insists).is_err() {
                self.insists = true;
                self.wants_key_frame = true;
                return None;
            }
            self.aligned_to = Some(source);
        }
        self.insists = false;
        // A picture that was cut off must not be taken for whole: the packet that would have ended it is missing.
        let skipped = u16::from(!self.is_complete);
        sequence.sync(packet.sequence_number.wrapping_sub(skipped), source);
        self.numbers.switch(packet.info);
        self.chooser.begin(Layers { spatial: self.spatial_within(wanted), ..wanted });
        self.source = Some(source);
        (self.first, self.newest) = (packet.timestamp, packet.timestamp.wrapping_sub(1));
        self.announced = None;
        self.current = None;
        Some(())
    }

    /// The spatial layer within a stream.
    fn spatial_within(&self, layers: Layers) -> u8 {
        match self.kind {
            Kind::Simulcast => 0,
            Kind::Svc { .. } => layers.spatial,
        }
    }

    /// The packet's picture, in which it is decided whether its frame is forwarded. `None` for what came before the input
    /// began.
    fn decide(&mut self, source: u16, packet: &Input<'_>) -> Option<Picture> {
        let info = packet.info;
        // A newer one is not among those that are remembered.
        let is_newer = timestamp_newer(packet.timestamp, self.newest);
        let known = if is_newer { None } else { self.pictures.find(source, packet.timestamp) };
        let is_known = known.is_some();
        if let Some(picture) = known
            && picture.decision(info.spatial_layer).is_some()
        {
            return Some(*picture);
        }
        let wanted = self.wanted?;
        let wanted = Layers { spatial: self.spatial_within(wanted), ..wanted };
        let arrival = if is_newer {
            Arrival::FirstOfPicture
        } else if packet.timestamp == self.newest {
            Arrival::SamePicture
        } else if timestamp_newer(self.first, packet.timestamp) {
            return None;
        } else {
            Arrival::Late
        };
        let forwarded = self.chooser.choose(info, wanted, arrival);
        let layers = self.chooser.current();
        if arrival == Arrival::FirstOfPicture {
            self.newest = packet.timestamp;
        }
        if forwarded && arrival != Arrival::Late {
            self.numbers.forward(info);
            self.current = Some(self.shown(packet, layers));
        }
        if !is_known {
            let before = match arrival {
                Arrival::Late => self.pictures.before(source, packet.timestamp),
                _ => None,
            };
            let offsets = before.map_or(self.numbers.offsets(), |before| before.offsets_after);
            let offset = self.timeline.offset();
            self.pictures.push(Picture::new(source, packet.timestamp, offset, offsets, &self.chooser, info));
            if !forwarded && arrival == Arrival::FirstOfPicture {
                self.numbers.leave_out(info);
            }
        }
        let offsets_after = self.numbers.offsets();
        let picture = self.pictures.find(source, packet.timestamp)?;
        if forwarded && !picture.is_forwarded() {
            // From here on its packets must stay the same, whenever they are sent again.
            picture.layers = layers;
            picture.ends_with = layers.spatial;
            picture.announces = arrival != Arrival::Late && self.announced != Some(layers);
            if picture.announces {
                self.announced = Some(layers);
            }
        }
        picture.decide(info.spatial_layer, forwarded);
        if arrival != Arrival::Late {
            picture.offsets_after = offsets_after;
        }
        Some(*picture)
    }

    fn rewrite(&self, picture: &Picture, packet: &Input<'_>) -> Rewrite {
        let info = packet.info;
        let offsets = picture.offsets;
        let ends_picture = info.ends_frame && self.tells_layers(info) && info.spatial_layer == picture.ends_with;
        let tells_targets =
            info.dependency.is_some_and(|dependency| picture.announces || dependency.active_decode_targets.is_some());
        Rewrite {
            timestamp: packet.timestamp.wrapping_add(picture.timestamp_offset),
            marker: packet.marker || ends_picture,
            picture_id: info.descriptor.picture_id().map_or(0, |(input, _)| input.wrapping_sub(offsets.picture_id)),
            tl0_pic_idx: info.descriptor.tl0_pic_idx().map_or(0, |input| input.wrapping_sub(offsets.tl0_pic_idx)),
            frame_number: info
                .dependency
                .map_or(0, |dependency| dependency.frame_number.wrapping_sub(offsets.frame_number)),
            forwarded: tells_targets.then_some((picture.layers.spatial, picture.layers.temporal)),
            reach: info.dependency.and_then(|dependency| {
                let reach = dependency.frame_number.wrapping_sub(picture.first_frame?);
                dependency.references.exceed(reach).then_some(reach)
            }),
            references: match (info.dependency, info.descriptor) {
                (None, PayloadDescriptor::Vp9(descriptor)) => {
                    let among = descriptor.references.among(picture.pictures_before);
                    (among != descriptor.references).then_some(among)
                }
                _ => None,
            },
        }
    }

    /// Whether a packet of this kind tells its layer in a stream of several.
    fn tells_layers(&self, info: &PayloadInfo) -> bool {
        self.kind != Kind::Simulcast && (info.has_spatial_layer || info.dependency.is_some())
    }

    /// What is shown as current when this packet's frame is forwarded.
    fn shown(&self, packet: &Input<'_>, layers: Layers) -> Layers {
        let seen = self.current.map_or(0, |current| current.temporal).max(packet.info.temporal_layer);
        let spatial = match self.kind {
            Kind::Simulcast => packet.stream,
            Kind::Svc { .. } => layers.spatial,
        };
        Layers { spatial, temporal: seen.min(layers.temporal) }
    }
}
