//! The macro runner `bench-costs`: what a worker takes for what is not a packet. Memory for each transport, producer and
//! consumer; processor time for a request and for a peer that connects by ICE and DTLS.

pub mod cli;
mod connect;
mod measure;
