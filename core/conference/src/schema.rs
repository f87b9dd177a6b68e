//! The schema of every request that a client may send: typed structs, and errors that name the field.
//!
//! The names are those of mediasoup-demo. `publish` and the member `sdp` of `join` are ours, for pages that leave SDP
//! to the server. Unknown members are ignored, as newer clients send more.

use std::collections::HashMap;

use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use sfu_channel::{DtlsParameters, MediaKind, RtpCapabilities, RtpParameters};
use sfu_control::sdp::EncodingHint;

use crate::protoo::ErrorResponse;

/// `errorCode` of a request that does not fit its schema.
pub const BAD_REQUEST: i64 = 400;
/// `errorCode` of a request that nothing more precise is known about, as in mediasoup-demo.
pub const FAILED: i64 = 500;
/// `errorCode` of a request for what this server does not offer.
pub const NOT_OFFERED: i64 = 501;

/// The longest name of a person, in characters.
const MAX_NAME: usize = 200;
/// The most that clients may say of themselves or of a producer in terms of their own, in bytes of JSON.
const MAX_EXTRA: usize = 4096;
/// The longest description of a session, in bytes: a hundred media sections of 1 to 2 kB have room in it.
const MAX_SDP: usize = 200_000;

/// A request that fits its schema.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum Request {
    GetRouterRtpCapabilities,
    CreateWebRtcTransport(CreateWebRtcTransport),
    ConnectWebRtcTransport(ConnectWebRtcTransport),
    RestartIce(TransportId),
    Join(Box<Join>),
    Publish(Publish),
    Produce(Box<Produce>),
    CloseProducer(ProducerId),
    PauseProducer(ProducerId),
    ResumeProducer(ProducerId),
    PauseConsumer(ConsumerId),
    ResumeConsumer(ConsumerId),
    SetConsumerPreferredLayers(SetConsumerPreferredLayers),
    SetConsumerPriority(SetConsumerPriority),
    RequestConsumerKeyFrame(ConsumerId),
    ChangeDisplayName(ChangeDisplayName),
    GetTransportStats(TransportId),
    GetProducerStats(ProducerId),
    GetConsumerStats(ConsumerId),
}

/// What is passed on to the other clients as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "Map<String, Value>")]
pub struct Extra(pub Map<String, Value>);

impl TryFrom<Map<String, Value>> for Extra {
    type Error = String;

    fn try_from(map: Map<String, Value>) -> Result<Self, Self::Error> {
        let length = serde_json::to_string(&map).map_err(|error| error.to_string())?.len();
        if length > MAX_EXTRA {
            return Err(format!("longer than {MAX_EXTRA} bytes"));
        }
        Ok(Self(map))
    }
}

/// A new transport for this peer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CreateWebRtcTransport {
    /// Only TCP candidates.
    pub force_tcp: bool,
    /// For what the peer sends.
    pub producing: bool,
    /// For what the peer receives; consumers go to the first such transport.
    pub consuming: bool,
}

/// The client's half of DTLS.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectWebRtcTransport {
    /// Which transport.
    pub transport_id: String,
    /// The client's certificate and role.
    pub dtls_parameters: DtlsParameters,
}

/// Names a transport.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransportId {
    /// Which transport.
    pub transport_id: String,
}

/// Names a producer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProducerId {
    /// Which producer.
    pub producer_id: String,
}

/// Names a consumer.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerId {
    /// Which consumer.
    pub consumer_id: String,
}

/// Comes into the room.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Join {
    /// What the others see.
    #[serde(deserialize_with = "name")]
    pub display_name: String,
    /// The client's program, shown to the others as it is.
    pub device: Extra,
    /// What the client can receive, in ORTC terms; nothing is sent to it without this or `sdp`.
    pub rtp_capabilities: Option<RtpCapabilities>,
    /// What the client can receive, as an offer to receive audio and video. Consumers are then offered by the request
    /// `subscribe` instead of `newConsumer`.
    #[serde(deserialize_with = "optional_sdp")]
    pub sdp: Option<String>,
}

