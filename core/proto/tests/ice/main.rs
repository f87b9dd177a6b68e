//! The ICE-lite agent, seen by a peer. Time is virtual: one base instant, and durations added to it.

mod client;
mod consent;
mod nomination;
mod pair;
mod requests;
mod restart;
mod support;
mod tuples;
