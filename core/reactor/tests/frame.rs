//! Framed streams under arbitrary splits, with a slow peer, and with a hostile one.

mod common;

use common::wait_for;
use proptest::prelude::*;
use sfu_reactor::frame::{FrameError, FrameReader, FrameWriter, MAX_PAYLOAD, Stream};
use sfu_reactor::poll::Interest;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

fn framed(payloads: &[Vec<u8>]) -> Vec<u8> {
    payloads
        .iter()
        .flat_map(|payload| [&u32::try_from(payload.len()).unwrap().to_ne_bytes(), payload.as_slice()].concat())
        .collect()
}

/// Takes all frames that are there.
fn take(reader: &mut FrameReader, into: &mut Vec<Vec<u8>>) {
    while let Some(frame) = reader.next_frame().unwrap() {
        into.push(frame.to_vec());
    }
}

proptest! {
    #[test]
    fn frames_come_whole_however_they_were_cut(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
        cuts in proptest::collection::vec(1_usize..400, 1..40),
    ) {
        let (mut peer, ours) = UnixStream::pair().unwrap();
        let mut reader = FrameReader::new(ours.into()).unwrap();
        let bytes = framed(&payloads);
        let mut rest = bytes.as_slice();
        let mut cuts = cuts.into_iter().cycle();
        let mut got = Vec::new();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            rest = later;
            peer.write_all(now).unwrap();
            prop_assert_eq!(reader.fill().unwrap(), Stream::Open);
            take(&mut reader, &mut got);
        }
        drop(peer);
        prop_assert_eq!(reader.fill().unwrap(), Stream::Closed);
        prop_assert_eq!(got, payloads);
        prop_assert!(!reader.is_mid_frame());
    }
}

#[test]
fn a_frame_of_the_greatest_length_passes_through_a_full_socket_buffer() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut writer = FrameWriter::new(ours.into(), 2 * MAX_PAYLOAD).unwrap();
    let mut reader = FrameReader::new(theirs.into()).unwrap();
    let payload: Vec<u8> = (0..MAX_PAYLOAD).map(|index| (index % 251) as u8).collect();
    writer.push(&payload).unwrap();
    writer.push(b"after").unwrap();
    assert_eq!(writer.queued(), MAX_PAYLOAD + 4 + 5 + 4);
    writer.flush().unwrap();
    assert!(writer.wants_write(), "4 MiB don't fit a socket buffer");

    let mut got = Vec::new();
    while got.len() < 2 {
        writer.flush().unwrap();
        wait_for(&reader, Interest::READ);
        assert_eq!(reader.fill().unwrap(), Stream::Open);
        take(&mut reader, &mut got);
    }
    assert!(got[0] == payload, "the long payload came as it was sent");
    assert_eq!(got[1], b"after");
    assert!(!writer.wants_write());
}

#[test]
fn a_frame_that_is_too_long_is_told_once_and_passed_over_as_it_comes() {
    let (mut peer, ours) = UnixStream::pair().unwrap();
    let mut reader = FrameReader::new(ours.into()).unwrap();
    let announced = MAX_PAYLOAD + 1;
    peer.write_all(&framed(&[b"good".to_vec()])).unwrap();
    peer.write_all(&u32::try_from(announced).unwrap().to_ne_bytes()).unwrap();
    reader.fill().unwrap();
    assert!(reader.has_frame());
    assert_eq!(reader.next_frame().unwrap().unwrap(), b"good");
    assert!(reader.has_frame(), "the error waits");
    assert_eq!(reader.next_frame(), Err(FrameError::TooLong { announced }));
    assert!(!reader.has_frame());
    assert!(reader.is_mid_frame());
    for part in vec![b'x'; announced].chunks(10_000) {
        peer.write_all(part).unwrap();
        reader.fill().unwrap();
        assert_eq!(reader.next_frame(), Ok(None));
    }
    peer.write_all(&framed(&[b"after".to_vec()])).unwrap();
    reader.fill().unwrap();
    assert_eq!(reader.next_frame().unwrap().unwrap(), b"after");
}

#[test]
fn an_end_in_mid_frame_is_told() {
    let (mut peer, ours) = UnixStream::pair().unwrap();
    let mut reader = FrameReader::new(ours.into()).unwrap();
    let bytes = framed(&[b"first".to_vec(), b"second".to_vec()]);
    peer.write_all(&bytes[..bytes.len() - 1]).unwrap();
    drop(peer);
    assert_eq!(reader.fill().unwrap(), Stream::Open);
    let mut got = Vec::new();
    take(&mut reader, &mut got);
    assert!(!reader.has_frame(), "not the whole of it");
    assert_eq!(reader.fill().unwrap(), Stream::Closed);
    take(&mut reader, &mut got);
    assert_eq!(got, [b"first"]);
    assert!(reader.is_mid_frame());
}

#[test]
fn the_writer_refuses_what_exceeds_its_bounds_and_keeps_what_it_has() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let mut writer = FrameWriter::new(ours.into(), 10).unwrap();
    assert_eq!(writer.push(&vec![0; MAX_PAYLOAD + 1]), Err(FrameError::PayloadTooLong { length: MAX_PAYLOAD + 1 }));
    writer.push(b"abcd").unwrap();
    assert_eq!(writer.push(b"efg"), Err(FrameError::QueueFull { queued: 8, length: 7, bound: 10 }));
    writer.flush().unwrap();
    writer.push(b"efg").unwrap();
    writer.flush().unwrap();
    drop(writer);
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, framed(&[b"abcd".to_vec(), b"efg".to_vec()]));
}

#[test]
fn a_peer_that_is_gone_is_a_broken_pipe() {
    let (ours, peer) = UnixStream::pair().unwrap();
    let mut writer = FrameWriter::new(ours.into(), 100).unwrap();
    drop(peer);
    writer.push(b"x").unwrap();
    assert_eq!(writer.flush().unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}
