//! The small shared words of the protocol: addresses, states, keys, layers.

mod address;
mod diagnostics;
mod media;
mod session;

pub use address::*;
pub use diagnostics::*;
pub use media::*;
pub use session::*;
