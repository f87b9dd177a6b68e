//! Associations in pairs, in virtual time.

mod bad_input;
mod delivery;
mod handshake;
mod pair;
mod reset;
