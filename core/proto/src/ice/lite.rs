//! The agent.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::{Credentials, Tuple};
use crate::stun::{Class, METHOD_BINDING, Message, MessageBuilder, StunError, TransactionId, attribute};

/// How many tuples an agent keeps. One more, and the one without a check for the longest time has to go.
pub const MAX_TUPLES: usize = 8;

/// How many types a 420 response lists at most.
const MAX_UNKNOWN_ATTRIBUTES: usize = 16;

/// Where the agent is, in mediasoup's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IceState {
    /// No check yet.
    New,
    /// A tuple is selected, the peer hasn't nominated one.
    Connected,
    /// The peer has nominated a tuple. It stays so when that one is gone and another takes its place, not nominated.
    Completed,
    /// There were tuples, none is left.
    Disconnected,
}

/// What [`IceLite::poll_event`] tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The state is now this one.
    StateChange(IceState),
    /// What is sent to the peer goes here from now on.
    SelectedTuple(Tuple),
    /// What comes by this tuple is the peer's.
    TupleAdded(Tuple),
    /// This tuple is no longer valid: the peer removed it, it was idle, or there were too many. A TCP connection can be
    /// closed.
    TupleRemoved(Tuple),
    /// Credentials with this ufrag are no longer accepted: an ICE restart has succeeded or was overtaken by another one.
    CredentialsRetired(String),
}

/// A response to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to: the tuple by which the request came.
    pub tuple: Tuple,
    /// The STUN message, without framing.
    pub payload: Vec<u8>,
}

