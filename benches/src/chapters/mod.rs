//! The macro runner `bench-chapters`: what a chapter's server takes for its work, and the core for the same.
//!
//! ```text
//!     runner, which is the load ──── TCP, UDP, unix socket or channel ────▶ server
//!     core B                    ◀──────────────────────────────────────── core A
//! ```
//!
//! Every answer is compared with what it must be. Processor time is that of the server's process and of all that it has
//! forked, from `getrusage` when it has ended; from it goes what a second run took, which had the same start, the same connections and
//! the same warm-up, and none of the work that is counted.

pub mod cli;
pub mod contender;
pub mod load;
pub mod pages;
pub mod report;
