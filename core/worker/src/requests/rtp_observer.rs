//! Requests to an RTP observer.

use std::time::Instant;

use sfu_channel::request::Request;

use super::{Outcome, unknown_method};
use crate::worker::Worker;

pub(super) fn handle(worker: &mut Worker, now: Instant, index: usize, request: Request) -> Outcome {
    let router = worker.rtp_observers[index].router;
    match request {
        Request::RtpObserverPause => worker.pause_rtp_observer(index),
        Request::RtpObserverResume => worker.resume_rtp_observer(now, index),
        Request::RtpObserverAddProducer(request) => {
            let producer = worker.find_producer(router, &request.producer_id)?;
            worker.observe_producer(now, index, producer)?;
        }
        Request::RtpObserverRemoveProducer(request) => {
            let producer = worker.find_producer(router, &request.producer_id)?;
            worker.unobserve_producer(index, producer);
        }
        other => return Err(unknown_method(other.method())),
    }
    Ok(None)
}
