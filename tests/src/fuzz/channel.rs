//! The channel: requests, what the worker sends, headers of binary messages, and the frames that carry them.

use std::io::Write;
use std::os::fd::OwnedFd;

use sfu_channel::json::payload::{
    PayloadFromWorker, read_from_worker, read_to_worker, write_notification as write_payload_notification,
    write_to_worker,
};
use sfu_channel::json::{FromWorker, RequestFrame, write_notification, write_request};
use sfu_channel::log::LogLine;
use sfu_reactor::frame::{FrameError, FrameReader, MAX_PAYLOAD};

use super::input::Input;

/// The first byte chooses who sends: the library, the worker, either on the payload channel, or a stream of frames.
pub fn channel(data: &[u8]) {
    let mut input = Input::new(data);
    match input.below(5) {
        0 => request(input.rest()),
        1 => from_worker(input.rest()),
        2 => payload_to_worker(input.rest()),
        3 => payload_from_worker(input.rest()),
        _ => frames(input),
    }
}

/// A request that is understood is the same when it is written and read again.
fn request(frame: &[u8]) {
    let Ok(frame) = RequestFrame::parse(frame) else { return };
    match frame.request() {
        Ok(request) => {
            assert_eq!(request.method(), frame.method);
            let handler_id = frame.handler_id.as_deref();
            let text = write_request(frame.id, handler_id, &request);
            let again = RequestFrame::parse(text.as_bytes()).expect("what is written is read");
            assert_eq!((again.id, again.method, again.handler_id.as_deref()), (frame.id, frame.method, handler_id));
            assert_eq!(again.request().as_ref(), Ok(&request), "{text}");
        }
        Err(refusal) => {
            assert!(refusal.reason.contains("field"), "the reason names what is wrong: {}", refusal.reason);
        }
    }
}

fn from_worker(frame: &[u8]) {
    match FromWorker::parse(frame) {
        Ok(FromWorker::Notification(notification)) => {
            let text = write_notification(&notification);
            let again = FromWorker::parse(text.as_bytes());
            assert_eq!(again, Ok(FromWorker::Notification(notification)), "{text}");
        }
        Ok(FromWorker::Log(line)) => assert_eq!(LogLine::parse(frame), Some(line)),
        Ok(FromWorker::Response(_)) | Err(_) => {}
    }
}

fn payload_to_worker(frame: &[u8]) {
    let Ok(header) = read_to_worker(frame) else { return };
    let text = write_to_worker(&header);
    assert_eq!(read_to_worker(text.as_bytes()), Ok(header), "{text}");
}

fn payload_from_worker(frame: &[u8]) {
    if let Ok(PayloadFromWorker::Notification(notification)) = read_from_worker(frame) {
        let text = write_payload_notification(&notification);
        let again = read_from_worker(text.as_bytes());
        assert_eq!(again, Ok(PayloadFromWorker::Notification(notification)), "{text}");
    }
}

/// The frames of a stream are the same in whatever pieces it arrives.
fn frames(mut input: Input<'_>) {
    let piece = 1 + input.below(256);
    // No more than a pipe holds.
    let stream = &input.rest()[..input.rest().len().min(4096)];
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut reader = FrameReader::new(OwnedFd::from(reader)).expect("it can be made non-blocking");
    let mut frames = Vec::new();
    for piece in stream.chunks(piece) {
        writer.write_all(piece).expect("there is room");
        reader.fill().expect("pipes can be read");
        loop {
            let ready = reader.has_frame();
            let frame = reader.next_frame().map(|frame| frame.map(|payload| payload.to_vec()));
            assert_eq!(ready, frame != Ok(None));
            match frame {
                Ok(None) => break,
                Ok(Some(payload)) => frames.push(Ok(payload)),
                Err(error) => frames.push(Err(error)),
            }
        }
    }
    assert_eq!(frames, split(stream));
}

/// The frames of a whole stream.
fn split(mut stream: &[u8]) -> Vec<Result<Vec<u8>, FrameError>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = stream.split_first_chunk() {
        let announced = u32::from_ne_bytes(*length) as usize;
        let (payload, rest) = rest.split_at(announced.min(rest.len()));
        if announced > MAX_PAYLOAD {
            frames.push(Err(FrameError::TooLong { announced }));
        } else if payload.len() == announced {
            frames.push(Ok(payload.to_vec()));
        }
        stream = rest;
    }
    frames
}
