//! Requests to a transport.

use std::time::Instant;

use sfu_channel::IceRole;
use sfu_channel::dump::{
    PipeTransportDump, PlainTransportDump, RecvRtpHeaderExtensions, RtpListenerDump, SctpListenerDump, TransportDump,
    WebRtcTransportDump,
};
use sfu_channel::reply::{IceRestarted, PlainConnected, Produced, WebRtcConnected};
use sfu_channel::request::{Bitrate, Consume, Method, Produce, Request, TransportConnect};
use sfu_channel::response::{Refusal, Reply};
use sfu_channel::stats::{TransportStat, TransportStatType};
use sfu_proto::rtp::ExtensionKind;

use super::{Outcome, data, unknown_method};
use crate::consumer::Consumer;
use crate::media::congestion_feedback::CongestionFeedback;
use crate::producer::Producer;
use crate::registry::EntityKey;
use crate::trace::TraceTypes;
use crate::transport::{Kind, MIN_OUTGOING_BITRATE};
use crate::worker::Worker;

pub(super) fn handle(worker: &mut Worker, now: Instant, index: usize, request: Request) -> Outcome {
    let transport = &mut worker.transports[index];
    match request {
        Request::TransportDump => Ok(Some(dump(worker, index))),
        Request::TransportGetStats => Ok(Some(Reply::TransportStats(vec![stats(worker, now, index)]))),
        Request::TransportConnect(request) => connect(worker, now, index, &request),
        Request::TransportRestartIce => match &mut transport.kind {
            Kind::WebRtc(webrtc) => {
                webrtc.restart_ice()?;
                let ice_parameters = webrtc.ice_parameters();
                if let Some(server) = webrtc.server {
                    worker.web_rtc_servers[server].add_username_fragment(&ice_parameters.username_fragment, index);
                }
                worker.handle_ice_events(now, index);
                Ok(Some(Reply::IceRestarted(IceRestarted { ice_parameters })))
            }
            Kind::Plain(_) | Kind::Pipe(_) | Kind::Direct => Err(unknown_method(Request::TransportRestartIce.method())),
        },
        Request::TransportSetMaxIncomingBitrate(Bitrate { bitrate }) => {
            transport.max_incoming_bitrate = bitrate;
            worker.schedule_feedback(now, index);
            Ok(None)
        }
        Request::TransportSetMaxOutgoingBitrate(Bitrate { bitrate }) => {
            check_outgoing_bitrate(bitrate)?;
            if bitrate > 0 && bitrate < transport.min_outgoing_bitrate {
                return Err(Refusal::type_error(format!(
                    "bitrate must be >= current min outgoing bitrate ({}) or 0 (unlimited)",
                    transport.min_outgoing_bitrate
                )));
            }
            transport.max_outgoing_bitrate = bitrate;
            worker.bound_bandwidth(now, index);
            Ok(None)
        }
        Request::TransportSetMinOutgoingBitrate(Bitrate { bitrate }) => {
            check_outgoing_bitrate(bitrate)?;
            if bitrate > 0 && transport.max_outgoing_bitrate > 0 && bitrate > transport.max_outgoing_bitrate {
                return Err(Refusal::type_error(format!(
                    "bitrate must be <= current max outgoing bitrate ({}) or 0 (unlimited)",
                    transport.max_outgoing_bitrate
                )));
            }
            transport.min_outgoing_bitrate = bitrate;
            worker.bound_bandwidth(now, index);
            Ok(None)
        }
        Request::TransportProduce(request) => produce(worker, now, index, request),
        Request::TransportConsume(request) => consume(worker, now, index, request),
        Request::TransportProduceData(request) => data::produce(worker, index, request),
        Request::TransportConsumeData(request) => data::consume(worker, index, request),
        Request::TransportEnableTraceEvent(request) => {
            transport.trace = TraceTypes::new(&request.types);
            Ok(None)
        }
        Request::TransportCloseProducer(request) => {
            let router = transport.router;
            match worker.find_producer(router, &request.producer_id) {
                Ok(producer) if worker.producers[producer].transport == index => worker.close_producer(producer),
                _ => return Err(Refusal::error(format!("Producer with ID {} not found", request.producer_id))),
            }
            Ok(None)
        }
        Request::TransportCloseConsumer(request) => {
            let consumer = worker.find_consumer(index, &request.consumer_id)?;
            worker.close_consumer(consumer);
            Ok(None)
        }
        Request::TransportCloseDataProducer(request) => data::close_producer(worker, index, &request),
        Request::TransportCloseDataConsumer(request) => data::close_consumer(worker, index, &request),
        other => Err(unknown_method(other.method())),
    }
}

