//! What is traced: sets of event types.

use sfu_channel::TraceType;

/// A set of trace event types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceTypes<T> {
    bits: u8,
    marker: std::marker::PhantomData<T>,
}

impl<T> Default for TraceTypes<T> {
    fn default() -> Self {
        TraceTypes { bits: 0, marker: std::marker::PhantomData }
    }
}

impl<T: TraceType + PartialEq> TraceTypes<T> {
    /// The set of these.
    pub fn new(types: &[T]) -> Self {
        let bits = T::ALL.iter().enumerate().filter(|(_, kind)| types.contains(kind)).map(|(bit, _)| 1 << bit).sum();
        TraceTypes { bits, marker: std::marker::PhantomData }
    }

    /// Whether nothing is traced.
    pub fn is_empty(&self) -> bool {
        self.bits == 0
    }

    /// Whether the type is in the set.
    pub fn contains(&self, kind: T) -> bool {
        self.bits != 0 && T::ALL.iter().enumerate().any(|(bit, known)| *known == kind && self.bits & 1 << bit != 0)
    }

    /// The types in the set, in the order of dumps.
    pub fn to_vec(self) -> Vec<T> {
        T::ALL.iter().copied().filter(|kind| self.contains(*kind)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfu_channel::TraceEventType::{Fir, KeyFrame, Rtp};

    #[test]
    fn sets_keep_the_order_of_dumps() {
        let set = TraceTypes::new(&[Fir, Rtp]);
        assert!(set.contains(Rtp) && set.contains(Fir) && !set.contains(KeyFrame));
        assert_eq!(set.to_vec(), [Rtp, Fir]);
    }
}
