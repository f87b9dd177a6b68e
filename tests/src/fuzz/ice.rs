//! ICE: a lite agent and whatever is sent to it.

use std::time::{Duration, Instant};

use sfu_proto::ice::{Credentials, Event, IceLite, IceState, MAX_TUPLES, Protocol, Tuple};
use sfu_proto::stun::{Class, Message, MessageBuilder};

use super::input::Input;

const CONSENT: Duration = Duration::from_secs(30);

/// Datagrams of strangers, and of the peer: those are sealed with the agent's password. Time passes, ICE restarts, and
/// connections close.
pub fn ice(data: &[u8]) {
    let mut input = Input::new(data);
    let mut agent = Agent {
        ice: IceLite::new(credentials(0), Some(CONSENT)),
        now: Instant::now(),
        tuples: Vec::new(),
        selected: None,
        sessions: 0,
    };
    while !input.is_empty() {
        let operation = input.u8();
        let tuple = tuple(operation >> 3);
        match operation & 7 {
            0 => agent.stranger(tuple, input.datagram()),
            1 => agent.after(Duration::from_millis(u64::from(input.u16()))),
            2 => agent.ice.remove_tuple(&tuple),
            3 => {
                agent.sessions += 1;
                agent.ice.restart(credentials(agent.sessions));
            }
            session => agent.peer(tuple, session & 1 == 0, input.datagram()),
        }
        agent.check();
    }
}

struct Agent {
    ice: IceLite,
    now: Instant,
    /// As told by events.
    tuples: Vec<Tuple>,
    selected: Option<Tuple>,
    sessions: u32,
}

fn credentials(session: u32) -> Credentials {
    Credentials { username_fragment: format!("u{session}"), password: format!("the password of session {session}") }
}

fn tuple(choice: u8) -> Tuple {
    let protocol = if choice & 16 == 0 { Protocol::Udp } else { Protocol::Tcp };
    Tuple { protocol, local: ([192, 0, 2, 1], 4443).into(), remote: ([198, 51, 100, 7], u16::from(choice & 15)).into() }
}

impl Agent {
    /// Whoever does not know the password gets an error response at most, and changes nothing.
    fn stranger(&mut self, tuple: Tuple, datagram: &[u8]) {
        let before = (self.ice.state(), self.ice.selected_tuple(), self.ice.tuples().count(), self.ice.poll_timeout());
        let result = self.ice.handle_packet(self.now, tuple, datagram);
        let after = (self.ice.state(), self.ice.selected_tuple(), self.ice.tuples().count(), self.ice.poll_timeout());
        assert_eq!(before, after, "{result:?}");
        if let Some(response) = self.response(tuple) {
            assert_eq!(Message::parse(&response).map(|message| message.class()), Ok(Class::ErrorResponse));
            assert!(response.len() <= datagram.len() + 100, "{} bytes for {}", response.len(), datagram.len());
        }
        assert_eq!(self.ice.poll_event(), None);
    }

    /// The datagram's attributes, sealed.
    fn peer(&mut self, tuple: Tuple, latest: bool, datagram: &[u8]) {
        let Ok(message) = Message::parse(datagram) else { return };
        let credentials = credentials(if latest { self.sessions } else { self.sessions.saturating_sub(1) });
        let new = MessageBuilder::new(message.class(), message.method(), message.transaction_id())
            .username(&format!("{}:peer", credentials.username_fragment));
        let sealed = message
            .attributes()
            .filter(|attribute| !matches!(attribute.kind, 0x0008 | 0x001c | 0x8028))
            .fold(new, |builder, attribute| builder.attribute(attribute.kind, attribute.value))
            .message_integrity(credentials.password.as_bytes())
            .fingerprint()
            .finish();
        let result = self.ice.handle_packet(self.now, tuple, &sealed);
        let response = self.response(tuple);
        let is_request = message.class() == Class::Request && message.method() == 1;
        assert_eq!(response.is_some(), is_request, "{result:?}");
        if let Some(response) = response {
            let response = Message::parse(&response).expect("a response parses");
            let expected = if result.is_ok() { Class::SuccessResponse } else { Class::ErrorResponse };
            assert_eq!((response.class(), response.transaction_id()), (expected, message.transaction_id()));
            assert!(response.check_fingerprint());
            if result.is_ok() {
                assert!(response.check_message_integrity(credentials.password.as_bytes()));
                assert_eq!(response.xor_mapped_address(), Ok(Some(tuple.remote)));
            }
        }
    }

    fn after(&mut self, time: Duration) {
        self.now += time;
        self.ice.handle_timeout(self.now);
        assert!(self.ice.poll_timeout().is_none_or(|at| at > self.now));
    }

    /// The only response, which goes to where the request came from.
    fn response(&mut self, tuple: Tuple) -> Option<Vec<u8>> {
        let response = self.ice.poll_transmit()?;
        assert_eq!(response.tuple, tuple);
        assert_eq!(self.ice.poll_transmit(), None);
        Some(response.payload)
    }

    /// What events tell is what is so.
    fn check(&mut self) {
        while let Some(event) = self.ice.poll_event() {
            match event {
                Event::TupleAdded(tuple) => {
                    assert!(!self.tuples.contains(&tuple));
                    self.tuples.push(tuple);
                }
                Event::TupleRemoved(tuple) => {
                    assert!(self.tuples.contains(&tuple));
                    self.tuples.retain(|known| *known != tuple);
                }
                Event::SelectedTuple(tuple) => self.selected = Some(tuple),
                Event::StateChange(state) => assert_ne!(state, IceState::New, "no agent begins anew"),
                Event::CredentialsRetired(_) => {}
            }
        }
        assert!(self.tuples.len() <= MAX_TUPLES);
        assert!(self.tuples.iter().all(|tuple| self.ice.is_valid_tuple(tuple)));
        assert_eq!(self.ice.tuples().count(), self.tuples.len());
        match self.ice.selected_tuple() {
            Some(selected) => {
                assert_eq!(self.selected, Some(selected));
                assert!(self.tuples.contains(&selected));
                assert!(matches!(self.ice.state(), IceState::Connected | IceState::Completed));
            }
            None => {
                assert!(self.tuples.is_empty());
                assert!(matches!(self.ice.state(), IceState::New | IceState::Disconnected));
            }
        }
    }
}
