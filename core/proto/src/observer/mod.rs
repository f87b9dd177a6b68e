//! Who is loud, and who speaks: what can be told of several audio streams from the levels in their packets' headers
//! (RFC 6464), without decoding any.
//!
//! An observer is fed levels by the key that [`add`](AudioLevels::add) gave to each stream, and told when its deadline has
//! come. Then it is polled for what it has found.

mod active_speaker;
mod audio_level;

pub use active_speaker::ActiveSpeaker;
pub use audio_level::{AudioLevelConfig, AudioLevels, LevelEvent};
