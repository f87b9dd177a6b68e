//! RFC 4571 framing over TCP: arbitrary splits, slow readers, ends.

mod common;

use common::wait_for;
use proptest::prelude::*;
use sfu_reactor::poll::Interest;
use sfu_reactor::tcp::{TcpListener, TcpOptions, TcpRead, TcpStream};
use std::io::{Read, Write};
use std::net::SocketAddr;

fn listener(options: &TcpOptions) -> TcpListener {
    TcpListener::bind("127.0.0.1:0".parse().unwrap(), options).unwrap()
}

fn accept(listener: &mut TcpListener) -> TcpStream {
    wait_for(listener, Interest::READ);
    listener.accept().unwrap().expect("a connection waits")
}

/// Ours, and a plain blocking socket as the peer.
fn pair(options: &TcpOptions) -> (TcpStream, std::net::TcpStream) {
    let mut listener = listener(options);
    let peer = std::net::TcpStream::connect(listener.local_addr()).unwrap();
    peer.set_nodelay(true).unwrap();
    let ours = accept(&mut listener);
    assert_eq!(ours.remote_addr(), peer.local_addr().unwrap());
    assert_eq!(ours.local_addr(), listener.local_addr());
    assert!(listener.accept().unwrap().is_none());
    (ours, peer)
}

fn framed(payloads: &[Vec<u8>]) -> Vec<u8> {
    payloads
        .iter()
        .flat_map(|payload| [&u16::try_from(payload.len()).unwrap().to_be_bytes(), payload.as_slice()].concat())
        .collect()
}

/// Reads until the peer has closed.
fn read_to_end(stream: &mut TcpStream) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    loop {
        wait_for(stream, Interest::READ);
        let TcpRead { frames, closed } = stream.read().unwrap();
        for index in 0..frames {
            let copy = stream.frame(index).to_vec();
            assert_eq!(stream.frame_mut(index), copy.as_slice());
            got.push(copy);
        }
        if closed {
            return got;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_come_whole_however_they_were_cut(
        payloads in proptest::collection::vec(
            prop_oneof![9 => proptest::collection::vec(any::<u8>(), 0..1_500), 1 => Just(vec![9; 65_535])], 0..12),
        cuts in proptest::collection::vec(1_usize..4_000, 1..20),
    ) {
        let (mut ours, mut peer) = pair(&TcpOptions::default());
        let bytes = framed(&payloads);
        let mut got = Vec::new();
        let mut rest = bytes.as_slice();
        let mut cuts = cuts.into_iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            rest = later;
            peer.write_all(now).unwrap();
            wait_for(&ours, Interest::READ);
            let read = ours.read().unwrap();
            got.extend((0..read.frames).map(|index| ours.frame(index).to_vec()));
        }
        drop(peer);
        got.extend(read_to_end(&mut ours));
        prop_assert_eq!(got, payloads);
    }

    #[test]
    fn what_is_sent_is_framed(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..1_500), 1..80),
    ) {
        let (mut ours, mut peer) = pair(&TcpOptions::default());
        let lengths: Vec<u16> = payloads.iter().map(|payload| payload.len() as u16).collect();
        let sent = ours.send_segments(&payloads.concat(), &lengths).unwrap();
        prop_assert_eq!(sent.dropped, 0);
        ours.flush().unwrap();
        prop_assert!(!ours.wants_write());
        drop(ours);
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        prop_assert_eq!(bytes, framed(&payloads));
    }
}

#[test]
fn a_slow_reader_loses_whole_frames_and_keeps_the_framing() {
    // A bound of less than a frame: only what has been begun may wait.
    for send_bound in [500, 10_000] {
        let (mut ours, mut peer) = pair(&TcpOptions { send_bound, ..TcpOptions::default() });
        let (mut kept, mut dropped) = (Vec::new(), 0);
        // Numbered frames, until some hundred have been lost: the kernel's buffers are full by then. So few a time that
        // one call takes them: between two calls the kernel may make room, and then the lost ones are not the last ones.
        let mut numbers = 0_u32..;
        while dropped < 100 {
            let frames: Vec<Vec<u8>> =
                numbers.by_ref().take(30).map(|number| [&number.to_be_bytes()[..], &[0xAB; 996]].concat()).collect();
            let sent = ours.send_segments(&frames.concat(), &[1_000; 30]).unwrap();
            assert_eq!(sent.sent + sent.queued + sent.dropped, 30);
            assert_eq!(sent.dropped_bytes, sent.dropped * 1_000);
            kept.extend(frames.into_iter().take(30 - sent.dropped));
            dropped += sent.dropped;
        }
        assert_eq!(ours.counters().frames_dropped, dropped as u64);
        assert_eq!(ours.counters().frames_sent, kept.len() as u64);
        // The kernel may stop between two frames, and then nothing has been begun.
        assert!(ours.wants_write() || send_bound < 1_000);

        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).unwrap();
            bytes
        });
        while ours.wants_write() {
            wait_for(&ours, Interest::WRITE);
            ours.flush().unwrap();
        }
        drop(ours);
        assert!(reader.join().unwrap() == framed(&kept), "the peer got the kept frames, whole and in order");
    }
}

#[test]
fn the_kernel_keeps_little_for_a_peer_that_does_not_read() {
    let (mut ours, _peer) = pair(&TcpOptions { send_bound: 1 << 30, ..TcpOptions::default() });
    // Frame by frame, until one has to wait: what the peer's system takes is taken by then, over loopback.
    let frame = [0; 1_000];
    let mut total = 0;
    while ours.send(&frame).unwrap().sent > 0 {
        total += frame.len();
    }
    assert!(total < 1 << 20, "the kernel took {total} bytes");
}

#[test]
fn both_ends_over_ipv6() {
    let mut listener = TcpListener::bind("[::1]:0".parse().unwrap(), &TcpOptions::default()).unwrap();
    let mut client = TcpStream::connect(listener.local_addr(), 10_000).unwrap();
    // Before the connection stands a frame waits; there is nothing to read, and no end.
    client.send(b"early").unwrap();
    let mut server = accept(&mut listener);
    wait_for(&client, Interest::WRITE);
    assert!(client.take_error().unwrap().is_none());
    client.flush().unwrap();
    assert_eq!(client.read().unwrap(), TcpRead { frames: 0, closed: false });
    drop(client);
    assert_eq!(read_to_end(&mut server), [b"early"]);
}

#[test]
fn a_refused_connection_is_told() {
    let free: SocketAddr = listener(&TcpOptions::default()).local_addr();
    let client = TcpStream::connect(free, 10_000);
    let refused = match client {
        Ok(client) => {
            wait_for(&client, Interest::WRITE);
            client.take_error().unwrap().unwrap()
        }
        Err(error) => error,
    };
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_reset_counts_as_closed() {
    let (mut ours, peer) = pair(&TcpOptions::default());
    ours.send(b"never read").unwrap();
    // Closing with unread data resets the connection.
    drop(peer);
    assert_eq!(read_to_end(&mut ours), Vec::<Vec<u8>>::new());
    assert!(ours.send(b"x").is_err());
}
