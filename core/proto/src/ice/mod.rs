//! ICE-lite (RFC 8445): the agent of a server that answers connectivity checks and sends none.
//!
//! A server with a reachable address needs only the lite half of ICE. It offers host candidates, it is always the
//! controlled side, it answers each authenticated Binding request, and it lets the peer nominate the pair to use. What
//! the RFC calls a pair is a [`Tuple`] here, as in mediasoup: transport protocol, local and remote address.
//!
//! [`IceLite`] follows mediasoup's states: `new`, then `connected` when the first tuple has passed a check (media can
//! flow on it), `completed` once the peer has nominated one, `disconnected` when none is left. Beyond that it
//! - lets the peer nominate as often as it wants: the latest nomination is the selected tuple (regular and aggressive
//!   nomination, and renomination by the NOMINATION attribute);
//! - keeps accepting the old credentials after [`IceLite::restart`], until the first good check with the new ones;
//! - forgets a tuple that had no authenticated check for the consent timeout (RFC 7675 seen from the side that answers).
//!
//! Left out: full ICE, relayed and reflexive candidates, trickle (the peer's candidates aren't needed: its checks tell
//! where it is), and ICE-CONTROLLED peers: those get 487, since a lite agent never becomes the controlling one.

mod candidate;
mod credentials;
mod lite;
mod tuple;

pub use candidate::host_candidate_priority;
pub use credentials::Credentials;
pub use lite::{Event, IceError, IceLite, IceState, MAX_TUPLES, Transmit};
pub use tuple::{Protocol, Tuple};
