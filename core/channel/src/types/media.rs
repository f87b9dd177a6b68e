//! How streams and messages are carried, which of their layers, and how well.

use serde::{Deserialize, Serialize};

/// How a producer's streams relate; decides how they are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RtpType {
    /// One stream of one layer.
    Simple,
    /// Several streams, one is forwarded.
    Simulcast,
    /// One stream of several layers, some are forwarded.
    Svc,
    /// Everything is forwarded as it is (consumers on pipe transports).
    Pipe,
}

/// How a data producer or data consumer is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataType {
    /// Over SCTP.
    Sctp,
    /// Over the payload channel.
    Direct,
}

/// Spatial and temporal layers that a consumer would like at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferredLayers {
    /// The highest spatial layer, from 0.
    pub spatial_layer: u16,
    /// The highest temporal layer, from 0; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temporal_layer: Option<u16>,
}

/// Spatial and temporal layers in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLayers {
    /// The spatial layer, from 0.
    pub spatial_layer: i16,
    /// The temporal layer, from 0; -1 for none.
    #[serde(default)]
    pub temporal_layer: i16,
}

/// How well a consumer's stream goes, 0 (nothing arrives) to 10.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerScore {
    /// Of the stream towards the consumer.
    pub score: u8,
    /// Of the producer's stream that is forwarded.
    pub producer_score: u8,
    /// Of all of the producer's streams.
    #[serde(default)]
    pub producer_scores: Vec<u8>,
}

/// How well one of a producer's streams goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerScore {
    /// The index of its encoding.
    #[serde(default)]
    pub encoding_idx: u32,
    /// Its SSRC.
    pub ssrc: u32,
    /// Its RID, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rid: Option<String>,
    /// 0 (nothing arrives) to 10.
    pub score: u8,
}
