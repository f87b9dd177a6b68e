//! What holds for every driver, whatever it is made of: the same work, the same answers, the same indifference to bad
//! company. And what holds for the logic, with no driver at all.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use ch05_event_libraries::echo::{Echo, Progress, Wants, advance};
use ch05_event_libraries::forwarder::{JOIN, JOINED, LEAVE, LEFT, MAX_DATAGRAM, MAX_SUBSCRIBERS};
use ch05_event_libraries::probe::{self, Peer, Probe, payload};
use ch05_event_libraries::{Driver, Forwarder, Route, Sockets};
use proptest::prelude::*;

/// Starts it in a thread that ends with the test program.
fn start(driver: Driver) -> Option<SocketAddr> {
    if let Some(why) = driver.refused() {
        eprintln!("{driver} is left out: {why}");
        return None;
    }
    let sockets = Sockets::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = sockets.address().unwrap();
    thread::spawn(move || driver.serve(sockets, Forwarder::new(|_| {})).expect("it serves for ever"));
    Some(address)
}

#[test]
fn every_driver_forwards_every_datagram_to_everyone_in_order() {
    for driver in Driver::ALL {
        let Some(address) = start(driver) else { continue };
        for subscribers in [1, 40] {
            let mut probe = Probe::new(address, subscribers).unwrap();
            for length in [1_200, 5, MAX_DATAGRAM] {
                let forwarded = probe.forward(100, length).unwrap_or_else(|error| panic!("{driver}: {error}"));
                assert_eq!(forwarded, 100 * subscribers as u64);
            }
            probe.sender.leave().unwrap();
            for subscriber in &probe.subscribers {
                subscriber.leave().unwrap();
            }
        }
    }
}

/// Lengths that no train can have, and a join in the middle of a burst.
#[test]
fn mixed_bursts_come_out_as_they_went_in() {
    for driver in Driver::ALL {
        let Some(address) = start(driver) else { continue };
        let probe = Probe::new(address, 2).unwrap();
        let late = Peer::new(address).unwrap();
        let lengths = [1_200, 1_200, 300, 1_200, 5, 5, 1_472, 7];
        for (number, length) in (0..).zip(lengths) {
            probe.sender.socket.send(&payload(number, length)).unwrap();
        }
        assert_eq!(late.join().unwrap(), 3, "{driver}");
        probe.sender.socket.send(&payload(8, 100)).unwrap();
        for subscriber in &probe.subscribers {
            for (number, length) in (0..).zip(lengths) {
                subscriber.expect(number, length).unwrap_or_else(|error| panic!("{driver}: {error}"));
            }
            subscriber.expect(8, 100).unwrap();
        }
        late.expect(8, 100).unwrap_or_else(|error| panic!("{driver}: who joins gets what comes after: {error}"));
    }
}

/// With so many subscribers the sender is faster than the forwarder, so that more waits than one turn takes: a driver that
/// stops there has to come back by itself.
#[test]
fn a_burst_longer_than_a_turn_comes_out_whole() {
    for driver in Driver::ALL {
        let Some(address) = start(driver) else { continue };
        let mut probe = Probe::new(address, 40).unwrap();
        let sent = probe.send(150, 50).unwrap();
        probe.receive(sent, 50).unwrap_or_else(|error| panic!("{driver}: {error}"));
    }
}

#[test]
fn every_driver_echoes_many_connections_at_once() {
    for driver in Driver::ALL {
        let Some(address) = start(driver) else { continue };
        let clients: Vec<_> = (0..20).map(|_| thread::spawn(move || probe::echo(address, 300_000))).collect();
        for client in clients {
            client.join().unwrap().unwrap_or_else(|error| panic!("{driver}: {error}"));
        }
    }
}

/// Half-closed at once with much to come back: the end of the input is not the end of the output.
#[test]
fn a_client_that_reads_late_gets_everything() {
    for driver in Driver::ALL {
        let Some(address) = start(driver) else { continue };
        let mut client = TcpStream::connect(address).unwrap();
        let mut sends = client.try_clone().unwrap();
        let message: Vec<u8> = (0..3_000_000).map(|index| (index % 253) as u8).collect();
        let sent = message.clone();
        let sending = thread::spawn(move || {
            sends.write_all(&sent).unwrap();
            sends.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let mut back = Vec::new();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.read_to_end(&mut back).unwrap_or_else(|error| panic!("{driver}: {error}"));
        sending.join().unwrap();
        assert!(back == message, "{driver}: {} of {} bytes came back, or others", back.len(), message.len());
    }
}

#[test]
fn bad_company_changes_nothing() {
    for driver in Driver::ALL {
        let Some(address) = start(driver) else { continue };
        let mut probe = Probe::new(address, 3).unwrap();
        probe.forward(1, 100).unwrap();
        let deaf = Peer::new(address).unwrap();
        deaf.join().unwrap();
        let mut stuffed = TcpStream::connect(address).unwrap();
        stuffed.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        while stuffed.write(&[0; 65_536]).is_ok() {}
        let rude = Peer::new(address).unwrap();
        for bytes in [&[][..], &[0], &[JOIN, 1], &[LEAVE, 0], &[0xff; 3], &payload(0, 99), &[0x80; MAX_DATAGRAM + 1]] {
            rude.socket.send(bytes).unwrap();
        }
        // Too long for the sender as well, who is believed otherwise.
        probe.sender.socket.send(&[0x80; MAX_DATAGRAM + 1]).unwrap();
        probe.forward(300, 1_200).unwrap_or_else(|error| panic!("{driver}: {error}"));
        probe::echo(address, 100_000).unwrap_or_else(|error| panic!("{driver}: {error}"));
        assert_eq!(rude.join().unwrap(), 5, "{driver}: three subscribers, a deaf one, and now the rude one");
    }
}

fn peer(port: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1_000 + port as u16))
}

