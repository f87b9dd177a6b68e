//! STUN: what a browser's connectivity checks cost.

use super::{Bench, Id, check};
use anyhow::Result;
use sfu_proto::ice::{Credentials, IceLite, Protocol, Tuple};
use sfu_proto::stun::{Class, METHOD_BINDING, Message, MessageBuilder, TransactionId};
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Instant;

const GROUP: &str = "STUN";
const PASSWORD: &str = "a password of ice, 24 by";
const TRANSACTION: TransactionId = TransactionId([7; 12]);

/// A connectivity check as Chrome sends it.
fn request() -> Vec<u8> {
    MessageBuilder::new(Class::Request, METHOD_BINDING, TRANSACTION)
        .username("ufrag-of-the-server:ufrg")
        .ice_controlling(0x0123_4567_89ab_cdef)
        .use_candidate()
        .priority(1_853_824_767)
        .message_integrity(PASSWORD.as_bytes())
        .fingerprint()
        .finish()
}

fn response(mapped: SocketAddr) -> Vec<u8> {
    MessageBuilder::new(Class::SuccessResponse, METHOD_BINDING, TRANSACTION)
        .xor_mapped_address(mapped)
        .message_integrity(PASSWORD.as_bytes())
        .fingerprint()
        .finish()
}

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    let bytes = request();
    let remote = SocketAddr::from(([192, 0, 2, 7], 50_000));
    check(
        bench,
        &Id::new(GROUP, "parse a Binding request"),
        || Message::parse(black_box(&bytes)),
        |message| message.as_ref().is_ok_and(|message| message.priority() == Ok(Some(1_853_824_767))),
    )?;
    let message = Message::parse(&bytes)?;
    check(
        bench,
        &Id::new(GROUP, "check MESSAGE-INTEGRITY and FINGERPRINT"),
        || black_box(&message).check_message_integrity(PASSWORD.as_bytes()) && message.check_fingerprint(),
        |right| *right,
    )?;
    check(bench, &Id::new(GROUP, "build a Binding request"), request, |built| *built == bytes)?;
    check(
        bench,
        &Id::new(GROUP, "build a Binding response"),
        || response(black_box(remote)),
        |built| Message::parse(built).is_ok_and(|message| message.xor_mapped_address() == Ok(Some(remote))),
    )?;

    let credentials =
        Credentials { username_fragment: "ufrag-of-the-server".to_owned(), password: PASSWORD.to_owned() };
    let mut agent = IceLite::new(credentials, None);
    let tuple = Tuple { protocol: Protocol::Udp, local: SocketAddr::from(([192, 0, 2, 1], 40_000)), remote };
    let now = Instant::now();
    let expected = response(remote);
    check(
        bench,
        &Id::new(GROUP, "ICE: take a request and answer it"),
        || {
            let taken = agent.handle_packet(now, tuple, black_box(&bytes));
            let answer = agent.poll_transmit();
            while agent.poll_event().is_some() {}
            (taken.is_ok(), answer)
        },
        |(taken, answer)| *taken && answer.as_ref().is_some_and(|answer| answer.payload == expected),
    )
}
