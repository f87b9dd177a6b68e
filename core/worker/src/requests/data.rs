//! Requests about data producers and data consumers, to their transport and to themselves.

use std::time::Instant;

use bytes::Bytes;
use sfu_channel::DataType;
use sfu_channel::notification::Event;
use sfu_channel::reply::BufferedAmount;
use sfu_channel::request::{ConsumeData, DataConsumerId, DataProducerId, ProduceData, Request};
use sfu_channel::response::{Refusal, Reply};
use sfu_proto::sctp::Ppid;

use super::{Outcome, unknown_method};
use crate::data::NotSent;
use crate::data_consumer::DataConsumer;
use crate::data_producer::DataProducer;
use crate::registry::EntityKey;
use crate::transport::Transport;
use crate::worker::Worker;

fn check_carries_data(transport: &Transport) -> Result<(), Refusal> {
    if transport.data.sctp.is_none() && !transport.is_direct() {
        return Err(Refusal::error("SCTP not enabled and not a direct Transport"));
    }
    Ok(())
}

pub(super) fn produce(worker: &mut Worker, index: usize, request: ProduceData) -> Outcome {
    let transport = &mut worker.transports[index];
    check_carries_data(transport)?;
    worker.registry.check_free(&request.data_producer_id)?;
    let producer = DataProducer::new(index, transport, request)?;
    let key = worker.data_producers.vacant_key();
    if let (Some(stream), Some(sctp)) = (producer.stream, &mut transport.data.sctp) {
        sctp.listen(stream.stream_id, key)?;
    }
    transport.data.producers.push(key);
    let dump = producer.dump();
    worker.registry.insert(&producer.id, EntityKey::DataProducer(key));
    worker.data_producers.insert(producer);
    Ok(Some(Reply::DataProducerDump(dump)))
}

pub(super) fn consume(worker: &mut Worker, index: usize, request: ConsumeData) -> Outcome {
    let transport = &worker.transports[index];
    check_carries_data(transport)?;
    worker.registry.check_free(&request.data_consumer_id)?;
    let producer = worker.find_data_producer(transport.router, &request.data_producer_id)?;
    let consumer = DataConsumer::new(index, transport, producer, request)?;
    let key = worker.data_consumers.insert(consumer);
    worker.registry.insert(&worker.data_consumers[key].id, EntityKey::DataConsumer(key));
    worker.transports[index].data.consumers.push(key);
    worker.data_producers[producer].consumers.push(key);
    let dump = worker.data_consumers[key].dump(worker.buffered_amount(key));
    Ok(Some(Reply::DataConsumerDump(dump)))
}

pub(super) fn close_producer(worker: &mut Worker, index: usize, request: &DataProducerId) -> Outcome {
    match worker.find_data_producer(worker.transports[index].router, &request.data_producer_id) {
        Ok(producer) if worker.data_producers[producer].transport == index => worker.close_data_producer(producer),
        _ => return Err(Refusal::error(format!("DataProducer with ID {} not found", request.data_producer_id))),
    }
    Ok(None)
}

pub(super) fn close_consumer(worker: &mut Worker, index: usize, request: &DataConsumerId) -> Outcome {
    let consumer = worker.find_data_consumer(index, &request.data_consumer_id)?;
    worker.close_data_consumer(consumer);
    Ok(None)
}

/// Requests to a data producer.
pub(super) fn handle_producer(worker: &mut Worker, now: Instant, index: usize, request: Request) -> Outcome {
    let producer = &worker.data_producers[index];
    match request {
        Request::DataProducerDump => Ok(Some(Reply::DataProducerDump(producer.dump()))),
        Request::DataProducerGetStats => {
            Ok(Some(Reply::DataProducerStats(vec![producer.stat(worker.clock.millis(now))])))
        }
        other => Err(unknown_method(other.method())),
    }
}

/// Requests to a data consumer.
pub(super) fn handle_consumer(worker: &mut Worker, now: Instant, index: usize, request: Request) -> Outcome {
    let buffered_amount = worker.buffered_amount(index);
    let consumer = &mut worker.data_consumers[index];
    match request {
        Request::DataConsumerDump => Ok(Some(Reply::DataConsumerDump(consumer.dump(buffered_amount)))),
        Request::DataConsumerGetStats => {
            let stat = consumer.stat(worker.clock.millis(now), buffered_amount);
            Ok(Some(Reply::DataConsumerStats(vec![stat])))
        }
        Request::DataConsumerGetBufferedAmount => {
            check_sctp(consumer)?;
            Ok(Some(Reply::BufferedAmount(BufferedAmount { buffered_amount })))
        }
        Request::DataConsumerSetBufferedAmountLowThreshold(request) => {
            check_sctp(consumer)?;
            if consumer.low_water.set(request.threshold, buffered_amount) {
                worker.output.notify(&consumer.id, Event::BufferedAmountLow(buffered_amount));
            }
            Ok(None)
        }
        other => Err(unknown_method(other.method())),
    }
}

fn check_sctp(consumer: &DataConsumer) -> Result<(), Refusal> {
    match consumer.data_type {
        DataType::Sctp => Ok(()),
        DataType::Direct => Err(Refusal::type_error("invalid DataConsumer type")),
    }
}

/// `dataConsumer.send`: the library's own message to a data consumer's peer.
///
/// # Errors
/// Why it is not sent.
pub(crate) fn send_on_consumer(
    worker: &mut Worker,
    now: Instant,
    index: usize,
    ppid: Option<u32>,
    message: &[u8],
) -> Result<(), Refusal> {
    check_sctp(&worker.data_consumers[index])?;
    let ppid = check_ppid(ppid)?;
    check_length(&worker.transports[worker.data_consumers[index].transport], message)?;
    worker.send_message(now, index, ppid, &Bytes::copy_from_slice(message)).map_err(|why| match why {
        NotSent::BufferFull => Refusal::error("sctpsendbufferfull"),
        NotSent::TooLong | NotSent::Failed => Refusal::error("message send failed"),
    })
}

/// `dataProducer.send`: the library's own message to a data producer's consumers.
///
/// # Errors
/// Why it is not forwarded.
pub(crate) fn send_on_producer(
    worker: &mut Worker,
    now: Instant,
    index: usize,
    ppid: Option<u32>,
    message: &[u8],
) -> Result<(), Refusal> {
    let ppid = check_ppid(ppid)?;
    let transport = &mut worker.transports[worker.data_producers[index].transport];
    check_length(transport, message)?;
    transport.traffic.received.add(now, message.len());
    worker.forward_message(now, index, ppid, &Bytes::copy_from_slice(message));
    Ok(())
}

fn check_ppid(ppid: Option<u32>) -> Result<Ppid, Refusal> {
    ppid.and_then(Ppid::from_number).ok_or_else(|| Refusal::type_error("invalid PPID value"))
}

fn check_length(transport: &Transport, message: &[u8]) -> Result<(), Refusal> {
    if message.len() > transport.max_message_size as usize {
        return Err(Refusal::type_error(format!(
            "given message exceeds maxMessageSize value [maxMessageSize:{}, len:{}]",
            transport.max_message_size,
            message.len()
        )));
    }
    Ok(())
}
