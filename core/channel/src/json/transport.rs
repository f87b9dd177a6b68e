//! How the requests that create transports are written.
//!
//! The 3.12 generation names IP addresses with one port and enables protocols for all of them; the structs hold one
//! [`ListenInfo`] a listener. What 3.12 has no word for (a port a listener, port ranges, socket flags) is written as
//! `listenInfos` and `listenInfo`, by which our own worker understands it, and mediasoup's refuses the request.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field::{FieldError, from_value};
use super::to_value;
use crate::request::{
    CreateDirectTransport, CreatePipeTransport, CreatePlainTransport, CreateWebRtcTransport,
    CreateWebRtcTransportWithServer, MAX_LISTEN_INFOS, SctpOptions, TransportOptions,
};
use crate::types::{ListenInfo, NumSctpStreams, Protocol, SrtpCryptoSuite};

/// `listenIps[n]`, `listenIp`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListenIp {
    ip: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announced_ip: Option<String>,
}

impl ListenIp {
    fn of(info: &ListenInfo) -> Self {
        Self { ip: info.ip, announced_ip: info.announced_address.clone() }
    }

    fn with(&self, protocol: Protocol, port: u16) -> ListenInfo {
        ListenInfo { announced_address: self.announced_ip.clone(), port, ..ListenInfo::new(protocol, self.ip) }
    }
}

fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

fn yes() -> bool {
    true
}

/// Members that requests to create transports have in common.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommonWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    initial_available_outgoing_bitrate: Option<u64>,
    #[serde(default)]
    enable_sctp: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    num_sctp_streams: Option<NumSctpStreams>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_sctp_message_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sctp_send_buffer_size: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_data_channel: Option<bool>,
}

impl CommonWire {
    fn write(options: &TransportOptions) -> Self {
        let sctp = options.sctp.as_ref();
        Self {
            initial_available_outgoing_bitrate: options.initial_available_outgoing_bitrate,
            enable_sctp: sctp.is_some(),
            num_sctp_streams: sctp.map(|sctp| sctp.num_streams),
            max_sctp_message_size: sctp.map(|sctp| sctp.max_receive_message_size),
            sctp_send_buffer_size: sctp.map(|sctp| sctp.send_buffer_size),
            is_data_channel: sctp.map(|sctp| sctp.is_data_channel),
        }
    }

    fn read(self) -> Result<TransportOptions, FieldError> {
        let sctp = if self.enable_sctp { Some(self.sctp()?) } else { None };
        Ok(TransportOptions { initial_available_outgoing_bitrate: self.initial_available_outgoing_bitrate, sctp })
    }

    fn sctp(&self) -> Result<SctpOptions, FieldError> {
        let max_message_size = self.max_sctp_message_size.ok_or_else(|| FieldError::missing("maxSctpMessageSize"))?;
        let send_buffer_size = self.sctp_send_buffer_size.unwrap_or(SctpOptions::DEFAULT_SEND_BUFFER_SIZE);
        if send_buffer_size > SctpOptions::MAX_SEND_BUFFER_SIZE {
            let most = format!("{send_buffer_size}, expected at most {}", SctpOptions::MAX_SEND_BUFFER_SIZE);
            return Err(FieldError::wrong_value("sctpSendBufferSize", most));
        }
        Ok(SctpOptions {
            num_streams: self.num_sctp_streams.ok_or_else(|| FieldError::missing("numSctpStreams"))?,
            max_send_message_size: max_message_size,
            max_receive_message_size: max_message_size,
            send_buffer_size,
            per_stream_send_queue_limit: None,
            max_receiver_window_size: None,
            default_buffered_amount_low_threshold: None,
            is_data_channel: self.is_data_channel.unwrap_or(false),
        })
    }
}

/// A request's own members beside the common ones, in one JSON object.
#[derive(Serialize)]
struct WithCommon<T> {
    #[serde(flatten)]
    own: T,
    #[serde(flatten)]
    common: CommonWire,
}

fn write_with_common<T: Serialize>(own: T, options: &TransportOptions) -> Value {
    to_value(&WithCommon { own, common: CommonWire::write(options) })
}

