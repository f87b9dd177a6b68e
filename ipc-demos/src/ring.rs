//! Messages through a ring in shared memory: one process writes, one reads, and neither calls the kernel while both are
//! at work. Only who has nothing to do sleeps, and only who sleeps is woken.
//!
//! | words (8 bytes) | what |
//! |---|---|
//! | 1 | a message's length in bytes |
//! | length / 8, rounded up | the message, padded |
//!
//! Left out: what becomes of the other side. A process that is killed leaves the ring as it is, and no word of it; who
//! shares memory needs a second way to notice that (a socketpair, or a pidfd).

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64, fence};
use std::{hint, thread};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use thiserror::Error;

use crate::memory::Memory;

/// A word of data, in bytes.
const WORD: usize = size_of::<u64>();

/// How often a busy reader or writer looks before it lets another process have the core.
const LOOKS: u32 = 10_000;

/// What is wrong with a ring or a message.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The message does not fit into the ring, even when that is empty.
    #[error("a message of {0} bytes does not fit into the ring")]
    TooLong(usize),
    /// The other side has written positions or a length that can't be.
    #[error("the ring is corrupt: the other side has written what can't be")]
    Corrupt,
    /// A system call failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// How who sleeps is woken.
#[derive(Debug)]
#[non_exhaustive]
pub enum Wake {
    /// Nobody sleeps: who waits looks again and again, and has a core to itself for that.
    Busy,
    /// By the flag in the shared memory itself: `futex` sleeps while it is 1.
    Futex,
    /// By a descriptor for each side, which can stand in a poll or epoll beside others.
    EventFd {
        /// What the reader sleeps on.
        reader: EventFd,
        /// What the writer sleeps on.
        writer: EventFd,
    },
}

impl Wake {
    /// By eventfd.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn eventfd() -> io::Result<Wake> {
        let new = || EventFd::from_flags(EfdFlags::EFD_CLOEXEC);
        Ok(Wake::EventFd { reader: new()?, writer: new()? })
    }
}

/// A ring, to be made before `fork`. Of all processes that have it, one may send and one may receive: with two of a kind
/// messages are garbled (and nothing worse).
#[derive(Debug)]
pub struct Ring {
    memory: Memory,
    wake: Wake,
    /// This process's.
    calls: AtomicU64,
}

/// Which of the two.
#[derive(Debug, Clone, Copy)]
enum Side {
    Reader,
    Writer,
}

impl Ring {
    /// A ring with room for this many bytes, a power of two.
    ///
    /// # Errors
    /// `InvalidInput` for another number, and those of the system calls.
    pub fn create(bytes: usize, wake: Wake) -> io::Result<Ring> {
        if !bytes.is_power_of_two() || !(64..=1 << 30).contains(&bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a ring's size is a power of two from 64 to 2^30"));
        }
        Ok(Ring { memory: Memory::create(bytes / WORD)?, wake, calls: AtomicU64::new(0) })
    }

    /// How many system calls this process has made to sleep and to wake.
    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    // ANCHOR: send
    /// Sends a message; waits while there is no room for it.
    ///
    /// # Errors
    /// [`Error::TooLong`], [`Error::Corrupt`], and those of sleeping and waking.
    pub fn send(&self, message: &[u8]) -> Result<(), Error> {
        let (control, words) = (self.memory.control(), self.memory.words());
        let needed = 1 + message.len().div_ceil(WORD);
        if needed > words.len() {
            return Err(Error::TooLong(message.len()));
        }
        let head = control.head.0.load(Relaxed);
        self.sleep_until(Side::Writer, || Ok(words.len() - self.used(head, control.tail.0.load(Acquire))? >= needed))?;

        let (whole, rest) = message.as_chunks::<WORD>();
        self.place(head).store(message.len() as u64, Relaxed);
        for (words, chunks) in self.from(head.wrapping_add(1), whole.len()) {
            words.iter().zip(&whole[chunks]).for_each(|(word, chunk)| word.store(u64::from_ne_bytes(*chunk), Relaxed));
        }
        let next = head.wrapping_add(needed as u32);
        if !rest.is_empty() {
            let mut word = [0; WORD];
            word[..rest.len()].copy_from_slice(rest);
            self.place(next.wrapping_sub(1)).store(u64::from_ne_bytes(word), Relaxed);
        }
        // Release: who sees this position (with acquire) sees the words before it.
        control.head.0.store(next, Release);
        self.wake_if_asleep(Side::Reader)
    }
    // ANCHOR_END: send

