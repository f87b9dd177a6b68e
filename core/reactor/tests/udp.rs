//! UDP: the fast paths bring what the slow ones bring, and what can't be sent is told apart.

mod common;

use common::wait_for;
use proptest::prelude::*;
use sfu_reactor::poll::Interest;
use sfu_reactor::udp::{RecvBatch, SendFault, Sent, UdpOptions, UdpSocket};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};

const FAST: UdpOptions = UdpOptions {
    v6_only: true,
    reuse_port: false,
    receive_buffer: Some(1 << 20),
    send_buffer: None,
    gro: true,
    gso: true,
    multi_message: true,
    backlog_datagrams: 1024,
    backlog_bytes: 1 << 20,
};

/// Every combination of fast and slow paths, the slowest first: it is the oracle.
fn all_paths() -> impl Iterator<Item = UdpOptions> {
    (0..8).map(|bits| UdpOptions { gro: bits & 1 != 0, gso: bits & 2 != 0, multi_message: bits & 4 != 0, ..FAST })
}

fn localhost(options: &UdpOptions) -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0".parse().unwrap(), options).unwrap()
}

/// Receives until this many datagrams have come.
fn receive(socket: &mut UdpSocket, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut batch = RecvBatch::new(8, 65_536);
    let mut got = Vec::new();
    while got.len() < count {
        wait_for(socket, Interest::READ);
        batch.clear();
        let appended = socket.recv_batch(&mut batch).unwrap();
        assert_eq!(appended, batch.len());
        got.extend(batch.iter().map(|(remote, bytes)| (*remote, bytes.to_vec())));
    }
    got
}

/// Consecutive bytes, so that a misplaced cut shows.
fn buffer_for(lengths: &[u16]) -> Vec<u8> {
    (0..lengths.iter().map(|&length| usize::from(length)).sum()).map(|index: usize| (index % 251) as u8).collect()
}

