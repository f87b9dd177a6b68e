//! Binary messages of the library, which come on the payload channel: media for direct
//! transports, and data messages.

use std::time::Instant;

use sfu_channel::json::write_response;
use sfu_channel::payload::PayloadToWorker;
use sfu_channel::response::{Refusal, Reply, Response};
use sfu_reactor::udp::RecvBatch;

use crate::registry::EntityKey;
use crate::requests::{send_on_consumer, send_on_producer};
use crate::worker::Worker;

/// Handles one message. Only a request is answered; what is wrong with a notification is logged. The batch must have room
/// for a packet.
pub fn handle(worker: &mut Worker, now: Instant, header: &PayloadToWorker, payload: &[u8], batch: &mut RecvBatch) {
    match header {
        PayloadToWorker::ProducerSend { producer_id } => match worker.registry.get(producer_id) {
            Some(EntityKey::Producer(producer)) => worker.handle_rtp_from_library(now, producer, batch, payload),
            _ => crate::error!("RTP for a producer that is not there [id:{producer_id}]"),
        },
        PayloadToWorker::SendRtcp { transport_id } => match worker.registry.get(transport_id) {
            Some(EntityKey::Transport(transport)) if worker.transports[transport].is_direct() => {
                worker.handle_rtcp_from_library(now, transport, payload);
            }
            _ => crate::error!("RTCP for a direct transport that is not there [id:{transport_id}]"),
        },
        PayloadToWorker::DataProducerSend { data_producer_id, ppid } => match worker.registry.get(data_producer_id) {
            Some(EntityKey::DataProducer(producer)) => {
                if let Err(refusal) = send_on_producer(worker, now, producer, *ppid, payload) {
                    crate::error!("message not forwarded [dataProducer:{data_producer_id}]: {}", refusal.reason);
                }
            }
            _ => crate::error!("message for a data producer that is not there [id:{data_producer_id}]"),
        },
        PayloadToWorker::DataConsumerSend { id, data_consumer_id, ppid } => {
            let outcome = match worker.registry.get(data_consumer_id) {
                Some(EntityKey::DataConsumer(consumer)) => send_on_consumer(worker, now, consumer, *ppid, payload),
                _ => {
                    Err(Refusal::error(format!("PayloadChannel request handler with ID {data_consumer_id} not found")))
                }
            };
            let outcome = outcome.map(|()| None).map_err(|refusal| refusal.in_method("dataConsumer.send"));
            let reply = write_response(&Response::<Reply> { id: *id, outcome });
            worker.output.reply_on_payload_channel(reply.as_bytes());
        }
    }
}