#[test]
fn the_wire_format_is_what_the_table_says() {
    let mut forwarder = Forwarder::new(|_| {});
    assert_eq!(forwarder.handle_datagram(peer(1), &[0x80]), Route::Forward, "to nobody yet");
    assert_eq!(forwarder.handle_datagram(peer(2), &[0xbf, 1]), Route::Drop, "there is a sender");
    assert_eq!(forwarder.handle_datagram(peer(2), &[0x01]), Route::Answer([0x02, 0, 1]));
    assert_eq!(forwarder.handle_datagram(peer(2), &[0x01]), Route::Answer([0x02, 0, 1]), "joining twice is once");
    assert_eq!(forwarder.subscribers(), [peer(2)]);
    assert_eq!(forwarder.handle_datagram(peer(1), &[0x03]), Route::Answer([0x04, 0, 1]), "the sender goes");
    assert_eq!(forwarder.handle_datagram(peer(3), &[0x80]), Route::Forward, "another one comes");
    for unknown in [&[][..], &[0x00], &[0x02, 0, 1], &[0x7f; 9], &[0xc0; 9], &[0x01, 0x01]] {
        assert_eq!(forwarder.handle_datagram(peer(3), unknown), Route::Drop, "{unknown:02x?}");
    }
    for number in 0..MAX_SUBSCRIBERS - 1 {
        assert!(matches!(forwarder.handle_datagram(peer(10 + number), &[JOIN]), Route::Answer([JOINED, _, _])));
    }
    assert_eq!(forwarder.handle_datagram(peer(5), &[JOIN]), Route::Drop, "there is a bound");
    assert_eq!(forwarder.handle_datagram(peer(2), &[LEAVE]), Route::Answer([LEFT, 0x03, 0xe7]));
    assert_eq!(forwarder.handle_datagram(peer(5), &[JOIN]), Route::Answer([JOINED, 0x03, 0xe8]));
}

/// A connection whose calls take as much as the script says; 0 would block.
struct Scripted {
    input: Vec<u8>,
    output: Vec<u8>,
    script: Vec<usize>,
}

impl Scripted {
    fn allowed(&mut self, wanted: usize) -> std::io::Result<usize> {
        match self.script.pop() {
            Some(0) => Err(std::io::ErrorKind::WouldBlock.into()),
            Some(limit) => Ok(wanted.min(limit)),
            None => Ok(wanted),
        }
    }
}

impl Read for Scripted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let length = self.allowed(buffer.len().min(self.input.len()))?;
        buffer[..length].copy_from_slice(&self.input[..length]);
        self.input.drain(..length);
        Ok(length)
    }
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let length = self.allowed(bytes.len())?;
        self.output.extend_from_slice(&bytes[..length]);
        Ok(length)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

proptest! {
    #[test]
    fn any_datagrams_in_any_order_keep_the_forwarder_s_bounds(
        datagrams in prop::collection::vec((0_usize..6, prop::collection::vec(any::<u8>(), 0..4)), 0..200),
    ) {
        let mut forwarder = Forwarder::new(|_| {});
        for (who, bytes) in datagrams {
            let route = forwarder.handle_datagram(peer(who), &bytes);
            let subscribers = forwarder.subscribers();
            let mut once = subscribers.to_vec();
            once.sort();
            once.dedup();
            prop_assert_eq!(once.len(), subscribers.len());
            if let Route::Answer([_, high, low]) = route {
                prop_assert_eq!(usize::from(u16::from_be_bytes([high, low])), subscribers.len());
                prop_assert_eq!(subscribers.contains(&peer(who)), bytes == [JOIN]);
            }
            prop_assert_eq!(route == Route::Drop, match bytes[..] {
                [JOIN] | [LEAVE] => false,
                [0x80..=0xbf, ..] => route == Route::Drop,
                _ => true,
            });
        }
    }

    #[test]
    fn an_echo_that_is_left_and_resumed_loses_nothing(
        input in prop::collection::vec(any::<u8>(), 0..20_000),
        script in prop::collection::vec(0_usize..900, 0..100),
    ) {
        let mut stream = Scripted { input: input.clone(), output: Vec::new(), script };
        let mut echo = Echo::default();
        let mut attempts = 0;
        loop {
            match advance(&mut stream, &mut echo) {
                Progress::Over => break,
                Progress::Blocked(wants) => prop_assert_ne!(wants, Wants::Nothing),
                Progress::Yielded => {}
            }
            attempts += 1;
            prop_assert!(attempts < 1_000, "it never ends");
        }
        prop_assert_eq!(stream.output, input);
    }
}
