//! Signals as reads. One test in a process of its own: the mask and the dispositions belong to the whole process.

mod common;

use common::wait_for;
use sfu_reactor::poll::Interest;
use sfu_reactor::signal::{SIGUSR1, SIGUSR2, Signals, ignore};

#[test]
fn signals_are_read_and_ignored_ones_are_not_seen() {
    ignore(&[SIGUSR2]).unwrap();
    // SAFETY: raise takes a number only; SIGUSR2 is ignored, so nothing happens.
    assert_eq!(unsafe { libc::raise(SIGUSR2) }, 0);

    let mut signals = Signals::new(&[SIGUSR1]).unwrap();
    assert_eq!(signals.pending().unwrap(), None);
    for _ in 0..2 {
        // SAFETY: raise takes a number only; SIGUSR1 is blocked, so it stays pending.
        assert_eq!(unsafe { libc::raise(SIGUSR1) }, 0);
    }
    wait_for(&signals, Interest::READ);
    assert_eq!(signals.pending().unwrap(), Some(SIGUSR1));
    assert_eq!(signals.pending().unwrap(), None, "equal pending signals count once");

    assert_eq!(Signals::new(&[9_999]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    assert_eq!(ignore(&[libc::SIGKILL]).unwrap_err().raw_os_error(), Some(libc::EINVAL));
}
