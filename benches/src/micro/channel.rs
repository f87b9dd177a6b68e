//! The channel's messages as text: a request written, read and answered.

use super::messages::produce;
use super::{Bench, Id, check};
use anyhow::{Context, Result};
use serde_json::{Value, json};
use sfu_channel::RtpType;
use sfu_channel::json::{FromWorker, RequestFrame, write_request, write_response};
use sfu_channel::reply::Produced;
use sfu_channel::request::Request;
use sfu_channel::response::{Reply, Response};
use std::hint::black_box;

const GROUP: &str = "Channel messages";

/// A request of the library and the worker's answer, each written and read.
fn round_trip(
    id: u32,
    handler_id: &str,
    request: &Request,
    reply: Option<&Reply>,
) -> Option<(Request, Response<Value>)> {
    let frame = write_request(id, Some(handler_id), request);
    let parsed = RequestFrame::parse(frame.as_bytes()).ok()?;
    let request = parsed.request().ok()?;
    let answer = write_response(&Response { id: parsed.id, outcome: Ok(reply.cloned()) });
    match FromWorker::parse(answer.as_bytes()).ok()? {
        FromWorker::Response(response) => Some((request, response)),
        _ => None,
    }
}

/// Reads a request from its text, which is how the tests of sfu-channel have them too.
fn request(method: &str, data: &Value) -> Result<Request> {
    let frame = format!("1:{method}:id:{data}");
    let parsed = RequestFrame::parse(frame.as_bytes())?;
    parsed.request().ok().context("a request of the benchmark is refused")
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    let pause = request("consumer.pause", &json!({}))?;
    check(
        bench,
        &Id::new(GROUP, "consumer.pause and its answer, written and read"),
        || round_trip(black_box(7), "b7a1b4ee-3d2e-4d2b-8e06-57a3c8a3c2a9", &pause, None),
        |trip| trip.as_ref().is_some_and(|(request, response)| *request == pause && response.id == 7),
    )?;
    let produce = request("transport.produce", &produce())?;
    let reply = Reply::Produced(Produced { rtp_type: RtpType::Simple });
    check(
        bench,
        &Id::new(GROUP, "transport.produce and its answer, written and read"),
        || round_trip(black_box(8), "b7a1b4ee-3d2e-4d2b-8e06-57a3c8a3c2a9", &produce, Some(&reply)),
        |trip| {
            trip.as_ref().is_some_and(|(request, response)| {
                *request == produce && response.outcome == Ok(Some(json!({ "type": "simple" })))
            })
        },
    )
}
