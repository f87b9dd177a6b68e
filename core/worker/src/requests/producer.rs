//! Requests to a producer.

use std::time::Instant;

use sfu_channel::request::Request;
use sfu_channel::response::Reply;

use super::{Outcome, unknown_method};
use crate::trace::TraceTypes;
use crate::worker::Worker;

pub(super) fn handle(worker: &mut Worker, now: Instant, index: usize, request: Request) -> Outcome {
    let producer = &mut worker.producers[index];
    match request {
        Request::ProducerDump => Ok(Some(Reply::ProducerDump(producer.dump()))),
        Request::ProducerGetStats => Ok(Some(Reply::RtpStreamStats(producer.stats(now, &worker.clock)))),
        Request::ProducerPause => {
            worker.pause_producer(now, index);
            Ok(None)
        }
        Request::ProducerResume => {
            worker.resume_producer(now, index);
            Ok(None)
        }
        Request::ProducerEnableTraceEvent(request) => {
            producer.trace = TraceTypes::new(&request.types);
            Ok(None)
        }
        other => Err(unknown_method(other.method())),
    }
}
