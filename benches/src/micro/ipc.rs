//! The channel's way between two processes, without the second process: frames through a pair of sockets. What waking the
//! other one costs is in the table of the IPC demos.

use super::{Bench, Id, check};
use anyhow::{Context, Result};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use sfu_reactor::frame::{FrameReader, FrameWriter};
use std::hint::black_box;

const GROUP: &str = "IPC";

pub(super) fn all(bench: &mut impl Bench) -> Result<()> {
    for (len, name) in [(64, "64 bytes"), (1 << 10, "1 KiB"), (64 << 10, "64 KiB")] {
        let (left, right) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)
            .context("no pair of sockets can be had")?;
        let (mut writer, mut reader) = (FrameWriter::new(left, 1 << 20)?, FrameReader::new(right)?);
        let payload = vec![0x5a; len];
        check(
            bench,
            &Id::of(GROUP, "a frame through a socketpair, written and read by one thread", name),
            || {
                writer.push(black_box(&payload)).ok()?;
                loop {
                    writer.flush().ok()?;
                    reader.fill().ok()?;
                    if let Some(frame) = reader.next_frame().ok()? {
                        return Some((frame.len(), frame.last().copied()));
                    }
                }
            },
            |frame| *frame == Some((len, Some(0x5a))),
        )?;
    }
    Ok(())
}