/// Sends what an offer says.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Publish {
    /// The transport to send on; always the same for one connection.
    pub transport_id: String,
    /// The connection's offer.
    #[serde(deserialize_with = "sdp")]
    pub sdp: String,
    /// The encodings of the senders by mid, as far as SDP does not tell.
    #[serde(default)]
    pub encodings: HashMap<String, Vec<EncodingHint>>,
    /// What the others are told about each producer, by mid.
    #[serde(default)]
    pub app_data: HashMap<String, Extra>,
}

/// Sends one track.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Produce {
    /// The transport to send on.
    pub transport_id: String,
    /// Audio or video.
    pub kind: MediaKind,
    /// What is sent.
    pub rtp_parameters: RtpParameters,
    /// What the others are told about it.
    #[serde(default)]
    pub app_data: Extra,
}

/// Which layers of simulcast or SVC to receive at most.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetConsumerPreferredLayers {
    /// Which consumer.
    pub consumer_id: String,
    /// From 0.
    pub spatial_layer: u8,
    /// From 0; the highest without it.
    pub temporal_layer: Option<u8>,
}

/// Which consumer counts more when bandwidth is short.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetConsumerPriority {
    /// Which consumer.
    pub consumer_id: String,
    /// 1 to 255; 1 without it.
    #[serde(deserialize_with = "priority")]
    pub priority: u8,
}

/// Another name for the same person.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeDisplayName {
    /// The new name.
    #[serde(deserialize_with = "name")]
    pub display_name: String,
}

impl Request {
    /// Reads a request by its schema.
    ///
    /// # Errors
    ///
    /// The error response to send: it names the method and the field that is wrong.
    pub fn parse(method: &str, data: Value) -> Result<Self, ErrorResponse> {
        Ok(match method {
            "getRouterRtpCapabilities" => {
                read::<Nothing>(method, data)?;
                Self::GetRouterRtpCapabilities
            }
            "createWebRtcTransport" => Self::CreateWebRtcTransport(read(method, data)?),
            "connectWebRtcTransport" => Self::ConnectWebRtcTransport(read(method, data)?),
            "restartIce" => Self::RestartIce(read(method, data)?),
            "join" => Self::Join(read(method, data)?),
            "publish" => Self::Publish(read(method, data)?),
            "produce" => Self::Produce(read(method, data)?),
            "closeProducer" => Self::CloseProducer(read(method, data)?),
            "pauseProducer" => Self::PauseProducer(read(method, data)?),
            "resumeProducer" => Self::ResumeProducer(read(method, data)?),
            "pauseConsumer" => Self::PauseConsumer(read(method, data)?),
            "resumeConsumer" => Self::ResumeConsumer(read(method, data)?),
            "setConsumerPreferredLayers" => Self::SetConsumerPreferredLayers(read(method, data)?),
            "setConsumerPriority" => Self::SetConsumerPriority(read(method, data)?),
            "requestConsumerKeyFrame" => Self::RequestConsumerKeyFrame(read(method, data)?),
            "changeDisplayName" => Self::ChangeDisplayName(read(method, data)?),
            "getTransportStats" => Self::GetTransportStats(read(method, data)?),
            "getProducerStats" => Self::GetProducerStats(read(method, data)?),
            "getConsumerStats" => Self::GetConsumerStats(read(method, data)?),
            "produceData" | "getDataProducerStats" | "getDataConsumerStats" => {
                return Err(ErrorResponse {
                    code: NOT_OFFERED,
                    reason: format!("{method}: this server has no data channels"),
                });
            }
            "applyNetworkThrottle" | "resetNetworkThrottle" => {
                return Err(ErrorResponse {
                    code: 403,
                    reason: format!("{method}: this server does not throttle its network"),
                });
            }
            _ => return Err(ErrorResponse { code: FAILED, reason: format!("unknown request.method \"{method}\"") }),
        })
    }
}

/// The arguments of a request that has none.
#[derive(Debug, Deserialize)]
struct Nothing {}

