//! Solutions of the exercises of chapter 06. Try yours first.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::time::Duration;

use serde_json::Value;

use crate::exercises::Payload;
use crate::{Channel, Error, Event, Outcome};

// ANCHOR: ask_all
/// Sends until the channel is busy, then listens until it takes more. Ids say whose answer an answer is; where there is
/// none, the request is lost.
pub fn ask_all(
    channel: &mut Channel,
    method: &str,
    data: Vec<Value>,
    patience: Duration,
) -> Result<Vec<Outcome>, Error> {
    let mut outcomes = vec![Outcome::Lost; data.len()];
    let mut unsent = data.into_iter().enumerate().peekable();
    let mut places = BTreeMap::new();
    loop {
        while let Some((place, data)) = unsent.peek() {
            match channel.request(method, None, data.clone(), patience) {
                Ok(id) => drop(places.insert(id, *place)),
                // Nothing can be under way from an earlier call and keep the channel busy for ever: that times out.
                Err(Error::Busy { .. }) => break,
                Err(Error::Ended) => return Ok(outcomes),
                Err(error) => return Err(error),
            }
            unsent.next();
        }
        if places.is_empty() && unsent.peek().is_none() {
            return Ok(outcomes);
        }
        match channel.next_event(None) {
            Ok(Some(Event::Done { id, outcome, .. })) => {
                if let Some(place) = places.remove(&id) {
                    outcomes[place] = outcome;
                }
            }
            Ok(Some(Event::Ended)) => return Ok(outcomes),
            // What a broken stream has lost is told by the events that follow.
            Ok(_) | Err(Error::Frame(_)) => {}
            Err(error) => return Err(error),
        }
    }
}
// ANCHOR_END: ask_all

// ANCHOR: next_payload
/// Which frame is a header is known by counting, and by nothing in the frame: so the payload is taken first, whatever
/// the header is worth.
pub fn next_payload(frames: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<Option<Payload>> {
    let Some(header) = frames.next() else { return Ok(None) };
    let payload = frames.next().ok_or(ErrorKind::UnexpectedEof)?;
    let parse = || {
        let (kind, rest) = std::str::from_utf8(&header).ok()?.split_once(':')?;
        let (id, rest) = match kind {
            "n" => (None, rest),
            "r" => {
                let (id, rest) = rest.split_once(':')?;
                (Some(id.parse().ok().filter(|id| *id > 0)?), rest)
            }
            _ => return None,
        };
        let mut fields = rest.splitn(3, ':').map(str::to_owned);
        Some((id, fields.next()?, fields.next()?, fields.next()?))
    };
    let (id, name, handler, data) = parse().ok_or(ErrorKind::InvalidData)?;
    Ok(Some(Payload { id, name, handler, data, payload }))
}
// ANCHOR_END: next_payload

// ANCHOR: ask_again
/// A lost request may have been done: the worker may have died between doing and saying. Only the caller knows whether
/// twice is too often.
pub fn ask_again(
    start: &mut dyn FnMut() -> io::Result<Channel>,
    method: &str,
    patience: Duration,
    attempts: usize,
) -> Result<Outcome, Error> {
    for _ in 0..attempts {
        match start()?.ask(method, None, Value::Null, patience) {
            Ok(Outcome::Lost) | Err(Error::Frame(_) | Error::Ended) => {}
            result => return result,
        }
    }
    Ok(Outcome::Lost)
}
// ANCHOR_END: ask_again
