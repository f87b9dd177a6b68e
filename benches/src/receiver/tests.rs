//! What the receiver takes for a packet of the run, and what it says of the others.

use super::*;
use crate::case::Audience;
use crate::machine::monotonic_ns;
use crate::workload::{CONSUMER_PAYLOAD_TYPE, HEADER_LEN, Identity, Labels, Packets};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sfu_proto::{rtp, srtp};
use sfu_reactor::udp::{UdpOptions, UdpSocket};

const PACKET_LEN: usize = 300;

struct Bench {
    receiver: Receiver,
    sender: UdpSocket,
    ports: Vec<u16>,
    times: PathBuf,
}

impl Bench {
    fn new(name: &str, consumers: usize) -> Self {
        Self::with(name, consumers, Reception::Woken, false)
    }

    fn with(name: &str, receivers: usize, reception: Reception, stamps: bool) -> Self {
        let mut receiver = Receiver::new().unwrap();
        let feeds = Audience::Fan { producers: 2, consumers: receivers }.feeds();
        let opening = Opening { receivers, reception, feeds, packet_len: PACKET_LEN, trains: false, stamps };
        let ports = receiver.open(&opening).unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
        let times = std::env::temp_dir().join(format!("bench-receiver-{name}-{}", std::process::id()));
        fs::write(&times, 5_u64.to_ne_bytes().repeat(10)).unwrap();
        Self { receiver, sender, ports, times }
    }

    fn send(&mut self, consumer: usize, packet: &[u8]) {
        self.sender.send_to(SocketAddr::new([127, 0, 0, 1].into(), self.ports[consumer]), packet);
    }

    fn end(&mut self, expected: u64) -> Received {
        let received = self.receiver.end(expected, &self.times).unwrap();
        fs::remove_file(&self.times).unwrap();
        received
    }
}

/// Of the first stream for this one of two consumers, as [`Audience::feeds`] numbers them.
fn packet(number: u64, consumer: u32) -> Vec<u8> {
    of_stream(0, number, 0x0300_0000 + 2 * consumer)
}

fn of_stream(stream: usize, number: u64, ssrc: u32) -> Vec<u8> {
    let mut slot = vec![0; PACKET_LEN];
    let labels = Labels { sequence: number, ssrc, payload_type: CONSUMER_PAYLOAD_TYPE };
    Packets::new(PACKET_LEN).unwrap().write(Identity { stream, number }, labels, &mut slot).unwrap();
    slot
}

#[test]
fn counts_checks_and_times_what_comes() {
    let mut bench = Bench::new("counts", 2);
    bench.receiver.begin(100, 1, 1).unwrap();
    for number in 100..110 {
        bench.send(0, &packet(number, 0));
    }
    for number in [100, 100, 103] {
        bench.send(1, &packet(number, 1));
    }
    // RTCP isn't counted.
    bench.send(1, &[0x80, 200, 0, 1, 0, 0, 0, 0]);
    // The second stream's, under its own SSRC.
    bench.send(1, &of_stream(1, 104, 0x0300_0003));
    let received = bench.end(20);
    assert_eq!((received.packets, received.fewest, received.duplicates), (13, 3, 1));
    assert_eq!((received.checked, received.wrong_count, received.wrong), (14, 0, None));
    assert_eq!(received.latency.unwrap().samples, 14);
}

#[test]
fn what_comes_from_elsewhere_than_the_worker_is_passed_over_and_counted() {
    let mut bench = Bench::new("strays", 2);
    let port = bench.sender.local_addr().port();
    assert!(bench.receiver.intake.set_sources(&[port]).is_err(), "there are two sockets");
    // The second socket's packets come from another transport.
    bench.receiver.intake.set_sources(&[port, port ^ 1]).unwrap();
    bench.receiver.begin(0, 1, 1).unwrap();
    // A STUN binding request, as a socket that had the port before gets it.
    let mut stun = [0; 20];
    stun[1] = 1;
    bench.send(1, &stun);
    bench.send(1, &packet(0, 1));
    bench.send(0, &packet(0, 0));
    let received = bench.end(2);
    assert_eq!((received.packets, received.strays, received.wrong), (1, 2, None));
}

