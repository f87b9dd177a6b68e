//! DTLS: handshakes whose datagrams are damaged, and datagrams of strangers at any moment of them.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use sfu_proto::dtls::{Certificate, Dtls, Event, FingerprintAlgorithm, HANDSHAKE_TIMEOUT, MTU, Role, SrtpKeys, State};

use super::input::Input;

/// Of the client and of the server; making one takes long.
static CERTIFICATES: LazyLock<[Certificate; 2]> =
    LazyLock::new(|| [(); 2].map(|()| Certificate::generate().expect("AWS-LC makes one")));

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// A client and a server, and what happens to each datagram on its way: nothing, a change, loss, or another one before it.
/// When the input is used up, the rest arrives as it was sent.
pub fn dtls(data: &[u8]) {
    let mut input = Input::new(data);
    let mut pair = Pair::new();
    // Retransmissions make this longer than the input.
    for _ in 0..200 {
        pair.collect();
        let Some((end, mut datagram)) = pair.wire.pop() else {
            if !pair.wait() {
                break;
            }
            continue;
        };
        match input.below(4) {
            0 => {}
            1 => {
                let at = usize::from(input.u16()) % datagram.len();
                datagram[at] ^= input.u8();
            }
            2 => continue,
            _ => {
                let strange = input.datagram();
                if let Ok(()) = pair.ends[end].handle_packet(pair.now, strange) {
                    assert!(matches!(strange.first(), Some(20..=63)));
                }
            }
        }
        let _ = pair.ends[end].handle_packet(pair.now, &datagram);
    }
    pair.check();
    // Whatever has happened, both come to an end.
    while pair.wait() {
        assert!(pair.now <= pair.start + HANDSHAKE_TIMEOUT + Duration::from_secs(1));
        pair.collect();
        pair.wire.clear();
    }
    assert!(!pair.ends.iter().any(|end| end.poll_timeout().is_some()));
}

struct Pair {
    ends: [Dtls; 2],
    keys: [Option<SrtpKeys>; 2],
    /// How often each has told of its end.
    ended: [usize; 2],
    start: Instant,
    now: Instant,
    /// Datagrams under way, the next one last: to which end, what.
    wire: Vec<(usize, Vec<u8>)>,
}

impl Pair {
    fn new() -> Pair {
        let [client, server] = &*CERTIFICATES;
        let fingerprint =
            |certificate: &Certificate| certificate.fingerprint(FingerprintAlgorithm::Sha256).expect("it has one");
        let ends = [
            Dtls::new(client, Role::Client, Some(fingerprint(server))),
            Dtls::new(server, Role::Server, Some(fingerprint(client))),
        ];
        let now = Instant::now();
        let mut ends = ends.map(|end| end.expect("an association"));
        ends.iter_mut().for_each(|end| end.start(now));
        Pair { ends, keys: [None, None], ended: [0; 2], start: now, now, wire: Vec::new() }
    }

    /// Puts what the ends have to send on the wire, and takes their events.
    fn collect(&mut self) {
        for end in [CLIENT, SERVER] {
            let mut sent = Vec::new();
            while let Some(datagram) = self.ends[end].poll_transmit() {
                assert!(datagram.len() <= usize::from(MTU));
                sent.push((1 - end, datagram));
            }
            assert!(sent.len() < 100, "{} datagrams at once", sent.len());
            self.wire.splice(0..0, sent.into_iter().rev());
            while let Some(event) = self.ends[end].poll_event() {
                match event {
                    Event::Connected { keys, .. } => {
                        assert!(self.keys[end].replace(keys).is_none(), "connected twice");
                    }
                    Event::Failed(_) | Event::Closed => self.ended[end] += 1,
                    // Nobody sends any.
                    other => panic!("{other:?} at {end}"),
                }
            }
        }
    }

    /// Lets time pass until something is due; false if nothing is.
    fn wait(&mut self) -> bool {
        let Some(at) = self.ends.iter().filter_map(Dtls::poll_timeout).min() else { return false };
        self.now = self.now.max(at);
        self.ends.iter_mut().for_each(|end| end.handle_timeout(self.now));
        true
    }

    /// Nobody is connected with other keys than the peer's, or in a state that was not told.
    fn check(&mut self) {
        self.collect();
        if let [Some(client), Some(server)] = &self.keys {
            assert!(client.suite == server.suite && client.local == server.remote && client.remote == server.local);
        }
        for end in [CLIENT, SERVER] {
            let ended = matches!(self.ends[end].state(), State::Failed | State::Closed);
            assert_eq!(self.ended[end], usize::from(ended));
            if self.ends[end].state() == State::Connected {
                assert!(self.keys[end].is_some());
            }
        }
    }
}
