//! Requests to a consumer.

use std::time::Instant;

use sfu_channel::request::Request;
use sfu_channel::response::{Refusal, Reply};

use super::{Outcome, unknown_method};
use crate::trace::TraceTypes;
use crate::worker::Worker;

pub(super) fn handle(worker: &mut Worker, now: Instant, index: usize, request: Request) -> Outcome {
    let consumer = &mut worker.consumers[index];
    match request {
        Request::ConsumerDump => Ok(Some(Reply::ConsumerDump(consumer.dump(&worker.producers[consumer.producer])))),
        Request::ConsumerGetStats => {
            let producer = &mut worker.producers[consumer.producer];
            Ok(Some(Reply::RtpStreamStats(consumer.stats(now, &worker.clock, producer))))
        }
        Request::ConsumerPause => {
            worker.pause_consumer(now, index);
            Ok(None)
        }
        Request::ConsumerResume => {
            worker.resume_consumer(now, index);
            Ok(None)
        }
        Request::ConsumerSetPreferredLayers(layers) => {
            // Others have one layer, whatever is preferred.
            let Some(layered) = &mut consumer.layers else { return Ok(None) };
            let changed = layered.prefer(layers);
            let preferred = layered.preferred();
            if changed {
                worker.update_layers(now, index);
            }
            Ok(Some(Reply::ConsumerLayers(preferred)))
        }
        Request::ConsumerSetPriority(request) => {
            if request.priority < 1 {
                return Err(Refusal::type_error("wrong priority (must be higher than 0)"));
            }
            consumer.priority = request.priority;
            let transport = consumer.transport;
            worker.request_share(now, transport);
            Ok(Some(Reply::Priority(request)))
        }
        Request::ConsumerRequestKeyFrame => {
            worker.request_key_frame(now, index);
            Ok(None)
        }
        Request::ConsumerEnableTraceEvent(request) => {
            consumer.trace = TraceTypes::new(&request.types);
            Ok(None)
        }
        other => Err(unknown_method(other.method())),
    }
}