    /// Receives a message into `buffer`, in the place of what was there; waits while there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`], and those of sleeping and waking.
    pub fn receive(&self, buffer: &mut Vec<u8>) -> Result<(), Error> {
        let control = self.memory.control();
        let tail = control.tail.0.load(Relaxed);
        self.sleep_until(Side::Reader, || Ok(self.used(control.head.0.load(Acquire), tail)? > 0))?;
        let used = self.used(control.head.0.load(Acquire), tail)?;

        // Read once: between a check and a second reading the other side could change it.
        let length = self.place(tail).load(Relaxed) as usize;
        let taken = 1 + length.div_ceil(WORD);
        if taken > used {
            return Err(Error::Corrupt);
        }
        buffer.resize(length, 0);
        let (whole, rest) = buffer.as_chunks_mut::<WORD>();
        for (words, chunks) in self.from(tail.wrapping_add(1), whole.len()) {
            words.iter().zip(&mut whole[chunks]).for_each(|(word, chunk)| *chunk = word.load(Relaxed).to_ne_bytes());
        }
        let next = tail.wrapping_add(taken as u32);
        if !rest.is_empty() {
            let word = self.place(next.wrapping_sub(1)).load(Relaxed).to_ne_bytes();
            rest.copy_from_slice(&word[..rest.len()]);
        }
        // Release: the writer writes over these words only once they have been read.
        control.tail.0.store(next, Release);
        self.wake_if_asleep(Side::Writer)
    }

    /// The word of data at that position.
    fn place(&self, position: u32) -> &AtomicU64 {
        let words = self.memory.words();
        &words[position as usize & (words.len() - 1)]
    }

    /// So many words from that position on: up to the ring's end, then from its beginning; with each part, which of them
    /// it has.
    fn from(&self, position: u32, count: usize) -> [(&[AtomicU64], Range<usize>); 2] {
        let words = self.memory.words();
        let (before, after) = words.split_at(position as usize & (words.len() - 1));
        let first = count.min(after.len());
        [(&after[..first], 0..first), (&before[..count - first], first..count)]
    }

    /// How many words are in use, if the positions are possible.
    fn used(&self, head: u32, tail: u32) -> Result<usize, Error> {
        let used = head.wrapping_sub(tail) as usize;
        if used > self.memory.words().len() { Err(Error::Corrupt) } else { Ok(used) }
    }

    // ANCHOR: sleep
    /// Returns once `ready`.
    fn sleep_until(&self, side: Side, ready: impl Fn() -> Result<bool, Error>) -> Result<(), Error> {
        let asleep = self.flag(side);
        let mut looks = 0;
        while !ready()? {
            if matches!(self.wake, Wake::Busy) {
                looks += 1;
                if looks % LOOKS == 0 {
                    self.called(thread::yield_now)
                } else {
                    hint::spin_loop()
                }
                continue;
            }
            // First say it, then look once more, then sleep. The other side first moves its position, then looks at
            // the flag. With both fences, one of the two sees what the other has done: no wake-up is lost.
            asleep.store(1, Relaxed);
            fence(SeqCst);
            if !ready()? {
                self.sleep(side)?;
            }
            asleep.store(0, Relaxed);
        }
        Ok(())
    }

    /// Wakes the other side if it says that it sleeps. Usually it doesn't, and this costs no system call.
    fn wake_if_asleep(&self, side: Side) -> Result<(), Error> {
        let asleep = self.flag(side);
        fence(SeqCst);
        if asleep.load(Relaxed) == 1 {
            asleep.store(0, Relaxed);
            match &self.wake {
                Wake::Busy => {}
                Wake::Futex => self.called(|| futex_wake(asleep))?,
                Wake::EventFd { reader, writer } => {
                    let bell = if let Side::Reader = side { reader } else { writer };
                    self.called(|| bell.write(1)).map_err(io::Error::from)?;
                }
            }
        }
        Ok(())
    }

