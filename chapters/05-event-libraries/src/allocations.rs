//! How often a program asks for memory: an allocator that counts, and a thread that tells the count to whoever asks.
//!
//! Counting is one addition for an allocation and none for a packet, so that a program that doesn't allocate for its packets
//! doesn't notice, and it can be left on while the clock runs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, which counts. A program uses it by making it its `#[global_allocator]`.
#[derive(Debug, Clone, Copy)]
pub struct Counting;

// SAFETY: everything is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the same.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the same.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Answers each byte on standard input with a line on standard output: the allocations so far, moves to another size
/// included. A thread of its own does it, which sleeps in `read` until somebody asks.
///
/// # Errors
/// No thread can be had.
pub fn tell_on_request() -> io::Result<()> {
    thread::Builder::new().name("allocations".to_owned()).spawn(|| {
        let mut input = io::stdin();
        while input.read_exact(&mut [0]).is_ok() {
            let count = COUNT.load(Ordering::Relaxed);
            // Whoever asked may be gone.
            let _ = writeln!(io::stdout(), "{count}");
        }
    })?;
    Ok(())
}
