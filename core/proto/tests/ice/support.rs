//! What the tests of one agent share: its credentials, tuples, requests by hand, and what it answered.

use std::time::{Duration, Instant};

use sfu_proto::ice::{Credentials, Event, IceError, IceLite, IceState, Protocol, Transmit, Tuple};
use sfu_proto::stun::{Class, METHOD_BINDING, Message, MessageBuilder, TransactionId};

pub const CONSENT: Duration = Duration::from_secs(30);

pub fn credentials(ufrag: &str) -> Credentials {
    Credentials { username_fragment: ufrag.into(), password: format!("the password of {ufrag}") }
}

/// A UDP tuple from a peer at this port.
pub fn udp(port: u16) -> Tuple {
    tuple(Protocol::Udp, port)
}

pub fn tuple(protocol: Protocol, port: u16) -> Tuple {
    Tuple { protocol, local: "192.0.2.1:4443".parse().unwrap(), remote: ([198, 51, 100, 7], port).into() }
}

/// A Binding request without the attributes that seal it.
pub fn request(ufrag: &str) -> MessageBuilder {
    MessageBuilder::new(Class::Request, METHOD_BINDING, TransactionId([9; 12]))
        .username(&format!("{ufrag}:peer"))
        .ice_controlling(1)
        .priority(0x6e00_01ff)
}

/// Seals a request under the password that goes with `ufrag`.
pub fn sealed(builder: MessageBuilder, ufrag: &str) -> Vec<u8> {
    builder.message_integrity(credentials(ufrag).password.as_bytes()).fingerprint().finish()
}

/// An agent with the ufrag "server" and a clock.
pub struct Agent {
    pub ice: IceLite,
    pub now: Instant,
}

impl Agent {
    pub fn new() -> Self {
        Self { ice: IceLite::new(credentials("server"), Some(CONSENT)), now: Instant::now() }
    }

    pub fn after(&mut self, duration: Duration) -> &mut Self {
        self.now += duration;
        self
    }

    pub fn handle(&mut self, tuple: Tuple, packet: &[u8]) -> Result<(), IceError> {
        self.ice.handle_packet(self.now, tuple, packet)
    }

    /// A good check, and its response taken off.
    pub fn check(&mut self, tuple: Tuple) {
        self.check_as(tuple, "server", |request| request);
    }

    /// A good check with USE-CANDIDATE.
    pub fn nominate(&mut self, tuple: Tuple) {
        self.check_as(tuple, "server", MessageBuilder::use_candidate);
    }

    pub fn check_as(&mut self, tuple: Tuple, ufrag: &str, with: impl FnOnce(MessageBuilder) -> MessageBuilder) {
        self.handle(tuple, &sealed(with(request(ufrag)), ufrag)).unwrap();
        let response = self.ice.poll_transmit().unwrap();
        let message = Message::parse(&response.payload).unwrap();
        assert_eq!(message.class(), Class::SuccessResponse);
        assert!(message.check_message_integrity(credentials(ufrag).password.as_bytes()));
    }

    /// The only response.
    pub fn response(&mut self) -> Transmit {
        let response = self.ice.poll_transmit().expect("a response");
        assert_eq!(self.ice.poll_transmit(), None);
        response
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.ice.poll_event()).collect()
    }

    /// Asserts that nothing is known of any peer.
    pub fn assert_untouched(&mut self) {
        assert_eq!(self.ice.state(), IceState::New);
        assert_eq!(self.ice.selected_tuple(), None);
        assert_eq!(self.ice.tuples().count(), 0);
        assert_eq!(self.ice.poll_timeout(), None);
        assert_eq!(self.events(), []);
    }
}