#[test]
fn who_shares_a_socket_gets_what_comes_from_its_own_port() {
    for stamps in [false, true] {
        let mut bench = Bench::with("shared", 3, Reception::Swept { sockets: 2 }, stamps);
        assert_eq!(bench.ports[0], bench.ports[2]);
        assert_ne!(bench.ports[0], bench.ports[1]);
        let other = || UdpSocket::bind("127.0.0.1:0".parse().unwrap(), &UdpOptions::default()).unwrap();
        let mut senders = [other(), other(), other()];
        let sources = senders.each_ref().map(|sender| sender.local_addr().port());
        assert!(bench.receiver.intake.set_sources(&[sources[0]; 3]).is_err(), "nobody could be told from the others");
        bench.receiver.intake.set_sources(&sources).unwrap();
        bench.receiver.begin(0, 1, 1).unwrap();
        let mut send = |sender: usize, packet: &[u8]| {
            let to = SocketAddr::new([127, 0, 0, 1].into(), bench.ports[sender]);
            senders[sender].send_to(to, packet);
        };
        for number in 0..10 {
            for (sender, consumer) in [(0, 0), (1, 1), (2, 2)] {
                send(sender, &packet(number, consumer));
            }
        }
        // The first's packet, from the third's port.
        send(2, &packet(0, 0));
        // Nobody's.
        let first = bench.ports[0];
        bench.sender.send_to(SocketAddr::new([127, 0, 0, 1].into(), first), &packet(0, 0));
        let received = bench.end(30);
        assert_eq!((received.packets, received.fewest, received.checked), (30, 10, 30));
        assert_eq!((received.strays, received.wrong_count), (1, 1));
        assert!(received.wrong.unwrap().starts_with("receiver 2: a packet has SSRC"));
    }
}

#[test]
fn packets_are_as_late_as_the_kernel_got_them_however_long_they_wait_to_be_read() {
    const WAIT: u64 = 2_000_000;
    let mut bench = Bench::with("stamps", 1, Reception::Woken, true);
    // The kernel begins to stamp soon after the first socket has asked.
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        bench.receiver.begin(0, 1, 1).unwrap();
        let before = monotonic_ns();
        fs::write(&bench.times, before.to_ne_bytes()).unwrap();
        bench.send(0, &packet(0, 0));
        let sent = monotonic_ns();
        while monotonic_ns() < sent + WAIT {}
        let received = bench.receiver.end(1, &bench.times).unwrap();
        assert_eq!((received.packets, received.wrong), (1, None));
        let (came, read) = (received.latency.unwrap(), received.latency_read.unwrap());
        assert!(read.max >= (sent + WAIT - before) as f64 / 1e3, "{read:?}");
        // It had come when the call was over. The two clocks are compared to within a tenth of a microsecond.
        if came.max < (sent - before) as f64 / 1e3 + 0.1 {
            break;
        }
        assert!(Instant::now() < deadline, "{came:?}");
    }
    fs::remove_file(&bench.times).unwrap();
}

#[test]
fn other_work_than_the_expected_is_told() {
    let mut damaged = packet(1, 0);
    damaged[200] ^= 1;
    let mut of_another_step = packet(1, 0);
    rtp::set_timestamp(&mut of_another_step, u32::MAX - 3);
    let of_another_stream = of_stream(1, 1, 0x0300_0000);
    for (name, wrong) in [
        ("damaged", damaged),
        ("ssrc", packet(1, 3)),
        ("stream", of_another_stream),
        ("short", vec![0x80; 11]),
        ("step", of_another_step),
    ] {
        let mut bench = Bench::new(name, 1);
        bench.receiver.begin(0, 1, 1).unwrap();
        bench.send(0, &packet(0, 0));
        bench.send(0, &wrong);
        let received = bench.end(10);
        assert_eq!(received.wrong_count, 1, "{name}");
        assert!(received.wrong.is_some(), "{name}");
    }
}

#[test]
fn protected_packets_are_decrypted_before_they_are_compared() {
    let suite = Mode::AesGcm.suite().unwrap();
    let key: Vec<u8> = (0..suite.key_and_salt_len() as u8).collect();
    let mut bench = Bench::new("srtp", 1);
    bench.receiver.intake.set_keys(Mode::AesGcm, &[STANDARD.encode(&key)]).unwrap();
    bench.receiver.begin(0, 1, 1).unwrap();
    let mut sender = srtp::Sender::new(srtp::Backend::Evp, suite, &key).unwrap();
    for number in 0..3 {
        let plain = packet(number, 0);
        let mut slot = vec![0; PACKET_LEN + 16];
        slot[..HEADER_LEN].copy_from_slice(&plain[..HEADER_LEN]);
        let len = sender.protect_rtp(&mut slot, HEADER_LEN, &plain[HEADER_LEN..]).unwrap();
        if number == 2 {
            slot[len - 1] ^= 1;
        }
        bench.send(0, &slot[..len]);
    }
    let received = bench.end(3);
    assert_eq!((received.packets, received.checked, received.wrong_count), (3, 3, 1));
    assert!(received.wrong.unwrap().contains("authentication"));
}