fn pieces(buffer: &[u8], lengths: &[u16]) -> Vec<Vec<u8>> {
    let mut rest = buffer;
    lengths
        .iter()
        .map(|&length| {
            let (piece, after) = rest.split_at(length.into());
            rest = after;
            piece.to_vec()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_path_brings_the_same_datagrams_in_order(
        // Few different lengths, so that there are trains; zero is a datagram too.
        lengths in proptest::collection::vec(prop_oneof![4 => Just(1_200_u16), 2 => Just(300_u16), 1 => 0_u16..1_400], 0..90),
    ) {
        let buffer = buffer_for(&lengths);
        for options in all_paths() {
            let mut sender = localhost(&options);
            let mut receiver = localhost(&options);
            let sent = sender.send_segments(receiver.local_addr(), &buffer, &lengths);
            prop_assert_eq!(sent, Sent { sent: lengths.len(), ..Sent::default() });
            let got = receive(&mut receiver, lengths.len());
            prop_assert!(got.iter().all(|(remote, _)| *remote == sender.local_addr()));
            let got: Vec<_> = got.into_iter().map(|(_, bytes)| bytes).collect();
            prop_assert_eq!(got, pieces(&buffer, &lengths), "with {:?}", options);
            prop_assert_eq!(sender.counters().sent, lengths.len() as u64);
            prop_assert_eq!(receiver.counters().received, lengths.len() as u64);
        }
    }
}

/// What the fast path exists for: 130 equal datagrams and a shorter one are three trains in one call, and one receive call finds them.
#[test]
fn a_burst_is_few_system_calls() {
    let mut lengths = vec![500_u16; 130];
    lengths.push(77);
    let buffer = buffer_for(&lengths);
    let (mut sender, mut receiver) = (localhost(&FAST), localhost(&FAST));
    sender.send_segments(receiver.local_addr(), &buffer, &lengths);
    assert_eq!((sender.counters().send_calls, sender.counters().trains), (1, 3));
    assert_eq!(receive(&mut receiver, 131).len(), 131);
    assert_eq!(receiver.counters().receive_calls, 1);
}

#[test]
fn a_train_keeps_within_64_datagrams_and_a_datagram_s_bytes() {
    let lengths = vec![1_400_u16; 64];
    let buffer = buffer_for(&lengths);
    let (mut sender, mut receiver) = (localhost(&FAST), localhost(&FAST));
    let sent = sender.send_segments(receiver.local_addr(), &buffer, &lengths);
    assert_eq!(sent.sent, 64);
    assert_eq!(sender.counters().trains, 2, "64 of 1,400 bytes are more than 65,000");
    assert_eq!(receive(&mut receiver, 64).len(), 64);
    assert_eq!(sender.counters().train_fallbacks, 0);
}

#[test]
fn one_batch_holds_what_several_sockets_brought_under_lasting_indices() {
    let mut sender = localhost(&FAST);
    let (mut first, mut second) = (localhost(&FAST), localhost(&FAST));
    sender.send_to(first.local_addr(), b"one");
    sender.send_segments(second.local_addr(), b"twoTWO", &[3, 3]);
    wait_for(&first, Interest::READ);
    wait_for(&second, Interest::READ);
    let mut batch = RecvBatch::new(8, 65_536);
    assert_eq!(first.recv_batch(&mut batch).unwrap(), 1);
    batch.datagram_mut(0).1[0] = b'O';
    assert_eq!(second.recv_batch(&mut batch).unwrap(), 2);
    let elsewhere: SocketAddr = "192.0.2.1:9".parse().unwrap();
    assert_eq!(batch.push(elsewhere, b"pushed"), Some(3));
    let all: Vec<_> = (0..batch.len()).map(|index| batch.datagram(index)).collect();
    let from = &sender.local_addr();
    assert_eq!(all, [(from, &b"One"[..]), (from, &b"two"[..]), (from, &b"TWO"[..]), (&elsewhere, &b"pushed"[..])]);
    batch.clear();
    assert!(batch.is_empty());
}

#[test]
fn a_batch_takes_no_more_datagrams_than_it_should_and_a_call() {
    let (mut sender, mut receiver) = (localhost(&FAST), localhost(&UdpOptions { multi_message: false, ..FAST }));
    // Ten trains of eight.
    let to = receiver.local_addr();
    for _ in 0..10 {
        assert_eq!(sender.send_segments(to, &[7; 800], &[100; 8]).sent, 8);
    }
    let mut batch = RecvBatch::new(64, 65_536).with_max_datagrams(20);
    let mut total = 0;
    while total < 80 {
        wait_for(&receiver, Interest::READ);
        batch.clear();
        total += receiver.recv_batch(&mut batch).unwrap();
        // Whether trains come as trains is the kernel's affair.
        assert!((1..20 + 8).contains(&batch.len()), "{} datagrams", batch.len());
        assert_eq!(batch.is_full(), batch.push(to, b"one more").is_none());
    }
}

#[test]
fn a_full_batch_leaves_the_rest_for_later() {
    let slow = UdpOptions { gro: false, ..FAST };
    let (mut sender, mut receiver) = (localhost(&slow), localhost(&slow));
    for payload in [b"a", b"b", b"c"] {
        sender.send_to(receiver.local_addr(), payload);
    }
    wait_for(&receiver, Interest::READ);
    let mut batch = RecvBatch::new(2, 2_000);
    assert_eq!(receiver.recv_batch(&mut batch).unwrap(), 2);
    assert!(batch.is_full());
    assert_eq!(receiver.recv_batch(&mut batch).unwrap(), 0);
    assert_eq!(batch.push(sender.local_addr(), b"x"), None);
    batch.clear();
    assert_eq!(receiver.recv_batch(&mut batch).unwrap(), 1);
    assert_eq!(batch.datagram(0).1, b"c");
    assert_eq!(batch.push(sender.local_addr(), &[0; 2_001]), None, "longer than a slot");
}

#[test]
fn a_datagram_longer_than_its_slot_is_told() {
    for options in all_paths() {
        let (mut sender, mut receiver) = (localhost(&options), localhost(&options));
        sender.send_to(receiver.local_addr(), &[7; 101]);
        sender.send_to(receiver.local_addr(), &[8; 100]);
        let mut batch = RecvBatch::new(4, 100);
        while batch.len() < 2 {
            wait_for(&receiver, Interest::READ);
            receiver.recv_batch(&mut batch).unwrap();
        }
        assert_eq!((batch.datagram(0).1.len(), batch.is_truncated(0)), (100, true));
        assert_eq!((batch.datagram(1).1.len(), batch.is_truncated(1)), (100, false));
        assert_eq!(receiver.counters().truncated, 1);
    }
}

#[test]
fn ipv6_and_v4_mapped_peers_have_plain_addresses() {
    let both = UdpOptions { v6_only: false, ..FAST };
    let mut server = UdpSocket::bind("[::]:0".parse().unwrap(), &both).unwrap();
    let port = server.local_addr().port();
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let local: SocketAddr = local.parse().unwrap();
        let mut client = UdpSocket::bind(local, &FAST).unwrap();
        assert_eq!(client.send_segments(SocketAddr::new(local.ip(), port), b"pingPING", &[4, 4]).sent, 2);
        for (remote, _) in receive(&mut server, 2) {
            assert_eq!(remote, client.local_addr());
            assert_eq!(server.send_segments(remote, b"pongPONG", &[4, 4]).sent, 2);
        }
        assert_eq!(receive(&mut client, 4)[3], (SocketAddr::new(local.ip(), port), b"PONG".to_vec()));
    }
    // With v6_only the same port is free for IPv4.
    let six = UdpSocket::bind("[::]:0".parse().unwrap(), &FAST).unwrap();
    UdpSocket::bind(SocketAddr::new([0, 0, 0, 0].into(), six.local_addr().port()), &FAST).unwrap();
}

#[test]
fn what_cannot_be_sent_is_told_by_kind_and_stops_nothing() {
    for options in all_paths() {
        let mut receiver = localhost(&options);
        let mut sender = localhost(&options);
        // An IPv6 destination has no meaning for an IPv4 socket.
        let sent = sender.send_segments("[2001:db8::1]:9".parse().unwrap(), &[0; 30], &[10, 10, 10]);
        assert_eq!((sent.sent, sent.dropped, sent.fault), (0, 3, Some(SendFault::Unreachable)), "with {options:?}");
        assert_eq!(sender.counters().unreachable, 3);

        // Longer than IPv4 can carry, between two that are fine.
        let lengths = [4, 65_530, 4];
        let sent = sender.send_segments(receiver.local_addr(), &buffer_for(&lengths), &lengths);
        assert_eq!((sent.sent, sent.dropped, sent.fault), (2, 1, Some(SendFault::TooLong)));
        assert_eq!(sender.send_to(receiver.local_addr(), &[0; 70_000]).fault, Some(SendFault::TooLong));
        assert_eq!(sender.counters().too_long, 2);

        // Port 0 is EINVAL, as is a train that is too long: it mustn't turn trains off.
        let lengths = [200_u16; 10];
        let nowhere = SocketAddr::new(receiver.local_addr().ip(), 0);
        assert_eq!(sender.send_segments(nowhere, &buffer_for(&lengths), &lengths).dropped, 10);
        let trains = sender.counters().trains;
        assert_eq!(sender.send_segments(receiver.local_addr(), &buffer_for(&lengths), &lengths).sent, 10);
        assert_eq!(sender.counters().trains - trains, u64::from(options.gso));
        assert_eq!(receive(&mut receiver, 12).len(), 12);
    }
}

/// ICMP "port unreachable" reaches connected sockets as the error of a later call, which itself has done nothing wrong.
#[test]
fn news_of_earlier_datagrams_is_consumed_and_counted() {
    for options in all_paths() {
        let mut socket = localhost(&options);
        let closed = localhost(&options).local_addr();
        // SAFETY: the descriptor stays open for as long as it is borrowed.
        let borrowed = unsafe { BorrowedFd::borrow_raw(socket.as_raw_fd()) };
        std::net::UdpSocket::from(borrowed.try_clone_to_owned().unwrap()).connect(closed).unwrap();

        assert_eq!(socket.send_to(closed, b"x").sent, 1);
        wait_for(&socket, Interest::READ);
        assert_eq!(socket.send_segments(closed, b"xyz", &[1, 1, 1]), Sent { sent: 3, ..Sent::default() });
        // One at least; where each datagram is a call, each may bring news of the one before.
        let told = socket.counters().icmp_errors;
        assert!(told >= 1);

        wait_for(&socket, Interest::READ);
        assert_eq!(socket.recv_batch(&mut RecvBatch::new(4, 2_000)).unwrap(), 0);
        assert_eq!(socket.counters().icmp_errors, told + 1);
    }
}