fn connect(worker: &mut Worker, now: Instant, index: usize, request: &TransportConnect) -> Outcome {
    let transport = &mut worker.transports[index];
    let reply = match &mut transport.kind {
        Kind::WebRtc(webrtc) => {
            let parameters =
                request.dtls_parameters.as_ref().ok_or_else(|| Refusal::type_error("missing dtlsParameters"))?;
            let dtls_local_role = webrtc.connect(now, parameters, &worker.config.certificate)?;
            Reply::WebRtcConnected(WebRtcConnected { dtls_local_role })
        }
        Kind::Plain(plain) => {
            let protection = plain.connect(request, &worker.sockets, worker.config.srtp_backend)?;
            let tuple = plain.path.map(|_| plain.tuple(&worker.sockets));
            let rtcp_tuple = plain.rtcp_path.and_then(|_| plain.rtcp_tuple(&worker.sockets));
            let srtp_parameters = plain.srtp_parameters();
            if let Some(protection) = protection {
                transport.protection = protection;
            }
            Reply::PlainConnected(PlainConnected { tuple, rtcp_tuple, srtp_parameters })
        }
        Kind::Pipe(pipe) => {
            if let Some(protection) = pipe.connect(request, &worker.sockets, worker.config.srtp_backend)? {
                transport.protection = protection;
            }
            let tuple = Some(pipe.tuple(&worker.sockets));
            Reply::PlainConnected(PlainConnected { tuple, ..PlainConnected::default() })
        }
        Kind::Direct => return Err(unknown_method(Method::TransportConnect)),
    };
    worker.handle_dtls_events(now, index);
    worker.update_connected(now, index);
    Ok(Some(reply))
}

fn check_outgoing_bitrate(bitrate: u64) -> Result<(), Refusal> {
    if bitrate > 0 && bitrate < MIN_OUTGOING_BITRATE {
        return Err(Refusal::type_error(format!("bitrate must be >= {MIN_OUTGOING_BITRATE} or 0 (unlimited)")));
    }
    Ok(())
}

fn produce(worker: &mut Worker, now: Instant, index: usize, request: Produce) -> Outcome {
    worker.registry.check_free(&request.producer_id)?;
    let transport = &mut worker.transports[index];
    let producer = Producer::new(transport.router, index, request)?;
    let key = worker.producers.vacant_key();
    transport.listener.add(key, &producer.rtp_parameters)?;
    transport.producers.push(key);
    transport.add_recv_extensions(&producer.extension_ids);
    if transport.congestion_feedback.is_none() {
        transport.congestion_feedback = CongestionFeedback::negotiated(now, &producer);
    }
    let rtp_type = producer.rtp_type;
    worker.registry.insert(&producer.id, EntityKey::Producer(key));
    worker.producers.insert(producer);
    worker.update_own_extension_ids(index);
    worker.schedule_feedback(now, index);
    Ok(Some(Reply::Produced(Produced { rtp_type })))
}

/// How many of a producer's last consumers are looked at for parameters that a new one can share.
const ALIKE: usize = 4;

