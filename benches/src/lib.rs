//! What is measured, and how: the macro runner `bench-forward`, in parts. (The criterion micro-benchmarks are in
//! `benches/` beside this folder.)
//!
//! Producers' packets go into a worker, which forwards each to its consumers. Four processes take part:
//!
//! ```text
//!                      channel (JSON)
//!     runner ──────────────────────────────▶ worker        core A
//!       │                                    ▲     │
//!       │ requests         streams, plain    │     │  each N times, plain or SRTP
//!       ├──────────────▶ generator ──────────┘     ▼
//!       └──────────────▶ receiver ◀────────────────┘       core B
//! ```
//!
//! The generator notes when each packet left; the number of a packet travels in its RTP timestamp, which is in clear in
//! SRTP too; so the receiver can say of each packet whether it came, came twice, came unchanged, and how long it took. Datagrams that come to its
//! sockets from elsewhere than the worker are passed over and counted.
//!
//! What this can't show: loopback has no network card, so that no interrupt, no offload and no wire takes part, and the delivery of
//! each packet into the receiver's queue is paid by the worker's core. Compare within one run only.

mod arrivals;
pub mod awake;
pub mod bars;
pub mod calls;
pub mod case;
pub mod chapters;
pub mod cli;
pub mod compare;
pub mod costs;
pub mod distance;
pub mod generator;
pub mod growth;
mod inlet;
pub mod io;
pub mod layers;
pub mod limit;
pub mod link;
pub mod machine;
pub mod measure;
pub mod micro;
pub mod output;
pub mod plot;
mod precedence;
pub mod receiver;
pub mod report;
pub mod resources;
mod runner;
pub mod same_load;
mod scene;
pub mod session;
pub mod stats;
pub mod traffic;
pub mod worker;
pub mod workload;
