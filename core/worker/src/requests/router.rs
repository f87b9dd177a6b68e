//! Requests to a router.

use std::collections::BTreeMap;
use std::time::Instant;

use sfu_channel::dump::RouterDump;
use sfu_channel::request::{
    CreateDirectTransport, CreatePipeTransport, CreatePlainTransport, CreateWebRtcTransport,
    CreateWebRtcTransportWithServer, Request, TransportOptions,
};
use sfu_channel::response::Reply;

use super::{Outcome, unknown_method};
use crate::registry::EntityKey;
use crate::rtp_observer::RtpObserver;
use crate::transport::{Kind, PipeTransport, PlainTransport, Protection, Transport, WebRtcTransport};
use crate::worker::Worker;

pub(super) fn handle(worker: &mut Worker, now: Instant, router: usize, request: Request) -> Outcome {
    match request {
        Request::RouterDump => Ok(Some(Reply::RouterDump(dump(worker, router)))),
        Request::RouterCreateWebRtcTransport(request) => create_webrtc_transport(worker, now, router, request),
        Request::RouterCreatePlainTransport(request) => create_plain_transport(worker, now, router, request),
        Request::RouterCreateWebRtcTransportWithServer(request) => {
            create_webrtc_transport_with_server(worker, now, router, request)
        }
        Request::RouterCreatePipeTransport(request) => create_pipe_transport(worker, now, router, request),
        Request::RouterCreateDirectTransport(request) => create_direct_transport(worker, now, router, request),
        Request::RouterCloseTransport(request) => {
            let transport = worker.find_transport(router, &request.transport_id)?;
            worker.close_transport(transport);
            Ok(None)
        }
        Request::RouterCreateActiveSpeakerObserver(request) => {
            add_rtp_observer(worker, RtpObserver::active_speaker(now, router, request))
        }
        Request::RouterCreateAudioLevelObserver(request) => {
            add_rtp_observer(worker, RtpObserver::audio_level(now, router, request))
        }
        Request::RouterCloseRtpObserver(request) => {
            let observer = worker.find_rtp_observer(router, &request.rtp_observer_id)?;
            worker.close_rtp_observer(observer);
            Ok(None)
        }
        other => Err(unknown_method(other.method())),
    }
}

fn create_webrtc_transport(
    worker: &mut Worker,
    now: Instant,
    router: usize,
    request: CreateWebRtcTransport,
) -> Outcome {
    worker.registry.check_free(&request.transport_id)?;
    let key = worker.transports.vacant_key();
    let webrtc = WebRtcTransport::new(key, &request, &worker.config.certificate, &mut worker.sockets)?;
    let kind = Kind::WebRtc(Box::new(webrtc));
    let transport = Transport::new(request.transport_id, router, kind, Protection::Pending, &request.options);
    add_transport(worker, now, router, transport)
}

fn create_webrtc_transport_with_server(
    worker: &mut Worker,
    now: Instant,
    router: usize,
    request: CreateWebRtcTransportWithServer,
) -> Outcome {
    worker.registry.check_free(&request.transport_id)?;
    let index = worker.find_web_rtc_server(&request.web_rtc_server_id)?;
    let server = &mut worker.web_rtc_servers[index];
    let webrtc = WebRtcTransport::with_server(index, server, &request, &worker.config.certificate, &worker.sockets)?;
    let key = worker.transports.vacant_key();
    server.add_username_fragment(&webrtc.ice_parameters().username_fragment, key);
    server.transports.push(key);
    let kind = Kind::WebRtc(Box::new(webrtc));
    let transport = Transport::new(request.transport_id, router, kind, Protection::Pending, &request.options);
    add_transport(worker, now, router, transport)
}

fn create_plain_transport(worker: &mut Worker, now: Instant, router: usize, request: CreatePlainTransport) -> Outcome {
    worker.registry.check_free(&request.transport_id)?;
    let key = worker.transports.vacant_key();
    let plain = PlainTransport::new(key, &request, &mut worker.sockets)?;
    let protection = plain.initial_protection();
    let kind = Kind::Plain(Box::new(plain));
    let transport = Transport::new(request.transport_id, router, kind, protection, &request.options);
    add_transport(worker, now, router, transport)
}

