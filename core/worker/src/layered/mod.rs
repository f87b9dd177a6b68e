//! The layers of a consumer of simulcast or SVC: what it prefers, which layers fit, what each of them costs.
//!
//! The *target* layers are those that are to be sent. While nobody shares out the bandwidth of the transport, they are the
//! preferred ones, or the best of those that the producer sends. On a transport that does, they come of what the consumer
//! is given:
//!
//! 1. [`Layered::begin_share`] forgets what was given before;
//! 2. [`Layered::take`], called with what is left, goes up by one step if that suffices for it, and says what the step
//!    costs; with 0 the consumer has no further use for bandwidth. Consumers are asked in turn, by priority;
//! 3. [`Worker::apply_share`](crate::worker::Worker::apply_share) makes the steps taken the target.
//!
//! [`Worker::update_layers`](crate::worker::Worker::update_layers) is called whenever that should be done anew: a stream
//! came, stopped or began again, or other layers are preferred. Where bandwidth is shared out it asks for that
//! ([`crate::media::bandwidth`]).
//!
//! Costs are the rates at which the producer's layers come in, in bits per second. *Current* layers are those that are
//! being sent: they follow the target as soon as the receiver can decode it ([`sfu_proto::layers`]).

mod share;

use std::time::Instant;

use sfu_channel::dump::ConsumerLayersDump;
use sfu_channel::request::Consume;
use sfu_channel::response::Refusal;
use sfu_channel::{ConsumerLayers, PreferredLayers, RtpEncodingParameters, RtpParameters, RtpType};
use sfu_proto::layers::{Forwarder, Input, Kind, Layers, Output};
use sfu_proto::rtp::SequenceMapper;

use crate::producer::Producer;
use crate::rtp_parameters;

/// What a consumer of several layers knows besides.
#[derive(Debug)]
pub struct Layered {
    kind: Kind,
    /// The SSRCs inside the router, each a stream of the producer's; of simulcast, by spatial layer.
    mapped_ssrcs: Vec<u32>,
    /// The producer's streams with those SSRCs, by index, once they have been seen.
    streams: Vec<Option<usize>>,
    spatial_layers: u8,
    temporal_layers: u8,
    preferred: Layers,
    target: Option<Layers>,
    /// What has been taken of the bandwidth that is being shared out; `None` inside if nothing yet.
    share: Option<Option<Layers>>,
    /// Whether the transport shares its bandwidth out.
    is_shared: bool,
    /// Since when something is sent.
    sending_since: Option<Instant>,
    last_downgrade: Option<Instant>,
    /// Decides about packets.
    pub forwarder: Forwarder,
}

impl Layered {
    /// The layers of a consumer with these (normalized) parameters; `None` if it is of another type.
    ///
    /// # Errors
    /// A `TypeError` that names what is wrong.
    pub fn new(
        request: &Consume,
        parameters: &RtpParameters,
        consumable: &[RtpEncodingParameters],
        producer: &Producer,
    ) -> Result<Option<Box<Layered>>, Refusal> {
        let Some(encoding) = parameters.encodings.first() else { return Ok(None) };
        let spatial_layers = encoding.spatial_layers.unwrap_or(1);
        let temporal_layers = encoding.temporal_layers.unwrap_or(1);
        let codec = rtp_parameters::media_codec(&parameters.codecs, encoding)
            .ok_or_else(|| Refusal::type_error("invalid codecPayloadType"))?;
        let name = || codec.mime_type.clone();
        let media = rtp_parameters::mime_type(codec).map(|mime_type| mime_type.codec);
        let kind = match request.rtp_type {
            RtpType::Simulcast => {
                if usize::from(spatial_layers) != consumable.len() {
                    return Err(Refusal::type_error(
                        "encoding.spatialLayers does not match number of consumableRtpEncodings",
                    ));
                }
                if !media.is_some_and(rtp_parameters::can_simulcast) {
                    return Err(Refusal::type_error(format!("{} codec not supported for simulcast", name())));
                }
                Kind::Simulcast
            }
            RtpType::Svc => {
                if consumable.len() != 1 {
                    return Err(Refusal::type_error("invalid consumableRtpEncodings with size != 1"));
                }
                if spatial_layers < 2 && temporal_layers < 2 {
                    return Err(Refusal::type_error("invalid number of layers"));
                }
                if !media.is_some_and(rtp_parameters::can_svc) {
                    return Err(Refusal::type_error(format!("{} codec not supported for svc", name())));
                }
                let mode = encoding.scalability_mode.as_deref().unwrap_or_default();
                Kind::Svc { independent: encoding.ksvc == Some(true) || mode.starts_with('S') }
            }
            RtpType::Simple | RtpType::Pipe => return Ok(None),
        };
        let mapped_ssrcs: Vec<u32> = consumable.iter().filter_map(|encoding| encoding.ssrc).collect();
        let highest = Layers { spatial: spatial_layers.max(1) - 1, temporal: temporal_layers.max(1) - 1 };
        let mut layered = Layered {
            kind,
            streams: mapped_ssrcs.iter().map(|ssrc| producer.stream_by_mapped_ssrc(*ssrc)).collect(),
            mapped_ssrcs,
            spatial_layers,
            temporal_layers,
            preferred: highest,
            target: None,
            share: None,
            is_shared: false,
            sending_since: None,
            last_downgrade: None,
            forwarder: Forwarder::new(kind, codec.clock_rate),
        };
        if let Some(preferred) = request.preferred_layers {
            layered.prefer(preferred);
        }
        Ok(Some(Box::new(layered)))
    }

