//! What the tests share.

use sfu_reactor::poll::{Events, Interest, Poller, Token};
use std::os::fd::AsRawFd;
use std::time::Duration;

/// Waits until a descriptor is ready, and fails the test when it isn't within ten seconds.
pub fn wait_for(fd: &impl AsRawFd, interest: Interest) {
    let poller = Poller::new().unwrap();
    poller.add(fd, Token(0), interest).unwrap();
    let mut events = Events::with_capacity(1);
    poller.wait(&mut events, Some(Duration::from_secs(10))).unwrap();
    assert!(!events.is_empty(), "the descriptor didn't become ready");
}