/// Why a packet was not taken as a connectivity check. For those with a code, an error response is ready to transmit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IceError {
    /// It's no STUN message. Silently discarded.
    #[error("not a STUN message: {0}")]
    Stun(#[from] StunError),
    /// A request of another method than Binding. Silently discarded (RFC 8489 §6.3).
    #[error("STUN method {0:#05x} isn't Binding")]
    Method(u16),
    /// FINGERPRINT is missing or wrong. Silently discarded (RFC 8489 §6.3, RFC 8445 §7.1).
    #[error("FINGERPRINT is missing or wrong")]
    Fingerprint,
    /// 400: USERNAME, MESSAGE-INTEGRITY or PRIORITY is missing.
    #[error("{0} is missing in a Binding request")]
    Missing(&'static str),
    /// 400: an attribute's value can't be read.
    #[error("bad Binding request: {0}")]
    Attribute(StunError),
    /// 401: USERNAME doesn't begin with our ufrag and a colon.
    #[error("the USERNAME of a Binding request is not for us")]
    Username,
    /// 401: MESSAGE-INTEGRITY is not the HMAC under our password.
    #[error("the MESSAGE-INTEGRITY of a Binding request is wrong")]
    Integrity,
    /// 420: attributes that must be understood, and aren't.
    #[error("a Binding request has unknown comprehension-required attributes: {0:#06x?}")]
    UnknownAttributes(Vec<u16>),
    /// 487: the peer says ICE-CONTROLLED, and so do we.
    #[error("the peer claims the controlled role, which a lite agent can't leave")]
    RoleConflict,
}

/// An ICE-lite agent with one component: see the [module](super).
///
/// Call a `handle_*` method, [`restart`](Self::restart) or [`remove_tuple`](Self::remove_tuple), then the `poll_*`
/// methods until they have nothing more. Each request makes at most one response.
#[derive(Debug)]
pub struct IceLite {
    credentials: Credentials,
    /// Those before a restart, until the first good check with the new ones.
    previous: Option<Credentials>,
    state: IceState,
    tuples: Vec<ValidTuple>,
    selected: Option<Tuple>,
    /// The highest NOMINATION of this ICE session; 0 is none.
    nomination: u32,
    consent_timeout: Option<Duration>,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

#[derive(Debug)]
struct ValidTuple {
    tuple: Tuple,
    last_check: Instant,
}

impl IceLite {
    /// An agent in state `new`.
    ///
    /// `consent_timeout` is how long a tuple stays valid without an authenticated request on it: 30 seconds in RFC 7675
    /// §5.1; none: for ever.
    pub fn new(credentials: Credentials, consent_timeout: Option<Duration>) -> Self {
        Self {
            credentials,
            previous: None,
            state: IceState::New,
            tuples: Vec::with_capacity(MAX_TUPLES + 1),
            selected: None,
            nomination: 0,
            consent_timeout,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Takes a STUN message from the network: a Binding request is answered, and a good one makes or refreshes its
    /// tuple. Indications and responses, of which a lite agent expects none, change nothing and are no error.
    ///
    /// Nothing but a request with a right MESSAGE-INTEGRITY changes any state.
    pub fn handle_packet(&mut self, now: Instant, tuple: Tuple, packet: &[u8]) -> Result<(), IceError> {
        let message = Message::parse(packet)?;
        if message.class() != Class::Request {
            return Ok(());
        }
        if message.method() != METHOD_BINDING {
            return Err(IceError::Method(message.method()));
        }
        if !message.check_fingerprint() {
            return Err(IceError::Fingerprint);
        }

        // Until the request is authenticated, error responses carry no MESSAGE-INTEGRITY (RFC 8489 §9.1.3).
        let session = match self.authenticate(&message) {
            Ok(session) => session,
            Err(error) => {
                self.respond_error(tuple, message.transaction_id(), None, &error);
                return Err(error);
            }
        };
        let check = match Check::read(&message) {
            Ok(check) => check,
            Err(error) => {
                self.respond_error(tuple, message.transaction_id(), Some(session), &error);
                return Err(error);
            }
        };
        self.respond_success(tuple, message.transaction_id(), session);
        if session == Session::Current {
            self.complete_restart();
        }
        self.handle_check(now, tuple, check);
        Ok(())
    }

    /// The next response to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): when the first tuple loses consent.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeout = self.consent_timeout?;
        self.tuples.iter().map(|valid| valid.last_check + timeout).min()
    }

    /// Removes the tuples whose consent has expired by `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(timeout) = self.consent_timeout else { return };
        // The selected one last, so that no tuple becomes selected only to be removed too.
        let mut expired: Vec<Tuple> =
            self.tuples.iter().filter(|valid| valid.last_check + timeout <= now).map(|valid| valid.tuple).collect();
        expired.sort_by_key(|tuple| Some(*tuple) == self.selected);
        for tuple in &expired {
            self.remove_tuple(tuple);
        }
    }

    /// Begins an ICE restart (RFC 8445 §9): from now on requests must be for these credentials, or still for those in
    /// use, which end with the first good check for the new ones. Tuples and state stay.
    pub fn restart(&mut self, credentials: Credentials) {
        let replaced = std::mem::replace(&mut self.credentials, credentials);
        if self.previous.is_none() {
            self.previous = Some(replaced);
        } else {
            // The restart before this one never took effect: the peer is still where it was before that.
            self.events.push_back(Event::CredentialsRetired(replaced.username_fragment));
        }
    }

    /// Removes a tuple, for example because its TCP connection was closed. When it was the selected one, the tuple with
    /// the latest check takes its place; when none is left, the state is `disconnected`.
    pub fn remove_tuple(&mut self, tuple: &Tuple) {
        let Some(index) = self.tuples.iter().position(|valid| valid.tuple == *tuple) else { return };
        self.tuples.remove(index);
        self.events.push_back(Event::TupleRemoved(*tuple));
        if self.selected != Some(*tuple) {
            return;
        }
        self.selected = None;
        match self.tuples.iter().max_by_key(|valid| valid.last_check).map(|valid| valid.tuple) {
            Some(successor) => self.select(successor),
            None => {
                self.nomination = 0;
                self.set_state(IceState::Disconnected);
            }
        }
    }

    /// The state.
    pub fn state(&self) -> IceState {
        self.state
    }

    /// Where to send to. There is one exactly in the states `connected` and `completed`.
    pub fn selected_tuple(&self) -> Option<Tuple> {
        self.selected
    }

    /// Whether packets other than STUN are accepted by this tuple: a check has passed on it.
    pub fn is_valid_tuple(&self, tuple: &Tuple) -> bool {
        self.selected == Some(*tuple) || self.tuples.iter().any(|valid| valid.tuple == *tuple)
    }

    /// The valid tuples, in the order in which they came.
    pub fn tuples(&self) -> impl Iterator<Item = &Tuple> {
        self.tuples.iter().map(|valid| &valid.tuple)
    }

    /// The credentials that the peer should use: the latest.
    pub fn local_credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// RFC 8489 §9.1.3.
    fn authenticate(&self, message: &Message<'_>) -> Result<Session, IceError> {
        if !message.has_message_integrity() {
            return Err(IceError::Missing("MESSAGE-INTEGRITY"));
        }
        if message.username().map_err(IceError::Attribute)?.is_none() {
            return Err(IceError::Missing("USERNAME"));
        }
        let ufrag = message.receiver_username_fragment().map_err(IceError::Attribute)?.ok_or(IceError::Username)?;
        let session = if ufrag == self.credentials.username_fragment {
            Session::Current
        } else if self.previous.as_ref().is_some_and(|previous| ufrag == previous.username_fragment) {
            Session::Previous
        } else {
            return Err(IceError::Username);
        };
        if message.check_message_integrity(self.password(session)) { Ok(session) } else { Err(IceError::Integrity) }
    }

    fn password(&self, session: Session) -> &[u8] {
        let credentials = match (session, &self.previous) {
            (Session::Previous, Some(previous)) => previous,
            _ => &self.credentials,
        };
        credentials.password.as_bytes()
    }

    /// A good check with the new credentials: the old ones have served, and nominations count anew.
    fn complete_restart(&mut self) {
        if let Some(previous) = self.previous.take() {
            self.nomination = 0;
            self.events.push_back(Event::CredentialsRetired(previous.username_fragment));
        }
    }

    fn handle_check(&mut self, now: Instant, tuple: Tuple, check: Check) {
        self.refresh(now, tuple);
        let nominated = match check.nomination {
            Some(nomination) => nomination > self.nomination,
            None => check.use_candidate,
        };
        if nominated {
            self.nomination = check.nomination.unwrap_or(self.nomination);
            self.select(tuple);
            self.set_state(IceState::Completed);
        } else if self.selected.is_none() {
            self.select(tuple);
            self.set_state(IceState::Connected);
        }
    }

    /// Adds the tuple or prolongs its consent.
    fn refresh(&mut self, now: Instant, tuple: Tuple) {
        if let Some(valid) = self.tuples.iter_mut().find(|valid| valid.tuple == tuple) {
            valid.last_check = now;
            return;
        }
        if self.tuples.len() == MAX_TUPLES {
            let idlest = self.tuples.iter().filter(|valid| Some(valid.tuple) != self.selected);
            if let Some(idlest) = idlest.min_by_key(|valid| valid.last_check).map(|valid| valid.tuple) {
                self.remove_tuple(&idlest);
            }
        }
        self.tuples.push(ValidTuple { tuple, last_check: now });
        self.events.push_back(Event::TupleAdded(tuple));
    }

    fn select(&mut self, tuple: Tuple) {
        if self.selected != Some(tuple) {
            self.selected = Some(tuple);
            self.events.push_back(Event::SelectedTuple(tuple));
        }
    }

    fn set_state(&mut self, state: IceState) {
        if self.state != state {
            self.state = state;
            self.events.push_back(Event::StateChange(state));
        }
    }

    fn respond_success(&mut self, tuple: Tuple, id: TransactionId, session: Session) {
        let payload = MessageBuilder::new(Class::SuccessResponse, METHOD_BINDING, id)
            .xor_mapped_address(tuple.remote)
            .message_integrity(self.password(session))
            .fingerprint()
            .finish();
        self.transmits.push_back(Transmit { tuple, payload });
    }

    fn respond_error(&mut self, tuple: Tuple, id: TransactionId, session: Option<Session>, error: &IceError) {
        let (code, reason) = match error {
            IceError::Stun(_) | IceError::Method(_) | IceError::Fingerprint => return,
            IceError::Missing(_) | IceError::Attribute(_) => (400, "Bad Request"),
            IceError::Username | IceError::Integrity => (401, "Unauthenticated"),
            IceError::UnknownAttributes(_) => (420, "Unknown Attribute"),
            IceError::RoleConflict => (487, "Role Conflict"),
        };
        let mut response = MessageBuilder::new(Class::ErrorResponse, METHOD_BINDING, id).error_code(code, reason);
        if let IceError::UnknownAttributes(kinds) = error {
            response = response.unknown_attributes(kinds);
        }
        if let Some(session) = session {
            response = response.message_integrity(self.password(session));
        }
        self.transmits.push_back(Transmit { tuple, payload: response.fingerprint().finish() });
    }
}

/// Which credentials a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Session {
    Current,
    Previous,
}

/// What an authenticated Binding request says.
#[derive(Debug, Clone, Copy)]
struct Check {
    use_candidate: bool,
    nomination: Option<u32>,
}

impl Check {
    fn read(message: &Message<'_>) -> Result<Self, IceError> {
        let unknown: Vec<u16> = message
            .attributes()
            .map(|attribute| attribute.kind)
            .filter(|&kind| is_comprehension_required(kind) && !is_known(kind))
            .take(MAX_UNKNOWN_ATTRIBUTES)
            .collect();
        if !unknown.is_empty() {
            return Err(IceError::UnknownAttributes(unknown));
        }
        if message.priority().map_err(IceError::Attribute)?.is_none() {
            return Err(IceError::Missing("PRIORITY"));
        }
        if message.ice_controlled().map_err(IceError::Attribute)?.is_some() {
            return Err(IceError::RoleConflict);
        }
        Ok(Self {
            use_candidate: message.use_candidate().map_err(IceError::Attribute)?,
            nomination: message.nomination().map_err(IceError::Attribute)?,
        })
    }
}

/// RFC 8489 §14: types 0x0000..=0x7FFF.
fn is_comprehension_required(kind: u16) -> bool {
    kind < 0x8000
}

/// The comprehension-required attributes whose meaning in (or irrelevance to) a Binding request is known.
fn is_known(kind: u16) -> bool {
    matches!(
        kind,
        attribute::MAPPED_ADDRESS
            | attribute::USERNAME
            | attribute::MESSAGE_INTEGRITY
            | attribute::ERROR_CODE
            | attribute::UNKNOWN_ATTRIBUTES
            | attribute::REALM
            | attribute::NONCE
            | attribute::MESSAGE_INTEGRITY_SHA256
            | attribute::XOR_MAPPED_ADDRESS
            | attribute::PRIORITY
            | attribute::USE_CANDIDATE
    )
}
