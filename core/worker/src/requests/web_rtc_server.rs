//! Requests to a WebRTC server.

use sfu_channel::request::Request;
use sfu_channel::response::Reply;

use super::{Outcome, unknown_method};
use crate::worker::Worker;

pub(super) fn handle(worker: &mut Worker, index: usize, request: Request) -> Outcome {
    match request {
        Request::WebRtcServerDump => {
            let dump = worker.web_rtc_servers[index].dump(&worker.sockets, &worker.transports);
            Ok(Some(Reply::WebRtcServerDump(dump)))
        }
        other => Err(unknown_method(other.method())),
    }
}