fn consume(worker: &mut Worker, now: Instant, index: usize, request: Consume) -> Outcome {
    worker.registry.check_free(&request.consumer_id)?;
    let transport = &mut worker.transports[index];
    let router = transport.router;
    let producer = worker.find_producer(router, &request.producer_id)?;
    let others = worker.producers[producer].consumers.iter().rev().take(ALIKE).map(|other| &worker.consumers[*other]);
    let mut consumer = Consumer::new(index, producer, &worker.producers[producer], request, others)?;
    let transport = &mut worker.transports[index];
    let key = worker.consumers.vacant_key();
    transport.add_consumer(key, &mut consumer)?;
    let consumed = consumer.consumed(&worker.producers[producer]);
    worker.registry.insert(&consumer.id, EntityKey::Consumer(key));
    worker.consumers.insert(consumer);
    worker.producers[producer].consumers.push(key);
    worker.negotiate_bandwidth(now, index, key);
    if worker.transports[index].connected {
        worker.connect_consumer(now, key);
    }
    Ok(Some(Reply::Consumed(consumed)))
}

/// What a transport shows of itself: the answer to requests that create it, too.
pub(super) fn dump(worker: &Worker, index: usize) -> Reply {
    let transport = &worker.transports[index];
    let base = base_dump(worker, index);
    match &transport.kind {
        Kind::WebRtc(webrtc) => Reply::WebRtcTransportDump(WebRtcTransportDump {
            base,
            ice_role: IceRole::Controlled,
            ice_parameters: webrtc.ice_parameters(),
            ice_candidates: webrtc.candidates().to_vec(),
            ice_state: webrtc.ice_state(),
            ice_selected_tuple: webrtc.selected_tuple(&worker.sockets),
            dtls_parameters: webrtc.dtls_parameters(),
            dtls_state: webrtc.dtls_state,
        }),
        Kind::Plain(plain) => Reply::PlainTransportDump(PlainTransportDump {
            base,
            rtcp_mux: plain.rtcp_mux(),
            comedia: plain.comedia(),
            tuple: plain.tuple(&worker.sockets),
            rtcp_tuple: plain.rtcp_tuple(&worker.sockets),
            srtp_parameters: plain.srtp_parameters(),
        }),
        Kind::Pipe(pipe) => Reply::PipeTransportDump(PipeTransportDump {
            base,
            tuple: pipe.tuple(&worker.sockets),
            rtx: pipe.rtx(),
            srtp_parameters: pipe.srtp_parameters(),
        }),
        Kind::Direct => Reply::DirectTransportDump(base),
    }
}

fn base_dump(worker: &Worker, index: usize) -> TransportDump {
    let transport = &worker.transports[index];
    let producer_id = |key: usize| worker.producers[key].id.clone();
    let consumer_id = |key: usize| worker.consumers[key].id.clone();
    let data_producer_id = |key: usize| worker.data_producers[key].id.clone();
    let listener = &transport.listener;
    let data = &transport.data;
    let sctp = data.sctp.as_ref();
    TransportDump {
        id: transport.id.clone(),
        direct: transport.is_direct(),
        producer_ids: transport.producers.iter().map(|key| producer_id(*key)).collect(),
        consumer_ids: transport.consumers.iter().map(|key| consumer_id(*key)).collect(),
        map_ssrc_consumer_id: transport
            .consumers_by_ssrc
            .iter()
            .map(|(ssrc, key)| (*ssrc, consumer_id(*key)))
            .collect(),
        map_rtx_ssrc_consumer_id: transport
            .consumers_by_rtx_ssrc
            .iter()
            .map(|(ssrc, key)| (*ssrc, consumer_id(*key)))
            .collect(),
        data_producer_ids: data.producers.iter().map(|key| data_producer_id(*key)).collect(),
        data_consumer_ids: data.consumers.iter().map(|key| worker.data_consumers[*key].id.clone()).collect(),
        recv_rtp_header_extensions: RecvRtpHeaderExtensions {
            mid: transport.recv_extension(ExtensionKind::Mid),
            rid: transport.recv_extension(ExtensionKind::Rid),
            rrid: transport.recv_extension(ExtensionKind::RepairedRid),
            abs_send_time: transport.recv_extension(ExtensionKind::AbsSendTime),
            transport_wide_cc: transport.recv_extension(ExtensionKind::TransportWideCc),
        },
        rtp_listener: RtpListenerDump {
            ssrc_table: listener.ssrcs().map(|(ssrc, key)| (ssrc, producer_id(key))).collect(),
            mid_table: listener.mids().map(|(mid, key)| (mid.to_owned(), producer_id(key))).collect(),
            rid_table: listener.rids().map(|(rid, key)| (rid.to_owned(), producer_id(key))).collect(),
        },
        max_send_message_size: transport.max_message_size,
        max_receive_message_size: transport.max_message_size,
        sctp_parameters: sctp.map(|sctp| sctp.parameters()),
        sctp_state: sctp.map(|sctp| sctp.state()),
        sctp_listener: sctp.map(|sctp| SctpListenerDump {
            stream_id_table: sctp.listener.iter().map(|(id, key)| (*id, data_producer_id(*key))).collect(),
        }),
        trace_event_types: transport.trace.to_vec(),
    }
}

