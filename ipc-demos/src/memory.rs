//! Memory that several processes share: a file that exists nowhere but in memory, mapped.

use std::ffi::c_void;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::ftruncate;

/// Where the positions and flags end, and the data begin, in bytes.
pub const CONTROL: usize = 4 * LINE;

/// A processor's cache line, in bytes. What different processes write lies on different ones: else each write of one
/// would take the line away from the other.
const LINE: usize = 64;

/// The words that steer a ring, each on a cache line of its own.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Control {
    /// Words ever written, modulo 2^32. The writer's.
    pub head: OwnLine,
    /// Words ever read, modulo 2^32. The reader's.
    pub tail: OwnLine,
    /// 1 while the reader sleeps, or is about to.
    pub reader_sleeps: OwnLine,
    /// 1 while the writer sleeps, or is about to.
    pub writer_sleeps: OwnLine,
}

/// An atomic number, alone on its cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct OwnLine(pub AtomicU32);

// ANCHOR: memory
/// Shared memory, all zero at first. Whoever has it mapped, by `fork` or by the descriptor, sees each other's changes.
///
/// All access is by atomic numbers: whatever another process does to them at the same time, this one reads some number.
#[derive(Debug)]
pub struct Memory {
    start: NonNull<c_void>,
    length: NonZeroUsize,
    file: OwnedFd,
}

impl Memory {
    /// Makes memory for [`Control`] and this many words of data, and maps it.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn create(words: usize) -> io::Result<Memory> {
        let file = memfd_create(c"ring", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
        let length = NonZeroUsize::MIN.saturating_add(CONTROL - 1 + words * size_of::<u64>());
        ftruncate(&file, length.get() as i64)?;
        // Were the file made shorter, an access to what is gone would be a deadly signal (SIGBUS). Now nobody can.
        let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
        fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
        let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: the address is the kernel's choice, so that nothing of ours is mapped over.
        let start = unsafe { mmap(None, length, access, MapFlags::MAP_SHARED, &file, 0) }?;
        Ok(Memory { start, length, file })
    }

    /// The words that steer.
    pub fn control(&self) -> &Control {
        // SAFETY: the mapping begins with as many bytes, is aligned to a page, lives as long as self, can't shrink, and
        // any bytes are a valid Control; it has only atomics, so that others may change it meanwhile.
        unsafe { self.start.cast::<Control>().as_ref() }
    }

    /// The data.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: as above; behind the control words there are as many bytes, aligned to a cache line.
        unsafe {
            let first = self.start.cast::<u8>().add(CONTROL).cast::<AtomicU64>();
            NonNull::slice_from_raw_parts(first, (self.length.get() - CONTROL) / size_of::<u64>()).as_ref()
        }
    }
}

// SAFETY: a mapping belongs to the process, and all access to it is by atomics.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this very mapping, made by create; references into it have ended with the borrow of self.
        let _ = unsafe { munmap(self.start, self.length.get()) };
    }
}
// ANCHOR_END: memory

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

const _: () = assert!(size_of::<Control>() == CONTROL);
