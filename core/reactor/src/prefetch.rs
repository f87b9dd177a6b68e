//! Telling the processor what will be needed soon.
//!
//! A worker with a thousand consumers has more state than the caches next to the core hold, and goes from one consumer to the
//! next in an order that the processor can't guess; but the worker knows it. Asked for a few steps ahead, the
//! memory arrives while something else is done.

/// The bytes that come into the cache together, on the processors that are usual.
const LINE: usize = 64;

/// The most that is asked for at once, in lines: more would only queue up behind each other.
const MAX_LINES: usize = 32;

/// Asks for the memory of a value, without what it points to. A hint: it changes no result, and does nothing on processors other
/// than x86-64.
#[inline]
pub fn prefetch<T>(value: &T) {
    prefetch_lines(std::ptr::from_ref(value).cast(), size_of::<T>());
}

/// Asks for bytes, as [`prefetch`] does for a value; for the first 2,048 of them if there are more.
#[inline]
pub fn prefetch_bytes(bytes: &[u8]) {
    prefetch_lines(bytes.as_ptr(), bytes.len());
}

/// Asks for the memory behind these items, as much as one more of them takes: there the next one goes if they are in a list that has
/// room.
#[inline]
pub fn prefetch_room<T>(list: &[T]) {
    prefetch_lines(list.as_ptr().wrapping_add(list.len()).cast(), size_of::<T>());
}

#[inline]
fn prefetch_lines(start: *const u8, len: usize) {
    let lead = start.addr() % LINE;
    for line in 0..(lead + len).div_ceil(LINE).min(MAX_LINES) {
        prefetch_line(start.wrapping_sub(lead).wrapping_add(line * LINE));
    }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn prefetch_line(address: *const u8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: the instruction reads nothing that the program could see, and faults at no address; SSE is part of x86-64.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn prefetch_line(_address: *const u8) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_place_may_be_asked_for() {
        let bytes = vec![7_u8; 4096];
        for start in 0..130 {
            prefetch_bytes(&bytes[start..]);
        }
        prefetch_bytes(&[]);
        prefetch(&());
        prefetch_room::<u64>(&[]);
        prefetch_room(&[1_u64; 3]);
        prefetch(&[1_u64; 1000]);
        assert!(bytes.iter().all(|byte| *byte == 7));
    }
}