    /// Sets the layers that are wanted at most, cut to what there is. Says whether that changed them.
    pub fn prefer(&mut self, layers: PreferredLayers) -> bool {
        let cut = |layer: u16, count: u8| layer.min(u16::from(count.max(1) - 1)) as u8;
        let preferred = Layers {
            spatial: cut(layers.spatial_layer, self.spatial_layers),
            temporal: cut(layers.temporal_layer.unwrap_or(u16::MAX), self.temporal_layers),
        };
        std::mem::replace(&mut self.preferred, preferred) != preferred
    }

    /// The layers that are wanted at most.
    pub fn preferred(&self) -> ConsumerLayers {
        to_channel(self.preferred)
    }

    /// The layers that are being sent, if any are.
    pub fn current(&self) -> Option<ConsumerLayers> {
        self.forwarder.current().map(to_channel)
    }

    /// The layers that are to be sent, if any are.
    pub fn target(&self) -> Option<Layers> {
        self.target
    }

    /// Sets the layers that are to be sent.
    pub(crate) fn set_target(&mut self, now: Instant, target: Option<Layers>) {
        self.target = target;
        self.forwarder.set_wanted(target);
        match target {
            None => (self.sending_since, self.last_downgrade) = (None, None),
            Some(_) => {
                self.sending_since.get_or_insert(now);
            }
        }
    }

    /// A stream of the producer has come. Says whether it is one of those that are chosen from.
    pub fn attach(&mut self, mapped_ssrc: u32, stream: usize) -> bool {
        let places = self.mapped_ssrcs.iter().zip(&mut self.streams);
        let mut found = false;
        for (_, slot) in places.filter(|(known, _)| **known == mapped_ssrc) {
            *slot = Some(stream);
            found = true;
        }
        found
    }

    /// Of simulcast, the spatial layer that a stream of the producer is; else 0.
    pub fn layer_of_stream(&self, stream: usize) -> Option<u8> {
        self.streams.iter().position(|known| *known == Some(stream)).map(|layer| layer as u8)
    }

    /// The producer's stream, by index, that has a spatial layer.
    pub fn stream_of_layer(&self, spatial: u8) -> Option<usize> {
        stream_of_layer(self.kind, &self.streams, spatial)
    }

    /// Decides about a packet of one of the producer's streams.
    pub(crate) fn handle_packet(
        &mut self,
        now: Instant,
        sequence: &mut SequenceMapper,
        packet: &Input<'_>,
        producer: &Producer,
    ) -> Option<Output> {
        let Layered { forwarder, streams, kind, .. } = self;
        let clock = |layer| producer.streams.get(stream_of_layer(*kind, streams, layer)?)?.sender_clock();
        forwarder.handle_packet(now, sequence, packet, clock)
    }

    /// Whether pictures are put together of several spatial layers' frames.
    pub fn has_spatial_layers_in_one_stream(&self) -> bool {
        matches!(self.kind, Kind::Svc { .. }) && self.spatial_layers > 1
    }

    /// The producer's stream that is being sent, by index.
    pub fn current_stream(&self) -> Option<usize> {
        match self.kind {
            Kind::Simulcast => self.forwarder.current().and_then(|layers| self.stream_of_layer(layers.spatial)),
            Kind::Svc { .. } => self.stream_of_layer(0),
        }
    }

    /// Whether the producer sends anything that could be forwarded.
    pub fn has_stream(&self, producer: &Producer) -> bool {
        let streams = self.streams.iter().flatten().filter_map(|stream| producer.streams.get(*stream));
        streams.into_iter().any(|stream| stream.score() > 0 || stream.uses_dtx())
    }

    /// Whether the target, or what is sent of it, waits for a key frame of the target's stream.
    pub fn waits_for_key_frame(&self) -> bool {
        let current = self.forwarder.current();
        match (self.target, self.kind) {
            (None, _) => false,
            (Some(target), Kind::Simulcast | Kind::Svc { independent: true }) => {
                current.is_none_or(|current| current.spatial != target.spatial)
            }
            (Some(target), Kind::Svc { independent: false }) => {
                current.is_none_or(|current| current.spatial < target.spatial)
            }
        }
    }

    /// Says that the transport shares its bandwidth out among its consumers, from now on or no more.
    pub fn set_shared(&mut self, is_shared: bool) {
        self.is_shared = is_shared;
    }

    /// Whether the transport shares its bandwidth out among its consumers.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// What it shows of itself.
    pub fn dump(&self) -> ConsumerLayersDump {
        let spatial = |layers: Option<Layers>| layers.map_or(-1, |layers| i16::from(layers.spatial));
        let temporal = |layers: Option<Layers>| layers.map_or(-1, |layers| i16::from(layers.temporal));
        let current = self.forwarder.current();
        ConsumerLayersDump {
            preferred_spatial_layer: self.preferred.spatial.into(),
            target_spatial_layer: spatial(self.target),
            current_spatial_layer: spatial(current),
            preferred_temporal_layer: self.preferred.temporal.into(),
            target_temporal_layer: temporal(self.target),
            current_temporal_layer: temporal(current),
        }
    }
}

fn stream_of_layer(kind: Kind, streams: &[Option<usize>], spatial: u8) -> Option<usize> {
    let place = match kind {
        Kind::Simulcast => usize::from(spatial),
        Kind::Svc { .. } => 0,
    };
    streams.get(place).copied().flatten()
}

fn to_channel(layers: Layers) -> ConsumerLayers {
    ConsumerLayers { spatial_layer: layers.spatial.into(), temporal_layer: layers.temporal.into() }
}
