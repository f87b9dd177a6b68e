//! What the library asks for, one file an entity.
//!
//! A request either does all of what it says or is refused with a reason, and then nothing has changed. The replies and
//! the refusals' classes (`Error` or `TypeError`) are those of mediasoup 3.12, whose tests look at them.

mod consumer;
mod data;
mod producer;
mod router;
mod rtp_observer;
mod transport;
mod web_rtc_server;
mod worker;

use std::time::Instant;

pub(crate) use data::{send_on_consumer, send_on_producer};

use sfu_channel::json::RequestFrame;
use sfu_channel::request::{Entity, Method};
use sfu_channel::response::{Refusal, Reply};

use crate::registry::EntityKey;
use crate::worker::Worker;

/// What a request comes to: nothing more to say, data, or a refusal.
pub type Outcome = Result<Option<Reply>, Refusal>;

/// Handles one request. That there is no such entity comes before what is wrong with the data.
///
/// # Errors
/// Why it is refused.
pub fn handle(worker: &mut Worker, now: Instant, frame: &RequestFrame) -> Outcome {
    let method = frame.method;
    if method.entity() == Entity::Worker {
        return worker::handle(worker, frame.request()?);
    }
    let id = frame.handler_id.as_deref().unwrap_or("undefined");
    match worker.registry.get(id) {
        Some(EntityKey::WebRtcServer(server)) if method.entity() == Entity::WebRtcServer => {
            web_rtc_server::handle(worker, server, frame.request()?)
        }
        Some(EntityKey::Router(router)) if method.entity() == Entity::Router => {
            router::handle(worker, now, router, frame.request()?)
        }
        Some(EntityKey::Transport(transport)) if method.entity() == Entity::Transport => {
            transport::handle(worker, now, transport, frame.request()?)
        }
        Some(EntityKey::Producer(producer)) if method.entity() == Entity::Producer => {
            producer::handle(worker, now, producer, frame.request()?)
        }
        Some(EntityKey::Consumer(consumer)) if method.entity() == Entity::Consumer => {
            consumer::handle(worker, now, consumer, frame.request()?)
        }
        Some(EntityKey::DataProducer(producer)) if method.entity() == Entity::DataProducer => {
            data::handle_producer(worker, now, producer, frame.request()?)
        }
        Some(EntityKey::DataConsumer(consumer)) if method.entity() == Entity::DataConsumer => {
            data::handle_consumer(worker, now, consumer, frame.request()?)
        }
        Some(EntityKey::RtpObserver(observer)) if method.entity() == Entity::RtpObserver => {
            rtp_observer::handle(worker, now, observer, frame.request()?)
        }
        Some(_) => Err(unknown_method(method)),
        None => Err(Refusal::error(format!("Channel request handler with ID {id} not found"))),
    }
}

/// The refusal of a method that the entity does not have.
fn unknown_method(method: Method) -> Refusal {
    Refusal::error(format!("unknown method '{method}'"))
}
