//! STUN: known answers, round trips, and input that isn't what it claims to be.

mod malformed;
mod rfc5769;
mod round_trip;