fn create_pipe_transport(worker: &mut Worker, now: Instant, router: usize, request: CreatePipeTransport) -> Outcome {
    worker.registry.check_free(&request.transport_id)?;
    let key = worker.transports.vacant_key();
    let pipe = PipeTransport::new(key, &request, &mut worker.sockets)?;
    let protection = pipe.initial_protection();
    let kind = Kind::Pipe(Box::new(pipe));
    let transport = Transport::new(request.transport_id, router, kind, protection, &request.options);
    add_transport(worker, now, router, transport)
}

fn create_direct_transport(
    worker: &mut Worker,
    now: Instant,
    router: usize,
    request: CreateDirectTransport,
) -> Outcome {
    worker.registry.check_free(&request.transport_id)?;
    let options = TransportOptions::default();
    let mut transport = Transport::new(request.transport_id, router, Kind::Direct, Protection::None, &options);
    transport.max_message_size = request.max_receive_message_size;
    add_transport(worker, now, router, transport)
}

/// Enters the transport and answers with its dump.
fn add_transport(worker: &mut Worker, now: Instant, router: usize, transport: Transport) -> Outcome {
    let id = transport.id.clone();
    let key = worker.transports.insert(transport);
    worker.registry.insert(&id, EntityKey::Transport(key));
    worker.routers[router].transports.push(key);
    worker.update_connected(now, key);
    Ok(Some(super::transport::dump(worker, key)))
}

fn add_rtp_observer(worker: &mut Worker, observer: RtpObserver) -> Outcome {
    worker.registry.check_free(&observer.id)?;
    let (id, router) = (observer.id.clone(), observer.router);
    let key = worker.rtp_observers.insert(observer);
    worker.registry.insert(&id, EntityKey::RtpObserver(key));
    worker.routers[router].rtp_observers.push(key);
    worker.poll_rtp_observer(key);
    Ok(None)
}

fn dump(worker: &Worker, router: usize) -> RouterDump {
    let router = &worker.routers[router];
    let mut producers = BTreeMap::new();
    let mut observers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut consumers = BTreeMap::new();
    let mut data_producers = BTreeMap::new();
    let mut data_consumers = BTreeMap::new();
    for transport in router.transports.iter().map(|key| &worker.transports[*key]) {
        for producer in transport.producers.iter().map(|key| &worker.producers[*key]) {
            let ids: Vec<String> = producer.consumers.iter().map(|key| worker.consumers[*key].id.clone()).collect();
            producers.insert(producer.id.clone(), ids);
            let ids = producer.observers.iter().map(|known| worker.rtp_observers[known.observer].id.clone()).collect();
            observers.insert(producer.id.clone(), ids);
        }
        for consumer in transport.consumers.iter().map(|key| &worker.consumers[*key]) {
            consumers.insert(consumer.id.clone(), worker.producers[consumer.producer].id.clone());
        }
        for producer in transport.data.producers.iter().map(|key| &worker.data_producers[*key]) {
            let ids = producer.consumers.iter().map(|key| worker.data_consumers[*key].id.clone()).collect();
            data_producers.insert(producer.id.clone(), ids);
        }
        for consumer in transport.data.consumers.iter().map(|key| &worker.data_consumers[*key]) {
            data_consumers.insert(consumer.id.clone(), consumer.producer_id.clone());
        }
    }
    RouterDump {
        id: router.id.clone(),
        transport_ids: router.transports.iter().map(|key| worker.transports[*key].id.clone()).collect(),
        rtp_observer_ids: router.rtp_observers.iter().map(|key| worker.rtp_observers[*key].id.clone()).collect(),
        map_producer_id_observer_ids: observers,
        map_producer_id_consumer_ids: producers,
        map_consumer_id_producer_id: consumers,
        map_data_producer_id_data_consumer_ids: data_producers,
        map_data_consumer_id_data_producer_id: data_consumers,
    }
}