    /// Sleeps until woken; or for a shorter time, since the caller looks again anyway.
    fn sleep(&self, side: Side) -> io::Result<()> {
        match &self.wake {
            Wake::Busy => Ok(()),
            Wake::Futex => self.called(|| futex_wait(self.flag(side))),
            Wake::EventFd { reader, writer } => {
                let bell = if let Side::Reader = side { reader } else { writer };
                match self.called(|| bell.read()) {
                    Ok(_) | Err(Errno::EINTR) => Ok(()),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }
    // ANCHOR_END: sleep

    fn flag(&self, side: Side) -> &AtomicU32 {
        let control = self.memory.control();
        match side {
            Side::Reader => &control.reader_sleeps.0,
            Side::Writer => &control.writer_sleeps.0,
        }
    }

    fn called<T>(&self, call: impl FnOnce() -> T) -> T {
        self.calls.fetch_add(1, Relaxed);
        call()
    }
}

impl AsFd for Ring {
    /// The shared memory's descriptor.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.memory.as_fd()
    }
}

// ANCHOR: futex
/// Sleeps as long as the number is 1. The kernel looks at it and puts us to sleep in one step, so that a wake-up in
/// between is not missed.
fn futex_wait(word: &AtomicU32) -> io::Result<()> {
    // SAFETY: the address is that of a live, aligned number. Without FUTEX_PRIVATE_FLAG, since another process wakes us:
    // the kernel finds it by the page, not by our address.
    let result =
        unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, 1, ptr::null::<libc::timespec>()) };
    match Errno::result(result) {
        // It was not 1 any more, or a signal came: both are for the caller to look at.
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Wakes one who sleeps there, in whichever process.
fn futex_wake(word: &AtomicU32) -> io::Result<()> {
    // SAFETY: as above; the kernel uses the address as a name only.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, 1) };
    Errno::result(result)?;
    Ok(())
}
// ANCHOR_END: futex

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn messages_come_out_as_they_went_in(lengths in prop::collection::vec(0_usize..100, 1..60), wake in 0..3) {
            let wake = [|| Ok(Wake::Busy), || Ok(Wake::Futex), Wake::eventfd][wake as usize]().unwrap();
            // Small, so that messages lie across its end and the writer has to wait.
            let ring = Arc::new(Ring::create(128, wake).unwrap());
            let message = |index: usize, length: usize| vec![index as u8; length];
            let expected: Vec<Vec<u8>> = lengths.iter().enumerate().map(|(index, length)| message(index, *length)).collect();
            let writer = Arc::clone(&ring);
            let sent = expected.clone();
            let thread = thread::spawn(move || sent.iter().for_each(|message| writer.send(message).unwrap()));
            let mut buffer = Vec::new();
            for message in &expected {
                ring.receive(&mut buffer).unwrap();
                prop_assert_eq!(&buffer, message);
            }
            thread.join().unwrap();
        }

        /// Whatever another process writes into the memory: an error or some message, and no more than was there.
        #[test]
        fn lies_are_found_out(head in any::<u32>(), tail in any::<u32>(), length in any::<u64>()) {
            let ring = Ring::create(128, Wake::Busy).unwrap();
            let control = ring.memory.control();
            control.head.0.store(head, Relaxed);
            control.tail.0.store(tail, Relaxed);
            prop_assume!(head != tail);
            ring.memory.words().iter().for_each(|word| word.store(length, Relaxed));
            let mut buffer = Vec::new();
            let used = head.wrapping_sub(tail) as usize;
            match ring.receive(&mut buffer) {
                Ok(()) => prop_assert!(used <= 16 && buffer.len() <= (used - 1) * WORD),
                Err(error) => prop_assert!(matches!(error, Error::Corrupt), "{error}"),
            }
        }
    }

    #[test]
    fn the_positions_may_run_over() {
        let ring = Ring::create(128, Wake::Futex).unwrap();
        let control = ring.memory.control();
        control.head.0.store(u32::MAX - 3, Relaxed);
        control.tail.0.store(u32::MAX - 3, Relaxed);
        let mut buffer = Vec::new();
        for message in 0..20_u8 {
            ring.send(&[message; 20]).unwrap();
            ring.receive(&mut buffer).unwrap();
            assert_eq!(buffer, [message; 20]);
        }
        assert_eq!(ring.calls(), 0, "nobody slept, so that nobody was woken");
    }

    #[test]
    fn what_never_fits_is_refused_instead_of_waiting_for_ever() {
        let ring = Ring::create(128, Wake::Futex).unwrap();
        assert!(matches!(ring.send(&[0; 121]), Err(Error::TooLong(121))));
        ring.send(&[0; 120]).unwrap();
        assert!(Ring::create(100, Wake::Futex).is_err());
    }

    #[test]
    fn the_memory_can_not_be_made_shorter_under_the_other_side() {
        let ring = Ring::create(128, Wake::Futex).unwrap();
        assert_eq!(nix::unistd::ftruncate(&ring, 0), Err(Errno::EPERM));
    }
}
