//! The macro runner `bench-costs`: what a worker takes for what is no load. Memory for each transport, producer and consumer;
//! processor time for a request, for a peer that connects by ICE and DTLS, for a packet to a consumer of simulcast, and for a message of
//! a data channel.

pub mod cli;
mod connect;
mod frames;
mod measure;
mod messages;