fn read<T: DeserializeOwned>(method: &str, data: Value) -> Result<T, ErrorResponse> {
    // An array would be taken for the members of a struct in their order.
    if !data.is_object() {
        return Err(ErrorResponse { code: BAD_REQUEST, reason: format!("{method}: data is not an object") });
    }
    serde_path_to_error::deserialize(data).map_err(|error| {
        let path = error.path().to_string();
        let what = error.inner();
        let reason = match path.as_str() {
            // A missing field is named by the message itself.
            "." => format!("{method}: {what}"),
            path => format!("{method}: field \"{path}\": {what}"),
        };
        ErrorResponse { code: BAD_REQUEST, reason }
    })
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if name.chars().count() > MAX_NAME {
        return Err(serde::de::Error::custom(format_args!("longer than {MAX_NAME} characters")));
    }
    Ok(name)
}

fn sdp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let sdp = String::deserialize(deserializer)?;
    if sdp.len() > MAX_SDP {
        return Err(serde::de::Error::custom(format_args!("longer than {MAX_SDP} bytes")));
    }
    Ok(sdp)
}

fn optional_sdp<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Sdp(String);
    impl<'de> Deserialize<'de> for Sdp {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            sdp(deserializer).map(Self)
        }
    }
    Ok(Option::<Sdp>::deserialize(deserializer)?.map(|Sdp(sdp)| sdp))
}

fn priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    match u8::deserialize(deserializer)? {
        0 => Err(serde::de::Error::custom("the lowest priority is 1")),
        priority => Ok(priority),
    }
}

/// The answer to a server's request `subscribe`.
#[derive(Debug, Deserialize)]
pub struct Subscribed {
    /// The connection's answer.
    #[serde(deserialize_with = "sdp")]
    pub sdp: String,
}

impl Subscribed {
    /// Reads the answer by its schema.
    ///
    /// # Errors
    ///
    /// What is wrong, naming the field.
    pub fn parse(data: Value) -> Result<Self, ErrorResponse> {
        read("subscribe", data)
    }
}

