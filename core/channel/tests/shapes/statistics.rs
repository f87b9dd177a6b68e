//! What `getStats` answers.

use serde_json::json;
use sfu_channel::stats::*;
use sfu_channel::*;

use super::{assert_shape, tuple, tuple_json};

#[test]
fn statistics() {
    let name = |stat_type| serde_json::to_value::<TransportStatType>(stat_type).unwrap();
    assert_eq!(name(TransportStatType::WebRtcTransport), "webrtc-transport");
    assert_eq!(name(TransportStatType::PlainRtpTransport), "plain-rtp-transport");
    assert_eq!(name(TransportStatType::PipeTransport), "pipe-transport");
    assert_eq!(name(TransportStatType::DirectTransport), "direct-transport");
    let least = TransportStat { transport_id: "t".to_owned(), ..TransportStat::default() };
    assert_shape(
        &least,
        json!({"type": "direct-transport", "transportId": "t", "timestamp": 0, "bytesReceived": 0, "recvBitrate": 0,
               "bytesSent": 0, "sendBitrate": 0, "rtpBytesReceived": 0, "rtpRecvBitrate": 0, "rtpBytesSent": 0,
               "rtpSendBitrate": 0, "rtxBytesReceived": 0, "rtxRecvBitrate": 0, "rtxBytesSent": 0, "rtxSendBitrate": 0,
               "probationBytesSent": 0, "probationSendBitrate": 0}),
    );
    assert_shape(
        &TransportStat {
            stat_type: TransportStatType::WebRtcTransport,
            transport_id: "t".to_owned(),
            timestamp: 1,
            sctp_state: Some(SctpState::Connected),
            bytes_received: 2,
            recv_bitrate: 3,
            bytes_sent: 4,
            send_bitrate: 5,
            rtp_bytes_received: 6,
            rtp_recv_bitrate: 7,
            rtp_bytes_sent: 8,
            rtp_send_bitrate: 9,
            rtx_bytes_received: 10,
            rtx_recv_bitrate: 11,
            rtx_bytes_sent: 12,
            rtx_send_bitrate: 13,
            probation_bytes_sent: 14,
            probation_send_bitrate: 15,
            available_outgoing_bitrate: Some(16),
            available_incoming_bitrate: Some(17),
            max_incoming_bitrate: Some(18),
            max_outgoing_bitrate: None,
            min_outgoing_bitrate: None,
            rtp_packet_loss_received: Some(0.25),
            rtp_packet_loss_sent: Some(0.5),
            ice_role: Some(IceRole::Controlled),
            ice_state: Some(IceState::Completed),
            ice_selected_tuple: Some(tuple()),
            dtls_state: Some(DtlsState::Connected),
            rtcp_mux: Some(false),
            comedia: Some(true),
            tuple: Some(tuple()),
            rtcp_tuple: Some(tuple()),
        },
        json!({"type": "webrtc-transport", "transportId": "t", "timestamp": 1, "sctpState": "connected",
               "bytesReceived": 2, "recvBitrate": 3, "bytesSent": 4, "sendBitrate": 5, "rtpBytesReceived": 6,
               "rtpRecvBitrate": 7, "rtpBytesSent": 8, "rtpSendBitrate": 9, "rtxBytesReceived": 10,
               "rtxRecvBitrate": 11, "rtxBytesSent": 12, "rtxSendBitrate": 13, "probationBytesSent": 14,
               "probationSendBitrate": 15, "availableOutgoingBitrate": 16, "availableIncomingBitrate": 17,
               "maxIncomingBitrate": 18, "rtpPacketLossReceived": 0.25, "rtpPacketLossSent": 0.5,
               "iceRole": "controlled", "iceState": "completed", "iceSelectedTuple": tuple_json(),
               "dtlsState": "connected", "rtcpMux": false, "comedia": true, "tuple": tuple_json(),
               "rtcpTuple": tuple_json()}),
    );
    assert_shape(
        &DataProducerStat {
            timestamp: 1,
            label: "l".to_owned(),
            protocol: String::new(),
            messages_received: 2,
            bytes_received: 3,
        },
        json!({"type": "data-producer", "timestamp": 1, "label": "l", "protocol": "", "messagesReceived": 2,
               "bytesReceived": 3}),
    );
    let stream = json!({
        "type": "inbound-rtp", "timestamp": 1, "ssrc": 5, "kind": "audio", "mimeType": "audio/opus", "packetsLost": 0,
        "fractionLost": 0, "packetsDiscarded": 0, "packetsRetransmitted": 0, "packetsRepaired": 0, "nackCount": 0,
        "nackPacketCount": 0, "pliCount": 0, "firCount": 0, "score": 10, "jitter": 3, "packetCount": 9, "byteCount": 90,
        "bitrate": 100, "bitrateByLayer": {"0.0": 50}, "roundTripTime": 1.5
    });
    let read: RtpStreamStat = serde_json::from_value(stream.clone()).unwrap();
    assert_shape(&read, stream);
}
