//! The stage that the chapters play on.
//!
//! None of this is what the walk teaches, so that it is here once and out of the way: [`transcript`] prints who did
//! what, [`layout`] shows bytes by field, [`capture`] writes what was sent for Wireshark, [`grade`] checks a
//! reader's exercises, and [`machine`] says what was measured on.

#![deny(missing_docs)]

pub mod capture;
pub mod grade;
pub mod layout;
pub mod machine;
pub mod transcript;

pub use layout::Field;
pub use machine::Machine;
pub use transcript::Transcript;
