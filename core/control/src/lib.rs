//! Begun.

pub mod ortc;
pub mod sdp;
