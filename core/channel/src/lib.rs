//! The messages between the worker and its library, and their JSON codec.
#![deny(missing_docs)]

pub mod rtp_parameters;

pub use rtp_parameters::*;