/// Both structs are read from the same object, rather than as one with `flatten`, by which errors would lose their path.
fn read_with_common<'de, T: Deserialize<'de>>(value: &'de Value) -> Result<(T, TransportOptions), FieldError> {
    Ok((from_value(value)?, from_value::<CommonWire>(value)?.read()?))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebRtcWire {
    transport_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listen_ips: Option<Vec<ListenIp>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listen_infos: Option<Vec<ListenInfo>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    port: u16,
    #[serde(default = "yes")]
    enable_udp: bool,
    #[serde(default)]
    enable_tcp: bool,
    #[serde(default)]
    prefer_udp: bool,
    #[serde(default)]
    prefer_tcp: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    ice_consent_timeout: u8,
}

/// The listeners that `listenIps` stands for.
fn expand(ips: &[ListenIp], port: u16, udp: bool, tcp: bool) -> Vec<ListenInfo> {
    let protocols = [(udp, Protocol::Udp), (tcp, Protocol::Tcp)];
    ips.iter()
        .flat_map(|ip| protocols.iter().map(move |(enabled, protocol)| (*enabled, ip.with(*protocol, port))))
        .filter_map(|(enabled, info)| enabled.then_some(info))
        .collect()
}

impl WebRtcWire {
    fn write(request: &CreateWebRtcTransport) -> Self {
        let infos = &request.listen_infos;
        let has = |protocol| infos.iter().any(|info| info.protocol == protocol);
        let (enable_udp, enable_tcp) = (has(Protocol::Udp), has(Protocol::Tcp));
        let port = infos.first().map_or(0, |info| info.port);
        let mut ips: Vec<ListenIp> = infos.iter().map(ListenIp::of).collect();
        ips.dedup();
        let as_ips = expand(&ips, port, enable_udp, enable_tcp) == *infos;
        Self {
            transport_id: request.transport_id.clone(),
            listen_ips: as_ips.then_some(ips),
            listen_infos: (!as_ips).then(|| infos.clone()),
            port: if as_ips { port } else { 0 },
            enable_udp,
            enable_tcp,
            prefer_udp: request.prefer_udp,
            prefer_tcp: request.prefer_tcp,
            ice_consent_timeout: request.ice_consent_timeout,
        }
    }

    fn read(self, options: TransportOptions) -> Result<CreateWebRtcTransport, FieldError> {
        let listen_infos = match (self.listen_ips, self.listen_infos) {
            (Some(ips), _) => {
                check_listen_count("listenIps", ips.len(), MAX_LISTEN_INFOS)?;
                expand(&ips, self.port, self.enable_udp, self.enable_tcp)
            }
            (None, Some(infos)) => {
                check_listen_count("listenInfos", infos.len(), 2 * MAX_LISTEN_INFOS)?;
                infos
            }
            (None, None) => return Err(FieldError::missing("listenIps")),
        };
        Ok(CreateWebRtcTransport {
            transport_id: self.transport_id,
            listen_infos,
            prefer_udp: self.prefer_udp,
            prefer_tcp: self.prefer_tcp,
            ice_consent_timeout: self.ice_consent_timeout,
            options,
        })
    }
}

/// Refuses an empty or too long list of listeners.
pub(super) fn check_listen_count(field: &str, count: usize, most: usize) -> Result<(), FieldError> {
    if (1..=most).contains(&count) {
        Ok(())
    } else {
        let detail = format!("{count} entries, expected 1 to {most}");
        Err(FieldError::wrong_value(field, detail))
    }
}

pub(super) fn write_web_rtc(request: &CreateWebRtcTransport) -> Value {
    write_with_common(WebRtcWire::write(request), &request.options)
}

pub(super) fn read_web_rtc(value: &Value) -> Result<CreateWebRtcTransport, FieldError> {
    let (own, options) = read_with_common::<WebRtcWire>(value)?;
    own.read(options)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WebRtcWithServerWire {
    transport_id: String,
    web_rtc_server_id: String,
    #[serde(default = "yes")]
    enable_udp: bool,
    #[serde(default)]
    enable_tcp: bool,
    #[serde(default)]
    prefer_udp: bool,
    #[serde(default)]
    prefer_tcp: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    ice_consent_timeout: u8,
}

pub(super) fn write_web_rtc_with_server(request: &CreateWebRtcTransportWithServer) -> Value {
    let own = WebRtcWithServerWire {
        transport_id: request.transport_id.clone(),
        web_rtc_server_id: request.web_rtc_server_id.clone(),
        enable_udp: request.enable_udp,
        enable_tcp: request.enable_tcp,
        prefer_udp: request.prefer_udp,
        prefer_tcp: request.prefer_tcp,
        ice_consent_timeout: request.ice_consent_timeout,
    };
    write_with_common(own, &request.options)
}

pub(super) fn read_web_rtc_with_server(value: &Value) -> Result<CreateWebRtcTransportWithServer, FieldError> {
    let (own, options) = read_with_common::<WebRtcWithServerWire>(value)?;
    Ok(CreateWebRtcTransportWithServer {
        transport_id: own.transport_id,
        web_rtc_server_id: own.web_rtc_server_id,
        enable_udp: own.enable_udp,
        enable_tcp: own.enable_tcp,
        prefer_udp: own.prefer_udp,
        prefer_tcp: own.prefer_tcp,
        ice_consent_timeout: own.ice_consent_timeout,
        options,
    })
}

/// The one listener of a plain or pipe transport.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ListenWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listen_ip: Option<ListenIp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listen_info: Option<ListenInfo>,
    #[serde(default, skip_serializing_if = "is_zero")]
    port: u16,
}

impl ListenWire {
    fn write(info: &ListenInfo) -> Self {
        let as_ip = info.is_plain() && info.protocol == Protocol::Udp;
        Self {
            listen_ip: as_ip.then(|| ListenIp::of(info)),
            listen_info: (!as_ip).then(|| info.clone()),
            port: if as_ip { info.port } else { 0 },
        }
    }

    fn read(self) -> Result<ListenInfo, FieldError> {
        match (self.listen_ip, self.listen_info) {
            (Some(ip), _) => Ok(ip.with(Protocol::Udp, self.port)),
            (None, Some(info)) => check_udp("listenInfo", info),
            (None, None) => Err(FieldError::missing("listenIp")),
        }
    }
}

fn check_udp(field: &str, info: ListenInfo) -> Result<ListenInfo, FieldError> {
    match info.protocol {
        Protocol::Udp => Ok(info),
        Protocol::Tcp => Err(FieldError::wrong_value(format!("{field}.protocol"), "tcp, expected udp")),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainWire {
    transport_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rtcp_listen_info: Option<ListenInfo>,
    #[serde(default = "yes")]
    rtcp_mux: bool,
    #[serde(default)]
    comedia: bool,
    #[serde(default)]
    enable_srtp: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    srtp_crypto_suite: Option<SrtpCryptoSuite>,
}

#[derive(Serialize)]
struct Listening<T> {
    #[serde(flatten)]
    listen: ListenWire,
    #[serde(flatten)]
    own: T,
}

pub(super) fn write_plain(request: &CreatePlainTransport) -> Value {
    let own = Listening {
        listen: ListenWire::write(&request.listen_info),
        own: PlainWire {
            transport_id: request.transport_id.clone(),
            rtcp_listen_info: request.rtcp_listen_info.clone(),
            rtcp_mux: request.rtcp_mux,
            comedia: request.comedia,
            enable_srtp: request.srtp_crypto_suite.is_some(),
            srtp_crypto_suite: request.srtp_crypto_suite,
        },
    };
    write_with_common(own, &request.options)
}

pub(super) fn read_plain(value: &Value) -> Result<CreatePlainTransport, FieldError> {
    let (own, options) = read_with_common::<PlainWire>(value)?;
    let srtp_crypto_suite = match (own.enable_srtp, own.srtp_crypto_suite) {
        (false, _) => None,
        (true, None) => return Err(FieldError::missing("srtpCryptoSuite")),
        (true, suite) => suite,
    };
    let rtcp_listen_info = own.rtcp_listen_info.map(|info| check_udp("rtcpListenInfo", info)).transpose()?;
    Ok(CreatePlainTransport {
        transport_id: own.transport_id,
        listen_info: from_value::<ListenWire>(value)?.read()?,
        rtcp_listen_info,
        rtcp_mux: own.rtcp_mux,
        comedia: own.comedia,
        srtp_crypto_suite,
        options,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PipeWire {
    transport_id: String,
    #[serde(default)]
    enable_rtx: bool,
    #[serde(default)]
    enable_srtp: bool,
}

pub(super) fn write_pipe(request: &CreatePipeTransport) -> Value {
    let own = Listening {
        listen: ListenWire::write(&request.listen_info),
        own: PipeWire {
            transport_id: request.transport_id.clone(),
            enable_rtx: request.enable_rtx,
            enable_srtp: request.enable_srtp,
        },
    };
    write_with_common(own, &request.options)
}

pub(super) fn read_pipe(value: &Value) -> Result<CreatePipeTransport, FieldError> {
    let (own, options) = read_with_common::<PipeWire>(value)?;
    Ok(CreatePipeTransport {
        transport_id: own.transport_id,
        listen_info: from_value::<ListenWire>(value)?.read()?,
        enable_rtx: own.enable_rtx,
        enable_srtp: own.enable_srtp,
        options,
    })
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DirectWire {
    transport_id: String,
    #[serde(default)]
    direct: bool,
    max_message_size: u32,
}

pub(super) fn write_direct(request: &CreateDirectTransport) -> Value {
    to_value(&DirectWire {
        transport_id: request.transport_id.clone(),
        direct: true,
        max_message_size: request.max_receive_message_size,
    })
}

pub(super) fn read_direct(value: &Value) -> Result<CreateDirectTransport, FieldError> {
    let wire: DirectWire = from_value(value)?;
    Ok(CreateDirectTransport {
        transport_id: wire.transport_id,
        max_send_message_size: wire.max_message_size,
        max_receive_message_size: wire.max_message_size,
    })
}