/// The success without content.
#[must_use]
pub fn nothing() -> Value {
    json!({})
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(method: &str, data: Value) -> (i64, String) {
        let error = Request::parse(method, data).expect_err("refused");
        (error.code, error.reason)
    }

    #[test]
    fn a_wrong_type_is_refused_naming_the_field() {
        for (method, data, field) in [
            ("produce", json!({"transportId": "t", "kind": "smell", "rtpParameters": {}}), "\"kind\""),
            (
                "produce",
                json!({"transportId": 7, "kind": "audio", "rtpParameters": {"codecs": [], "encodings": []}}),
                "\"transportId\"",
            ),
            ("join", json!({"displayName": ["Ada"]}), "\"displayName\""),
            ("join", json!({"displayName": "Ada", "device": "phone"}), "\"device\""),
            ("join", json!({"sdp": 5}), "\"sdp\""),
            (
                "join",
                json!({"rtpCapabilities": {"codecs": [{"kind": "audio", "mimeType": 1, "clockRate": 48000}]}}),
                "rtpCapabilities.codecs[0]",
            ),
            ("createWebRtcTransport", json!({"forceTcp": "yes"}), "\"forceTcp\""),
            ("setConsumerPriority", json!({"consumerId": "c", "priority": 0}), "\"priority\""),
            ("setConsumerPreferredLayers", json!({"consumerId": "c", "spatialLayer": -1}), "\"spatialLayer\""),
            ("publish", json!({"transportId": "t", "sdp": "", "appData": {"0": 1}}), "appData.0"),
        ] {
            let (code, reason) = refused(method, data.clone());
            assert_eq!(code, BAD_REQUEST, "{data}");
            assert!(reason.starts_with(method) && reason.contains(field), "{data}: {reason}");
        }
    }

    #[test]
    fn a_missing_field_is_refused_naming_it() {
        let (code, reason) = refused("connectWebRtcTransport", json!({"transportId": "t"}));
        assert_eq!(code, BAD_REQUEST);
        assert!(reason.contains("dtlsParameters"), "{reason}");
    }

    #[test]
    fn data_of_another_shape_is_refused() {
        for (method, data) in [
            ("closeProducer", json!([1, 2])),
            ("join", json!(["Ada"])),
            ("createWebRtcTransport", json!([])),
            ("changeDisplayName", json!("Ada")),
            ("getRouterRtpCapabilities", json!(7)),
        ] {
            let expected = (BAD_REQUEST, format!("{method}: data is not an object"));
            assert_eq!(refused(method, data), expected);
        }
    }

    #[test]
    fn an_unknown_method_is_refused_as_in_the_demo() {
        assert_eq!(refused("foo", json!({})), (500, "unknown request.method \"foo\"".into()));
    }

    #[test]
    fn data_channels_are_refused_with_the_reason() {
        let (code, reason) = refused("produceData", json!({}));
        assert_eq!(code, NOT_OFFERED);
        assert!(reason.contains("data channels"), "{reason}");
    }

    #[test]
    fn a_name_has_a_longest_length() {
        assert!(refused("join", json!({"displayName": "x".repeat(201)})).1.contains("displayName"));
        assert!(Request::parse("join", json!({"displayName": "ä".repeat(200)})).is_ok());
    }

    #[test]
    fn what_is_passed_on_to_others_has_a_greatest_size() {
        let extra = |length: usize| json!({ "name": "x".repeat(length) });
        assert!(refused("join", json!({ "device": extra(4097) })).1.contains("\"device\""));
        assert!(Request::parse("join", json!({ "device": extra(4000) })).is_ok());
        let publish = json!({"transportId": "t", "sdp": "", "appData": {"0": extra(10), "1": extra(4097)}});
        assert!(refused("publish", publish).1.contains("appData.1"));
        let parameters = json!({"codecs": [], "encodings": []});
        let produce = json!({"transportId": "t", "kind": "audio", "rtpParameters": parameters, "appData": extra(4097)});
        assert!(refused("produce", produce).1.contains("\"appData\""));
    }

    #[test]
    fn the_demos_requests_are_read() {
        for (method, data) in [
            ("join", json!({})),
            (
                "createWebRtcTransport",
                json!({"forceTcp": false, "producing": true, "consuming": false, "sctpCapabilities": {"numStreams": {"OS": 1024, "MIS": 1024}}}),
            ),
            (
                "join",
                json!({"displayName": "Ada", "device": {"flag": "chrome", "name": "Chrome", "version": "130"}, "rtpCapabilities": {"codecs": [], "headerExtensions": []}, "sctpCapabilities": {}}),
            ),
            ("setConsumerPreferredLayers", json!({"consumerId": "c", "spatialLayer": 2, "temporalLayer": 1})),
        ] {
            Request::parse(method, data).unwrap_or_else(|error| panic!("{method}: {error}"));
        }
    }

    /// A method of ours, or another word.
    fn method() -> impl Strategy<Value = String> {
        prop_oneof![
            "join|publish|produce|closeProducer|createWebRtcTransport|connectWebRtcTransport",
            "getRouterRtpCapabilities|setConsumerPreferredLayers|setConsumerPriority",
            "[a-zA-Z]{1,12}",
        ]
    }

    /// A member of a schema, or another word.
    fn member() -> impl Strategy<Value = String> {
        prop_oneof![
            "transportId|producerId|consumerId|kind|rtpParameters|rtpCapabilities|codecs|encodings|sdp|appData",
            "displayName|device|dtlsParameters|fingerprints|role|algorithm|value|spatialLayer|priority",
            "[a-zA-Z]{1,12}",
        ]
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "audio|video|client|.{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((member(), inner), 0..6).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_data_is_read_or_refused_by_name(method in method(), data in json()) {
            let is_object = data.is_object();
            match Request::parse(&method, data) {
                Ok(_) => prop_assert!(is_object),
                Err(ErrorResponse { reason, .. }) => prop_assert!(reason.contains(&method), "{reason}"),
            }
        }
    }
}