fn stats(worker: &mut Worker, now: Instant, index: usize) -> TransportStat {
    let transport = &mut worker.transports[index];
    let traffic = &mut transport.traffic;
    let mut stat = TransportStat {
        stat_type: TransportStatType::WebRtcTransport,
        transport_id: transport.id.clone(),
        timestamp: worker.clock.millis(now),
        sctp_state: transport.data.sctp.as_ref().map(|sctp| sctp.state()),
        bytes_received: traffic.received.bytes(),
        recv_bitrate: traffic.received.bitrate(now),
        bytes_sent: traffic.sent.bytes(),
        send_bitrate: traffic.sent.bitrate(now),
        rtp_bytes_received: traffic.rtp_received.bytes(),
        rtp_recv_bitrate: traffic.rtp_received.bitrate(now),
        rtp_bytes_sent: traffic.rtp_sent.bytes(),
        rtp_send_bitrate: traffic.rtp_sent.bitrate(now),
        rtx_bytes_received: traffic.rtx_received.bytes(),
        rtx_recv_bitrate: traffic.rtx_received.bitrate(now),
        rtx_bytes_sent: traffic.rtx_sent.bytes(),
        rtx_send_bitrate: traffic.rtx_sent.bitrate(now),
        probation_bytes_sent: traffic.probation_sent.bytes(),
        probation_send_bitrate: traffic.probation_sent.bitrate(now),
        available_outgoing_bitrate: transport
            .bandwidth
            .as_ref()
            .map(|bandwidth| bandwidth.estimator.available_bitrate()),
        available_incoming_bitrate: transport
            .congestion_feedback
            .as_ref()
            .and_then(|feedback| feedback.available_incoming_bitrate()),
        max_incoming_bitrate: Some(transport.max_incoming_bitrate).filter(|bitrate| *bitrate > 0),
        rtp_packet_loss_received: transport.congestion_feedback.as_ref().map(|feedback| feedback.loss_ratio()),
        rtp_packet_loss_sent: transport.bandwidth.as_ref().map(|bandwidth| bandwidth.estimator.reported_loss_ratio()),
        ..TransportStat::default()
    };
    match &transport.kind {
        Kind::WebRtc(webrtc) => {
            stat.ice_role = Some(IceRole::Controlled);
            stat.ice_state = Some(webrtc.ice_state());
            stat.ice_selected_tuple = webrtc.selected_tuple(&worker.sockets);
            stat.dtls_state = Some(webrtc.dtls_state);
        }
        Kind::Plain(plain) => {
            stat.stat_type = TransportStatType::PlainRtpTransport;
            stat.rtcp_mux = Some(plain.rtcp_mux());
            stat.comedia = Some(plain.comedia());
            stat.tuple = Some(plain.tuple(&worker.sockets));
            stat.rtcp_tuple = plain.rtcp_path.and_then(|_| plain.rtcp_tuple(&worker.sockets));
        }
        Kind::Pipe(pipe) => {
            stat.stat_type = TransportStatType::PipeTransport;
            stat.tuple = Some(pipe.tuple(&worker.sockets));
        }
        Kind::Direct => stat.stat_type = TransportStatType::DirectTransport,
    }
    stat
}
