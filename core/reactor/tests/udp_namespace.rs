//! UDP where the network itself must be unusual: an interface with a small MTU, and one that delivers nothing yet.
//!
//! Each test runs itself again in a network namespace of its own, made by `unshare` (util-linux) and furnished by `ip` (iproute2).

mod common;

use common::wait_for;
use sfu_reactor::poll::Interest;
use sfu_reactor::udp::{RecvBatch, SendFault, UdpOptions, UdpSocket};
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

/// In the test's own process: runs the test once more inside of a new namespace, and returns false. There: furnishes it, and returns true.
fn in_namespace(test: &str, furnish: &str) -> bool {
    const INSIDE: &str = "SFU_REACTOR_INSIDE_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        shell(furnish);
        return true;
    }
    let status = Command::new("unshare")
        .args(["--map-root-user", "--net"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status()
        .expect("unshare (util-linux) is installed");
    assert!(status.success(), "{test} failed inside of its namespace");
    false
}

fn shell(commands: &str) {
    let status = Command::new("sh").args(["-ec", commands]).status().unwrap();
    assert!(status.success(), "failed: {commands}");
}

#[test]
fn trains_too_long_for_the_interface_go_as_datagrams_and_others_stay_trains() {
    if !in_namespace(
        "trains_too_long_for_the_interface_go_as_datagrams_and_others_stay_trains",
        "ip link set lo mtu 1500 up",
    ) {
        return;
    }
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let mut sender = UdpSocket::bind(local.parse().unwrap(), &UdpOptions::default()).unwrap();
        let mut receiver = UdpSocket::bind(local.parse().unwrap(), &UdpOptions::default()).unwrap();
        let mut batch = RecvBatch::new(64, 65_536);
        let mut exchange = |length: u16| {
            let buffer = vec![1; usize::from(length) * 10];
            let sent = sender.send_segments(receiver.local_addr(), &buffer, &[length; 10]);
            assert_eq!(sent.sent, 10, "of {length} bytes: {sent:?}");
            batch.clear();
            while batch.len() < 10 {
                wait_for(&receiver, Interest::READ);
                receiver.recv_batch(&mut batch).unwrap();
            }
            assert!(batch.iter().all(|(_, bytes)| bytes.len() == usize::from(length)));
            let counters = sender.counters();
            (counters.trains, counters.train_fallbacks, counters.send_calls)
        };
        // The first attempt fails and goes again as datagrams; from then on such lengths aren't tried.
        assert_eq!(exchange(1_600), (0, 1, 2));
        assert_eq!(exchange(1_600), (0, 1, 3));
        assert_eq!(exchange(1_200), (1, 1, 4));
    }
}

#[test]
fn a_destination_without_a_route_is_told_at_once() {
    // Nothing is furnished: even the loopback interface is down.
    if !in_namespace("a_destination_without_a_route_is_told_at_once", "true") {
        return;
    }
    let mut sender = UdpSocket::bind("0.0.0.0:0".parse().unwrap(), &UdpOptions::default()).unwrap();
    let sent = sender.send_segments("192.0.2.1:9".parse().unwrap(), &[0; 30], &[10, 10, 10]);
    assert_eq!((sent.sent, sent.dropped, sent.fault), (0, 3, Some(SendFault::Unreachable)));
    assert_eq!(sender.counters().unreachable, 3);
}

/// Packets for a neighbour that doesn't answer ARP stay charged to the socket, so that its send buffer fills.
#[test]
fn a_full_send_buffer_fills_the_backlog_then_drops_and_later_flushes_in_order() {
    if !in_namespace(
        "a_full_send_buffer_fills_the_backlog_then_drops_and_later_flushes_in_order",
        "ip link add near type veth peer name far
         ip addr add 10.9.0.1/24 dev near
         ip link set near up
         ip link set far up",
    ) {
        return;
    }
    for bits in 0..4_u8 {
        let options = UdpOptions {
            gso: bits & 1 != 0,
            multi_message: bits & 2 != 0,
            send_buffer: Some(10_000),
            backlog_datagrams: 50,
            ..UdpOptions::default()
        };
        let arrivals = capture("far");
        let to = format!("10.9.0.{}:9", bits + 2).parse().unwrap();
        let mut sender = UdpSocket::bind("10.9.0.1:0".parse().unwrap(), &options).unwrap();
        let (mut sent, mut queued, mut kept) = (0, 0, Vec::new());
        for call in 0..5_u8 {
            let buffer: Vec<u8> = (0..60_000_u32).map(|index| (index % 251) as u8 ^ call).collect();
            let result = sender.send_segments(to, &buffer, &[1_000; 60]);
            assert_eq!(result.sent + result.queued + result.dropped, 60);
            sent += result.sent;
            queued += result.queued;
            kept.extend_from_slice(&buffer[..1_000 * (result.sent + result.queued)]);
        }
        assert!(sent > 0, "with {options:?}");
        assert_eq!((queued, sender.backlog_len()), (50, 50));
        assert!(sender.wants_write());
        assert_eq!(sender.counters().overflowed, (300 - sent - 50) as u64);

        // There is room, but what waits goes first.
        shell(&format!("ip neigh replace 10.9.0.{} lladdr 02:00:00:00:00:02 dev near", bits + 2));
        wait_for(&sender, Interest::WRITE);
        assert_eq!(sender.send_to(to, &[1; 1_000]).dropped, 1, "the backlog is full");
        while sender.wants_write() {
            wait_for(&sender, Interest::WRITE);
            sender.flush();
        }
        assert_eq!(sender.counters().sent, (sent + 50) as u64);
        assert!(payloads(&arrivals, kept.len()) == kept, "all that was kept arrived, in order");
    }
}

/// A packet socket that sees the IPv4 packets arriving at an interface.
fn capture(interface: &str) -> std::net::UdpSocket {
    let protocol = (libc::ETH_P_IP as u16).to_be();
    // SAFETY: takes no pointer.
    let raw = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, protocol.into()) };
    assert!(raw >= 0);
    // SAFETY: just created, owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    let name = CString::new(interface).unwrap();
    // SAFETY: integers only, for which zero is a value; if_nametoindex gets a terminated string.
    let (mut address, index): (libc::sockaddr_ll, u32) =
        unsafe { (std::mem::zeroed(), libc::if_nametoindex(name.as_ptr())) };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = index as i32;
    let len = size_of::<libc::sockaddr_ll>() as u32;
    // SAFETY: the address lives until the call returns, and its length is its own.
    assert_eq!(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) }, 0);
    // Only its recv is used, which is the same system call for every kind of socket.
    let socket = std::net::UdpSocket::from(socket);
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    socket
}

/// The UDP payloads of captured packets, one after another (a captured train is one packet).
fn payloads(capture: &std::net::UdpSocket, len: usize) -> Vec<u8> {
    const HEADERS: usize = 20 + 8;
    let mut packet = vec![0; 65_536];
    let mut all = Vec::new();
    while all.len() < len {
        let received = capture.recv(&mut packet).expect("the packets arrive");
        all.extend_from_slice(&packet[HEADERS..received]);
    }
    all
}
